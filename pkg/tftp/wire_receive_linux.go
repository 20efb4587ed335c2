// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package tftp

import (
	"encoding/binary"
	"net/netip"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	// receiveControl is room for both kinds of packet information and the count of lost datagrams.
	receiveControl = 128
	// receiveTries is how often in a row the system may refuse to receive, with what may be about an earlier packet that
	// was sent, before it is given a rest.
	receiveTries = 8
)

// A mmsghdr is the struct of that name in sendmmsg(2).
type mmsghdr struct {
	unix.Msghdr

	n uint32
}

// An inbox holds the datagrams of one recvmmsg. All that it points to, it keeps for ever.
type inbox struct {
	datagrams []datagram // the last ones
	headers   []mmsghdr
	names     []unix.RawSockaddrInet6 // large enough for IPv4's
	control   [][receiveControl / 8]uint64
	store     []datagram // with the whole buffers as data

	lost     uint32 // as the system counts: it begins anew after 1<<32-1
	overflow uint64
}

func newInbox(n int) inbox {
	const size = maxRequestLen + 1 // one more, so that a longer packet does not look like a request
	b := inbox{
		datagrams: make([]datagram, 0, n),
		headers:   make([]mmsghdr, n),
		names:     make([]unix.RawSockaddrInet6, n),
		control:   make([][receiveControl / 8]uint64, n),
		store:     make([]datagram, n),
	}
	vectors, buffers := make([]unix.Iovec, n), make([]byte, n*size)
	for i := range n {
		b.store[i].data = buffers[i*size : (i+1)*size]
		vectors[i].Base = &b.store[i].data[0]
		vectors[i].SetLen(size)
		h := &b.headers[i]
		h.Name = (*byte)(unsafe.Pointer(&b.names[i]))
		h.Iov = &vectors[i]
		h.SetIovlen(1)
		h.Control = (*byte)(unsafe.Pointer(&b.control[i]))
		h.Namelen = unix.SizeofSockaddrInet6
		h.SetControllen(receiveControl)
	}
	return b
}

// fill takes what has come in, without waiting, and says whether that is anything.
func (b *inbox) fill(fd uintptr) bool {
	for i := range b.datagrams { // the others are as they were
		h := &b.headers[i]
		h.Namelen = unix.SizeofSockaddrInet6
		h.SetControllen(receiveControl)
	}
	b.datagrams = b.datagrams[:0]
	for range receiveTries {
		n, _, errno := unix.Syscall6(unix.SYS_RECVMMSG, fd, uintptr(unsafe.Pointer(unsafe.SliceData(b.headers))),
			uintptr(len(b.headers)), unix.MSG_DONTWAIT, 0, 0)
		switch errno {
		case 0:
			b.sort(int(n))
			return n > 0
		case unix.EAGAIN:
			return false
		}
	}
	return false
}

// sort makes datagrams of the first n messages.
func (b *inbox) sort(n int) {
	b.datagrams = b.datagrams[:n]
	for i := range b.datagrams {
		d := &b.datagrams[i]
		d.data = b.store[i].data[:b.headers[i].n]
		d.from = peerOf(&b.names[i])
	}
	if n > 0 {
		b.count(n - 1) // the latest one knows most
	}
}

// peerOf reads an address of either family.
func peerOf(name *unix.RawSockaddrInet6) (p peer) {
	p.port = uint32(binary.BigEndian.Uint16((*[2]byte)(unsafe.Pointer(&name.Port))[:])) // at the same place in both
	if name.Family == unix.AF_INET {
		p.ip[10], p.ip[11] = 0xff, 0xff
		copy(p.ip[12:], (*unix.RawSockaddrInet4)(unsafe.Pointer(name)).Addr[:])
		return p
	}
	p.ip = name.Addr
	if isLinkLocal(&p.ip) {
		p.scope = name.Scope_id
	}
	return p
}

// messages calls f with each control message of datagram i.
func (b *inbox) messages(i int, f func(level, kind int32, data []byte)) {
	rest := unsafe.Slice((*byte)(unsafe.Pointer(&b.control[i])), receiveControl)[:b.headers[i].Controllen]
	for len(rest) >= unix.SizeofCmsghdr {
		h, data, next, err := unix.ParseOneSocketControlMessage(rest)
		if err != nil {
			return
		}
		f(h.Level, h.Type, data)
		rest = next
	}
}

// count reads how many datagrams the system has dropped. It tells with each datagram once it has dropped any.
func (b *inbox) count(i int) {
	b.messages(i, func(level, kind int32, data []byte) {
		if level == unix.SOL_SOCKET && kind == unix.SO_RXQ_OVFL && len(data) >= 4 {
			lost := binary.NativeEndian.Uint32(data)
			b.overflow += uint64(lost - b.lost)
			b.lost = lost
		}
	})
}

func (b *inbox) overflowed() uint64 { return b.overflow }

// destination answers an IPv4 broadcast or multicast from the address that the system calls its own there. For IPv6
// multicast, the client's scope says where to go, and the system chooses.
func (b *inbox) destination(i int) (d destination) {
	b.messages(i, func(level, kind int32, data []byte) {
		switch {
		case level == unix.SOL_IP && kind == unix.IP_PKTINFO && len(data) >= unix.SizeofInet4Pktinfo:
			info := (*unix.Inet4Pktinfo)(unsafe.Pointer(&data[0]))
			d.asked, d.local = netip.AddrFrom4(info.Addr), netip.AddrFrom4(info.Spec_dst)
		case level == unix.SOL_IPV6 && kind == unix.IPV6_PKTINFO && len(data) >= unix.SizeofInet6Pktinfo:
			asked := netip.AddrFrom16((*unix.Inet6Pktinfo)(unsafe.Pointer(&data[0])).Addr)
			if asked.Is4In6() {
				return // the other kind tells more
			}
			d.asked = asked
			if !asked.IsMulticast() {
				d.local = asked
			}
		}
	})
	if d.local.IsUnspecified() { // the system does not know it of what came in before the socket was set up
		d.local = netip.Addr{}
		if d.asked.IsGlobalUnicast() || d.asked.IsLoopback() || d.asked.IsLinkLocalUnicast() {
			d.local = d.asked
		}
	}
	return d
}
