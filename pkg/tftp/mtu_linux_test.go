// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package tftp

import (
	"net"
	"net/netip"
	"testing"
)

func TestRouteMTU(t *testing.T) {
	lo, err := net.InterfaceByName("lo")
	if err != nil {
		t.Fatal(err)
	}
	four := min(lo.MTU, 65535) // no IPv4 packet is longer
	type row struct {
		local, client netip.Addr
		want          int // 0: not known
	}
	addr := netip.MustParseAddr
	table := map[string]row{
		"IPv4":                        {addr("127.0.0.1"), addr("127.0.0.1"), four},
		"IPv4 in its long form":       {addr("::ffff:127.0.0.1"), addr("::ffff:127.0.0.2"), four},
		"from any address":            {netip.Addr{}, addr("127.0.0.1"), four},
		"IPv6":                        {addr("::1"), addr("::1"), lo.MTU},
		"of two families":             {addr("127.0.0.1"), addr("::1"), lo.MTU},
		"from another host's address": {addr("198.51.100.1"), addr("127.0.0.1"), 0},
		"to everybody":                {netip.Addr{}, addr("255.255.255.255"), 0},
		"to nobody":                   {netip.Addr{}, netip.Addr{}, 0},
		"link-local without its zone": {netip.Addr{}, addr("fe80::7"), 0},
	}
	for _, a := range linkLocals(t) { // where there are any
		table["link-local "+a.String()] = row{a.WithZone(""), a, lo.MTU} // what goes to itself takes that way
	}
	for name, tc := range table {
		t.Run(name, func(t *testing.T) {
			if got, known := routeMTU(tc.local, tc.client); got != tc.want || known != (tc.want != 0) {
				t.Errorf("routeMTU(%v, %v) = %d, %t, want %d", tc.local, tc.client, got, known, tc.want)
			}
		})
	}
}
