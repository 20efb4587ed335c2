// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package interop

import (
	"bytes"
	"net/netip"
	"strconv"
	"testing"
)

// A host with several addresses answers from the one that was asked, for that is the only one that firmware and firewalls
// know, and not from the one that the system would choose.
func TestAnswersFromTheAddressAsked(t *testing.T) {
	const file = 20_000 // bytes
	asks := map[string]struct {
		asked string
		want  string // where the answer comes from; empty: from the address asked
	}{
		"a second address":                {"10.78.0.3", ""},
		"a third address":                 {"10.78.0.4", ""},
		"an address in another network":   {"10.78.1.2", ""},
		"the broadcast address":           {"10.78.0.255", "10.78.0.2"},
		"the other network's":             {"10.78.1.255", "10.78.1.2"},
		"a second IPv6 address":           {"fd78::3", ""},
		"an IPv6 link-local address":      {"fe80::2", ""},
		"another IPv6 link-local address": {"fe80::3", ""},
		"the system's choice":             {"10.78.0.2", ""},
		"the system's choice, IPv6":       {"fd78::2", ""},
	}
	for name, tc := range map[string]struct {
		flags    []string
		only4    bool
		wantPort func(uint16) bool
	}{
		"shared port":               {nil, false, isTFTP},
		"shared port, IPv4 socket":  {[]string{"-address", "0.0.0.0:69"}, true, isTFTP},
		"ports of their own":        {[]string{"-ports", "ephemeral"}, false, isNotTFTP},
		"ports out of a range":      {[]string{"-ports", "7000-7099"}, false, isIn7000s},
		"own ports for IPv4 socket": {[]string{"-address", "0.0.0.0:69", "-ports", "ephemeral"}, true, isNotTFTP},
	} {
		t.Run(name, func(t *testing.T) {
			server, client := newPair(t, 1500)
			server.ip(t, `address add 10.78.0.2/24 brd + dev eth0
				address add 10.78.0.3/24 brd + dev eth0
				address add 10.78.0.4/24 brd + dev eth0
				address add 10.78.1.2/24 brd + dev eth0
				address add fd78::3/64 dev eth0 nodad
				address add fd78::2/64 dev eth0 nodad
				address add fe80::3/64 dev eth0 nodad
				address add fe80::2/64 dev eth0 nodad`)
			client.ip(t, `address add 10.78.0.1/24 brd + dev eth0
				address add 10.78.1.1/24 brd + dev eth0
				address add fd78::1/64 dev eth0 nodad
				address add fe80::1/64 dev eth0 nodad`)
			server.serve(t, client, netip.MustParseAddr("10.78.0.2"), tc.flags...)
			zone := strconv.Itoa(client.index(t, "eth0"))

			for name, ask := range asks {
				asked := netip.MustParseAddr(ask.asked)
				if tc.only4 && !asked.Is4() {
					continue
				}
				t.Run(name, func(t *testing.T) {
					want := asked
					if ask.want != "" {
						want = netip.MustParseAddr(ask.want)
					}
					if asked.IsLinkLocalUnicast() {
						asked = asked.WithZone(zone)
					}
					got := client.read(t, asked, strconv.Itoa(file), "blksize", "1024", "windowsize", "4")
					if got.from.Addr() != want || !tc.wantPort(got.from.Port()) {
						t.Errorf("asked %v, the answer came from %v", asked, got.from)
					}
					if !bytes.Equal(got.content, random(file)) {
						t.Errorf("got %d bytes, not the %d of the file", len(got.content), file)
					}
				})
			}
		})
	}
}

func isTFTP(port uint16) bool    { return port == 69 }
func isNotTFTP(port uint16) bool { return port != 69 }
func isIn7000s(port uint16) bool { return port >= 7000 && port <= 7099 }
