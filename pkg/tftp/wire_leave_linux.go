// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package tftp

import (
	"os"

	"golang.org/x/sys/unix"
)

// discardPort is where nobody sends from (RFC 863).
const discardPort = 9

// leave connects the socket to nobody. Linux then gives it no datagrams but his, and shares the clients out among the other
// sockets; what is in the queue can still be read. Since Linux 5.4 connected sockets are left out (acdcecc61285); older ones
// go on giving them their share.
func (p *pollWire) leave() error {
	p.using.Lock()
	defer p.using.Unlock()
	four := unix.SockaddrInet4{Port: discardPort, Addr: [4]byte{127, 0, 0, 1}}
	candidates := []unix.Sockaddr{&four}
	if !p.outbox.socket.four {
		six := unix.SockaddrInet6{Port: discardPort}
		six.Addr[15] = 1 // ::1
		mapped := unix.SockaddrInet6{Port: discardPort, Addr: [16]byte{10: 0xff, 11: 0xff, 12: 127, 15: 1}}
		own := unix.SockaddrInet6{Port: discardPort, Addr: p.outbox.socket.bound}
		candidates = []unix.Sockaddr{&six, &mapped, &own}
	}
	var err error
	for _, nobody := range candidates {
		if err = unix.Connect(p.socket.fd, nobody); err == nil {
			return nil
		}
	}
	return os.NewSyscallError("connect", err)
}
