// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package attempt

import (
	"container/heap"
	"time"
)

// deadlines holds boots by the time at which to look at them again. That may be too early, never too late: a request only
// makes the time at which its boot is called stopped later, and so changes nothing here.
type deadlines struct{ queue queue }

type queue []*boot

func (q queue) Len() int           { return len(q) }
func (q queue) Less(i, j int) bool { return q[i].due.Before(q[j].due) }
func (q queue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].at, q[j].at = i+1, j+1
}
func (q *queue) Push(x any) {
	b := x.(*boot)
	*q = append(*q, b)
	b.at = len(*q)
}
func (q *queue) Pop() any {
	old := *q
	b := old[len(old)-1]
	old[len(old)-1] = nil
	*q = old[:len(old)-1]
	b.at = 0
	return b
}

// push notes when to look at a boot, unless it will be looked at earlier.
func (d *deadlines) push(b *boot, at time.Time) {
	switch {
	case b.at == 0:
		b.due = at
		heap.Push(&d.queue, b)
	case at.Before(b.due):
		b.due = at
		heap.Fix(&d.queue, b.at-1)
	}
}

// pop takes a boot that is due at the given time, or returns nil.
func (d *deadlines) pop(now time.Time) *boot {
	if len(d.queue) == 0 || d.queue[0].due.After(now) {
		return nil
	}
	return heap.Pop(&d.queue).(*boot)
}

func (d *deadlines) remove(b *boot) {
	if b.at > 0 {
		heap.Remove(&d.queue, b.at-1)
	}
}

func (d *deadlines) next() time.Time {
	if len(d.queue) == 0 {
		return time.Time{}
	}
	return d.queue[0].due
}
