// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package tftp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func newPost(t *testing.T, address string) *linuxPost {
	t.Helper()
	p, err := openPost(t.Context(), "test", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.close)
	return p.(*linuxPost)
}

func TestPost(t *testing.T) {
	here := newConns(t, 1)[0].LocalAddr().String()
	a, b := newPost(t, here), newPost(t, here)
	newPost(t, here+"0") // of another address
	if a.place() != 0 || b.place() != 1 {
		t.Errorf("places %d and %d, want the first two", a.place(), b.place())
	}
	if err := a.send(1, []byte("x")); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, maxNotes+1)
	if n, place, err := b.receive(got); err != nil || string(got[:n]) != "x" || place != 0 {
		t.Errorf("receive() = %q from %d, %v", got[:n], place, err)
	}
	if err := a.send(2, []byte("x")); !errors.Is(err, errNobody) {
		t.Errorf("send() to a place that nobody has = %v, want %v", err, errNobody)
	}
	var err error
	for range 1 << 16 {
		if err = a.send(1, make([]byte, maxNotes)); err != nil {
			break
		}
	}
	if !errors.Is(err, errFull) {
		t.Errorf("send() to one that does not read = %v, want %v", err, errFull)
	}
	b.close()
	if _, _, err := b.receive(got); !errors.Is(err, net.ErrClosed) {
		t.Errorf("receive() when closed = %v, want %v", err, net.ErrClosed)
	}
	if err := a.send(1, []byte("x")); !errors.Is(err, errNobody) {
		t.Errorf("send() to one that is gone = %v, want %v", err, errNobody)
	}
	if again := newPost(t, here); again.place() != 1 {
		t.Errorf("the next one has place %d, want that of the one that is gone", again.place())
	}
}

// TestPostTrustsItsOwnUserOnly reads what the kernel says of a sender.
func TestPostTrustsItsOwnUserOnly(t *testing.T) {
	here := newConns(t, 1)[0].LocalAddr().String()
	a, b := newPost(t, here), newPost(t, here)
	for name, tc := range map[string]struct {
		user uint32
		want bool
	}{"the same user": {b.user, true}, "another one": {b.user + 1, false}} {
		if err := a.send(1, []byte("x")); err != nil {
			t.Fatal(err)
		}
		oob := make([]byte, unix.CmsgSpace(unix.SizeofUcred))
		_, n, _, _, err := b.conn.ReadMsgUnix(make([]byte, 8), oob)
		if err != nil {
			t.Fatal(err)
		}
		if got := (&linuxPost{user: tc.user}).trusts(oob[:n]); got != tc.want {
			t.Errorf("%s: trusted %t, want %t", name, got, tc.want)
		}
	}
	if b.trusts(nil) {
		t.Error("one without credentials is trusted")
	}
}

// newConns returns sockets of one address of the loopback.
func newConns(t *testing.T, n int) []*net.UDPConn {
	t.Helper()
	conns, err := ListenShared(t.Context(), "127.0.0.1:0", n)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range conns {
		t.Cleanup(func() { _ = c.Close() })
	}
	return conns
}

// TestLeave holds that no datagram is lost when a socket leaves: what was in its queue can be read, and what comes later goes to
// the others.
func TestLeave(t *testing.T) {
	for _, network := range []string{"udp4", "udp6"} {
		t.Run(network, func(t *testing.T) {
			address := map[string]string{"udp4": "127.0.0.1:0", "udp6": "[::]:0"}[network]
			conns, err := ListenShared(t.Context(), address, 2)
			if err != nil {
				t.Fatal(err)
			}
			target := fmt.Sprintf("127.0.0.1:%d", conns[0].LocalAddr().(*net.UDPAddr).Port)
			var wires [2]wire
			for i, c := range conns {
				if wires[i], err = openWire(c, batch); err != nil {
					t.Fatal(err)
				}
				defer wires[i].close()
			}
			const clients = 64
			send := func() {
				for range clients {
					c, err := new(net.Dialer).DialContext(t.Context(), "udp", target)
					if err != nil {
						t.Fatal(err)
					}
					if _, err := c.Write([]byte(askOwn)); err != nil {
						t.Fatal(err)
					}
					_ = c.Close() // it was sent
				}
			}
			count := func(w wire) (n int) {
				for {
					got, err := w.receive(0)
					if err != nil {
						t.Fatal(err)
					}
					if len(got) == 0 {
						return n
					}
					n += len(got)
				}
			}
			send()
			if err := wires[0].(leaver).leave(); err != nil {
				t.Fatal(err)
			}
			send()
			left, stays := count(wires[0]), count(wires[1])
			if left == 0 || left > clients || left+stays != 2*clients {
				t.Errorf("the one that left has %d datagrams, the other %d; want some of %d, and %d in all", left, stays, clients, 2*clients)
			}
		})
	}
}

// TestServersSideBySide has a second server start and the first one stop in the middle of a transfer, whose packets Linux gives
// to either.
func TestServersSideBySide(t *testing.T) {
	const clients, blocks = 40, 30
	file := contents(blocks*512 - 1)
	first := newConns(t, 1)
	begin := func(conn *net.UDPConn) (stop func() error) {
		server, err := New(files{"f": file}, Options{
			Neighbours: "test", RetransmitTimeout: time.Minute, MinRetransmitTimeout: time.Minute, // each packet must get there
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		served := make(chan error, 1)
		go func() { served <- server.Serve(ctx, conn) }()
		return func() error {
			cancel()
			return <-served
		}
	}
	server := first[0].LocalAddr().(*net.UDPAddr).AddrPort()
	stop := begin(first[0])
	all := make([]*client, clients)
	fetchTo := func(c *client, from, to int) {
		for n := from; n <= to; n++ {
			got, _, err := c.tryHear(patience)
			if err != nil || got[:4] != string([]byte{0, 3, 0, byte(n)}) {
				t.Fatalf("packet %.4q, %v; want block %d", got, err, n)
			}
			if n < to || to == blocks {
				c.send(server, acked(n))
			}
		}
	}
	for i := range all {
		all[i] = newClient(t)
		all[i].send(server, "\x00\x01f\x00octet\x00tsize\x000\x00")
		if got, _ := all[i].hear(); got[:2] != "\x00\x06" {
			t.Fatalf("packet %q, want an OACK", got)
		}
		all[i].send(server, acked(0))
		fetchTo(all[i], 1, blocks/2)
	}
	second, err := ListenShared(t.Context(), server.String(), 1)
	if err != nil {
		t.Fatal(err)
	}
	stopSecond := begin(second[0])
	for _, c := range all {
		c.send(server, acked(blocks/2))
		fetchTo(c, blocks/2+1, blocks-1)
	}
	stopped := make(chan error, 1)
	go func() { stopped <- stop() }()
	for _, c := range all {
		c.send(server, acked(blocks-1))
		fetchTo(c, blocks, blocks)
	}
	select {
	case err := <-stopped:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(patience):
		t.Error("the first server does not end")
	}
	if got, err := fetch(t, server, "f", "octet", 0); err != nil || string(got) != string(file) {
		t.Errorf("the second server: %d bytes, %v", len(got), err)
	}
	if err := stopSecond(); err != nil {
		t.Error(err)
	}
}
