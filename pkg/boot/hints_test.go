// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package boot

import (
	"net/netip"
	"testing"
	"testing/synctest"
	"time"
)

// address returns the n-th address of 10.0.0.0/8.
func address(n int) netip.Addr {
	return netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)})
}

func TestHintsAreBounded(t *testing.T) {
	const learnt = 10_000
	h := newHints()
	for n := range learnt {
		h.learn(address(n), "lab/n7")
		h.learn(address(n), "lab/n8") // again: takes no further place
	}
	if len(h.byIP) != maxHints || len(h.order) != maxHints {
		t.Errorf("after %d addresses: %d hints in a ring of %d, want %d", learnt, len(h.byIP), len(h.order), maxHints)
	}
	for name, tc := range map[string]struct {
		n    int
		want string
	}{
		"the newest":                  {n: learnt - 1, want: "lab/n8"},
		"the oldest that has a place": {n: learnt - maxHints, want: "lab/n8"},
		"the one before has gone":     {n: learnt - maxHints - 1},
		"the first has gone":          {n: 0},
	} {
		t.Run(name, func(t *testing.T) {
			if got := string(h.recall(address(tc.n))); got != tc.want {
				t.Errorf("recall(%v) = %q, want %q", address(tc.n), got, tc.want)
			}
		})
	}
}

func TestHintsOfNobody(t *testing.T) {
	h := newHints()
	h.learn(netip.Addr{}, "lab/n7")
	if got := h.recall(netip.Addr{}); got != "" {
		t.Errorf("recall() of no address = %q, want none", got)
	}
}

func TestHintsAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // virtual clock
		h := newHints()
		h.learn(address(1), "lab/n7")
		<-time.After(hintLife)
		if got := h.recall(address(1)); got != "lab/n7" {
			t.Errorf("recall() at the end of its life = %q", got)
		}
		<-time.After(time.Nanosecond)
		if got := h.recall(address(1)); got != "" {
			t.Errorf("recall() after its life = %q, want none", got)
		}
	})
}
