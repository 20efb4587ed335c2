// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package tftp

import (
	"context"
	"net"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// What is under way is told as far as it has come.
func TestTransfers(t *testing.T) {
	const windows = "\x00\x01a\x00octet\x00blksize\x001000\x00windowsize\x002\x00"
	for name, tc := range map[string]struct {
		handler Handler
		packets []string
		options Options
		want    []Transfer
	}{
		"nothing": {},
		"an OACK that is not answered": {
			packets: []string{optionRequest},
			want:    []Transfer{{Name: "a", Served: "served", Size: 5000, BlockSize: 512, WindowSize: 1}},
		},
		"two blocks": {
			packets: []string{windows, ackOfOACK, "\x00\x04\x00\x02"},
			want:    []Transfer{{Name: "a", Served: "served", Size: 5000, Bytes: 2000, BlockSize: 1000, WindowSize: 2, RoundTrip: 1}},
		},
		"the request twice": {
			packets: []string{optionRequest, optionRequest},
			want:    []Transfer{{Name: "a", Served: "served", Size: 5000, Repeats: 1, Retransmits: 1, BlockSize: 512, WindowSize: 1}},
		},
		"a handler that has not returned": {
			handler: HandlerFunc(func(ctx context.Context, _ *Request) (*Body, error) {
				<-ctx.Done()
				return nil, ctx.Err()
			}),
			packets: []string{plainRequest, plainRequest},
			want:    []Transfer{{Name: "a", Size: UnknownSize, Repeats: 1}},
		},
		"a stream of unknown size": {
			handler: HandlerFunc(func(context.Context, *Request) (*Body, error) {
				return &Body{Stream: strings.NewReader(strings.Repeat("x", 2000)), Size: UnknownSize}, nil
			}),
			packets: []string{plainRequest, "\x00\x04\x00\x01"},
			want:    []Transfer{{Name: "a", Bytes: 512, Size: UnknownSize, BlockSize: 512, WindowSize: 1, RoundTrip: 1}},
		},
		"one that is not recorded": {
			handler: HandlerFunc(func(context.Context, *Request) (*Body, error) {
				return &Body{Bytes: contents(5000), Unrecorded: true}, nil
			}),
			packets: []string{optionRequest},
		},
		"one that is over": {packets: []string{optionRequest, "\x00\x05\x00\x00enough\x00"}},
		"a name with a secret": {
			options: Options{LogName: func(string) string { return "hidden" }},
			packets: []string{optionRequest},
			want:    []Transfer{{Name: "hidden", Served: "served", Size: 5000, BlockSize: 512, WindowSize: 1}},
		},
		"LogName panics": {
			options: Options{LogName: func(string) string { panic("name") }},
			packets: []string{optionRequest},
			want:    []Transfer{{Served: "served", Size: 5000, BlockSize: 512, WindowSize: 1}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			handler := tc.handler
			if handler == nil {
				handler = HandlerFunc(func(context.Context, *Request) (*Body, error) {
					return &Body{Bytes: contents(5000), Name: "served"}, nil
				})
			}
			tc.options.ShutdownGrace = time.Nanosecond
			inVirtualTime(t, handler, tc.options, func(peer, string) {}, func(t *testing.T, v *virtual) {
				t.Helper()
				v.server.live.join(v.shard)
				defer v.server.live.leave(v.shard)
				for _, p := range tc.packets {
					v.send(7, p)
					synctest.Wait()
				}
				for i := range tc.want {
					tc.want[i].Client, tc.want[i].Start = numbered(7).addrPort(), time.Now()
				}
				if diff := cmp.Diff(tc.want, v.server.Transfers(), cmpopts.EquateEmpty(), cmpopts.EquateComparable(netip.AddrPort{}), cmp.Comparer(sameTime)); diff != "" {
					t.Errorf("Transfers() (-want +got):\n%s", diff)
				}
				if records := len(v.records); name != "one that is over" && records != 0 {
					t.Errorf("to be asked has ended %d transfers", records)
				}
			})
		})
	}
}

// sameTime leaves out the monotonic clock.
func sameTime(a, b time.Time) bool { return a.Equal(b) }

// A loop that is busy, or gone, costs who asks a moment, and holds nobody up later.
func TestTransfersOfABusyLoop(t *testing.T) {
	inVirtualTime(t, files{"a": contents(5000)}, Options{ShutdownGrace: time.Nanosecond}, func(peer, string) {}, func(t *testing.T, v *virtual) {
		t.Helper()
		v.server.live.join(v.shard)
		v.send(7, optionRequest)
		synctest.Wait()
		busy := make(chan struct{})
		v.mail.post(func() { <-busy })
		for range 100 {
			if got := v.server.Transfers(); len(got) != 0 {
				t.Errorf("a busy loop answered: %v", got)
			}
		}
		v.mail.mu.Lock()
		if waiting := len(v.mail.posted); waiting > 1 {
			t.Errorf("%d questions wait, want 1", waiting)
		}
		v.mail.mu.Unlock()
		close(busy)
		synctest.Wait()
		if got := v.server.Transfers(); len(got) != 1 {
			t.Errorf("%d transfers under way, want 1: none of the answers came", len(got))
		}
		v.send(8, optionRequest)
		synctest.Wait()
		if got := v.server.Transfers(); len(got) != 2 {
			t.Errorf("%d transfers under way, want 2: an answer of before was taken", len(got))
		}
		v.server.live.leave(v.shard)
		if got := v.server.Transfers(); len(got) != 0 {
			t.Errorf("a loop that is gone answered: %v", got)
		}
	})
}

// Over a real socket, from before Serve until after it.
func TestTransfersOfAServer(t *testing.T) {
	server, err := New(files{"a": contents(5000)}, Options{ShutdownGrace: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	if got := server.Transfers(); len(got) != 0 {
		t.Errorf("before Serve: %v", got)
	}
	conns, err := Listen(t.Context(), "127.0.0.1:0", 1)
	if err != nil {
		t.Fatal(err)
	}
	local := conns[0].LocalAddr().(*net.UDPAddr).AddrPort()
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- server.Serve(ctx, conns[0]) }()
	c := newClient(t)
	c.send(local, optionRequest)
	c.hear()
	if got := server.Transfers(); len(got) != 1 || got[0].Name != "a" || got[0].Size != 5000 || got[0].Client.Port() != c.port() {
		t.Errorf("Transfers() = %v, want that of file a to port %d", got, c.port())
	}
	cancel()
	if err := <-served; err != nil {
		t.Errorf("Serve() = %v", err)
	}
	if got := server.Transfers(); len(got) != 0 {
		t.Errorf("after Serve: %v", got)
	}
}

// A record says how often the client repeated itself.
func TestRepeats(t *testing.T) {
	inVirtualTime(t, files{"a": contents(5000)}, Options{}, func(peer, string) {}, func(t *testing.T, v *virtual) {
		t.Helper()
		for range 3 {
			v.send(1, optionRequest)
			synctest.Wait()
		}
		v.send(1, "\x00\x05\x00\x00enough\x00")
		v.send(2, optionRequest)
		v.send(2, "\x00\x05\x00\x00enough\x00")
		for _, want := range []int64{2, 0} {
			if r := <-v.records; r.Repeats != want {
				t.Errorf("record of %v has %d repeats, want %d", r.Request.Client, r.Repeats, want)
			}
		}
	})
}

func (c *client) port() uint16 { return c.conn.LocalAddr().(*net.UDPAddr).AddrPort().Port() }
