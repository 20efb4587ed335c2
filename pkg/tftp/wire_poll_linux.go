// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package tftp

import (
	"fmt"
	"net"
	"os"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// pollAtMost bounds one wait, so that the end of the socket is noticed.
const pollAtMost = time.Second

// A pollWire is a linuxWire that waits with poll(2), in the thread of the loop. It spares the loop Go's scheduler, which
// looks for other work before it sleeps: a third of the CPU time of a small transfer, measured. While it waits it has a
// thread, so that it is for shared ports.
type pollWire struct {
	*linuxWire

	event  *os.File         // an eventfd: wake writes to it
	poll   [2]unix.PollFd   // the socket and the eventfd
	limit  unix.Timespec    // of the poll under way
	take   func(fd uintptr) // these are made once, so that receive allocates nothing
	sleep  func(fd uintptr)
	full   bool // there may be more than what was received last
	asleep atomic.Bool
	woken  atomic.Bool
}

func newPollWire(conn *net.UDPConn, n int, c calls) (*pollWire, error) {
	w, err := newLinuxWire(conn, n, c)
	if err != nil {
		return nil, err
	}
	event, err := unix.Eventfd(0, unix.EFD_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("eventfd", err)
	}
	p := &pollWire{linuxWire: w, event: os.NewFile(uintptr(event), "eventfd")}
	p.poll = [2]unix.PollFd{{Events: unix.POLLIN}, {Fd: int32(event), Events: unix.POLLIN}}
	p.take = func(fd uintptr) { p.fill(fd) }
	p.sleep = func(fd uintptr) {
		p.poll[0].Fd, p.poll[0].Revents, p.poll[1].Revents = int32(fd), 0, 0
		_, _ = unix.Ppoll(p.poll[:], &p.limit, nil) // a signal ends it, too
	}
	return p, nil
}

func (p *pollWire) receive(wait time.Duration) ([]datagram, error) {
	// A batch that was not full was all that there was: then it is cheaper to wait than to try.
	try := p.full || wait == 0 || p.woken.Load()
	for left, began := wait, time.Duration(0); ; {
		var got []datagram
		if try {
			if err := p.raw.Control(p.take); err != nil {
				return nil, fmt.Errorf("receive: %w", err)
			}
			got = p.datagrams
		}
		if p.woken.Load() && p.woken.Swap(false) || len(got) > 0 || left == 0 {
			p.full = len(got) == cap(p.datagrams)
			return got, nil
		}
		if wait > 0 && began == 0 {
			began = time.Since(p.epoch)
		}
		if err := p.nap(left); err != nil {
			return nil, err
		}
		try = p.poll[0].Revents != 0
		if wait > 0 && !try {
			left = max(0, began+wait-time.Since(p.epoch))
		}
	}
}

// nap waits for something to happen.
func (p *pollWire) nap(wait time.Duration) error {
	if wait < 0 || wait > pollAtMost {
		wait = pollAtMost
	}
	p.limit = unix.NsecToTimespec(int64(wait))
	// In this order: wake either sees the sleeper, or has left its mark by now.
	p.asleep.Store(true)
	defer p.asleep.Store(false)
	if p.woken.Load() {
		p.poll[0].Revents = 0
		return nil
	}
	if err := p.raw.Control(p.sleep); err != nil {
		return fmt.Errorf("receive: %w", err)
	}
	if p.poll[1].Revents != 0 {
		var count [8]byte
		_, _ = p.event.Read(count[:]) // there is something to read, so that it does not wait
	}
	return nil
}

func (p *pollWire) wake() {
	if !p.woken.Swap(true) && p.asleep.Load() {
		_, _ = p.event.Write([]byte{1, 1, 1, 1, 1, 1, 1, 1}) // any number will do; once closed, nobody sleeps
	}
}

func (p *pollWire) close() { _ = p.event.Close() } // it was only a bell
