// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package tftp

import (
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A socket is what does not change about one.
type socket struct {
	four      bool     // its family is IPv4's
	connected bool     // it has one client
	bound     [16]byte // the one address that it has; zero: many
}

// A linuxWire takes and sends many datagrams with one call of the system. Go's poller does the waiting.
type linuxWire struct {
	alarm
	inbox
	outbox

	read  func(fd uintptr) (done bool) // made once, so that receive allocates nothing
	wait  time.Duration                // as receive was told
	until time.Duration                // when that ends; 0: the wait has not begun
}

// openWire returns a wire that takes up to n datagrams at a time.
func openWire(conn *net.UDPConn, n int) (wire, error) { return openWireBy(conn, n, kernel{}) }

// openWireBy is openWire with other calls than the kernel's, for tests.
func openWireBy(conn *net.UDPConn, n int, c calls) (wire, error) {
	w, err := openLinuxWire(conn, n, c)
	if errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EPERM) { // an emulated kernel, or a seccomp profile
		return newPortableWire(conn), nil
	}
	if err != nil {
		return nil, fmt.Errorf("open %v: %w", conn.LocalAddr(), err)
	}
	return w, nil
}

func openLinuxWire(conn *net.UDPConn, n int, c calls) (wire, error) {
	if conn.RemoteAddr() != nil {
		return newLinuxWire(conn, n, c)
	}
	return newPollWire(conn, n, c)
}

func newLinuxWire(conn *net.UDPConn, n int, c calls) (*linuxWire, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil, err
	}
	return newRawWire(conn, raw, n, c)
}

// newRawWire returns a wire that reaches the socket of conn by raw.
func newRawWire(conn *net.UDPConn, raw syscall.RawConn, n int, c calls) (*linuxWire, error) {
	s := socket{connected: conn.RemoteAddr() != nil}
	if addr := conn.LocalAddr().(*net.UDPAddr).AddrPort().Addr(); !addr.IsUnspecified() {
		s.bound = addr.As16()
	}
	var mode sendMode
	var setup error
	if err := raw.Control(func(fd uintptr) { mode, setup = s.setUp(int(fd), c) }); err != nil {
		return nil, err
	}
	if setup != nil {
		return nil, setup
	}
	w := &linuxWire{
		alarm:  alarm{conn: conn, epoch: time.Now(), at: never},
		inbox:  newInbox(n),
		outbox: newOutbox(n, raw, s, c, mode),
	}
	w.send, w.read = w.sendAll, w.tryRead
	return w, nil
}

// setUp sets the socket's options, and finds out how packets may be sent. Those options that only make it better may fail.
func (s *socket) setUp(fd int, c calls) (sendMode, error) {
	family, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DOMAIN)
	if err != nil {
		return 0, os.NewSyscallError("getsockopt SO_DOMAIN", err)
	}
	s.four = family == unix.AF_INET
	if c.lacks(unix.SYS_RECVMMSG, fd) {
		return 0, os.NewSyscallError("recvmmsg", unix.ENOSYS)
	}
	// Nothing leaves with DF: a path with a smaller MTU then makes fragments rather than a black hole.
	_ = unix.SetsockoptInt(fd, unix.SOL_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_DONT)
	if !s.four {
		_ = unix.SetsockoptInt(fd, unix.SOL_IPV6, unix.IPV6_MTU_DISCOVER, unix.IPV6_PMTUDISC_DONT)
	}
	if !s.connected {
		s.setUpShared(fd)
	}
	if c.lacks(unix.SYS_SENDMMSG, fd) {
		return sendSingly, nil
	}
	if _, err := unix.GetsockoptInt(fd, unix.SOL_UDP, unix.UDP_SEGMENT); err != nil { // it is there since Linux 4.18
		return sendBatches, nil
	}
	return sendSegments, nil
}

// setUpShared sets the options of a socket for many clients.
func (s *socket) setUpShared(fd int) {
	_ = unix.SetsockoptInt(fd, unix.SOL_IP, unix.IP_PKTINFO, 1) // of a dual-stack socket, too, for its IPv4 packets
	if !s.four {
		_ = unix.SetsockoptInt(fd, unix.SOL_IPV6, unix.IPV6_RECVPKTINFO, 1)
	}
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RXQ_OVFL, 1)
}

// String tells how packets are sent.
func (w *linuxWire) String() string { return w.mode.String() }

func (w *linuxWire) receive(wait time.Duration) ([]datagram, error) {
	w.wait, w.until = wait, 0
	for {
		err := w.raw.Read(w.read)
		w.awake()
		switch {
		case err == nil && len(w.datagrams) == 0 && wait != 0:
			w.rung()
			return nil, nil
		case err == nil:
			return w.datagrams, nil
		case !errors.Is(err, os.ErrDeadlineExceeded):
			return nil, fmt.Errorf("receive: %w", err)
		}
		// The deadline may be this wait's, that of one before, or of wake.
		w.unset()
		if w.rung() || w.until != 0 && w.passed(w.until) {
			return nil, nil
		}
	}
}

// tryRead says whether the wait is over.
func (w *linuxWire) tryRead(fd uintptr) (done bool) {
	if w.fill(fd) || w.wait == 0 {
		return true
	}
	if w.until == 0 {
		w.until = w.after(w.wait)
	}
	return !w.set(w.until)
}

func (*linuxWire) close() {}
