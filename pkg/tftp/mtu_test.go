// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package tftp

import (
	"net/netip"
	"sync"
	"testing"
	"time"
)

func TestPayloadRoom(t *testing.T) {
	for name, tc := range map[string]struct {
		mtu    int
		client string
		want   int
	}{
		"Ethernet, IPv4":                  {1500, "192.0.2.7", 1468},
		"Ethernet, IPv4 in its long form": {1500, "::ffff:192.0.2.7", 1468},
		"Ethernet, IPv6":                  {1500, "2001:db8::7", 1448},
		"link-local":                      {1500, "fe80::7%eth0", 1448},
		"a tunnel":                        {1400, "192.0.2.7", 1368},
		"jumbo frames":                    {9000, "2001:db8::7", 8948},
		"the least of IPv6":               {1280, "2001:db8::7", 1228},
	} {
		t.Run(name, func(t *testing.T) {
			if got := payloadRoom(tc.mtu, netip.MustParseAddr(tc.client)); got != tc.want {
				t.Errorf("payloadRoom(%d, %s) = %d, want %d", tc.mtu, tc.client, got, tc.want)
			}
		})
	}
}

func TestMTUCache(t *testing.T) {
	local, client, unknown := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.7"), netip.MustParseAddr("192.0.2.8")
	measured, mtu := 0, 1500
	c := newMTUCache()
	c.measure = func(_, to netip.Addr) (int, bool) {
		measured++
		return mtu, to != unknown
	}
	epoch := time.Unix(1_000_000, 0)
	for _, tc := range []struct {
		name          string
		local, client netip.Addr
		after         time.Duration
		mtu           int // from now on
		wantMTU       int
		wantKnown     bool
		wantMeasured  int
	}{
		{"first", local, client, 0, 1500, 1500, true, 1},
		{"again", local, client, 1, 9000, 1500, true, 1},
		{"just before it is too old", local, client, mtuLifetime - 1, 9000, 1500, true, 1},
		{"too old", local, client, mtuLifetime, 9000, 9000, true, 2},
		{"young again", local, client, 2*mtuLifetime - 1, 1280, 9000, true, 2},
		{"from another address", netip.Addr{}, client, mtuLifetime, 1400, 1400, true, 3},
		{"to another client", local, unknown, mtuLifetime, 0, 0, false, 4},
		{"what is not known is remembered, too", local, unknown, mtuLifetime + 1, 1500, 0, false, 4},
	} {
		mtu = tc.mtu
		got, known := c.lookup(tc.local, tc.client, epoch.Add(tc.after))
		if got != tc.wantMTU || known != tc.wantKnown || measured != tc.wantMeasured {
			t.Errorf("%s: lookup() = %d, %t after %d measurements, want %d, %t, %d",
				tc.name, got, known, measured, tc.wantMTU, tc.wantKnown, tc.wantMeasured)
		}
	}
}

func TestMTUCacheIsBounded(t *testing.T) {
	c := newMTUCache()
	c.measure = func(_, client netip.Addr) (int, bool) { return int(client.As4()[3]), true }
	var all sync.WaitGroup
	for n := range 4 {
		all.Go(func() {
			for i := range 2 * mtuMaxEntries {
				client := netip.AddrFrom4([4]byte{10, byte(n), byte(i >> 8), byte(i)})
				if mtu, ok := c.lookup(netip.Addr{}, client, time.Unix(0, 0)); mtu != int(byte(i)) || !ok {
					t.Errorf("lookup(%v) = %d, %t", client, mtu, ok)
					return
				}
			}
		})
	}
	all.Wait()
	if n := len(c.found); n > mtuMaxEntries {
		t.Errorf("%d entries, want at most %d", n, mtuMaxEntries)
	}
}
