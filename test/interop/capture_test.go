// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package interop

import (
	"encoding/binary"
	"errors"
	"fmt"
	"testing"

	"golang.org/x/sys/unix"
)

// A capture sees the packets that come in at a host's eth0, before the system puts fragments together.
type capture struct{ fd int }

// A captured is an IP packet that was seen on the wire.
type captured struct {
	length   int // of the IP packet, in bytes
	fragment bool
	payload  int // of UDP, in bytes; only of what is no fragment
}

func (p captured) isFragment() bool { return p.fragment }

type packets []captured

// count returns how many packets are as wanted.
func (p packets) count(is func(captured) bool) (n int) {
	for _, one := range p {
		if is(one) {
			n++
		}
	}
	return n
}

// checkFit fails the test if a packet is longer than the MTU.
func (p packets) checkFit(t *testing.T, mtu int) {
	t.Helper()
	if n := p.count(func(one captured) bool { return one.length > mtu }); n > 0 {
		t.Errorf("%d of %d packets are longer than the MTU of %d", n, len(p), mtu)
	}
}

// capture begins to capture.
func (h host) capture(t *testing.T) *capture {
	t.Helper()
	c := &capture{fd: -1}
	index := h.index(t, "eth0")
	h.inside(t, func() (err error) {
		// Without the link's header. It hears nothing before it is bound.
		if c.fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0); err != nil {
			return fmt.Errorf("open a packet socket: %w", err)
		}
		if err := unix.SetsockoptInt(c.fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 64<<20); err != nil {
			return fmt.Errorf("set the buffer of a packet socket: %w", err)
		}
		all := binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, unix.ETH_P_ALL))
		return unix.Bind(c.fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: index})
	})
	t.Cleanup(func() { _ = unix.Close(c.fd) }) // nothing was sent
	return c
}

// packets returns the UDP packets, whole or not, that came in since it was last called.
func (c *capture) packets(t *testing.T) (all packets) {
	t.Helper()
	b := make([]byte, 2*maxPacket)
	for {
		n, from, err := unix.Recvfrom(c.fd, b, unix.MSG_DONTWAIT)
		if errors.Is(err, unix.EAGAIN) {
			break
		}
		if err != nil {
			t.Fatalf("receive from a packet socket: %v", err)
		}
		if from.(*unix.SockaddrLinklayer).Pkttype == unix.PACKET_OUTGOING {
			continue
		}
		if p, ok := parseIP(b[:n]); ok {
			all = append(all, p)
		}
	}
	if stats, err := unix.GetsockoptTpacketStats(c.fd, unix.SOL_PACKET, unix.PACKET_STATISTICS); err != nil || stats.Drops > 0 {
		t.Fatalf("the packet socket dropped %+v: %v", stats, err)
	}
	return all
}

// parseIP reads an IP packet of either version, if it carries UDP.
func parseIP(b []byte) (p captured, ok bool) {
	const (
		header4, header6, headerUDP = 20, 40, 8
		fragmentHeader              = 44
	)
	p.length = len(b)
	switch {
	case len(b) >= header4 && b[0] == 0x45 && b[9] == unix.IPPROTO_UDP:
		p.fragment = binary.BigEndian.Uint16(b[6:])&0x3fff != 0 // more fragments, or an offset
		p.payload = len(b) - header4 - headerUDP
		return p, true
	case len(b) >= header6 && b[0]>>4 == 6 && (b[6] == unix.IPPROTO_UDP || b[6] == fragmentHeader):
		p.fragment = b[6] == fragmentHeader
		p.payload = len(b) - header6 - headerUDP
		return p, true
	}
	return p, false
}
