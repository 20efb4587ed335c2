// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"
	"golang.org/x/time/rate"

	"github.com/netboot-operator/netboot-operator/api/v1alpha1"
	"github.com/netboot-operator/netboot-operator/pkg/attempt"
	"github.com/netboot-operator/netboot-operator/pkg/index"
	"github.com/netboot-operator/netboot-operator/pkg/ledger"
)

const (
	defaultStatusWrites   = 20
	maxStatusWrites       = 1000
	defaultMaxQueuedBoots = 20_000
	// ledgerPeriod is how often the ledger is looked through for what no attempt tells of.
	ledgerPeriod = 10 * time.Second
	// What the API server does not take is tried again after these times.
	minBootRetry = 500 * time.Millisecond
	maxBootRetry = 30 * time.Second
	// lastWrites bounds what is still written when the process ends.
	lastWrites = 3 * time.Second
)

// BootReporterOptions are those of a BootReporter.
type BootReporterOptions struct {
	// Ledger keeps what no status tells yet. Required.
	Ledger *ledger.Ledger
	// Node is where this process runs: status.lastBoot.servedBy.
	Node string
	// WritesPerSecond bounds the writes of statuses, of all Machines together. Default 20; 1 to 1000.
	WritesPerSecond int
	// MaxQueued bounds the Machines whose boots wait to be written. Default 20 000; 1 to 1 million.
	MaxQueued  int
	Log        logr.Logger
	Registerer prometheus.Registerer // nil: metrics are not registered
}

// A BootReporter writes what became of boots into the status of Machines: through the API server in a cluster, as part of
// Pod.Setup, else as Standalone does. While it can't write, the latest boot of each Machine waits.
//
//	reporter, err := controllers.NewBootReporter(options)
//	recorder, err := attempt.NewRecorder(options, registry, reporter.Changed)
//	reporter.TellTo(recorder)
//	pod.Boots = reporter // or standalone.Boots
//	go reporter.Run(ctx) // as long as the recorder runs
type BootReporter struct {
	options BootReporterOptions
	metrics *bootMetrics
	queue   *bootQueue
	limit   *rate.Limiter
	learner bootLearner // nil: nobody

	inboxMu sync.Mutex
	inbox   bootInbox
	bell    chan struct{} // holds a token when the inbox is not empty

	passing sync.Mutex // of what is in the ledger already and not in the queue yet: it would be written twice

	mu       sync.Mutex
	memories map[index.Key]bootMemory
}

// A bootLearner is told what other processes have served: an attempt.Recorder.
type bootLearner interface{ Learn(a attempt.Attempt) }

// A bootSink is where the statuses are.
type bootSink interface {
	// write brings the status of a Machine up to date. With a result that is tried again comes an error.
	write(ctx context.Context, b queuedBoot) (bootResult, error)
}

// NewBootReporter returns a BootReporter that nothing was told to. The error names the option.
func NewBootReporter(o BootReporterOptions) (*BootReporter, error) {
	o.WritesPerSecond, o.MaxQueued = cmp.Or(o.WritesPerSecond, defaultStatusWrites), cmp.Or(o.MaxQueued, defaultMaxQueuedBoots)
	switch {
	case o.Ledger == nil:
		return nil, errors.New("options of the reporter of boots: Ledger is required")
	case o.WritesPerSecond < 1 || o.WritesPerSecond > maxStatusWrites:
		return nil, fmt.Errorf("options of the reporter of boots: WritesPerSecond %d is not between 1 and %d", o.WritesPerSecond, maxStatusWrites)
	case o.MaxQueued < 1 || o.MaxQueued > 1_000_000:
		return nil, fmt.Errorf("options of the reporter of boots: MaxQueued %d is not between 1 and 1000000", o.MaxQueued)
	}
	r := &BootReporter{
		options: o, queue: newBootQueue(o.MaxQueued), bell: make(chan struct{}, 1), memories: map[index.Key]bootMemory{},
		limit: rate.NewLimiter(rate.Limit(o.WritesPerSecond), o.WritesPerSecond),
	}
	var err error
	r.metrics, err = newBootMetrics(o.Registerer, func() float64 { return float64(r.queue.len()) })
	return r, err
}

// TellTo has l told what other pods have served. It is called before Pod.Setup.
func (r *BootReporter) TellTo(l bootLearner) { r.learner = l }

// Changed takes an attempt whose stage, cause or end has changed. It never blocks: when too many wait, the oldest is dropped and
// counted, of those that mean something for the policy Once last.
func (r *BootReporter) Changed(a attempt.Attempt) {
	if a.Machine == "" {
		return // of no Machine that is known: there is no status
	}
	r.inboxMu.Lock()
	r.metrics.dropped.Add(float64(r.inbox.put(a, r.options.MaxQueued)))
	r.inboxMu.Unlock()
	select {
	case r.bell <- struct{}{}:
	default:
	}
}

// Run puts what must outlive the process into the ledger, and the rest into the queue, until ctx ends and the inbox is empty.
// It needs no API server.
func (r *BootReporter) Run(ctx context.Context) error {
	for {
		done := ctx.Err() != nil
		r.inboxMu.Lock()
		all := r.inbox.order
		r.inbox = bootInbox{}
		r.inboxMu.Unlock()
		r.passing.Lock()
		r.noteAll(all)
		for i := range all {
			r.metrics.dropped.Add(float64(r.queue.put(queuedBoot{all[i].Machine, &all[i]})))
		}
		r.passing.Unlock()
		if done && len(all) == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
		case <-r.bell:
		}
	}
}

// notesAtOnce is how many wait for the disk together: the ledger puts what comes at the same time there at once.
const notesAtOnce = 64

// noteAll is note for many.
func (r *BootReporter) noteAll(all []attempt.Attempt) {
	var notes errgroup.Group
	notes.SetLimit(notesAtOnce)
	for i := range all {
		if forLedger(&all[i]) {
			notes.Go(func() error {
				r.note(&all[i])
				return nil
			})
		}
	}
	_ = notes.Wait() // nobody returns an error
}

// forLedger says whether an attempt means something for the policy Once.
func forLedger(a *attempt.Attempt) bool {
	return a.BootID != "" && (a.Counts || a.Stage == attempt.StageDone && a.CompleteOn == attempt.CompleteOnPayloadServed)
}

// note tells the ledger what an attempt means for the policy Once. To tell it twice does no harm.
func (r *BootReporter) note(a *attempt.Attempt) {
	boot := ledger.Boot{Machine: a.Machine, BootID: a.BootID}
	var err error
	if a.Counts {
		err = r.options.Ledger.Begin(boot, a.Start)
	}
	if a.Stage == attempt.StageDone && a.CompleteOn == attempt.CompleteOnPayloadServed {
		err = errors.Join(err, r.options.Ledger.Complete(boot, string(attempt.CompleteOnPayloadServed), a.Last))
	}
	if err != nil {
		r.options.Log.Error(err, "A boot is not in the ledger; it stands in the Machine's status only", kindMachine, a.Machine, "bootID", a.BootID)
	}
}

// report writes what there is to write until ctx ends. Only one at a time may run.
func (r *BootReporter) report(ctx context.Context, sink bootSink) error {
	sweep := time.NewTicker(ledgerPeriod)
	defer sweep.Stop()
	r.sweep()
	retry := minBootRetry
	for {
		b, ok := r.queue.take()
		if !ok {
			select {
			case <-r.queue.bell:
			case <-sweep.C:
				r.sweep()
			case <-ctx.Done():
				return nil
			}
			continue
		}
		if r.limit.Wait(ctx) != nil {
			r.putBack(b)
			r.finish(ctx, sink)
			return nil
		}
		if r.write(ctx, sink, b) {
			retry = minBootRetry
			continue
		}
		if !wait(ctx, retry) {
			r.finish(ctx, sink)
			return nil
		}
		retry = min(2*retry, maxBootRetry)
	}
}

// write writes one boot, and returns false when nothing can be written now.
func (r *BootReporter) write(ctx context.Context, sink bootSink, b queuedBoot) bool {
	result, err := sink.write(ctx, b)
	if ctx.Err() != nil && err != nil {
		r.putBack(b) // for what writes next
		return false
	}
	r.metrics.writes.WithLabelValues(string(result)).Inc()
	switch result {
	case bootConflict:
		r.metrics.dropped.Add(float64(r.queue.again(b, true)))
		if r.queue.len() == 1 { // else the cache has time to see it meanwhile
			wait(ctx, conflictRetry)
		}
	case bootRetried:
		r.putBack(b)
		r.options.Log.Info("What became of a boot is not written yet; it is tried again", kindMachine, b.machine, "waiting", r.queue.len(),
			"reason", err.Error())
		return false
	case bootRefused:
		r.options.Log.Error(err, "What became of a boot can't be written", kindMachine, b.machine)
	}
	return true
}

func (r *BootReporter) putBack(b queuedBoot) { r.metrics.dropped.Add(float64(r.queue.again(b, false))) }

// finish writes, for a while after ctx has ended, what still waits: the ledger keeps the rest for the next start, but for how
// far a boot came.
func (r *BootReporter) finish(ctx context.Context, sink bootSink) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastWrites)
	defer cancel()
	for {
		b, ok := r.queue.take()
		if !ok {
			return
		}
		if r.limit.Wait(ctx) != nil || !r.write(ctx, sink, b) {
			r.putBack(b)
			return
		}
	}
}

// sweep has the Machines looked at of which the ledger knows something that no status tells.
func (r *BootReporter) sweep() {
	r.passing.Lock()
	defer r.passing.Unlock()
	for _, e := range r.options.Ledger.Pending() {
		r.metrics.dropped.Add(float64(r.queue.put(queuedBoot{machine: e.Machine})))
	}
}

// news returns what there is to tell of a Machine whose spec has a bootID.
func (r *BootReporter) news(b queuedBoot, bootID string) bootNews {
	return bootNews{
		attempt: b.attempt, node: r.options.Node, now: time.Now(),
		entry: r.options.Ledger.Entry(ledger.Boot{Machine: b.machine, BootID: bootID}),
	}
}

// memory returns what this process knows of what it wrote of a Machine.
func (r *BootReporter) memory(machine index.Key) bootMemory {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.memories[machine]
}

// wrote notes that the status of a Machine, which was before and is after, tells what n does.
func (r *BootReporter) wrote(memory bootMemory, n bootNews, before, after *v1alpha1.Machine) {
	if n.attempt != nil || memory.wrote == markOf(before.Status.LastBoot) {
		memory.wrote = markOf(after.Status.LastBoot)
		r.mu.Lock()
		r.memories[keyOf(after)] = memory
		r.mu.Unlock()
	}
	n.entry.Boots = bootsOf(after, n.entry.BootID)
	r.options.Ledger.Written(n.entry)
}

// isOwn says whether this process wrote what a status tells.
func (r *BootReporter) isOwn(machine index.Key, mark bootMark) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.memories[machine].wrote == mark
}

// forget drops what is known of a Machine: there is none any more.
func (r *BootReporter) forget(machine index.Key) {
	r.mu.Lock()
	delete(r.memories, machine)
	r.mu.Unlock()
	r.queue.remove(machine)
	r.options.Ledger.Forget(machine)
}
