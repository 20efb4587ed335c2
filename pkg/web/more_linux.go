// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package web

import (
	"errors"
	"io"
	"syscall"

	"golang.org/x/sys/unix"
)

// sendMore sends b, but not as a packet of its own: it waits for what is sent next (MSG_MORE, tcp(7)).
func sendMore(to syscall.Conn, b []byte) (sent int, err error) {
	raw, err := to.SyscallConn()
	if err != nil {
		return 0, err
	}
	var failed error
	err = raw.Write(func(fd uintptr) (done bool) {
		for len(b) > 0 {
			n, err := unix.SendmsgBuffers(int(fd), [][]byte{b}, nil, nil, unix.MSG_MORE|unix.MSG_NOSIGNAL)
			switch {
			case errors.Is(err, unix.EAGAIN):
				return false // call again when there is room
			case errors.Is(err, unix.EINTR):
				continue
			case err != nil:
				failed = err
				return true
			case n == 0:
				failed = io.ErrUnexpectedEOF
				return true
			}
			sent, b = sent+n, b[n:]
		}
		return true
	})
	if err == nil {
		err = failed
	}
	return sent, err
}
