// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package tftp

import (
	mathbits "math/bits"
	"time"
)

const (
	wheelTick  = 2 * time.Millisecond
	wheelSlots = 512 // a power of two; about a second
)

// A wheel calls sessions when their deadlines have passed, at most a tick late. Nearly every ACK moves a deadline to a later
// time. The wheel does not follow: it looks at each session when its old deadline passes, and then files it anew. So an
// ACK costs a comparison.
//
// The zero value is an empty wheel at time 0.
type wheel struct {
	slots  [wheelSlots]*session // doubly linked lists
	filled [wheelSlots / 64]uint64
	tick   int64 // all slots up to this one were looked at
}

// wheelPlace is a session's place on the wheel.
type wheelPlace struct {
	next, prev *session
	tick       int64 // 0: it is not on the wheel
}

// schedule has the session looked at when its deadline has passed, or before.
func (w *wheel) schedule(x *session) {
	tick := int64(x.transfer.deadline/wheelTick) + 1
	tick = min(max(tick, w.tick+1), w.tick+wheelSlots-1)
	if x.place.tick != 0 {
		if x.place.tick <= tick {
			return
		}
		w.remove(x)
	}
	slot := tick % wheelSlots
	x.place = wheelPlace{next: w.slots[slot], tick: tick}
	if x.place.next != nil {
		x.place.next.place.prev = x
	}
	w.slots[slot] = x
	w.filled[slot/64] |= 1 << (slot % 64)
}

func (w *wheel) remove(x *session) {
	if x.place.tick == 0 {
		return
	}
	slot := x.place.tick % wheelSlots
	if x.place.next != nil {
		x.place.next.place.prev = x.place.prev
	}
	if x.place.prev != nil {
		x.place.prev.place.next = x.place.next
	} else {
		w.slots[slot] = x.place.next
	}
	if w.slots[slot] == nil {
		w.filled[slot/64] &^= 1 << (slot % 64)
	}
	x.place = wheelPlace{}
}

// advance calls expire for each session whose deadline has passed at the given time.
func (w *wheel) advance(now time.Duration, expire func(*session)) {
	for until := int64(now / wheelTick); w.tick < until; {
		if next, ok := w.next(); !ok || next > until {
			w.tick = until
			return
		}
		w.tick++
		for slot := w.tick % wheelSlots; w.slots[slot] != nil; {
			x := w.slots[slot]
			w.remove(x)
			if x.transfer.deadline <= now {
				expire(x)
			} else {
				w.schedule(x)
			}
		}
	}
}

// next returns the first tick at which there is a session to look at.
func (w *wheel) next() (tick int64, ok bool) {
	for ahead := int64(1); ahead < wheelSlots; {
		slot := (w.tick + ahead) % wheelSlots
		word := w.filled[slot/64] >> (slot % 64)
		if word != 0 {
			return w.tick + ahead + int64(mathbits.TrailingZeros64(word)), true
		}
		ahead += 64 - slot%64
	}
	return 0, false
}

// pause returns how long there is nothing to do; negative: for ever.
func (w *wheel) pause(now time.Duration) time.Duration {
	tick, ok := w.next()
	if !ok {
		return -1
	}
	return max(0, time.Duration(tick)*wheelTick-now)
}
