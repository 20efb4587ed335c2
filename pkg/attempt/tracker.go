// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package attempt

import (
	"time"

	"github.com/netboot-operator/netboot-operator/pkg/index"
)

// Options of a Tracker and a Recorder.
type Options struct {
	// Index tells which Machines there are: for the nearest known MAC address, and whose a MAC address is. Required.
	Index *index.Index
	// Quiet is for how long a boot that should go on may be silent before it is called stopped. Default 1 minute;
	// 1 second to 1 hour.
	Quiet time.Duration
	// InstallQuiet is the same from when kernel and initrds are there until the machine fetches a config or calls back:
	// it starts a kernel meanwhile. Default 10 minutes; 1 second to 24 hours.
	InstallQuiet time.Duration
	// MaxAttempts bounds the attempts that are remembered; the oldest go first. Default 20 000.
	MaxAttempts int
}

// Tracker groups requests into attempts. It is not safe for concurrent use.
type Tracker struct{}

// NewTracker returns a Tracker that knows no attempts. The error names the option.
func NewTracker(o Options) (*Tracker, error) { return &Tracker{}, nil }

// Observe takes one more event, and returns the attempts whose stage, cause or end has changed. Events come in the order of
// their times, but for a little.
func (t *Tracker) Observe(e Event) []Attempt { return nil }

// Advance tells what the time is, and returns the attempts that changed by it: those that have been silent for too long.
func (t *Tracker) Advance(now time.Time) []Attempt { return nil }

// Next returns when Advance has something to do; the zero time: only after another event.
func (t *Tracker) Next() time.Time { return time.Time{} }

// Learn tells what a Machine's status says of its latest boot: another process may have served a part of it.
func (t *Tracker) Learn(a Attempt) {}

// Attempts returns the latest attempt of each machine, and of each client that is no known machine.
func (t *Tracker) Attempts() []Attempt { return nil }

// Merge returns what is known of one boot that two processes have each seen a part of: the furthest stage, the first start,
// the sum of what each sent, and a cause only if neither has seen the boot go on after it.
func Merge(a, b Attempt) Attempt { return a }

// SameBoot says whether two attempts of one machine, as two processes have seen them, are parts of one boot.
func SameBoot(a, b Attempt) bool { return false }
