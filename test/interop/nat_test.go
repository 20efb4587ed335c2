// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package interop

import (
	"bytes"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"testing"
)

// rules are those of a router that hides a LAN behind its own address and lets nothing pass but TFTP's port: it knows nothing
// of the other ports that RFC 1350 has a server choose.
const rules = `
table ip nat {
	chain out {
		type nat hook postrouting priority srcnat
		oifname "wan" masquerade
	}
}
table ip filter {
	chain pass {
		type filter hook forward priority filter
		policy drop
		iifname "lan" udp dport 69 accept
		iifname "wan" udp sport 69 accept
	}
	chain self {
		type filter hook input priority filter
		policy drop
	}
}
`

// A transfer over one port passes routers that translate addresses, and firewalls.
func TestThroughNAT(t *testing.T) {
	const server = "10.79.0.2" // knows no way to the clients' addresses
	far, router := newHost(t, "server"), newHost(t, "router")
	connect(t, far, "eth0", router, "wan", 1500)
	far.ip(t, "address add "+server+"/24 dev eth0")
	router.ip(t, `link add name lan type bridge forward_delay 0 stp_state 0
		link set lan up
		address add 10.78.0.254/24 dev lan
		address add 10.79.0.254/24 dev wan`)
	router.run(t, rules, "nft", "-f", "-")
	router.inside(t, func() error { return os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0o600) })
	var clients []host
	for n := range 2 {
		client, port := newHost(t, fmt.Sprintf("client%d", n)), fmt.Sprintf("port%d", n)
		connect(t, client, "eth0", router, port, 1500)
		router.ip(t, "link set "+port+" master lan")
		client.ip(t, fmt.Sprintf("address add 10.78.0.%d/24 dev eth0\nroute add default via 10.78.0.254", n+1))
		clients = append(clients, client)
	}
	far.serve(t, clients[0], netip.MustParseAddr(server))

	for n, client := range clients {
		t.Run(fmt.Sprintf("client %d", n), func(t *testing.T) {
			t.Parallel() // behind one address
			got := client.read(t, netip.MustParseAddr(server), strconv.Itoa(bigFile), "blksize", "1468", "windowsize", "16")
			if !bytes.Equal(got.content, random(bigFile)) {
				t.Errorf("got %d bytes, not the %d of the file", len(got.content), bigFile)
			}
		})
	}
}
