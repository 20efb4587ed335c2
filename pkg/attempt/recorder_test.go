// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package attempt

import (
	"context"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/netboot-operator/netboot-operator/pkg/render"
)

// record returns a Recorder, its run and stop, and what it has told.
func record(t *testing.T) (r *Recorder, run, stop func(), told func() []Attempt) {
	t.Helper()
	var mu sync.Mutex
	var all []Attempt
	r, err := NewRecorder(Options{Index: lab()}, prometheus.NewPedanticRegistry(), func(a Attempt) {
		mu.Lock()
		defer mu.Unlock()
		all = append(all, a)
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	run = func() { go func() { ended <- r.Run(ctx) }() }
	stop = func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run() = %v", err)
		}
	}
	told = func() []Attempt {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(all)
	}
	return r, run, stop, told
}

// asks is a loader's request from one of many addresses, which is answered.
func asks(client int) Event {
	return Event{
		Time: time.Now(), ID: uint64(client), Ended: true, Client: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 1, byte(client >> 8), byte(client)}), 2070),
		Over: render.TFTP, Kind: KindLoader, Name: "pxelinux.0", Size: 42_000, Bytes: 42_000, Outcome: OutcomeServed,
	}
}

// A boot that goes on no more is told without a further event.
func TestRecorderTellsOfSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, run, stop, told := record(t)
		run()
		r.Observe(asks(1))
		synctest.Wait()
		if all := told(); len(all) != 1 || all[0].Over {
			t.Fatalf("after a request %+v is told, want one boot that goes on", all)
		}
		time.Sleep(time.Hour) //nolint:forbidigo // virtual time
		synctest.Wait()
		all := told()
		if last := all[len(all)-1]; !last.Over || last.Cause == nil {
			t.Errorf("an hour later the boot is %+v, want it over, with a cause", last)
		}
		if got := r.Attempts(); len(got) != 1 || !got[0].Over {
			t.Errorf("Attempts() = %+v", got)
		}
		stop()
	})
}

// Where nobody keeps up, the oldest are dropped, and counted.
func TestRecorderDropsTheOldest(t *testing.T) {
	const more = 10
	synctest.Test(t, func(t *testing.T) {
		r, run, stop, told := record(t)
		for client := range maxQueued + more { // two have the same address only if they are maxQueued apart
			r.Observe(asks(client))
		}
		if got := testutil.ToFloat64(r.metrics.dropped); got != more {
			t.Errorf("%v events are told as dropped, want %d", got, more)
		}
		if len(r.ring) != maxQueued {
			t.Errorf("the queue has grown to %d", len(r.ring))
		}
		run()
		synctest.Wait()
		all := told()
		if len(all) != maxQueued {
			t.Fatalf("%d boots are told, want %d", len(all), maxQueued)
		}
		if first, last := all[0].Client, all[maxQueued-1].Client; first != asks(more).Client.Addr() || last != asks(more-1).Client.Addr() {
			t.Errorf("told are those from %s to %s", first, last)
		}
		if r.ring != nil {
			t.Errorf("an empty queue keeps room for %d events", len(r.ring))
		}
		stop()
	})
}

// What was observed before the end is dealt with, and nothing after.
func TestRecorderEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, run, stop, told := record(t)
		for client := range 3 * maxBatch {
			r.Observe(asks(client))
		}
		run()
		stop()
		if all := told(); len(all) != 3*maxBatch {
			t.Errorf("%d boots are told, want %d", len(all), 3*maxBatch)
		}
	})
}
