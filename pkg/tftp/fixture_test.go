// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package tftp

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net"
	"net/netip"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	pin "github.com/pin/tftp/v3"
)

// patience is how long a test waits for what must come: in milliseconds, but where others have all the processors.
const patience = time.Minute

// files serves contents by name.
type files map[string][]byte

func (f files) ServeTFTP(_ context.Context, r *Request) (*Body, error) {
	b, ok := f[r.Name]
	if !ok {
		return nil, fmt.Errorf("open %q: %w", r.Name, fs.ErrNotExist)
	}
	return Bytes(b), nil
}

// contents returns n bytes without a pattern.
func contents(n int) []byte {
	b := make([]byte, n)
	r := rand.NewChaCha8([32]byte{})
	_, _ = r.Read(b)
	return b
}

// A fixture is a server on a port of its own. It is stopped at the end of the test, and then all its goroutines are gone.
type fixture struct {
	addr    netip.AddrPort
	records chan Record
	stop    func() error // may be called again
}

func start(t testing.TB, h Handler, o Options, network, address string) *fixture {
	t.Helper()
	before := runtime.NumGoroutine()
	f := &fixture{records: make(chan Record, 10_000)}
	o.Observe = func(r Record) { f.records <- r }
	server, err := New(h, o)
	if err != nil {
		t.Fatal(err)
	}
	udp, err := net.ResolveUDPAddr(network, address)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.ListenUDP(network, udp)
	if err != nil {
		t.Fatal(err)
	}
	local := conn.LocalAddr().(*net.UDPAddr).AddrPort()
	f.addr = netip.AddrPortFrom(local.Addr().Unmap(), local.Port())
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- server.Serve(ctx, conn) }()
	f.stop = sync.OnceValue(func() error {
		cancel()
		return <-served
	})
	t.Cleanup(func() {
		if err := f.stop(); err != nil {
			t.Errorf("Serve() = %v", err)
		}
		for deadline := time.Now().Add(patience); runtime.NumGoroutine() > before; runtime.Gosched() {
			if time.Now().After(deadline) {
				t.Errorf("%d goroutines, want the %d from before", runtime.NumGoroutine(), before)
				return
			}
		}
	})
	return f
}

func loopback(t testing.TB, h Handler, o Options) *fixture {
	t.Helper()
	return start(t, h, o, "udp", "127.0.0.1:0")
}

// record returns the next record.
func (f *fixture) record(t *testing.T) Record {
	t.Helper()
	select {
	case r := <-f.records:
		return r
	case <-time.After(patience):
		t.Fatal("no record")
		return Record{}
	}
}

// A client speaks packets.
type client struct {
	t    *testing.T
	conn *net.UDPConn
}

func newClient(t *testing.T) *client {
	t.Helper()
	conn, err := net.ListenUDP("udp", nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return &client{t, conn}
}

func (c *client) send(to netip.AddrPort, packet string) {
	c.t.Helper()
	if _, err := c.conn.WriteToUDPAddrPort([]byte(packet), to); err != nil {
		c.t.Fatal(err)
	}
}

// hear returns the next packet and where it came from.
func (c *client) hear() (string, netip.AddrPort) {
	c.t.Helper()
	packet, from, err := c.tryHear(patience)
	if err != nil {
		c.t.Fatal(err)
	}
	return packet, from
}

func (c *client) tryHear(within time.Duration) (string, netip.AddrPort, error) {
	_ = c.conn.SetReadDeadline(time.Now().Add(within))
	b := make([]byte, 70_000)
	n, from, err := c.conn.ReadFromUDPAddrPort(b)
	return string(b[:n]), netip.AddrPortFrom(from.Addr().Unmap(), from.Port()), err
}

// want fails the test if the next packet is another.
func (c *client) want(packet string) netip.AddrPort {
	c.t.Helper()
	got, from := c.hear()
	if diff := cmp.Diff(packet, got); diff != "" {
		c.t.Fatalf("packet (-want +got):\n%s", diff)
	}
	return from
}

// wantSilence fails the test if the server answers before it answers another client, whose request it got later.
func (c *client) wantSilence(f *fixture) {
	c.t.Helper()
	other := newClient(c.t)
	other.send(f.addr, "\x00\x01no such file\x00octet\x00")
	other.want("\x00\x05\x00\x01file not found\x00")
	if packet, _, err := c.tryHear(time.Millisecond); err == nil {
		c.t.Errorf("server sent %q, want silence", packet)
	}
}

func fetch(t testing.TB, addr netip.AddrPort, name, mode string, blockSize int) ([]byte, error) {
	t.Helper()
	c, err := pin.NewClient(addr.String())
	if err != nil {
		return nil, err
	}
	if blockSize != 0 {
		c.SetBlockSize(blockSize)
		c.RequestTSize(true)
	}
	w, err := c.Receive(name, mode)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	_, err = w.WriteTo(&b)
	return b.Bytes(), err
}
