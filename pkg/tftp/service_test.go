// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package tftp

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestLimits(t *testing.T) {
	for name, o := range map[string]Options{
		"of all transfers":        {MaxTransfers: 2},
		"of one client's address": {MaxTransfersPerClient: 2},
	} {
		t.Run(name, func(t *testing.T) {
			f := loopback(t, files{"a": []byte("x")}, o)
			var busyWith []netip.AddrPort
			clients := []*client{newClient(t), newClient(t), newClient(t)}
			for _, c := range clients[:2] {
				c.send(f.addr, "\x00\x01a\x00octet\x00")
				busyWith = append(busyWith, c.want("\x00\x03\x00\x01x"))
			}
			clients[2].send(f.addr, "\x00\x01a\x00octet\x00")
			clients[2].want("\x00\x05\x00\x00server busy\x00")
			if r := f.record(t); r.Outcome != OutcomeBusy {
				t.Errorf("outcome = %q, want %q", r.Outcome, OutcomeBusy)
			}
			for i, c := range clients[:2] {
				c.send(busyWith[i], "\x00\x04\x00\x01")
				if r := f.record(t); r.Outcome != OutcomeComplete {
					t.Errorf("outcome = %q, want %q", r.Outcome, OutcomeComplete)
				}
			}
			for { // the slot is free a moment after the record
				clients[2].send(f.addr, "\x00\x01a\x00octet\x00")
				packet, from := clients[2].hear()
				if packet == "\x00\x03\x00\x01x" {
					clients[2].send(from, "\x00\x04\x00\x01")
					break
				}
			}
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

func TestDialWithoutALocalAddress(t *testing.T) {
	for _, client := range []string{"127.0.0.1:2070", "[::1]:2070"} {
		conn, err := dial(t.Context(), netip.Addr{}, netip.MustParseAddrPort(client))
		if err != nil {
			t.Errorf("dial(%s) = %v", client, err)
			continue
		}
		_ = conn.Close()
	}
}

// A client that closes its port with the last ACK lost, or in the middle, is noticed at once by ICMP.
func TestClientClosesItsPort(t *testing.T) {
	f := loopback(t, files{"a": contents(600)}, Options{RetransmitTimeout: 10 * time.Millisecond})
	for name, tc := range map[string]struct {
		acks []string
		want Outcome
	}{
		"in the middle": {nil, OutcomeClientGone},
		"at the end":    {[]string{"\x00\x04\x00\x01"}, OutcomeLastACKLost},
	} {
		t.Run(name, func(t *testing.T) {
			c := newClient(t)
			c.send(f.addr, "\x00\x01a\x00octet\x00")
			_, from := c.hear()
			for _, ack := range tc.acks {
				c.send(from, ack)
				c.hear()
			}
			_ = c.conn.Close()
			if r := f.record(t); r.Outcome != tc.want {
				t.Errorf("outcome = %q, want %q", r.Outcome, tc.want)
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
		synctest.Test(t, func(t *testing.T) {
			server, err := New(files{}, Options{ShutdownGrace: 3 * time.Second})
			if err != nil {
				t.Fatal(err)
			}
			work, stop := context.WithCancelCause(t.Context())
			var running sync.WaitGroup
			stuck := make(chan struct{})
			running.Go(func() { <-stuck })
			begin := time.Now()
			if err := server.drain(&running, stop); err == nil {
				t.Error("drain() is no error")
			}
			if took := time.Since(begin); took != 3*time.Second+lastCall || stopped(work) != OutcomeShutdown {
				t.Errorf("took %v, cause %v", took, context.Cause(work))
			}
			close(stuck)
		})
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

func TestNew(t *testing.T) {
	for name, tc := range map[string]struct {
		options Options
		want    string
	}{
		"zero values":             {Options{}, ""},
		"smallest values":         {Options{1, 1, 8, 1, time.Millisecond, 1, 1, Options{}.Log, nil}, ""},
		"transfers":               {Options{MaxTransfers: -1}, "TFTP server: option MaxTransfers=-1: outside 1-1048576"},
		"transfers of one client": {Options{MaxTransfersPerClient: -1}, "TFTP server: option MaxTransfersPerClient=-1: outside 1-1048576"},
		"block too small":         {Options{MaxBlockSize: 7}, "TFTP server: option MaxBlockSize=7: outside 8-65464 (RFC 2348)"},
		"block too large":         {Options{MaxBlockSize: 65465}, "TFTP server: option MaxBlockSize=65465: outside 8-65464 (RFC 2348)"},
		"window too large":        {Options{MaxWindowSize: 65536}, "TFTP server: option MaxWindowSize=65536: outside 1-65535 (RFC 7440)"},
		"timeout too short":       {Options{RetransmitTimeout: 1}, "TFTP server: option RetransmitTimeout=1ns: less than 1ms"},
		"attempts":                {Options{Attempts: 101}, "TFTP server: option Attempts=101: outside 1-100"},
		"grace":                   {Options{ShutdownGrace: -1}, "TFTP server: option ShutdownGrace=-1ns: less than 0s"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := New(files{}, tc.options)
			if got := fmt.Sprint(err); got != tc.want && (err != nil || tc.want != "") {
				t.Errorf("New() = %q, want %q", got, tc.want)
			}
		})
	}
	if _, err := New(nil, Options{}); err == nil {
		t.Error("New() without a handler is no error")
	}
}

func TestServeOSFile(t *testing.T) {
	path := t.TempDir() + "/loader"
	if err := os.WriteFile(path, contents(70_000), 0o600); err != nil {
		t.Fatal(err)
	}
	f := loopback(t, handlerFunc(func(context.Context, *Request) (File, error) { return openFile(path) }), Options{})
	if got, err := fetch(t, f.addr, "any", "octet", 1468); err != nil || !bytes.Equal(got, contents(70_000)) {
		t.Errorf("got %d bytes, %v", len(got), err)
	}
}

// diskFile is how a file on disk becomes a File.
type diskFile struct {
	*os.File
	size int64
}

func (f diskFile) Size() int64 { return f.size }

func openFile(path string) (File, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	return diskFile{f, info.Size()}, nil
}
