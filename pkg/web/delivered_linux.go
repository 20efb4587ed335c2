// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package web

import (
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// sendQueue returns how many bytes wait to be acknowledged (SIOCOUTQ, tcp(7)), how many of them were never sent (SIOCOUTQNSD,
// Linux 2.6.36), and whether the connection still stands. What can't be told is as if all were well.
func sendQueue(c net.Conn) (queued, unsent int64, open bool) {
	over, ok := c.(syscall.Conn)
	if !ok {
		return 0, 0, true
	}
	raw, err := over.SyscallConn()
	if err != nil {
		return 0, 0, true
	}
	open = true
	_ = raw.Control(func(fd uintptr) {
		if n, err := unix.IoctlGetInt(int(fd), unix.SIOCOUTQ); err == nil {
			queued = int64(n)
		}
		if n, err := unix.IoctlGetInt(int(fd), unix.SIOCOUTQNSD); err == nil {
			unsent = int64(n)
		}
		if info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO); err == nil {
			open = info.State != unix.BPF_TCP_CLOSE
		}
	}) // an error: it is closed, and nothing can be told
	return queued, unsent, open
}
