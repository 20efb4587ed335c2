// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package attempt

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"
)

// A Recorder runs a Tracker in a goroutine of its own. It is safe for concurrent use.
type Recorder struct{}

// NewRecorder returns a Recorder; its metrics go to reg. changed is called, in order and from one goroutine, with each
// attempt that changed; it must not block for long.
func NewRecorder(o Options, reg prometheus.Registerer, changed func(Attempt)) (*Recorder, error) {
	return &Recorder{}, nil
}

// Observe takes an event. It never blocks: when too many wait, the oldest is dropped and counted.
func (r *Recorder) Observe(e Event) {}

// Run works until ctx ends.
func (r *Recorder) Run(ctx context.Context) error { <-ctx.Done(); return nil }

// Learn is Tracker.Learn. It never blocks.
func (r *Recorder) Learn(a Attempt) {}

// Attempts is Tracker.Attempts.
func (r *Recorder) Attempts() []Attempt { return nil }
