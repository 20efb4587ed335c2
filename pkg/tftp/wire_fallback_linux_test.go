// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package tftp

import (
	"errors"
	"net"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"
)

// poorCalls are those of a system that lacks some.
type poorCalls struct {
	kernel

	noMessages bool  // many at once
	noEvents   error // why there are none
}

func (p poorCalls) lacks(call uintptr, fd int) bool { return p.noMessages || p.kernel.lacks(call, fd) }

func (p poorCalls) eventfd() (int, error) {
	if p.noEvents != nil {
		return 0, p.noEvents
	}
	return p.kernel.eventfd()
}

// Where the system lacks something, the same socket is served in the plain way. Other errors leave it to the caller.
func TestWireFallsBack(t *testing.T) {
	for name, tc := range map[string]struct {
		calls   poorCalls
		wantErr error
	}{
		"no recvmmsg":           {poorCalls{noMessages: true}, nil},
		"no eventfd":            {poorCalls{noEvents: unix.ENOSYS}, nil},
		"a forbidden eventfd":   {poorCalls{noEvents: unix.EPERM}, nil},
		"no descriptor is left": {poorCalls{noEvents: unix.EMFILE}, unix.EMFILE},
	} {
		t.Run(name, func(t *testing.T) {
			var failed error
			w := openWired(t, func(conn *net.UDPConn) (wire, error) {
				w, err := openWireBy(conn, batch, tc.calls)
				if failed = err; err != nil {
					return newPortableWire(conn), nil
				}
				return w, nil
			}, "udp", "127.0.0.1:0")
			if !errors.Is(failed, tc.wantErr) {
				t.Fatalf("openWire() = %v, want %v", failed, tc.wantErr)
			}
			if _, ok := w.wire.(*portableWire); !ok {
				t.Errorf("wire is a %T, want the portable one", w.wire)
			}
			client := newProbe(t)
			client.send(netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), w.port), "question")
			got, _, r := w.take(t)
			w.queue(r, []byte("answer"), nil, nil)
			w.flush()
			if answer, _ := client.hear(); got != "question" || answer != "answer" {
				t.Errorf("the server heard %q, the client %q", got, answer)
			}
		})
	}
}
