// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package tftp

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"time"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

// A portableWire takes and gives one datagram at a time, with what package net has on every system.
type portableWire struct {
	alarm
	four      bool // it is a socket of IPv4
	connected bool // it has one client
	bound     [16]byte

	in         [1]datagram
	buffer     []byte
	control    []byte
	controlLen int
	scopes     scopes // of who sends

	out       []byte
	from      []byte // a control message that says where packets come from
	fromLocal [16]byte
	zones     scopes // of whom is sent to
}

func newPortableWire(conn *net.UDPConn) wire {
	w := &portableWire{
		alarm:     alarm{conn: conn, epoch: time.Now(), at: never},
		connected: conn.RemoteAddr() != nil,
		buffer:    make([]byte, maxRequestLen+1), // one more, so that a longer packet does not look like a request
		control:   make([]byte, 256),
	}
	addr := conn.LocalAddr().(*net.UDPAddr).AddrPort().Addr()
	w.four = addr.Is4()
	if !addr.IsUnspecified() {
		w.bound = addr.As16()
	}
	if !w.connected {
		// Some systems can't tell where a packet was sent to. Theirs is then the choice of where answers come from.
		if w.four {
			_ = ipv4.NewPacketConn(conn).SetControlMessage(ipv4.FlagDst, true)
		} else {
			_ = ipv6.NewPacketConn(conn).SetControlMessage(ipv6.FlagDst, true)
		}
	}
	return w
}

// String tells how packets are sent.
func (w *portableWire) String() string { return "one at a time" }

func (w *portableWire) receive(wait time.Duration) ([]datagram, error) {
	until := w.after(wait)
	for {
		if !w.set(until) {
			w.awake()
			w.rung()
			return nil, nil
		}
		n, controlLen, _, from, err := w.conn.ReadMsgUDPAddrPort(w.buffer, w.control)
		w.awake()
		switch {
		case err == nil:
			w.controlLen = controlLen
			w.in[0] = datagram{from: w.peer(from), data: w.buffer[:n]}
			return w.in[:], nil
		case errors.Is(err, net.ErrClosed):
			return nil, fmt.Errorf("receive: %w", err)
		case !errors.Is(err, os.ErrDeadlineExceeded):
			continue // about an earlier packet that was sent
		}
		w.unset()
		if w.rung() || w.passed(until) {
			return nil, nil
		}
	}
}

func (w *portableWire) peer(from netip.AddrPort) peer {
	p := peer{ip: from.Addr().As16(), port: uint32(from.Port())}
	if zone := from.Addr().Zone(); zone != "" {
		p.scope = w.scopes.index(zone)
	}
	return p
}

// destination does not know this host's addresses: a subnet's own broadcast address can't be told from them. Such a source
// the system refuses, and queue then lets it choose.
func (w *portableWire) destination(int) (d destination) {
	var dst net.IP
	if control := w.control[:w.controlLen]; w.four {
		var m ipv4.ControlMessage
		_ = m.Parse(control) // what can't be read leaves the address unknown
		dst = m.Dst
	} else {
		var m ipv6.ControlMessage // of an IPv4 packet, it has the address in its IPv6 form
		_ = m.Parse(control)
		dst = m.Dst
	}
	addr, _ := netip.AddrFromSlice(dst)
	d.asked = addr.Unmap()
	if d.asked.IsValid() && !d.asked.IsMulticast() && !d.asked.IsUnspecified() && d.asked != limitedBroadcast() {
		d.local = d.asked
	}
	return d
}

func (w *portableWire) queue(r *route, header, one, two []byte) {
	w.out = append(append(append(w.out[:0], header...), one...), two...)
	var to netip.AddrPort
	if !w.connected {
		addr := netip.AddrFrom16(r.peer.ip)
		if w.four {
			addr = addr.Unmap()
		}
		if r.peer.scope != 0 {
			addr = addr.WithZone(w.zones.name(r.peer.scope))
		}
		to = netip.AddrPortFrom(addr, uint16(r.peer.port))
	}
	from := w.source(r)
	_, _, err := w.conn.WriteMsgUDPAddrPort(w.out, from, to)
	if err != nil && from != nil {
		_, _, _ = w.conn.WriteMsgUDPAddrPort(w.out, nil, to) // what the system does not take is lost
	}
}

// source returns what makes the system send from the route's address.
func (w *portableWire) source(r *route) []byte {
	if w.connected || r.local == w.bound || r.local == [16]byte{} {
		return nil
	}
	if w.from == nil || r.local != w.fromLocal || isLinkLocal(&r.local) {
		src := netip.AddrFrom16(r.local)
		if src.Is4In6() {
			w.from = (&ipv4.ControlMessage{Src: src.Unmap().AsSlice()}).Marshal()
		} else {
			w.from = (&ipv6.ControlMessage{Src: src.AsSlice(), IfIndex: int(r.peer.scope)}).Marshal()
		}
		w.fromLocal = r.local
	}
	return w.from
}

// flush has nothing to do: queue sends.
func (w *portableWire) flush() {}

// overflowed knows of none.
func (w *portableWire) overflowed() uint64 { return 0 }

// scopes translates between the number and the name of an interface. It remembers the last one.
type scopes struct {
	number uint32
	zone   string
}

func (s *scopes) index(zone string) uint32 {
	if s.zone == zone {
		return s.number
	}
	if i, err := net.InterfaceByName(zone); err == nil {
		*s = scopes{uint32(i.Index), zone}
		return s.number
	}
	number, _ := strconv.ParseUint(zone, 10, 32)
	return uint32(number)
}

func (s *scopes) name(number uint32) string {
	if s.number == number {
		return s.zone
	}
	*s = scopes{number, peer{scope: number}.addrPort().Addr().Zone()}
	return s.zone
}

func (*portableWire) close() {}
