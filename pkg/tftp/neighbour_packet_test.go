// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package tftp

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func examples() map[string]handed {
	return map[string]handed{
		"ACK":                 {from: numbered(1), data: []byte{0, 4, 0, 1}},
		"request":             {request: true, hops: 3, origin: 62, home: 63, ask: 1<<63 | 1, from: numbered(2), data: []byte(askOwn)},
		"of IPv4":             {request: true, from: numbered(3), to: destination{netip.MustParseAddr("192.0.2.255"), netip.MustParseAddr("192.0.2.1")}},
		"of IPv6":             {request: true, from: peer{ip: netip.MustParseAddr("2001:db8::1").As16(), port: 65535}, to: destination{asked: netip.MustParseAddr("ff02::1")}},
		"of a link-local one": {from: peer{ip: netip.MustParseAddr("fe80::1").As16(), port: 1, scope: 7}, data: make([]byte, maxRequestLen+1)},
	}
}

// sameHanded compares all that a packet has.
func sameHanded() cmp.Option {
	return cmp.Options{
		cmp.AllowUnexported(handed{}, peer{}, destination{}), cmp.Comparer(func(a, b netip.Addr) bool { return a == b }),
	}
}

func TestHanded(t *testing.T) {
	for name, h := range examples() {
		t.Run(name, func(t *testing.T) {
			if h.data == nil {
				h.data = []byte{}
			}
			b := appendHanded(nil, &h)
			got, rest, ok := parseHanded(append(b, "rest"...))
			if diff := cmp.Diff(h, got, sameHanded()); diff != "" || !ok {
				t.Errorf("ok %t, (-want +got):\n%s", ok, diff)
			}
			if string(rest) != "rest" {
				t.Errorf("rest %q", rest)
			}
			for n := range b {
				if h, _, ok := parseHanded(b[:n]); ok {
					t.Fatalf("the first %d of %d bytes are read as %v", n, len(b), h)
				}
			}
		})
	}
	for name, spoil := range map[string]func(b []byte){
		"an unknown flag":                   func(b []byte) { b[0] |= 0x80 },
		"too many hops":                     func(b []byte) { b[1] = maxHops + 1 },
		"a home that is no place":           func(b []byte) { b[2] = maxNeighbours },
		"an origin that is no place":        func(b []byte) { b[3] = maxNeighbours },
		"a scope of one that is no link's":  func(b []byte) { b[33] = 1 },
		"a packet longer than is ever read": func(b []byte) { b[handedHead-2], b[handedHead-1] = 0xff, 0xff },
	} {
		h := examples()["ACK"]
		b := append(appendHanded(nil, &h), make([]byte, 1<<16)...)
		spoil(b)
		if _, _, ok := parseHanded(b); ok {
			t.Errorf("%s is read", name)
		}
	}
}

// Whatever a neighbour sends, reading it ends without a panic, invents nothing, and what was read reads the same again.
func FuzzNote(f *testing.F) {
	f.Add(note(noteHello, helloAnswer|helloDraining))
	f.Add(note(noteBye))
	for _, h := range examples() {
		f.Add(appendHanded(note(notePackets), &h))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		kind, body, ok := parseNote(b)
		if !ok || kind != notePackets {
			return
		}
		for len(body) > 0 {
			h, rest, ok := parseHanded(body)
			if !ok {
				return
			}
			if len(h.data) > maxRequestLen+1 || h.home >= maxNeighbours || h.origin >= maxNeighbours || h.hops > maxHops || len(rest) >= len(body) {
				t.Fatalf("read %+v, and %d of %d bytes are left", h, len(rest), len(body))
			}
			again, none, ok := parseHanded(appendHanded(nil, &h))
			if diff := cmp.Diff(h, again, sameHanded()); diff != "" || !ok || len(none) != 0 {
				t.Fatalf("again (-first +second):\n%s", diff)
			}
			_ = h.from.addrPort()
			body = rest
		}
	})
}
