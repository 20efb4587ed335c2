// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package tftp

import (
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// flush hands the system all that is queued.
func (b *outbox) flush() {
	if len(b.messages) == 0 {
		return
	}
	b.patience, b.retried = sendPatience, false
	_ = b.raw.Control(b.send) // that the socket is closed, receive tells
	clear(b.vectors)          // so that the payloads may be let go of
	b.messages, b.prefixes, b.vectors = b.messages[:0], b.prefixes[:0], b.vectors[:0]
}

// sendAll sends the queued messages. What the system refuses is lost, and the next goes on.
func (b *outbox) sendAll(fd uintptr) {
	for i := 0; i < len(b.messages); {
		m := &b.messages[i]
		if m.packets > 1 && b.mode != sendSegments {
			b.sendSplit(fd, i)
			i++
			continue
		}
		n, errno := b.transmit(fd, b.headers[i:len(b.messages)])
		switch {
		case n > 0:
			i += n
		case b.again(fd, errno):
		case m.packets > 1 && errno == unix.EIO:
			b.mode = sendBatches // the network card can't do it
		case m.packets > 1 && (errno == unix.EINVAL || errno == unix.EMSGSIZE):
			b.sendSplit(fd, i) // such packets don't fit the way, and become fragments
			i++
		default:
			i++
		}
	}
}

// sendSplit sends the packets of message i one by one.
func (b *outbox) sendSplit(fd uintptr, i int) {
	for rest := b.split(i); len(rest) > 0; {
		n, errno := b.transmit(fd, rest)
		switch {
		case n > 0:
			rest = rest[n:]
		case !b.again(fd, errno):
			rest = rest[1:]
		}
	}
}

// split makes messages of the packets of message i.
func (b *outbox) split(i int) []mmsghdr {
	m := &b.messages[i]
	b.singles = b.singles[:0]
	for from := m.first; from < m.last; {
		to := from
		for n := 0; to < m.last && n < m.packet; to++ {
			n += int(b.vectors[to].Len)
		}
		h := b.headers[i]
		h.Iov = &b.vectors[from]
		h.SetIovlen(to - from)
		h.SetControllen(m.control)
		b.singles = append(b.singles, h)
		from = to
	}
	return b.singles
}

// transmit sends the first of the messages, and more if that costs nothing. If it returns 0, the error is about the first.
func (b *outbox) transmit(fd uintptr, messages []mmsghdr) (int, syscall.Errno) {
	if b.mode != sendSingly && len(messages) > 1 {
		return b.calls.sendmmsg(fd, messages)
	}
	if errno := b.calls.sendmsg(fd, &messages[0].Msghdr); errno != 0 {
		return 0, errno
	}
	return 1, 0
}

// again says whether to try a message once more, after a while if there is no room for it.
func (b *outbox) again(fd uintptr, errno syscall.Errno) bool {
	switch errno {
	case unix.EINTR:
		return true
	case unix.EPERM: // a firewall; but it may also be one that is not ready for the first packet of a connection
		again := !b.retried
		b.retried = true
		return again
	case unix.EAGAIN:
		return b.waitForRoom(fd)
	}
	return false
}

// waitForRoom waits until the socket's queue has room, and says whether that was in time.
func (b *outbox) waitForRoom(fd uintptr) bool {
	if b.patience <= 0 {
		return false
	}
	b.poll[0] = unix.PollFd{Fd: int32(fd), Events: unix.POLLOUT}
	began := time.Now()
	n, err := unix.Poll(b.poll[:], int((b.patience + time.Millisecond - 1).Milliseconds()))
	b.patience -= time.Since(began)
	return n > 0 || err == unix.EINTR
}
