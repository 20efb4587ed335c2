// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package tftp

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// Shards that stop together keep their sockets until the last of them has no transfers; one that stops alone waits for nobody.
func TestShardsDrainTogether(t *testing.T) {
	for name, tc := range map[string]struct {
		together  bool
		breaks    bool // the socket of the shard that has a transfer
		wantAfter []time.Duration
	}{
		// A client that says nothing more to its first block is given up after 3 s.
		"together":                        {true, false, []time.Duration{3 * time.Second, 3 * time.Second}},
		"together, until a socket breaks": {true, true, []time.Duration{time.Second, time.Second}},
		"one alone":                       {false, false, []time.Duration{0, time.Hour}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server, err := New(files{"a": contents(5000)}, Options{})
				if err != nil {
					t.Fatal(err)
				}
				type stopped struct {
					shard int
					after time.Duration
				}
				ended := make(chan stopped, 2)
				ctx, cancel := context.WithCancel(t.Context())
				later, cancelLater := context.WithCancel(t.Context())
				if tc.together {
					later = ctx
				}
				var wires []*memWire
				begin := time.Now()
				for i, ctx := range []context.Context{ctx, later} {
					w := newMemWire(func(peer, string) {})
					wires = append(wires, w)
					x := newShard(context.WithoutCancel(ctx), server, w, func(Record) bool { return true })
					context.AfterFunc(ctx, w.wake)
					go func() {
						_ = x.run(ctx, time.Minute) // that a socket is broken is part of the test
						ended <- stopped{i, time.Since(begin).Truncate(time.Second)}
						_ = x.drain()
					}()
				}
				synctest.Wait()
				wires[1].in <- datagram{from: numbered(1), data: []byte(plainRequest)}
				synctest.Wait()
				cancel()
				synctest.Wait()
				// Whoever waits for the others begins nothing.
				wires[0].in <- datagram{from: numbered(2), data: []byte(plainRequest)}
				if tc.breaks {
					time.Sleep(time.Second) //nolint:forbidigo // virtual time
					close(wires[1].closed)
				}
				if !tc.together {
					time.Sleep(time.Hour) //nolint:forbidigo // virtual time
				}
				cancelLater()
				got := make([]time.Duration, 2)
				for range got {
					e := <-ended
					got[e.shard] = e.after
				}
				if diff := cmp.Diff(tc.wantAfter, got); diff != "" {
					t.Errorf("shards ended after (-want +got):\n%s", diff)
				}
			})
		})
	}
}
