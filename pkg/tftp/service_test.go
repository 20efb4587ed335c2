// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package tftp

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"
)

// Whoever is over a limit hears nothing, asks again, and gets in when there is room.
func TestLimits(t *testing.T) {
	for name, o := range map[string]Options{
		"of all transfers":        {MaxTransfers: 2},
		"of one client's address": {MaxTransfersPerClient: 2},
	} {
		t.Run(name, func(t *testing.T) {
			f := loopback(t, files{"a": []byte("x")}, o)
			clients := []*client{newClient(t), newClient(t), newClient(t)}
			for _, c := range clients[:2] {
				c.send(f.addr, "\x00\x01a\x00octet\x00")
				c.want("\x00\x03\x00\x01x")
			}
			clients[2].send(f.addr, "\x00\x01a\x00octet\x00")
			clients[0].send(f.addr, "\x00\x04\x00\x01")
			if r := f.record(t); r.Outcome != OutcomeComplete {
				t.Errorf("outcome = %q, want %q", r.Outcome, OutcomeComplete)
			}
			if packet, _, err := clients[2].tryHear(time.Millisecond); err == nil {
				t.Errorf("the server sent %q, want silence", packet)
			}
			clients[2].send(f.addr, "\x00\x01a\x00octet\x00")
			clients[2].want("\x00\x03\x00\x01x")
			clients[2].send(f.addr, "\x00\x04\x00\x01")
		})
	}
}

func TestParallelTransfers(t *testing.T) {
	const clients = 200
	served := files{}
	for i := range clients {
		served[strconv.Itoa(i)] = contents(10_000 + i)
	}
	f := loopback(t, served, Options{})
	var fetching sync.WaitGroup
	for i := range clients {
		fetching.Go(func() {
			name := strconv.Itoa(i)
			if got, err := fetch(t, f.addr, name, "octet", 1024); err != nil || !bytes.Equal(got, served[name]) {
				t.Errorf("file %s: %d bytes, %v", name, len(got), err)
			}
		})
	}
	fetching.Wait()
	for range clients {
		if r := f.record(t); r.Outcome != OutcomeComplete {
			t.Errorf("outcome = %q", r.Outcome)
		}
	}
}

// The answer comes from the address that was asked, whatever socket listens.
func TestAnswerFromTheAddressAsked(t *testing.T) {
	for name, tc := range map[string]struct{ network, address, ask string }{
		"IPv4 socket, first address":        {"udp4", "0.0.0.0:0", "127.0.0.1"},
		"IPv4 socket, second address":       {"udp4", "0.0.0.0:0", "127.0.0.2"},
		"dual-stack socket, first address":  {"udp", "[::]:0", "127.0.0.1"},
		"dual-stack socket, second address": {"udp", "[::]:0", "127.0.0.2"},
		"dual-stack socket, IPv6":           {"udp", "[::]:0", "::1"},
		"socket of one address":             {"udp", "127.0.0.2:0", "127.0.0.2"},
		"socket of one address, IPv6":       {"udp6", "[::1]:0", "::1"},
	} {
		t.Run(name, func(t *testing.T) {
			f := start(t, files{"a": []byte("x")}, Options{}, tc.network, tc.address)
			ask := netip.MustParseAddr(tc.ask)
			for _, request := range []struct{ packet, want string }{
				{"\x00\x01a\x00octet\x00", "\x00\x03\x00\x01x"},
				{"\x00\x02a\x00octet\x00", "\x00\x05\x00\x02read only\x00"},
			} {
				c := newClient(t)
				c.send(netip.AddrPortFrom(ask, f.addr.Port()), request.packet)
				from := c.want(request.want)
				if from.Addr() != ask {
					t.Errorf("answer came from %v, want %v", from.Addr(), ask)
				}
				c.send(from, "\x00\x04\x00\x01")
			}
			r := f.record(t).Request
			if r.Local != ask || r.Client.Addr().Is4In6() || r.Client.Addr().Is4() != ask.Is4() {
				t.Errorf("request came from %v to %v", r.Client, r.Local)
			}
		})
	}
}

func TestShutdown(t *testing.T) {
	t.Run("lets a transfer end", func(t *testing.T) {
		f := loopback(t, files{"a": contents(600)}, Options{})
		c := newClient(t)
		c.send(f.addr, "\x00\x01a\x00octet\x00")
		_, from := c.hear()
		stopped := make(chan error, 1)
		go func() { stopped <- f.stop() }()
		c.send(from, "\x00\x04\x00\x01")
		c.hear()
		c.send(from, "\x00\x04\x00\x02")
		if err := <-stopped; err != nil {
			t.Errorf("Serve() = %v", err)
		}
		if r := f.record(t); r.Outcome != OutcomeComplete {
			t.Errorf("outcome = %q, want %q", r.Outcome, OutcomeComplete)
		}
	})
	t.Run("ends what outlives the grace", func(t *testing.T) {
		f := loopback(t, files{"a": contents(600)}, Options{ShutdownGrace: time.Millisecond})
		c := newClient(t)
		c.send(f.addr, "\x00\x01a\x00octet\x00")
		c.hear()
		if err := f.stop(); err != nil {
			t.Errorf("Serve() = %v", err)
		}
		c.want("\x00\x05\x00\x00server stops\x00")
		if r := f.record(t); r.Outcome != OutcomeShutdown {
			t.Errorf("outcome = %q, want %q", r.Outcome, OutcomeShutdown)
		}
	})
	t.Run("does not wait for ever for a handler", func(t *testing.T) {
		stuck, called := make(chan struct{}), make(chan struct{})
		server, err := New(HandlerFunc(func(context.Context, *Request) (*Body, error) {
			close(called)
			<-stuck
			return nil, errors.New("too late")
		}), Options{ShutdownGrace: time.Millisecond})
		if err != nil {
			t.Fatal(err)
		}
		conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			t.Fatal(err)
		}
		newClient(t).send(conn.LocalAddr().(*net.UDPAddr).AddrPort(), "\x00\x01a\x00octet\x00")
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			<-called
			cancel()
		}()
		if err := server.Serve(ctx, conn); err == nil {
			t.Error("Serve() is no error")
		}
		close(stuck)
	})
	t.Run("a broken socket is an error", func(t *testing.T) {
		server, err := New(files{}, Options{})
		if err != nil {
			t.Fatal(err)
		}
		conn, err := net.ListenUDP("udp", nil)
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.Close()
		if err := server.Serve(t.Context(), conn); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Serve() = %v, want %v", err, net.ErrClosed)
		}
	})
}

func TestServeOSFile(t *testing.T) {
	path := t.TempDir() + "/loader"
	if err := os.WriteFile(path, contents(70_000), 0o600); err != nil {
		t.Fatal(err)
	}
	f := loopback(t, HandlerFunc(func(context.Context, *Request) (*Body, error) {
		file, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		return &Body{File: file, Size: 70_000, Closer: file}, nil
	}), Options{})
	if got, err := fetch(t, f.addr, "any", "octet", 1468); err != nil || !bytes.Equal(got, contents(70_000)) {
		t.Errorf("got %d bytes, %v", len(got), err)
	}
}
