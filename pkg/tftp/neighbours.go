// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package tftp

import (
	"errors"
	"math/bits"
	"time"
)

const (
	// maxNeighbours is how many sockets of one address can find each other. Each has a place, by number.
	maxNeighbours = 64
	// helloEvery is how often a loop tells all places that it is there.
	helloEvery = 500 * time.Millisecond
	// neighbourSilence is how long a neighbour may say nothing before it counts as gone. It may be starved of CPU time, as a
	// node is that upgrades; but requests that are handed to one that hangs are lost until then.
	neighbourSilence = 2500 * time.Millisecond
	// settling is how long after a change each neighbour is taken to have strays, until it has told.
	settling = 2 * time.Second
	// meeting is how long a loop waits, before it takes the first datagram, for those who are there to say so.
	meeting = 100 * time.Millisecond
	// fullPause is when a neighbour whose queue was full is tried again.
	fullPause = time.Millisecond
)

// Why a note was not delivered.
var (
	errNobody = errors.New("nobody has this place")
	errFull   = errors.New("the queue is full")
)

// A post delivers notes to the places of other sockets with the same address. Only what users of the same id send comes in.
type post interface {
	// send does not wait. The error is errNobody, errFull, or of this note alone.
	send(place int, b []byte) error
	// receive waits for a note. The error is for good: the post is closed. b holds maxNotes+1 bytes.
	receive(b []byte) (n, place int, err error)
	// place is one's own.
	place() int
	close()
}

// neighbours are the other sockets with this one's address, of this process or another, and what is known of them. It belongs
// to the shard's loop.
//
// When a socket joins or leaves, Linux shares the clients out anew: packets of a transfer then reach a loop that does not
// know it. A transfer that began before the last change is a stray. As long as a neighbour has strays, it is handed what
// belongs to nobody here, and asked for each new request whether it knows that. Without neighbours that have strays nothing
// is handed to anybody, but what comes in while one drains.
type neighbours struct {
	post  post
	tally *tally

	known   uint64 // a bit for each place where somebody is
	all     [maxNeighbours]neighbour
	full    uint64        // those whose notes wait
	changed time.Duration // when known changed last
	next    time.Duration // when to say hello
	flags   byte          // of the next hello
}

// A neighbour is what is known of one.
type neighbour struct {
	heard time.Duration
	flags byte
	out   []byte // the note with packets that is being written; empty: none
}

func newNeighbours(p post, t *tally) *neighbours { return &neighbours{post: p, tally: t} }

func bit(place int) uint64 { return 1 << place }

// each calls f with each place in a set.
func each(set uint64, f func(place int)) {
	for ; set != 0; set &= set - 1 {
		f(bits.TrailingZeros64(set))
	}
}

// holders returns those who may have transfers that began elsewhere.
func (n *neighbours) holders(now time.Duration) (set uint64) {
	if now-n.changed < settling {
		return n.known
	}
	each(n.known, func(place int) {
		if n.all[place].flags&helloStrays != 0 {
			set |= bit(place)
		}
	})
	return set
}

// heir returns who begins transfers, as far as is known. ok is false when there is nobody.
func (n *neighbours) heir() (place int, ok bool) {
	each(n.known, func(other int) {
		if !ok && n.all[other].flags&helloDraining == 0 {
			place, ok = other, true
		}
	})
	return place, ok
}

// hear takes a hello.
func (n *neighbours) hear(place int, flags byte, now time.Duration) {
	if place == n.post.place() {
		return
	}
	x := &n.all[place]
	x.heard, x.flags = now, flags&^helloAnswer
	if n.known&bit(place) == 0 {
		n.known |= bit(place)
		n.change(now)
	}
	if flags&helloAnswer != 0 {
		_ = n.post.send(place, note(noteHello, n.flags)) // it is told again soon
	}
}

// change takes note that the clients have been shared out anew: what each has now may be a stray, and all are told.
func (n *neighbours) change(now time.Duration) {
	n.changed, n.next = now, now
	n.tally.neighbours = bits.OnesCount64(n.known)
}

// forget takes out a neighbour that is gone, and returns the note that it did not get.
func (n *neighbours) forget(place int, now time.Duration) (undelivered []byte) {
	if n.known&bit(place) == 0 {
		return nil
	}
	undelivered = n.all[place].out
	n.known &^= bit(place)
	n.full &^= bit(place)
	n.all[place] = neighbour{}
	n.change(now)
	return undelivered
}

// greet tells all places how things are here, and returns those where somebody is.
func (n *neighbours) greet(flags byte, now time.Duration) (there uint64) {
	n.flags, n.next = flags&^helloAnswer, now+helloEvery
	b := note(noteHello, flags)
	for place := range maxNeighbours {
		if place != n.post.place() && !errors.Is(n.post.send(place, b), errNobody) {
			there |= bit(place)
		}
	}
	return there
}

// put writes a packet into the note for a neighbour. It returns false when that can't be delivered.
func (n *neighbours) put(place int, h *handed) bool {
	if n.known&bit(place) == 0 {
		return false
	}
	x := &n.all[place]
	if len(x.out)+handedHead+len(h.data) > maxNotes {
		n.tally.undelivered++
		return false
	}
	if len(x.out) == 0 {
		x.out = append(append(x.out, notesMagic...), notePackets)
	}
	x.out = appendHanded(x.out, h)
	n.full |= bit(place)
	n.tally.given++
	return true
}

// flush sends the notes that are written. It returns those of neighbours that turn out to be gone.
func (n *neighbours) flush(now time.Duration) (undelivered [][]byte) {
	each(n.full, func(place int) {
		x := &n.all[place]
		switch err := n.post.send(place, x.out); {
		case errors.Is(err, errFull):
			return // it stays
		case errors.Is(err, errNobody):
			if lost := n.forget(place, now); len(lost) > 0 {
				undelivered = append(undelivered, lost)
			}
			return
		case err != nil:
			n.tally.undelivered++
		}
		x.out = x.out[:0]
		n.full &^= bit(place)
	})
	return undelivered
}

// pause returns when there is something to do.
func (n *neighbours) pause(now time.Duration) time.Duration {
	pause := max(0, n.next-now)
	if n.full != 0 {
		pause = min(pause, fullPause)
	}
	return pause
}
