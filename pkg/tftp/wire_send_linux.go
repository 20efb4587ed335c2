// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package tftp

import (
	"encoding/binary"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	// maxSegments and maxSegmented are the most packets and bytes in one message. Linux takes 64 (128 since 5.19), and what
	// an IP packet can hold.
	maxSegments  = 64
	maxSegmented = 65_000
	// queuedPackets is how many packets wait for flush, on average three times the largest window.
	queuedPackets = 1024
	// sendPatience is how long one flush waits for room in the socket's queue. What finds none is lost: clients ask again.
	sendPatience = 10 * time.Millisecond

	pktinfo6Len = (unix.SizeofCmsghdr + unix.SizeofInet6Pktinfo + 7) &^ 7
	segmentLen  = unix.SizeofCmsghdr + 8
	sendControl = pktinfo6Len + segmentLen
)

// A sendMode is a way to hand packets to the system: each needs more of it than the one before.
type sendMode int

const (
	sendSingly   sendMode = iota // sendmsg
	sendBatches                  // sendmmsg
	sendSegments                 // sendmmsg, and a run of packets for one client as a single message, with UDP_SEGMENT
)

func (m sendMode) String() string {
	return [...]string{"sendmsg", "sendmmsg", "sendmmsg with UDP_SEGMENT"}[m]
}

// calls are the calls of the system that send, and those that it may lack or forbid.
type calls interface {
	sendmsg(fd uintptr, m *unix.Msghdr) syscall.Errno
	// sendmmsg returns how many of the messages went; if none, why the first did not.
	sendmmsg(fd uintptr, m []mmsghdr) (int, syscall.Errno)
	// lacks says whether the system has no such call for many messages, or forbids it.
	lacks(call uintptr, fd int) bool
	eventfd() (fd int, err error)
}

// kernel makes the calls. They don't wait.
type kernel struct{}

func (kernel) sendmsg(fd uintptr, m *unix.Msghdr) syscall.Errno {
	_, _, errno := unix.Syscall(unix.SYS_SENDMSG, fd, uintptr(unsafe.Pointer(m)), unix.MSG_DONTWAIT)
	return errno
}

func (kernel) sendmmsg(fd uintptr, m []mmsghdr) (int, syscall.Errno) {
	n, _, errno := unix.Syscall6(unix.SYS_SENDMMSG, fd, uintptr(unsafe.Pointer(unsafe.SliceData(m))), uintptr(len(m)),
		unix.MSG_DONTWAIT, 0, 0)
	return int(n), errno
}

// lacks asks for no message.
func (kernel) lacks(call uintptr, fd int) bool {
	_, _, errno := unix.Syscall6(call, uintptr(fd), 0, 0, unix.MSG_DONTWAIT, 0, 0)
	return errno == unix.ENOSYS || errno == unix.EPERM
}

func (kernel) eventfd() (fd int, err error) { return unix.Eventfd(0, unix.EFD_CLOEXEC) }

// An outbox holds the packets of one flush. All that it points to, it keeps for ever, but for the payloads.
type outbox struct {
	raw    syscall.RawConn
	socket socket
	calls  calls
	mode   sendMode
	send   func(fd uintptr) // made once, so that flush allocates nothing

	messages []message // those queued
	headers  []mmsghdr // theirs
	names    []unix.RawSockaddrInet6
	control  [][sendControl / 8]uint64
	prefixes []byte // the packets' first bytes; room for those of blocks
	vectors  []unix.Iovec
	singles  []mmsghdr // what split makes

	patience time.Duration // what is left of it in this flush
	retried  bool          // a refused message was tried again in this flush
	poll     [1]unix.PollFd
}

// A message is what the system takes as one: a run of packets for one client.
type message struct {
	to      route
	packets int
	packet  int // bytes in each, but for the last
	bytes   int
	first   int // of the vectors
	last    int // one after
	control int // length of the control data without the segment length
}

func newOutbox(n int, raw syscall.RawConn, s socket, c calls, mode sendMode) outbox {
	packets := min(n*maxSegments, queuedPackets)
	b := outbox{
		raw: raw, socket: s, calls: c, mode: mode,
		messages: make([]message, 0, n),
		headers:  make([]mmsghdr, n),
		names:    make([]unix.RawSockaddrInet6, n),
		control:  make([][sendControl / 8]uint64, n),
		prefixes: make([]byte, 0, packets*headerLen),
		vectors:  make([]unix.Iovec, 0, 3*packets),
	}
	for i := range b.headers {
		h := &b.headers[i]
		h.Control = (*byte)(unsafe.Pointer(&b.control[i]))
		if s.connected {
			continue
		}
		h.Name = (*byte)(unsafe.Pointer(&b.names[i]))
		h.Namelen = unix.SizeofSockaddrInet6
		if s.four {
			h.Namelen = unix.SizeofSockaddrInet4
		}
	}
	return b
}

func (b *outbox) queue(r *route, header, one, two []byte) {
	n := len(header) + len(one) + len(two)
	if len(b.vectors)+3 > cap(b.vectors) {
		b.flush()
	}
	if !b.joins(r, n) {
		if len(b.messages) == cap(b.messages) {
			b.flush()
		}
		b.begin(r, n)
	}
	from := len(b.prefixes)
	b.prefixes = append(b.prefixes, header...) // if they move, those before stay where they are, too
	b.attach(b.prefixes[from:])
	b.attach(one)
	b.attach(two)

	i := len(b.messages) - 1
	m, h := &b.messages[i], &b.headers[i]
	m.packets++
	m.bytes += n
	m.last = len(b.vectors)
	h.SetIovlen(m.last - m.first)
	if m.packets == 2 {
		b.segment(i)
	}
}

func (b *outbox) attach(part []byte) {
	if len(part) == 0 {
		return
	}
	b.vectors = append(b.vectors, unix.Iovec{Base: unsafe.SliceData(part)})
	b.vectors[len(b.vectors)-1].SetLen(len(part))
}

// joins says whether a packet of n bytes may go with the last message.
func (b *outbox) joins(r *route, n int) bool {
	if b.mode != sendSegments || len(b.messages) == 0 {
		return false
	}
	m := &b.messages[len(b.messages)-1]
	return n <= m.packet && m.bytes == m.packets*m.packet && m.packets < maxSegments && m.bytes+n <= maxSegmented && *r == m.to
}

// begin adds a message, whose packets are of n bytes.
func (b *outbox) begin(r *route, n int) {
	i := len(b.messages)
	b.messages = append(b.messages, message{to: *r, packet: n, first: len(b.vectors), control: b.address(i, r)})
	h := &b.headers[i]
	h.Iov = unsafe.SliceData(b.vectors[len(b.vectors) : len(b.vectors)+1])
	h.SetControllen(b.messages[i].control)
}

// address writes where message i goes and where from, and returns the length of its control data.
func (b *outbox) address(i int, r *route) int {
	if b.socket.connected {
		return 0
	}
	name := &b.names[i]
	binary.BigEndian.PutUint16((*[2]byte)(unsafe.Pointer(&name.Port))[:], uint16(r.peer.port)) // at the same place in both
	if b.socket.four {
		name.Family = unix.AF_INET
		copy((*unix.RawSockaddrInet4)(unsafe.Pointer(name)).Addr[:], r.peer.ip[12:])
	} else {
		name.Family = unix.AF_INET6
		name.Addr = r.peer.ip
		name.Scope_id = r.peer.scope
	}
	return b.source(i, r)
}

// source writes where message i comes from, if the system would not know.
func (b *outbox) source(i int, r *route) int {
	linkLocal := isLinkLocal(&r.local)
	if r.local == b.socket.bound || r.local == [16]byte{} || linkLocal && r.peer.scope == 0 {
		return 0
	}
	h := (*unix.Cmsghdr)(unsafe.Pointer(&b.control[i]))
	data := unsafe.Add(unsafe.Pointer(h), unix.CmsgLen(0))
	if b.socket.four {
		h.Level, h.Type = unix.SOL_IP, unix.IP_PKTINFO
		h.SetLen(unix.CmsgLen(unix.SizeofInet4Pktinfo))
		info := (*unix.Inet4Pktinfo)(data)
		*info = unix.Inet4Pktinfo{Spec_dst: [4]byte(r.local[12:])}
		return unix.CmsgSpace(unix.SizeofInet4Pktinfo)
	}
	// On such a socket, this holds for IPv4 as well.
	h.Level, h.Type = unix.SOL_IPV6, unix.IPV6_PKTINFO
	h.SetLen(unix.CmsgLen(unix.SizeofInet6Pktinfo))
	info := (*unix.Inet6Pktinfo)(data)
	*info = unix.Inet6Pktinfo{Addr: r.local}
	if linkLocal {
		info.Ifindex = r.peer.scope
	}
	return unix.CmsgSpace(unix.SizeofInet6Pktinfo)
}

// segment writes that message i is to be cut into packets.
func (b *outbox) segment(i int) {
	m := &b.messages[i]
	h := (*unix.Cmsghdr)(unsafe.Add(unsafe.Pointer(&b.control[i]), m.control))
	h.Level, h.Type = unix.SOL_UDP, unix.UDP_SEGMENT
	h.SetLen(unix.CmsgLen(2))
	*(*uint16)(unsafe.Add(unsafe.Pointer(h), unix.CmsgLen(0))) = uint16(m.packet)
	b.headers[i].SetControllen(m.control + unix.CmsgSpace(2))
}
