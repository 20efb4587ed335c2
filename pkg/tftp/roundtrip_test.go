// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package tftp

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestRoundTrip(t *testing.T) {
	repeated := func(d time.Duration, n int) []time.Duration { return slices.Repeat([]time.Duration{d}, n) }
	for name, tc := range map[string]struct {
		took        []time.Duration
		want        roundTrip
		wantTimeout time.Duration
	}{
		"nothing measured": {},
		"the first: half of it is how far others may stray": {
			took: []time.Duration{8 * ms}, want: roundTrip{smoothed: 8 * ms, strays: 4 * ms, least: 8 * ms},
			wantTimeout: 24 * ms,
		},
		"the second": { // 3/4 of 4 ms and 1/4 of 16; 7/8 of 8 and 1/8 of 24
			took: []time.Duration{8 * ms, 24 * ms}, want: roundTrip{smoothed: 10 * ms, strays: 7 * ms, least: 8 * ms},
			wantTimeout: 38 * ms,
		},
		"a shorter one": {
			took: []time.Duration{8 * ms, 0}, want: roundTrip{smoothed: 7 * ms, strays: 5 * ms, least: 1},
			wantTimeout: 27 * ms,
		},
		"none at all": {
			took: []time.Duration{0}, want: roundTrip{smoothed: 1, least: 1}, wantTimeout: 1,
		},
		"always the same": {
			took: repeated(ms, 100), want: roundTrip{smoothed: ms, strays: 0, least: ms}, wantTimeout: ms,
		},
	} {
		t.Run(name, func(t *testing.T) {
			var r roundTrip
			for _, took := range tc.took {
				r.measure(took)
			}
			near := cmp.Comparer(func(a, b time.Duration) bool { return (a - b).Abs() < 10 })
			if diff := cmp.Diff(tc.want, r, cmp.AllowUnexported(roundTrip{}), near); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if got := r.timeout(); (got - tc.wantTimeout).Abs() > 50 {
				t.Errorf("timeout() = %v, want %v", got, tc.wantTimeout)
			}
			if r.known() != (len(tc.took) > 0) {
				t.Errorf("known() = %v after %d measurements", r.known(), len(tc.took))
			}
		})
	}
}

func TestUsual(t *testing.T) {
	var r roundTrip
	if r.usual(ms) {
		t.Error("usual, and nothing is known")
	}
	r.measure(8 * ms)
	for took, want := range map[time.Duration]bool{
		8*ms - 1: false, 8 * ms: true, 24 * ms: true, 24*ms + 1: false, 0: false,
	} {
		if got := r.usual(took); got != want {
			t.Errorf("usual(%v) = %v, want %v", took, got, want)
		}
	}
}

// The wait for an ACK follows the round trip between its bounds.
func TestWait(t *testing.T) {
	for name, tc := range map[string]struct {
		rtt     roundTrip
		timing  timing // zero: patient
		backoff int
		want    time.Duration
	}{
		"nothing known":                   {want: time.Second},
		"nothing known, doubled":          {backoff: 1, want: 2 * time.Second},
		"nothing known, doubled for long": {backoff: 1000, want: 5 * time.Second},
		"near client":                     {rtt: roundTrip{smoothed: ms, strays: ms}, want: 50 * ms},
		"far client":                      {rtt: roundTrip{smoothed: 60 * ms, strays: 5 * ms}, want: 80 * ms},
		"far client, doubled":             {rtt: roundTrip{smoothed: 60 * ms, strays: 5 * ms}, backoff: 2, want: 320 * ms},
		"client on the moon":              {rtt: roundTrip{smoothed: 6 * time.Second}, want: 5 * time.Second},
		"client's own timeout": {
			timing: timing{first: 2 * time.Second, floor: 50 * ms, most: time.Second}, want: time.Second,
		},
	} {
		t.Run(name, func(t *testing.T) {
			if tc.timing == (timing{}) {
				tc.timing = patient()
			}
			x := transfer{rtt: tc.rtt, timing: tc.timing, backoff: tc.backoff}
			if got := x.wait(); got != tc.want {
				t.Errorf("wait() = %v, want %v", got, tc.want)
			}
		})
	}
}
