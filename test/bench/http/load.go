// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// A load has clients fetch one file, again and again, for a time. Then they are cut off, and what they got counts.
//
// One thread serves all clients, by epoll. It throws away what it receives inside of the kernel (MSG_TRUNC), so that it
// costs next to nothing beside the server; each 64th time it looks at the bytes.
type load struct {
	server    netip.AddrPort
	path      string
	file      *content
	clients   int
	time      time.Duration
	files     int // stop after so many; 0: after the time
	keepAlive bool
	checkAll  bool // look at each byte
	gone      <-chan struct{}
	measure   func() // called at the start and at the end
}

// An outcome is what a load brought.
type outcome struct {
	took     time.Duration
	busy     time.Duration // CPU time of the generator
	bytes    int64         // of files
	done     int           // files
	failures map[string]int
}

func (o *outcome) failed() (n int) {
	for _, count := range o.failures {
		n += count
	}
	return n
}

// A client is one connection after the other.
type client struct {
	nr, fd  int
	sending bool   // the request is not sent yet
	head    []byte // of the answer, as far as it is here; nil: all of it was read
	offset  int64  // in the file
	closing bool   // the server will close after the answer
}

const (
	checkEach   = 64
	receiveSize = 4 << 20
)

// generator is a running load.
type generator struct {
	load
	outcome
	epoll   int
	all     []*client
	request []byte
	buffer  []byte
	turn    int
}

// run runs the load. The error is the generator's, not the server's.
func (l load) run() (*outcome, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, err
	}
	g := &generator{load: l, epoll: epoll, buffer: make([]byte, receiveSize)}
	g.failures = map[string]int{}
	g.request = fmt.Appendf(nil, "GET %s HTTP/1.1\r\nHost: %v\r\nUser-Agent: bench\r\n\r\n", l.path, l.server)
	defer func() {
		for _, c := range g.all {
			_ = unix.Close(c.fd)
		}
		_ = unix.Close(epoll)
	}()
	if l.measure != nil {
		l.measure()
	}
	cpu, began := threadTime(), time.Now()
	for i := range l.clients {
		c := &client{nr: i, fd: -1}
		g.all = append(g.all, c)
		if err := g.connect(c); err != nil {
			return nil, err
		}
	}
	if err := g.loop(began.Add(l.time)); err != nil {
		return nil, err
	}
	g.took, g.busy = time.Since(began), threadTime()-cpu
	if l.measure != nil {
		l.measure()
	}
	return &g.outcome, nil
}

func threadTime() time.Duration {
	var t unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t) // never fails
	return time.Duration(t.Nano())
}

// loop serves clients until the end.
func (g *generator) loop(end time.Time) error {
	events := make([]unix.EpollEvent, 256)
	for {
		select {
		case <-g.gone:
			return errors.New("the server has ended, or the benchmark was interrupted")
		default:
		}
		if time.Now().After(end) || g.files > 0 && g.done+g.failed() >= g.files {
			return nil
		}
		n, err := unix.EpollWait(g.epoll, events, 10)
		if err != nil && err != unix.EINTR {
			return fmt.Errorf("epoll_wait: %w", err)
		}
		for _, e := range events[:max(n, 0)] {
			c := g.all[e.Pad]
			if err := g.serve(c); err != nil {
				g.failures[err.Error()]++
				if g.failed() > 1000 {
					return nil // enough to see
				}
				if err := g.connect(c); err != nil {
					return err
				}
			}
		}
	}
}

// connect gives a client a new connection.
func (g *generator) connect(c *client) error {
	if c.fd >= 0 {
		_ = unix.Close(c.fd) // it was used
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("socket: %w", err)
	}
	*c = client{nr: c.nr, fd: fd, sending: true, head: []byte{}}
	to := &unix.SockaddrInet4{Port: int(g.server.Port()), Addr: g.server.Addr().As4()}
	if err := unix.Connect(fd, to); err != nil && err != unix.EINPROGRESS {
		return fmt.Errorf("connect to %v: %w", g.server, err)
	}
	event := unix.EpollEvent{Events: unix.EPOLLOUT, Fd: int32(fd), Pad: int32(c.nr)}
	if err := unix.EpollCtl(g.epoll, unix.EPOLL_CTL_ADD, fd, &event); err != nil {
		return fmt.Errorf("epoll_ctl: %w", err)
	}
	return nil
}

// serve does for a client what can be done now. The error is a failure of the server.
func (g *generator) serve(c *client) error {
	if c.sending {
		return g.send(c)
	}
	if c.head != nil {
		return g.receiveHead(c)
	}
	return g.receive(c)
}

func (g *generator) send(c *client) error {
	if n, err := unix.Write(c.fd, g.request); err != nil || n != len(g.request) {
		return fmt.Errorf("request not sent: %w", err)
	}
	c.sending = false
	event := unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(c.fd), Pad: int32(c.nr)}
	return unix.EpollCtl(g.epoll, unix.EPOLL_CTL_MOD, c.fd, &event)
}

// receiveHead reads the headers, and what of the file comes with them.
func (g *generator) receiveHead(c *client) error {
	n, err := unix.Read(c.fd, g.buffer[:4096])
	if err != nil || n == 0 {
		return fmt.Errorf("no answer: %w", err)
	}
	c.head = append(c.head, g.buffer[:n]...)
	head, body, complete := bytes.Cut(c.head, []byte("\r\n\r\n"))
	if !complete {
		return nil
	}
	lines := strings.Split(string(head), "\r\n")
	if !strings.HasPrefix(lines[0], "HTTP/1.1 200 ") {
		return errors.New(lines[0])
	}
	length := int64(-1)
	for _, line := range lines[1:] {
		name, value, _ := strings.Cut(line, ":")
		switch strings.ToLower(name) {
		case "content-length":
			length, _ = strconv.ParseInt(strings.TrimSpace(value), 10, 64)
		case "connection":
			c.closing = strings.TrimSpace(value) == "close"
		}
	}
	if length != int64(len(g.file.data)) {
		return fmt.Errorf("Content-Length %d, want %d", length, len(g.file.data))
	}
	c.head, c.offset = nil, 0
	return g.got(c, body, len(body))
}

// receive takes what is there of the file.
func (g *generator) receive(c *client) error {
	room := min(receiveSize, len(g.file.data)-int(c.offset))
	g.turn++
	if g.checkAll || g.turn%checkEach == 0 {
		n, err := unix.Read(c.fd, g.buffer[:room])
		if err != nil || n == 0 {
			return fmt.Errorf("cut off: %w", err)
		}
		return g.got(c, g.buffer[:n], n)
	}
	n, _, err := unix.Recvfrom(c.fd, g.buffer[:room], unix.MSG_TRUNC)
	if err != nil || n == 0 {
		return fmt.Errorf("cut off: %w", err)
	}
	return g.got(c, nil, n)
}

// got counts n bytes of the file, and looks at them if they are here.
func (g *generator) got(c *client, b []byte, n int) error {
	if c.offset+int64(n) > int64(len(g.file.data)) || !bytes.Equal(b, g.file.data[c.offset:c.offset+int64(len(b))]) {
		return errors.New("wrong bytes")
	}
	c.offset += int64(n)
	g.bytes += int64(n)
	if c.offset < int64(len(g.file.data)) {
		return nil
	}
	g.done++
	if !g.keepAlive || c.closing {
		return g.connect(c)
	}
	c.head, c.offset = []byte{}, 0
	return g.send(c)
}
