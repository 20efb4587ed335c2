// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package tftp

import (
	"fmt"
	"net"
	"net/netip"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

// readBuffer is the wish for the listening socket's queue, in bytes: a rack that is switched on sends all its requests at
// once, and each that is lost costs its machine a second or more. Linux grants what net.core.rmem_max allows.
const readBuffer = 4 << 20

// receive calls accept for each packet that comes in on conn, until reading fails. packet is valid during the call only.
func receive(conn *net.UDPConn, accept func(packet []byte, client netip.AddrPort, local netip.Addr)) error {
	_ = conn.SetReadBuffer(readBuffer)
	destination, err := destinations(conn)
	if err != nil {
		return fmt.Errorf("receive on %v: %w", conn.LocalAddr(), err)
	}
	packet := make([]byte, maxRequestLen+1) // one more, so that a longer packet does not look like a request
	control := make([]byte, 256)
	for {
		n, controlLen, _, client, err := conn.ReadMsgUDPAddrPort(packet, control)
		if err != nil {
			return fmt.Errorf("receive on %v: %w", conn.LocalAddr(), err)
		}
		client = netip.AddrPortFrom(client.Addr().Unmap(), client.Port())
		accept(packet[:n], client, destination(control[:controlLen]))
	}
}

// destinations makes conn tell with each packet where it was sent to, and returns how to read that. The result is zero for
// an address that can't be answered from: multicast, and 255.255.255.255. A subnet's own broadcast address can't be told
// from a host's.
func destinations(conn *net.UDPConn) (func(control []byte) netip.Addr, error) {
	var read func(control []byte) net.IP
	if conn.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Is4() {
		if err := ipv4.NewPacketConn(conn).SetControlMessage(ipv4.FlagDst, true); err != nil {
			return nil, fmt.Errorf("ask for destination addresses: %w", err)
		}
		read = func(control []byte) net.IP {
			var m ipv4.ControlMessage
			_ = m.Parse(control) // what can't be read leaves the address unknown
			return m.Dst
		}
	} else {
		// Of an IPv4 packet on a dual-stack socket this tells the address in its IPv6 form.
		if err := ipv6.NewPacketConn(conn).SetControlMessage(ipv6.FlagDst, true); err != nil {
			return nil, fmt.Errorf("ask for destination addresses: %w", err)
		}
		read = func(control []byte) net.IP {
			var m ipv6.ControlMessage
			_ = m.Parse(control)
			return m.Dst
		}
	}
	return func(control []byte) netip.Addr {
		addr, _ := netip.AddrFromSlice(read(control))
		addr = addr.Unmap()
		if addr.IsMulticast() || addr.IsUnspecified() || addr == limitedBroadcast() {
			return netip.Addr{}
		}
		return addr
	}, nil
}

func limitedBroadcast() netip.Addr { return netip.AddrFrom4([4]byte{255, 255, 255, 255}) }

// answerable says whether a request's source may be answered. A source that is no host's, or the port of a service that
// answers whatever it gets, is forged, to make two servers talk to each other or to flood a third: echo (7), chargen (19),
// DNS (53), TFTP (69), NTP (123).
func answerable(client netip.AddrPort) bool {
	switch client.Port() {
	case 0, 7, 19, 53, 69, 123:
		return false
	}
	addr := client.Addr()
	return addr.IsValid() && !addr.IsUnspecified() && !addr.IsMulticast() && addr != limitedBroadcast()
}
