// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package tftp

import (
	"bytes"
	"context"
	"net"
	"slices"
	"testing"
	"time"
)

// When a socket of several with one address closes, Linux shares the clients out anew. Transfers under way must not lose
// their ACKs to that.
func TestServersOfOneAddressStop(t *testing.T) {
	const sockets, perSocket, blocks = 3, 12, 20
	conns, err := Listen(t.Context(), "127.0.0.1:0", sockets)
	if err != nil {
		t.Fatal(err)
	}
	addr := conns[0].LocalAddr().(*net.UDPAddr).AddrPort()
	served := contents((blocks-1)*512 + 1)
	server, err := New(files{"a": served}, Options{RetransmitTimeout: 20 * time.Second})
	if err != nil {
		t.Fatal(err)
	}

	// The first socket gets no client, the second and the third get some each.
	clients := make([][]*client, sockets)
	for len(clients[1]) < perSocket || len(clients[2]) < perSocket {
		c := newClient(t)
		c.send(addr, "which one?")
		if n := hearer(t, conns); n > 0 && len(clients[n]) < perSocket {
			clients[n] = append(clients[n], c)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, sockets)
	for _, conn := range conns {
		go func() { ended <- server.Serve(ctx, conn) }()
	}
	got := map[*client]*bytes.Buffer{}
	next := func(c *client, reply string) { // each block comes after one reply: none of those was lost
		c.send(addr, reply)
		packet, _ := c.hear()
		if got[c] == nil {
			got[c] = &bytes.Buffer{}
		}
		got[c].WriteString(packet[4:])
	}
	for _, c := range slices.Concat(clients...) {
		next(c, plainRequest)
	}
	cancel()
	for _, some := range [][]*client{clients[1], clients[2]} {
		for block := 1; block < blocks; block++ {
			for _, c := range some {
				next(c, "\x00\x04\x00"+string(rune(block)))
			}
		}
		select {
		case err := <-ended:
			t.Errorf("a socket was closed beside running transfers: %v", err)
		default:
		}
		for _, c := range some {
			c.send(addr, "\x00\x04\x00"+string(rune(blocks)))
			if !bytes.Equal(got[c].Bytes(), served) {
				t.Errorf("got %d bytes that are not the file's %d", got[c].Len(), len(served))
			}
		}
	}
	for range sockets {
		if err := <-ended; err != nil {
			t.Errorf("Serve() = %v", err)
		}
	}
}

// hearer returns which of the sockets a datagram has come in on, and takes it.
func hearer(t *testing.T, conns []*net.UDPConn) int {
	t.Helper()
	heard := make(chan int, len(conns))
	for i, conn := range conns {
		go func() {
			if _, _, err := conn.ReadFromUDPAddrPort(make([]byte, 64)); err == nil {
				for _, other := range conns {
					_ = other.SetReadDeadline(time.Unix(1, 0)) // nobody else has it
				}
				heard <- i
				return
			}
			heard <- -1
		}()
	}
	found := -1
	for range conns {
		found = max(found, <-heard)
	}
	for _, conn := range conns {
		if err := conn.SetReadDeadline(time.Time{}); err != nil {
			t.Fatal(err)
		}
	}
	return found
}
