// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package tftp

import (
	"net"

	"golang.org/x/sys/unix"
)

// enlarge asks for large queues of a socket, and returns the size in bytes that the receive queue has got; 0: not known.
func enlarge(conn *net.UDPConn) (received int) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return 0
	}
	err = raw.Control(func(fd uintptr) {
		setBuffer(int(fd), unix.SO_RCVBUFFORCE, unix.SO_RCVBUF)
		setBuffer(int(fd), unix.SO_SNDBUFFORCE, unix.SO_SNDBUF)
		doubled, err := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF)
		if err == nil {
			received = doubled / 2 // the other half is for the system's own use, and net.core.rmem_max leaves it out, too
		}
	})
	if err != nil {
		return 0
	}
	return received
}

// setBuffer tries the option that needs CAP_NET_ADMIN, and else the one whose size is cut to net.core.rmem_max or wmem_max.
func setBuffer(fd, force, plain int) {
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, force, socketBuffer) != nil {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, plain, socketBuffer) // enlarge looks what came of it
	}
}
