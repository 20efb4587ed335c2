// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package interop

import (
	"bytes"
	"fmt"
	"net/netip"
	"strconv"
	"testing"
)

// bigFile is the size, in bytes, of a file of several windows of the largest blocks.
const bigFile = 400_003

// The two hosts of a link.
const (
	server4, client4 = "10.78.0.2", "10.78.0.1"
	server6, client6 = "fd78::2", "fd78::1"
)

// newLink returns two hosts with one address of each version.
func newLink(t *testing.T, mtu int) (server, client host) {
	t.Helper()
	server, client = newPair(t, mtu)
	server.ip(t, "address add "+server4+"/24 dev eth0\naddress add "+server6+"/64 dev eth0 nodad")
	client.ip(t, "address add "+client4+"/24 dev eth0\naddress add "+client6+"/64 dev eth0 nodad")
	return server, client
}

// cutBeforeTheWire has a host cut runs of packets before they go on the wire, as most network cards need it. Without this, a
// pair of virtual cards hands them on in one piece.
func (h host) cutBeforeTheWire(t *testing.T) {
	t.Helper()
	h.run(t, "", "ethtool", "--features", "eth0", "tx-udp-segmentation", "off")
}

// A block size that does not fit the way to the client is lowered to what does. No packet on the wire is larger than the
// MTU, and none is a fragment, also where the system cuts the packets of a window.
func TestBlocksFitTheWay(t *testing.T) {
	for name, tc := range map[string]struct {
		mtu         int
		route       int         // the MTU of the route, if it has one of its own
		want, want6 map[int]int // block sizes agreed on by those asked for, over IPv4 and IPv6
	}{
		"MTU 1500": {
			mtu:   1500,
			want:  map[int]int{65464: 1468, 8192: 1468, 1468: 1468, 1428: 1428},
			want6: map[int]int{65464: 1448, 8192: 1448, 1468: 1448, 1428: 1428},
		},
		"MTU 1400": {
			mtu:   1400,
			want:  map[int]int{65464: 1368, 8192: 1368, 1468: 1368, 1428: 1368},
			want6: map[int]int{65464: 1348, 8192: 1348, 1468: 1348, 1428: 1348},
		},
		"MTU 9000": {
			mtu:   9000,
			want:  map[int]int{65464: 8968, 8192: 8192, 1468: 1468, 1428: 1428},
			want6: map[int]int{65464: 8948, 8192: 8192, 1468: 1468, 1428: 1428},
		},
		"a route's MTU of 1300": {
			mtu: 1500, route: 1300,
			want:  map[int]int{65464: 1268, 8192: 1268, 1468: 1268, 1428: 1268},
			want6: map[int]int{65464: 1248, 8192: 1248, 1468: 1248, 1428: 1248},
		},
	} {
		t.Run(name, func(t *testing.T) {
			server, client := newLink(t, tc.mtu)
			mtu := tc.mtu
			if tc.route != 0 {
				mtu = tc.route
				server.ip(t, fmt.Sprintf(`route delete 10.78.0.0/24 dev eth0
					route delete fd78::/64 dev eth0
					route add 10.78.0.0/24 dev eth0 mtu %d
					route add fd78::/64 dev eth0 mtu %[1]d`, mtu))
			}
			server.serve(t, client, netip.MustParseAddr(server4))
			checkRuns(t, client)
			server.cutBeforeTheWire(t)
			c := client.capture(t)
			for address, want := range map[string]map[int]int{server4: tc.want, server6: tc.want6} {
				for asked, want := range want {
					checkBlocks(t, client, c, netip.MustParseAddr(address), asked, want, mtu)
				}
			}
		})
	}
}

// checkRuns fails the test if the server does not hand a window to the system as a run of packets: then no test would see
// how those are cut.
func checkRuns(t *testing.T, client host) {
	t.Helper()
	c := client.capture(t)
	client.read(t, netip.MustParseAddr(server4), strconv.Itoa(bigFile), "blksize", "1200", "windowsize", "16")
	if c.packets(t).count(func(p captured) bool { return p.payload == 16*(headerLen+1200) }) == 0 {
		t.Error("no window came in one piece")
	}
}

func checkBlocks(t *testing.T, client host, c *capture, server netip.Addr, asked, want, mtu int) {
	t.Helper()
	got := client.read(t, server, strconv.Itoa(bigFile), "blksize", strconv.Itoa(asked), "windowsize", "16")
	if accepted := fmt.Sprintf("blksize %d windowsize 16", want); got.accepted != accepted {
		t.Errorf("%v: asked for blocks of %d, the OACK says %q, want %q", server, asked, got.accepted, accepted)
	}
	if !bytes.Equal(got.content, random(bigFile)) {
		t.Errorf("%v: got %d bytes, not the %d of the file", server, len(got.content), bigFile)
	}
	packets := c.packets(t)
	full := packets.count(func(p captured) bool { return p.payload == headerLen+want })
	if least := bigFile / want; full < least {
		t.Errorf("%v: %d packets with a full block of %d bytes, want %d", server, full, want, least)
	}
	packets.checkFit(t, mtu)
	if n := packets.count(captured.isFragment); n > 0 {
		t.Errorf("%v: asked for blocks of %d: %d packets are fragments", server, asked, n)
	}
}

// Whoever allows fragments gets the block size that the client asked for, and the file.
func TestFragmentsAreAllowed(t *testing.T) {
	const mtu = 1500
	server, client := newLink(t, mtu)
	server.serve(t, client, netip.MustParseAddr(server4), "-allow-fragments")
	server.cutBeforeTheWire(t)
	c := client.capture(t)
	for _, address := range []string{server4, server6} {
		for _, size := range []int{8192, 65464} {
			got := client.read(t, netip.MustParseAddr(address), strconv.Itoa(bigFile), "blksize", strconv.Itoa(size), "windowsize", "4")
			if want := fmt.Sprintf("blksize %d windowsize 4", size); got.accepted != want {
				t.Errorf("%s: the OACK says %q, want %q", address, got.accepted, want)
			}
			if !bytes.Equal(got.content, random(bigFile)) {
				t.Errorf("%s: got %d bytes, not the %d of the file", address, len(got.content), bigFile)
			}
			packets := c.packets(t)
			packets.checkFit(t, mtu)
			if n := packets.count(captured.isFragment); n < bigFile/mtu {
				t.Errorf("%s: %d fragments; how else did blocks of %d bytes come?", address, n, size)
			}
		}
	}
}
