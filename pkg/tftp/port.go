// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package tftp

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"syscall"
)

// A port is one that a transfer has to itself, as in RFC 1350. It costs a descriptor and a goroutine.
type port struct {
	conn *net.UDPConn
	wire wire
}

// openPort opens a port at the address that the client asked, and connects it, so that the system drops what comes from
// others.
func (s *Server) openPort(local netip.Addr, client netip.AddrPort) (*port, error) {
	if local.IsLinkLocalUnicast() {
		local = local.WithZone(client.Addr().Zone())
	}
	conn, err := s.options.Ports.dial(local, client)
	if err != nil {
		return nil, fmt.Errorf("open a port for %v: %w", client, errors.Join(errNoPort, err))
	}
	w, err := openWire(conn, 1)
	if err != nil {
		_ = conn.Close() // nothing was sent
		return nil, err
	}
	return &port{conn, w}, nil
}

// errNoPort: a request is dropped for it, as for any limit.
var errNoPort = errors.New("no port is left")

// dial tries the ports of a range in random order, or leaves the choice to the system.
func (p Ports) dial(local netip.Addr, client netip.AddrPort) (*net.UDPConn, error) {
	remote := net.UDPAddrFromAddrPort(client)
	if p.mode == portsEphemeral {
		return net.DialUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(local, 0)), remote)
	}
	n := int(p.last) - int(p.first) + 1
	from := rand.IntN(n)
	for i := range n {
		number := p.first + uint16((from+i)%n)
		conn, err := net.DialUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(local, number)), remote)
		if !errors.Is(err, syscall.EADDRINUSE) {
			return conn, err
		}
	}
	return nil, fmt.Errorf("all ports from %d to %d are in use", p.first, p.last)
}

// listen hands the session what comes in, one packet at a time, until the port is closed.
func (p *port) listen(s *shard, x *session) (then func()) {
	done := make(chan struct{}, 1)
	for {
		datagrams, err := p.wire.receive(-1)
		if err != nil {
			return nil
		}
		for _, d := range datagrams {
			r, ok := parseReply(d.data)
			if !ok {
				continue
			}
			s.mail.post(func() {
				if !x.over {
					x.hear(r)
				}
				done <- struct{}{}
			})
			<-done
		}
	}
}

// close may wait for packets that are on their way out, which the loop does not.
func (p *port) close(s *shard) {
	s.do(func() func() {
		_ = p.conn.Close()
		return nil
	})
}
