// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package tftp

import (
	"net"
	"testing"

	"golang.org/x/sys/unix"
)

// What is told of the receive queue is what the system says, whatever it allows.
func TestEnlarge(t *testing.T) {
	conn, err := net.ListenUDP("udp", nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	raw, err := conn.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	size := func() (doubled int) {
		err := raw.Control(func(fd uintptr) { doubled, _ = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF) })
		if err != nil {
			t.Fatal(err)
		}
		return doubled
	}
	if err := conn.SetReadBuffer(8 << 10); err != nil {
		t.Fatal(err)
	}
	before := size()
	got := enlarge(conn)
	if now := size(); 2*got != now || now <= before || got > socketBuffer {
		t.Errorf("enlarge() = %d; the system says twice %d, and said twice %d before", got, now/2, before/2)
	}
}

func TestEnlargeClosed(t *testing.T) {
	conn, err := net.ListenUDP("udp", nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.Close()
	if got := enlarge(conn); got != 0 {
		t.Errorf("enlarge() = %d of a closed socket, want 0", got)
	}
}
