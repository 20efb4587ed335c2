// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package attempt

import (
	"context"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/netboot-operator/netboot-operator/pkg/index"
)

const (
	// maxQueued bounds the events that wait.
	maxQueued = 1 << 16
	// maxBatch is how many events are taken at once: between batches, others may read the attempts.
	maxBatch = 1024
	// maxIdleQueue is how many events' room an empty queue keeps.
	maxIdleQueue = 4096
)

// A Recorder runs a Tracker in a goroutine of its own. It is safe for concurrent use.
type Recorder struct {
	changed func(Attempt)
	metrics *metrics
	bell    chan struct{} // rings when there is something to do

	queueMu sync.Mutex
	ring    []Event // of which count from first on wait
	first   int
	count   int
	learned map[index.Key]Attempt

	mu      sync.Mutex
	tracker *Tracker
}

// NewRecorder returns a Recorder; its metrics go to reg. changed is called, in order and from one goroutine, with each
// attempt that changed; it must not block for long.
func NewRecorder(o Options, reg prometheus.Registerer, changed func(Attempt)) (*Recorder, error) {
	tracker, err := NewTracker(o)
	if err != nil {
		return nil, err
	}
	m, err := newMetrics(reg)
	if err != nil {
		return nil, err
	}
	if changed == nil {
		changed = func(Attempt) {}
	}
	return &Recorder{
		changed: changed, metrics: m, bell: make(chan struct{}, 1), tracker: tracker, learned: map[index.Key]Attempt{},
	}, nil
}

// Observe takes an event. It never blocks: when too many wait, the oldest is dropped and counted.
func (r *Recorder) Observe(e Event) {
	r.queueMu.Lock()
	switch {
	case r.count < len(r.ring):
	case len(r.ring) < maxQueued:
		r.grow()
	default:
		r.first = (r.first + 1) % len(r.ring)
		r.count--
		r.metrics.dropped.Inc()
	}
	r.ring[(r.first+r.count)%len(r.ring)] = e
	r.count++
	r.queueMu.Unlock()
	r.wake()
}

// grow doubles the room of the queue.
func (r *Recorder) grow() {
	ring := make([]Event, max(64, 2*len(r.ring)))
	n := copy(ring, r.ring[r.first:])
	copy(ring[n:], r.ring[:r.first])
	r.ring, r.first = ring, 0
}

// wake wakes Run.
func (r *Recorder) wake() {
	select {
	case r.bell <- struct{}{}:
	default:
	}
}

// take moves what waits into batch, and returns it with what is to be learned.
func (r *Recorder) take(batch []Event) ([]Event, map[index.Key]Attempt) {
	r.queueMu.Lock()
	defer r.queueMu.Unlock()
	for r.count > 0 && len(batch) < maxBatch {
		batch = append(batch, r.ring[r.first])
		r.ring[r.first] = Event{}
		r.first = (r.first + 1) % len(r.ring)
		r.count--
	}
	if r.count == 0 && len(r.ring) > maxIdleQueue {
		r.ring, r.first = nil, 0
	}
	if len(r.learned) == 0 {
		return batch, nil
	}
	learned := r.learned
	r.learned = map[index.Key]Attempt{}
	return batch, learned
}

// Run works until ctx ends. What was observed before is dealt with then, too.
func (r *Recorder) Run(ctx context.Context) error {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	batch := make([]Event, 0, maxBatch)
	for {
		done := ctx.Err() != nil
		for {
			var learned map[index.Key]Attempt
			batch, learned = r.take(batch[:0])
			r.deal(batch, learned)
			if len(batch) == 0 {
				break
			}
		}
		if done {
			return nil
		}
		timer.Reset(r.wait())
		select {
		case <-ctx.Done():
		case <-r.bell:
		case <-timer.C:
		}
	}
}

// wait returns how long there is nothing to do unless something comes.
func (r *Recorder) wait() time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	next := r.tracker.Next()
	if next.IsZero() {
		return time.Hour
	}
	return max(time.Until(next), time.Millisecond)
}

// deal takes in a batch and what the time is, and tells what changed.
func (r *Recorder) deal(batch []Event, learned map[index.Key]Attempt) {
	var changed []Attempt
	r.mu.Lock()
	for _, a := range learned {
		r.tracker.Learn(a)
	}
	for i := range batch {
		changed = append(changed, r.tracker.Observe(batch[i])...)
	}
	changed = append(changed, r.tracker.Advance(time.Now())...)
	ends, active := r.tracker.takeEnds(), r.tracker.active
	r.mu.Unlock()
	r.metrics.count(ends, active)
	for _, a := range changed {
		r.changed(a)
	}
}

// Learn is Tracker.Learn. It never blocks; of what waits, the latest for each machine counts.
func (r *Recorder) Learn(a Attempt) {
	r.queueMu.Lock()
	r.learned[a.Machine] = a
	r.queueMu.Unlock()
	r.wake()
}

// Attempts is Tracker.Attempts.
func (r *Recorder) Attempts() []Attempt {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.tracker.Attempts()
}
