// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package tftp

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"
)

func TestWireWaits(t *testing.T) {
	for name, open := range wireKinds() {
		t.Run(name, func(t *testing.T) {
			w := openWired(t, open, "udp", ":0")
			client := newProbe(t)
			to := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), w.port)
			wantNone := func(wait time.Duration) {
				t.Helper()
				if datagrams, err := w.receive(wait); err != nil || len(datagrams) != 0 {
					t.Errorf("receive(%v) = %v, %v, want none", wait, datagrams, err)
				}
			}
			wantOne := func(wait time.Duration) {
				t.Helper()
				client.send(to, "packet")
				if datagrams, err := w.receive(wait); err != nil || len(datagrams) != 1 {
					t.Errorf("receive(%v) = %v, %v, want one", wait, datagrams, err)
				}
			}
			wantWait := func(wait time.Duration) {
				t.Helper()
				began := time.Now()
				wantNone(wait)
				if took := time.Since(began); took < wait {
					t.Errorf("receive(%v) returned after %v", wait, took)
				}
			}
			for _, wait := range []time.Duration{0, 1, time.Millisecond, 3 * time.Millisecond} {
				wantWait(wait)
				wantOne(-1) // the time that has passed does no harm
				wantNone(wait)
				wantOne(time.Minute)
				wantNone(wait)
				wantOne(never)
			}
			w.wake()
			w.wake()
			wantNone(-1)
			wantWait(3 * time.Millisecond) // both wakes were one
			wantOne(-1)
			w.wake()
			wantNone(time.Minute)
			wantNone(0)
			wantOne(time.Minute)
		})
	}
}

// No wake is lost, whenever it comes, and none keeps datagrams from being read.
func TestWireWakes(t *testing.T) {
	for name, open := range wireKinds() {
		for _, wait := range []time.Duration{-1, time.Minute, time.Millisecond, time.Microsecond} {
			t.Run(fmt.Sprint(name, ", ", wait), func(t *testing.T) {
				w := openWired(t, open, "udp", ":0")
				client := newProbe(t)
				to := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), w.port)
				const rounds = 1000
				var posted atomic.Int64
				seen, received := make(chan int64, rounds), make(chan struct{}, rounds)
				ended := make(chan error, 1)
				go func() {
					for last := int64(0); ; {
						datagrams, err := w.receive(wait)
						if err != nil {
							ended <- err
							return
						}
						for range datagrams {
							received <- struct{}{}
						}
						if now := posted.Load(); now != last {
							last = now
							seen <- now
						}
					}
				}()
				for i := range int64(rounds) {
					posted.Add(1)
					w.wake()
					select {
					case got := <-seen:
						if got != i+1 {
							t.Fatalf("saw %d, want %d", got, i+1)
						}
					case <-time.After(patience):
						t.Fatalf("wake %d was lost", i)
					}
					client.send(to, "packet")
					select {
					case <-received:
					case <-time.After(patience):
						t.Fatalf("datagram %d was not read", i)
					}
				}
				w.end()
				if err := <-ended; !errors.Is(err, net.ErrClosed) {
					t.Errorf("receive() = %v, want %v", err, net.ErrClosed)
				}
			})
		}
	}
}

func TestWireEnds(t *testing.T) {
	for name, open := range wireKinds() {
		t.Run(name, func(t *testing.T) {
			w := openWired(t, open, "udp", ":0")
			ended := make(chan error, 1)
			waits := make(chan struct{})
			go func() {
				close(waits)
				for {
					if _, err := w.receive(-1); err != nil {
						ended <- err
						return
					}
				}
			}()
			<-waits
			w.end()
			select {
			case err := <-ended:
				if !errors.Is(err, net.ErrClosed) {
					t.Errorf("receive() = %v, want %v", err, net.ErrClosed)
				}
			case <-time.After(patience):
				t.Fatal("receive() still waits")
			}
			for _, wait := range []time.Duration{-1, 0, time.Millisecond} {
				if _, err := w.receive(wait); !errors.Is(err, net.ErrClosed) {
					t.Errorf("receive(%v) = %v, want %v", wait, err, net.ErrClosed)
				}
			}
			w.wake()
			w.queue(&route{}, []byte("nobody hears this"), nil, nil)
			w.flush()
		})
	}
}

func TestWireAllocatesNothing(t *testing.T) {
	header, block := make([]byte, headerLen), make([]byte, 512)
	question := []byte("question")
	for name, addr := range map[string]string{"IPv4": "127.0.0.2", "IPv6": "::1"} {
		t.Run(name, func(t *testing.T) {
			for name, open := range wireKinds() {
				t.Run(name, func(t *testing.T) {
					w := openWired(t, open, "udp", ":0")
					client := newProbe(t)
					to := netip.AddrPortFrom(netip.MustParseAddr(addr), w.port)
					client.send(to, "question")
					_, _, r := w.take(t)
					round := func() {
						if _, err := client.conn.WriteToUDPAddrPort(question, to); err != nil {
							t.Fatal(err)
						}
						if datagrams, err := w.receive(time.Minute); err != nil || len(datagrams) != 1 {
							t.Fatalf("receive() = %v, %v", datagrams, err)
						}
						for range 4 {
							w.queue(r, header, block, block)
						}
						w.flush()
						for range 4 {
							if _, _, err := client.conn.ReadFromUDPAddrPort(client.buf); err != nil {
								t.Fatal(err)
							}
						}
					}
					if n := testing.AllocsPerRun(100, round); n != 0 {
						t.Errorf("%v allocations for a window, want 0", n)
					}
				})
			}
		})
	}
}
