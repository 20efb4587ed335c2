// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package tftp

import (
	"context"
	"net"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"
)

// A memWire is a wire in memory, for loops in virtual time: what the loop sends goes to a function at once.
type memWire struct {
	in     chan datagram
	woken  chan struct{}
	closed chan struct{}
	sent   func(to peer, packet string)

	queued []func()
	last   datagram
}

func newMemWire(sent func(to peer, packet string)) *memWire {
	return &memWire{
		in: make(chan datagram, 1<<16), woken: make(chan struct{}, 1), closed: make(chan struct{}), sent: sent,
	}
}

func (w *memWire) receive(wait time.Duration) ([]datagram, error) {
	var expired <-chan time.Time
	if wait >= 0 {
		timer := time.NewTimer(wait)
		defer timer.Stop()
		expired = timer.C
	}
	select {
	case w.last = <-w.in:
		return []datagram{w.last}, nil
	case <-w.woken:
	case <-expired:
	case <-w.closed:
		return nil, net.ErrClosed
	}
	return nil, nil
}

func (w *memWire) destination(int) destination {
	local := netip.MustParseAddr("192.0.2.1")
	return destination{asked: local, local: local}
}

func (w *memWire) queue(r *route, header, one, two []byte) {
	to, packet := r.peer, string(header)+string(one)+string(two)
	w.queued = append(w.queued, func() { w.sent(to, packet) })
}

func (w *memWire) flush() {
	for _, send := range w.queued {
		send()
	}
	w.queued = w.queued[:0]
}

func (w *memWire) wake() {
	select {
	case w.woken <- struct{}{}:
	default:
	}
}

func (w *memWire) overflowed() uint64 { return 0 }

func (w *memWire) close() {}

// A virtual is a loop in virtual time.
type virtual struct {
	*shard

	wire    *memWire
	records chan Record
	ended   chan error
	stop    context.CancelFunc
}

// inVirtualTime runs f beside a loop, which it then stops.
func inVirtualTime(t *testing.T, h Handler, o Options, sent func(to peer, packet string), f func(t *testing.T, v *virtual)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		server, err := New(h, o)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		v := &virtual{wire: newMemWire(sent), records: make(chan Record, 1<<17), ended: make(chan error, 1), stop: cancel}
		v.shard = newShard(context.WithoutCancel(ctx), server, v.wire, func(r Record) bool {
			v.records <- r
			return true
		})
		context.AfterFunc(ctx, v.wire.wake)
		go func() {
			err := v.run(ctx, server.options.ShutdownGrace)
			if err == nil {
				err = v.drain()
			}
			v.ended <- err
		}()
		f(t, v)
		cancel()
		if err := <-v.ended; err != nil {
			t.Errorf("run() = %v", err)
		}
		if v.pending != 0 || len(v.sessions) != 0 || v.unproven.Len() != 0 || v.server.books.transfers != 0 {
			t.Errorf("left over: %d goroutines, %d sessions, %d unproven, %d in the books",
				v.pending, len(v.sessions), v.unproven.Len(), v.server.books.transfers)
		}
	})
}

// ask sends a packet from client number n.
func (v *virtual) send(n int, packet string) {
	v.wire.in <- datagram{from: numbered(n), data: []byte(packet)}
}

// numbered returns the n-th client, each at an address of its own.
func numbered(n int) peer {
	addr := netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)})
	return peer{ip: addr.As16(), port: 2070}
}
