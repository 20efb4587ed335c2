// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/netboot-operator/netboot-operator/pkg/attempt"
	"github.com/netboot-operator/netboot-operator/pkg/index"
	"github.com/netboot-operator/netboot-operator/pkg/ledger"
)

func newReporter(t *testing.T, change func(*BootReporterOptions)) *BootReporter {
	t.Helper()
	book, err := ledger.Open("")
	if err != nil {
		t.Fatal(err)
	}
	o := BootReporterOptions{Ledger: book, Node: "node-a", Log: logr.Discard(), Registerer: prometheus.NewRegistry()}
	if change != nil {
		change(&o)
	}
	r, err := NewBootReporter(o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestBootReporterOptions(t *testing.T) {
	book, err := ledger.Open("")
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		options BootReporterOptions
		want    string // in the error
	}{
		"no ledger":           {BootReporterOptions{}, "Ledger"},
		"too many writes":     {BootReporterOptions{Ledger: book, WritesPerSecond: 1001}, "WritesPerSecond 1001"},
		"writes below zero":   {BootReporterOptions{Ledger: book, WritesPerSecond: -1}, "WritesPerSecond -1"},
		"a queue too long":    {BootReporterOptions{Ledger: book, MaxQueued: 1_000_001}, "MaxQueued 1000001"},
		"a queue of no place": {BootReporterOptions{Ledger: book, MaxQueued: -1}, "MaxQueued -1"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := NewBootReporter(tc.options); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("the error is %v, want one about %s", err, tc.want)
			}
		})
	}
}

// A tally is a bootSink that takes what it gets.
type tally struct {
	reporter *BootReporter
	down     bool // nothing is taken

	mu     sync.Mutex
	writes []time.Time
	last   map[index.Key]attempt.Stage
}

func (s *tally) write(_ context.Context, b queuedBoot) (bootResult, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down {
		return bootRetried, errors.New("connection refused")
	}
	s.writes = append(s.writes, time.Now())
	if s.last == nil {
		s.last = map[index.Key]attempt.Stage{}
	}
	if b.attempt != nil {
		s.last[b.machine] = b.attempt.Stage
	}
	s.reporter.options.Ledger.Written(s.reporter.news(b, "1").entry)
	return bootWritten, nil
}

func (s *tally) set(down bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down = down
}

// busiest returns the most writes within a second.
func (s *tally) busiest() int {
	most, first := 0, 0
	for i, at := range s.writes {
		for at.Sub(s.writes[first]) >= time.Second {
			first++
		}
		most = max(most, i-first+1)
	}
	return most
}

// run runs a reporter within a test of virtual time, until the function that it returns is called.
func (s *tally) run(t *testing.T, r *BootReporter) (end func()) {
	t.Helper()
	s.reporter = r
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { _ = r.Run(ctx) })
	running.Go(func() { _ = r.report(ctx, s) })
	return func() {
		cancel()
		running.Wait()
	}
}

// TestTenThousandMachinesBoot has 10 000 machines boot within five minutes, each through all stages, in virtual time.
func TestTenThousandMachinesBoot(t *testing.T) {
	const machines, perSecond, boot = 10_000, 20, 5 * time.Minute
	synctest.Test(t, func(t *testing.T) {
		r := newReporter(t, func(o *BootReporterOptions) { o.WritesPerSecond = perSecond })
		sink := &tally{}
		end := sink.run(t, r)
		start, changes, longest := time.Now(), 0, 0
		stages := attempt.Stages()
		for step := range len(stages) * 100 { // each boots by itself, a hundred begin at once
			stage := stages[step%len(stages)]
			for i := range machines / 100 {
				a := atStage(0, stage)
				a.Machine = index.Key(fmt.Sprintf("lab/n%d", step/len(stages)*(machines/100)+i))
				a.CompleteOn = attempt.CompleteOnPayloadServed
				r.Changed(a)
				changes++
			}
			wait(t.Context(), boot/time.Duration(len(stages)*100))
			longest = max(longest, r.queue.len())
		}
		for range 3600 {
			if r.queue.len() == 0 {
				break
			}
			wait(t.Context(), time.Second)
		}
		took := time.Since(start)
		end()
		t.Logf("%d machines, %d changes in %v: %d status writes, %.2f a boot, at most %d in a second; all told after %v; at most %d waited",
			machines, changes, boot, len(sink.writes), float64(len(sink.writes))/machines, sink.busiest(), took.Round(time.Second), longest)
		if got, most := sink.busiest(), 2*perSecond; got > most { // a burst and a second's
			t.Errorf("%d writes within a second, want at most %d", got, most)
		}
		if got := testutil.ToFloat64(r.metrics.dropped); got != 0 {
			t.Errorf("%v were dropped", got)
		}
		if len(sink.last) != machines {
			t.Errorf("something is told of %d machines, want %d", len(sink.last), machines)
		}
		for key, stage := range sink.last {
			if stage != attempt.StageDone {
				t.Fatalf("%s is last told to be at %s", key, stage)
			}
			if e := r.options.Ledger.Entry(ledger.Boot{Machine: key, BootID: "1"}); e.Completed.IsZero() {
				t.Fatalf("the ledger does not know that %s is done", key)
			}
		}
	})
}

// TestOneStatusWriteForAChange has nothing to wait for: each change is written, and nothing else.
func TestOneStatusWriteForAChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, sink := newReporter(t, nil), &tally{}
		end := sink.run(t, r)
		for _, stage := range attempt.Stages() {
			r.Changed(atStage(0, stage))
			wait(t.Context(), 3*time.Second)
		}
		end()
		if got, want := len(sink.writes), len(attempt.Stages()); got != want {
			t.Errorf("%d writes for %d changes", got, want)
		}
	})
}

// TestBootsWaitForTheAPIServer has it away for an hour, in virtual time: it is not asked all the time, and afterwards the latest
// of each machine is written.
func TestBootsWaitForTheAPIServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, sink := newReporter(t, nil), &tally{down: true}
		end := sink.run(t, r)
		for _, stage := range []attempt.Stage{attempt.StageLoader, attempt.StageConfig, attempt.StageKernel} {
			for i := range 50 {
				a := atStage(0, stage)
				a.Machine = index.Key(fmt.Sprintf("lab/n%d", i))
				r.Changed(a)
			}
			wait(t.Context(), 20*time.Minute)
		}
		if tries := testutil.ToFloat64(r.metrics.writes.WithLabelValues(string(bootRetried))); tries < 100 || tries > 200 {
			t.Errorf("%v tries in an hour, want one in half a minute", tries)
		}
		sink.set(false)
		wait(t.Context(), time.Minute)
		end()
		if got := len(sink.writes); got != 50 {
			t.Errorf("%d writes, want one for each of 50 machines", got)
		}
		for key, stage := range sink.last {
			if stage != attempt.StageKernel {
				t.Errorf("%s is last told to be at %s", key, stage)
			}
		}
	})
}

// TestLastWordsAreWritten ends a reporter that has much to write: it goes on for a moment.
func TestLastWordsAreWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, sink := newReporter(t, nil), &tally{}
		end := sink.run(t, r)
		for i := range 50 {
			a := atStage(0, attempt.StageKernel)
			a.Machine = index.Key(fmt.Sprintf("lab/n%d", i))
			r.Changed(a)
		}
		synctest.Wait() // some of them are written
		start := time.Now()
		end()
		if got := len(sink.writes); got != 50 || time.Since(start) > lastWrites {
			t.Errorf("%d of 50 are written, after %v", got, time.Since(start))
		}
	})
}

// TestLedgerComesFirst: when too much waits, what the policy Once needs stays, and the newest.
func TestLedgerComesFirst(t *testing.T) {
	const most = 100
	r := newReporter(t, func(o *BootReporterOptions) { o.MaxQueued = most })
	tell := func(machine string, stage attempt.Stage, counts bool) {
		a := atStage(0, stage)
		a.Machine, a.Counts, a.CompleteOn = index.Key("lab/"+machine), counts, attempt.CompleteOnPayloadServed
		r.Changed(a)
	}
	tell("done", attempt.StageDone, true)
	for range most {
		tell("counts", attempt.StageKernel, true)
		tell("counts", attempt.StageInitrd, false) // it does not take back what was told
	}
	for i := range 2 * most {
		tell(fmt.Sprintf("n%d", i), attempt.StageLoader, false)
	}
	if got := len(r.inbox.order); got > most {
		t.Errorf("%d wait, want %d at most", got, most)
	}
	if last := r.inbox.order[len(r.inbox.order)-1]; last.Machine != index.Key(fmt.Sprintf("lab/n%d", 2*most-1)) {
		t.Errorf("the last is %s", last.Machine)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := r.Run(ctx); err != nil {
		t.Fatal(err)
	}
	if e := r.options.Ledger.Entry(ledger.Boot{Machine: "lab/done", BootID: "1"}); e.Completed.IsZero() {
		t.Errorf("the completion is lost: %+v", e)
	}
	if e := r.options.Ledger.Entry(ledger.Boot{Machine: "lab/counts", BootID: "1"}); e.Boots != 1 {
		t.Errorf("the beginning is lost: %+v", e)
	}
	for i := range 3 * most {
		tell(fmt.Sprintf("c%d", i), attempt.StageKernel, true)
	}
	if got := len(r.inbox.order); got > 2*most {
		t.Errorf("%d wait, want %d at most", got, 2*most)
	}
}

func TestBootQueue(t *testing.T) {
	kernel, initrd := atStage(0, attempt.StageKernel), atStage(0, attempt.StageInitrd)
	for name, tc := range map[string]struct {
		do   func(q *bootQueue) (dropped int)
		want []string // what is left, in order
		lost int
	}{
		"a newer one takes the place": {func(q *bootQueue) int {
			return q.put(queuedBoot{"a", &kernel}) + q.put(queuedBoot{"b", &kernel}) + q.put(queuedBoot{"a", &initrd})
		}, []string{"a Initrd", "b Kernel"}, 0},
		"what only the ledger knows does not": {func(q *bootQueue) int {
			return q.put(queuedBoot{"a", &kernel}) + q.put(queuedBoot{machine: "a"})
		}, []string{"a Kernel"}, 0},
		"the oldest is dropped": {func(q *bootQueue) int {
			return q.put(queuedBoot{"a", &kernel}) + q.put(queuedBoot{"b", &kernel}) + q.put(queuedBoot{"c", &kernel})
		}, []string{"b Kernel", "c Kernel"}, 1},
		"what was taken comes first again": {func(q *bootQueue) int {
			n := q.put(queuedBoot{"a", &kernel}) + q.put(queuedBoot{"b", &kernel})
			b, _ := q.take()
			return n + q.again(b, false)
		}, []string{"a Kernel", "b Kernel"}, 0},
		"or last": {func(q *bootQueue) int {
			n := q.put(queuedBoot{"a", &kernel}) + q.put(queuedBoot{"b", &kernel})
			b, _ := q.take()
			return n + q.again(b, true)
		}, []string{"b Kernel", "a Kernel"}, 0},
		"but not before something newer": {func(q *bootQueue) int {
			n := q.put(queuedBoot{"a", &kernel})
			b, _ := q.take()
			return n + q.put(queuedBoot{"a", &initrd}) + q.again(b, false)
		}, []string{"a Initrd"}, 0},
		"nor where there is no room": {func(q *bootQueue) int {
			n := q.put(queuedBoot{"a", &kernel})
			b, _ := q.take()
			return n + q.put(queuedBoot{"b", &initrd}) + q.put(queuedBoot{"c", &initrd}) + q.again(b, false)
		}, []string{"b Initrd", "c Initrd"}, 1},
		"a machine that is gone": {func(q *bootQueue) int {
			n := q.put(queuedBoot{"a", &kernel}) + q.put(queuedBoot{"b", &kernel})
			q.remove("a")
			return n
		}, []string{"b Kernel"}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			q := newBootQueue(2)
			lost := tc.do(q)
			var got []string
			for b, ok := q.take(); ok; b, ok = q.take() {
				stage := attempt.Stage("-")
				if b.attempt != nil {
					stage = b.attempt.Stage
				}
				got = append(got, fmt.Sprintf("%s %s", b.machine, stage))
			}
			if diff := cmp.Diff(tc.want, got); diff != "" || lost != tc.lost {
				t.Errorf("%d dropped, want %d; left, want (-), got (+):\n%s", lost, tc.lost, diff)
			}
		})
	}
}
