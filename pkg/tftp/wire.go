// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package tftp

import (
	"net"
	"net/netip"
	"strconv"
	"time"
)

// socketBuffer is the wish for the socket's queues, in bytes: a rack that is switched on sends all its requests at once, and
// each that is lost costs its machine a second or more.
const socketBuffer = 4 << 20

// A wire moves datagrams between a loop and its socket. One goroutine receives; one, perhaps another, queues and flushes;
// any may wake.
type wire interface {
	// receive returns datagrams that have come in; when there are none, it waits for some. It returns none when wait has
	// passed, give or take a millisecond (negative: it may wait for ever), or wake was called. They are valid until the next
	// call. Trouble with single datagrams is none of the caller's; the error is for good: the socket is closed.
	receive(wait time.Duration) ([]datagram, error)
	// destination tells of the datagram at position i of the last receive what only requests need: the address to answer
	// from, and the one the datagram was sent to.
	destination(i int) destination
	// queue takes a packet to send: header, and then the bytes of one and two, either of which may be empty. header is
	// copied, the others must not change until flush returns. Packets in a row for one client that have the same length,
	// but for a shorter last one, go to the system as one where it can take that. What the system does not take is lost.
	queue(r *route, header, one, two []byte)
	// flush sends what is queued.
	flush()
	// wake ends a wait of receive, or the next one if there is none.
	wake()
	// overflowed returns how many datagrams the system has dropped because the socket's queue was full, as far as is known.
	overflowed() uint64
	// close lets go of what was opened beside the connection. Nothing but wake may be called afterwards.
	close()
}

// A datagram is what came in, and from whom.
type datagram struct {
	from peer
	data []byte // at most maxRequestLen+1 bytes
}

// A peer is a client's address and port, in a form that is cheap to compare. IPv4 addresses are in their IPv6 form.
type peer struct {
	ip    [16]byte
	port  uint32
	scope uint32 // the interface, for link-local addresses; otherwise 0
}

// isLinkLocal says whether an address is in fe80::/10.
func isLinkLocal(ip *[16]byte) bool { return ip[0] == 0xfe && ip[1]&0xc0 == 0x80 }

// A route is the way to a client: where to, and from which of this host's addresses.
type route struct {
	peer  peer
	local [16]byte // IPv4 in its IPv6 form; zero: the system chooses
}

// A destination is where a request was sent to.
type destination struct {
	asked netip.Addr // as the packet has it; may be a broadcast or multicast address; zero: not known
	local netip.Addr // this host's address to answer from, without a zone; zero: the system chooses
}

// addrPort returns the peer in its usual form, with the interface's name as zone.
func (p peer) addrPort() netip.AddrPort {
	addr := netip.AddrFrom16(p.ip).Unmap()
	if p.scope != 0 {
		zone := strconv.FormatUint(uint64(p.scope), 10)
		if i, err := net.InterfaceByIndex(int(p.scope)); err == nil {
			zone = i.Name
		}
		addr = addr.WithZone(zone)
	}
	return netip.AddrPortFrom(addr, uint16(p.port))
}
