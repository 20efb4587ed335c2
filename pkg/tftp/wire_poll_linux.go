// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package tftp

import (
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// A pollWire is a linuxWire that waits with poll(2), in the thread of the loop. It spares the loop Go's scheduler, which
// looks for other work before it sleeps, and Go's own poller, which wakes up for each datagram: a third of the CPU time of a
// small transfer, measured. While it waits it has a thread, so that it is for shared ports.
type pollWire struct {
	*linuxWire

	using  sync.Mutex // held by receive, so that close waits for it
	socket *descriptor
	event  *os.File       // an eventfd: wake writes to it
	poll   [2]unix.PollFd // the socket and the eventfd
	limit  unix.Timespec  // of the poll under way
	full   bool           // there may be more than what was received last
	asleep atomic.Bool
	woken  atomic.Bool
}

// newPollWire takes the socket over from conn, which it closes. If it returns an error, conn is as it was.
func newPollWire(conn *net.UDPConn, n int, c calls) (*pollWire, error) {
	d, err := duplicate(conn)
	if err != nil {
		return nil, err
	}
	w, err := newRawWire(conn, d, n, c)
	if err != nil {
		_ = unix.Close(d.fd) // nothing was sent
		return nil, err
	}
	event, err := c.eventfd()
	if err != nil {
		_ = unix.Close(d.fd) // nothing was sent
		return nil, os.NewSyscallError("eventfd", err)
	}
	_ = conn.Close() // which takes the socket out of Go's poller; it goes on as d
	p := &pollWire{linuxWire: w, socket: d, event: os.NewFile(uintptr(event), "eventfd")}
	p.poll = [2]unix.PollFd{{Fd: int32(d.fd), Events: unix.POLLIN}, {Fd: int32(event), Events: unix.POLLIN}}
	return p, nil
}

// A descriptor is a socket that Go's poller knows nothing of.
type descriptor struct {
	fd     int
	closed atomic.Bool
}

// duplicate returns another descriptor of the socket.
func duplicate(conn *net.UDPConn) (*descriptor, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil, err
	}
	var fd int
	var failed error
	if err := raw.Control(func(of uintptr) { fd, failed = unix.FcntlInt(of, unix.F_DUPFD_CLOEXEC, 0) }); err != nil {
		return nil, err
	}
	if failed != nil {
		return nil, os.NewSyscallError("fcntl F_DUPFD_CLOEXEC", failed)
	}
	return &descriptor{fd: fd}, nil
}

// Control implements [syscall.RawConn]; the others are not for this.
func (d *descriptor) Control(f func(fd uintptr)) error {
	if d.closed.Load() {
		return net.ErrClosed
	}
	f(uintptr(d.fd))
	return nil
}

// Read implements [syscall.RawConn].
func (*descriptor) Read(func(fd uintptr) (done bool)) error { return errors.ErrUnsupported }

// Write implements [syscall.RawConn].
func (*descriptor) Write(func(fd uintptr) (done bool)) error { return errors.ErrUnsupported }

func (p *pollWire) receive(wait time.Duration) ([]datagram, error) {
	p.using.Lock()
	defer p.using.Unlock()
	// A batch that was not full was all that there was: then it is cheaper to wait than to try.
	try := p.full || wait == 0 || p.woken.Load()
	for left, began := wait, time.Duration(0); ; {
		if p.socket.closed.Load() {
			return nil, fmt.Errorf("receive: %w", net.ErrClosed)
		}
		var got []datagram
		if try {
			p.fill(uintptr(p.socket.fd))
			got = p.datagrams
		}
		if p.woken.Load() && p.woken.Swap(false) || len(got) > 0 || left == 0 {
			p.full = len(got) == cap(p.datagrams)
			return got, nil
		}
		if wait > 0 && began == 0 {
			began = time.Since(p.epoch)
		}
		p.nap(left)
		try = p.poll[0].Revents != 0
		if wait > 0 && !try {
			left = max(0, began+wait-time.Since(p.epoch))
		}
	}
}

// nap waits for something to happen.
func (p *pollWire) nap(wait time.Duration) {
	var limit *unix.Timespec
	if wait >= 0 {
		p.limit = unix.NsecToTimespec(int64(wait))
		limit = &p.limit
	}
	p.poll[0].Revents, p.poll[1].Revents = 0, 0
	// In this order: wake either sees the sleeper, or has left its mark by now.
	p.asleep.Store(true)
	defer p.asleep.Store(false)
	if p.woken.Load() {
		return
	}
	_, _ = unix.Ppoll(p.poll[:], limit, nil) // a signal ends it, too
	if p.poll[1].Revents != 0 {
		var count [8]byte
		_, _ = p.event.Read(count[:]) // there is something to read, so that it does not wait
	}
}

func (p *pollWire) wake() {
	if !p.woken.Swap(true) && p.asleep.Load() {
		_, _ = p.event.Write([]byte{1, 1, 1, 1, 1, 1, 1, 1}) // any number will do; once closed, nobody sleeps
	}
}

func (p *pollWire) close() {
	p.socket.closed.Store(true)
	p.wake()
	p.using.Lock()
	defer p.using.Unlock()
	_ = unix.Close(p.socket.fd) // all was sent
	_ = p.event.Close()         // it was only a bell
}
