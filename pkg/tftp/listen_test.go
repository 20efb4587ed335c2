// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package tftp

import (
	"errors"
	"syscall"
	"testing"
)

func TestListen(t *testing.T) {
	for name, tc := range map[string]struct {
		address string
		sockets int
		wantErr bool
	}{
		"one":                    {"127.0.0.1:0", 1, false},
		"several":                {"127.0.0.1:0", 3, !canShare},
		"several, of all hosts":  {":0", 3, !canShare},
		"none":                   {"127.0.0.1:0", 0, true},
		"less than none":         {"127.0.0.1:0", -1, true},
		"no address":             {"nonsense", 1, true},
		"another host's address": {"198.51.100.1:0", 1, true},
	} {
		t.Run(name, func(t *testing.T) {
			conns, err := Listen(t.Context(), tc.address, tc.sockets)
			if (err != nil) != tc.wantErr {
				t.Fatalf("Listen() = %v, want an error: %t", err, tc.wantErr)
			}
			if err != nil {
				return
			}
			if len(conns) != tc.sockets {
				t.Errorf("Listen() opened %d sockets, want %d", len(conns), tc.sockets)
			}
			for _, c := range conns {
				t.Cleanup(func() { _ = c.Close() })
				if got, want := c.LocalAddr().String(), conns[0].LocalAddr().String(); got != want {
					t.Errorf("a socket of %s, want %s", got, want)
				}
			}
			if _, err := Listen(t.Context(), conns[0].LocalAddr().String(), 1); !errors.Is(err, syscall.EADDRINUSE) {
				t.Errorf("Listen() on a taken address = %v, want %v", err, syscall.EADDRINUSE)
			}
		})
	}
}
