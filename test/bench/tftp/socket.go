// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"fmt"
	"net/netip"
	"os"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The generator shares the machine with the server, so it must cost little: raw system calls on sockets that never block,
// without the runtime's poller, and without an allocation for a packet.

// batch is how many packets are taken from a socket in one call: a window.
const batch = 64

// openSocket opens a client's socket on a port of its own.
func openSocket(local netip.Addr, buffer int) (int, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("open a socket: %w", err)
	}
	if buffer > 0 { // SO_RCVBUFFORCE goes beyond the system's limit, and needs root
		if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, buffer) != nil {
			_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, buffer)
		}
	}
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: local.As4()}); err != nil {
		_ = unix.Close(fd)
		return -1, fmt.Errorf("bind a socket to %v: %w", local, err)
	}
	return fd, nil
}

// sockaddr is an address in the form of the kernel.
func sockaddr(a netip.AddrPort) unix.RawSockaddrInet4 {
	sa := unix.RawSockaddrInet4{Family: unix.AF_INET, Addr: a.Addr().As4()}
	port := (*[2]byte)(unsafe.Pointer(&sa.Port))
	port[0], port[1] = byte(a.Port()>>8), byte(a.Port())
	return sa
}

// send sends one packet. A full buffer is a loss like any other.
func send(fd int32, packet []byte, to *unix.RawSockaddrInet4) unix.Errno {
	_, _, errno := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(&packet[0])), uintptr(len(packet)),
		unix.MSG_DONTWAIT, uintptr(unsafe.Pointer(to)), unix.SizeofSockaddrInet4)
	return errno
}

// mmsghdr is what recvmmsg(2) fills.
type mmsghdr struct {
	header unix.Msghdr
	length uint32
	_      [4]byte
}

// A receiver takes packets from sockets, into buffers that it uses again.
type receiver struct {
	from    [batch]unix.RawSockaddrInet4
	buffers [batch][]byte
	vectors [batch]unix.Iovec
	headers [batch]mmsghdr
}

func newReceiver(packet int) *receiver {
	r := &receiver{}
	for i := range r.headers {
		r.buffers[i] = make([]byte, packet)
		r.vectors[i].Base = &r.buffers[i][0]
		r.vectors[i].SetLen(packet)
		r.headers[i].header.Name = (*byte)(unsafe.Pointer(&r.from[i]))
		r.headers[i].header.Iov = &r.vectors[i]
		r.headers[i].header.SetIovlen(1)
	}
	return r
}

// receive takes what is there, up to a batch, and returns how many packets that were: packet i is in r.packet(i).
func (r *receiver) receive(fd int32) int {
	for i := range r.headers {
		r.headers[i].header.Namelen = unix.SizeofSockaddrInet4
	}
	n, _, errno := unix.RawSyscall6(unix.SYS_RECVMMSG, uintptr(fd), uintptr(unsafe.Pointer(&r.headers[0])), batch,
		unix.MSG_DONTWAIT, 0, 0)
	if errno != 0 {
		return 0
	}
	return int(n)
}

func (r *receiver) packet(i int) []byte { return r.buffers[i][:r.headers[i].length] }

// A poller waits for sockets that can be read.
type poller struct {
	fd     int
	events [256]unix.EpollEvent
}

func newPoller() (*poller, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("epoll: %w", err)
	}
	return &poller{fd: fd}, nil
}

func (p *poller) add(fd int) error {
	event := unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)}
	if err := unix.EpollCtl(p.fd, unix.EPOLL_CTL_ADD, fd, &event); err != nil {
		return fmt.Errorf("epoll: add a socket: %w", err)
	}
	return nil
}

// wait returns how many sockets are ready, at the latest after the given time. Its clock is that of epoll_pwait2: with the
// thread's timer slack at 1 ns it is late by what waking up takes, not by a millisecond.
func (p *poller) wait(most time.Duration) int {
	timeout := unix.NsecToTimespec(int64(max(most, 0)))
	first, count := uintptr(unsafe.Pointer(&p.events[0])), uintptr(len(p.events))
	var n uintptr
	var errno unix.Errno
	if most <= 0 {
		n, _, errno = unix.RawSyscall6(unix.SYS_EPOLL_PWAIT2, uintptr(p.fd), first, count, uintptr(unsafe.Pointer(&timeout)), 0, 0)
	} else {
		n, _, errno = unix.Syscall6(unix.SYS_EPOLL_PWAIT2, uintptr(p.fd), first, count, uintptr(unsafe.Pointer(&timeout)), 0, 0)
	}
	if errno != 0 {
		return 0 // EINTR
	}
	return int(n)
}

func (p *poller) close() { _ = unix.Close(p.fd) }

// sharpenTimers makes the calling thread wake up when it asked to, and not up to 50 us later.
func sharpenTimers() { _ = unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0) }

// allowDescriptors raises the limit of open files to n, for the program and the servers that it starts. To go beyond the
// hard limit takes CAP_SYS_RESOURCE.
func allowDescriptors(n uint64) error {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return os.NewSyscallError("getrlimit", err)
	}
	if limit.Cur >= n {
		return nil
	}
	wanted := unix.Rlimit{Cur: n, Max: max(limit.Max, n)}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &wanted); err != nil {
		return fmt.Errorf("raise the limit of open files from %d (at most %d) to %d: %w", limit.Cur, limit.Max, n, err)
	}
	return nil
}
