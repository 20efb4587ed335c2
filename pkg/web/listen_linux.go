// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package web

import (
	"cmp"
	"context"
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// Listen opens a socket whose connections notice when their client has vanished: the system asks it, from when it has been
// silent for 15 s on. Connections inherit that from the socket, which spares each of them four system calls.
func Listen(ctx context.Context, address string) (net.Listener, error) {
	return listen(ctx, address, false)
}

// listen opens a socket. Where several are allowed at one address, Linux shares the connections out.
func listen(ctx context.Context, address string, several bool) (net.Listener, error) {
	config := net.ListenConfig{KeepAlive: -1, Control: func(network, address string, raw syscall.RawConn) error {
		if several {
			if err := reusePort(raw); err != nil {
				return err
			}
		}
		return keepAlive(network, address, raw)
	}}
	return config.Listen(ctx, "tcp", address)
}

func reusePort(raw syscall.RawConn) (err error) {
	failed := raw.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
	})
	return cmp.Or(err, failed)
}

func keepAlive(_, _ string, raw syscall.RawConn) (err error) {
	failed := raw.Control(func(fd uintptr) {
		for _, option := range [...]struct{ level, name, value int }{
			{unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1},
			{unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, 15}, {unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, 15}, {unix.IPPROTO_TCP, unix.TCP_KEEPCNT, 9},
		} {
			if err == nil {
				err = unix.SetsockoptInt(int(fd), option.level, option.name, option.value)
			}
		}
	})
	return cmp.Or(err, failed)
}
