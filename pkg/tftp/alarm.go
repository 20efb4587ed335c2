// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package tftp

import (
	"math"
	"net"
	"sync/atomic"
	"time"
)

// never is a time that does not come.
const never = time.Duration(math.MaxInt64)

// An alarm ends the waits of a goroutine that reads from conn: at a time, or when another goroutine wants it. Both are read
// deadlines of conn. Times are since the epoch.
type alarm struct {
	conn  *net.UDPConn
	epoch time.Time
	at    time.Duration // the deadline that the reader has set

	asleep atomic.Bool
	woken  atomic.Bool
}

// after returns the time to set for a wait. It is a round one, so that the deadline need not be moved for each wait.
func (a *alarm) after(wait time.Duration) time.Duration {
	if wait < 0 || wait > never/2 {
		return never
	}
	return (time.Since(a.epoch) + wait).Truncate(time.Millisecond) + time.Millisecond
}

// passed says whether a time has come.
func (a *alarm) passed(at time.Duration) bool { return at != never && time.Since(a.epoch) >= at }

// set has waits end at the given time. It says whether to wait at all: not if wake was called.
func (a *alarm) set(at time.Duration) bool {
	// In this order: wake either sees the sleeper, and moves the deadline that is set here, or has left its mark by now.
	a.asleep.Store(true)
	if at != a.at {
		a.move(at)
	}
	return !a.woken.Load()
}

// unset takes the deadline away, which, once passed, lets nobody read.
func (a *alarm) unset() { a.move(never) }

func (a *alarm) move(at time.Duration) {
	var deadline time.Time
	if at != never {
		deadline = a.epoch.Add(at)
	}
	_ = a.conn.SetReadDeadline(deadline) // that conn is closed, reading tells
	a.at = at
}

// awake tells that the wait is over. wake may still move the deadline, if it looked before: a read that ends without cause
// is done again.
func (a *alarm) awake() { a.asleep.Store(false) }

// rung says whether wake was called since it last was asked.
func (a *alarm) rung() bool { return a.woken.Load() && a.woken.Swap(false) }

// wake is the one method for other goroutines.
func (a *alarm) wake() {
	if !a.woken.Swap(true) && a.asleep.Load() {
		_ = a.conn.SetReadDeadline(a.epoch) // which is past
	}
}
