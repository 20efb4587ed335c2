// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package tftp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"
)

// A linuxPost is a unix socket with an abstract name: it lives in the network namespace, as ports do, so that processes which
// share ports find each other whatever folders they see. Nobody else's packets are taken: the kernel tells who sends.
type linuxPost struct {
	conn   *net.UnixConn
	raw    syscall.RawConn
	prefix string
	own    int
	to     [maxNeighbours]unix.SockaddrUnix
	user   uint32
	closed atomic.Bool
}

// openPost takes the first free place of those that belong to an address.
func openPost(ctx context.Context, name, address string) (post, error) {
	p := &linuxPost{prefix: "@" + name + "/tftp/" + address + "/", user: uint32(os.Getuid())}
	for i := range p.to {
		p.to[i].Name = p.prefix + strconv.Itoa(i)
	}
	config := net.ListenConfig{Control: wantCredentials}
	for i := range p.to {
		conn, err := config.ListenPacket(ctx, "unixgram", p.to[i].Name)
		if errors.Is(err, unix.EADDRINUSE) {
			continue
		}
		if err != nil {
			return nil, err
		}
		p.conn, p.own = conn.(*net.UnixConn), i
		if p.raw, err = p.conn.SyscallConn(); err != nil {
			_ = conn.Close() // nothing was sent
			return nil, err
		}
		return p, nil
	}
	return nil, fmt.Errorf("all %d places are taken", maxNeighbours)
}

// wantCredentials is set before the socket has a name, so that nothing comes in without.
func wantCredentials(_, _ string, raw syscall.RawConn) (err error) {
	if e := raw.Control(func(fd uintptr) {
		err = os.NewSyscallError("setsockopt SO_PASSCRED", unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_PASSCRED, 1))
	}); e != nil {
		return e
	}
	return err
}

func (p *linuxPost) place() int { return p.own }

func (p *linuxPost) send(place int, b []byte) error {
	var err error
	if e := p.raw.Control(func(fd uintptr) {
		err = unix.Sendto(int(fd), b, unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, &p.to[place])
	}); e != nil {
		return e
	}
	switch {
	case errors.Is(err, unix.ECONNREFUSED):
		return errNobody
	case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.ENOBUFS):
		return errFull
	}
	return err
}

func (p *linuxPost) receive(b []byte) (n, place int, err error) {
	// The sender's credentials have room, and nothing else: the kernel closes descriptors that somebody sends along.
	oob := make([]byte, unix.CmsgSpace(unix.SizeofUcred))
	for {
		n, oobn, flags, from, err := p.conn.ReadMsgUnix(b, oob)
		if err != nil && (p.closed.Load() || errors.Is(err, net.ErrClosed)) {
			return 0, 0, net.ErrClosed
		}
		if err != nil || flags&unix.MSG_TRUNC != 0 || from == nil || !p.trusts(oob[:oobn]) {
			continue
		}
		if place, ok := p.placeOf(from.Name); ok {
			return n, place, nil
		}
	}
}

// trusts says whether the sender is of this process's user, as the port's other sockets are.
func (p *linuxPost) trusts(oob []byte) bool {
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil || len(messages) != 1 {
		return false
	}
	sender, err := unix.ParseUnixCredentials(&messages[0])
	return err == nil && sender.Uid == p.user
}

// placeOf reads the place of a name.
func (p *linuxPost) placeOf(name string) (int, bool) {
	number, found := strings.CutPrefix(name, p.prefix)
	place, err := strconv.Atoi(number)
	return place, found && err == nil && 0 <= place && place < maxNeighbours && name == p.to[place].Name
}

func (p *linuxPost) close() {
	p.closed.Store(true)
	_ = p.conn.Close() // notes are sent or lost
}
