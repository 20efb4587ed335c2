// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package tftp

import (
	"math"
	"time"
)

// A transfer is the state of one file on its way to one client. It does no I/O and reads no clock: it is told what came and
// when, and says what to send.
//
// Blocks are counted without rolling over, so that block n is the bytes from (n-1)*blockSize; on the wire only the low
// 16 bits show. Block 0 is the OACK, which ACK 0 acknowledges. The last block is the first one shorter than blockSize,
// perhaps empty.
type transfer struct {
	blockSize int
	window    int // blocks
	size      int64
	retry     retry

	first    int64 // the block that was sent first: 0 or 1
	acked    int64 // the client has all blocks up to this one; first-1: none
	sent     int64 // the highest block that was sent
	resent   int64 // blocks that were sent more than once
	tries    int   // how often the block after acked was sent and timed out
	wait     time.Duration
	deadline time.Time // when to call expire
}

// retry says when to send again.
type retry struct {
	first    time.Duration // after the first try; doubled after each further one
	most     time.Duration
	attempts int // in all, for the same block
}

// unknownSize is the size of a file whose end was not reached yet.
const unknownSize = -1

// newTransfer returns the state before the first packet. size is in bytes, or unknownSize.
func newTransfer(t terms, r retry, size int64) *transfer {
	x := &transfer{blockSize: t.blockSize, window: t.window, size: size, retry: r, first: 1}
	if len(t.accepted) > 0 {
		x.first = 0
	}
	x.acked, x.sent = x.first-1, x.first-1
	x.wait = min(r.first, r.most)
	return x
}

// A step is what to do next: send the blocks from..to, none if to is less; then wait, or stop if there is an outcome.
type step struct {
	from, to int64
	outcome  Outcome
}

// waiting is the step that sends nothing.
func waiting() step { return step{from: 0, to: -1} }

func ended(o Outcome) step { return step{from: 0, to: -1, outcome: o} }

// start returns the first step.
func (x *transfer) start(now time.Time) step { return x.send(now) }

// receive takes an ACK or ERROR of the client.
//
// An ACK inside the window moves the window to it, and what follows is sent (RFC 7440, section 4): the client has lost
// something there. An ACK of what was acknowledged before is nothing: answering it doubles every later packet (RFC 1123,
// 4.2.3.1), and under EDK2, which acknowledges each block that comes out of order, never ends.
func (x *transfer) receive(r reply, now time.Time) step {
	if r.err != nil {
		if x.first == 0 && x.acked <= 0 {
			return ended(OutcomeProbe)
		}
		return ended(OutcomeClientError)
	}
	ahead := r.block - uint16(x.acked) // modulo 65536: blocks roll over to 0
	if ahead == 0 || x.acked+int64(ahead) > x.sent {
		return waiting()
	}
	x.acked += int64(ahead)
	if x.acked == x.last() {
		return ended(OutcomeComplete)
	}
	x.tries, x.wait = 0, min(x.retry.first, x.retry.most)
	return x.send(now)
}

// expire takes the passing of the deadline.
func (x *transfer) expire(now time.Time) step {
	x.tries++
	if x.tries >= x.retry.attempts {
		return ended(x.silence(OutcomeTimeout))
	}
	x.wait = min(2*x.wait, x.retry.most)
	return x.send(now)
}

// refused takes the word of the client's host that nobody listens there any more.
func (x *transfer) refused() step { return ended(x.silence(OutcomeClientGone)) }

// silence returns what it means that the client says no more: all is well if it was there and has been sent everything,
// for most clients close their port when they have the last block; otherwise it means o.
func (x *transfer) silence(o Outcome) Outcome {
	if x.sent == x.last() && x.proven() {
		return OutcomeLastACKLost
	}
	return o
}

// proven says whether the client has answered at all.
func (x *transfer) proven() bool { return x.acked >= x.first }

// stalled says whether the client has answered, but not since a deadline passed.
func (x *transfer) stalled() bool { return x.proven() && x.tries > 0 }

// send returns the step that sends the window after acked.
func (x *transfer) send(now time.Time) step {
	from, to := x.acked+1, x.acked+int64(x.window)
	if from == 0 {
		to = 0 // the OACK goes alone
	}
	to = min(to, x.last())
	x.resent += max(0, min(to, x.sent)-from+1)
	x.sent = max(x.sent, to)
	x.deadline = now.Add(x.wait)
	return step{from: from, to: to}
}

// found takes the news that block is the last one and holds n bytes: news only if the size was unknown.
func (x *transfer) found(block int64, n int) {
	x.size = (block-1)*int64(x.blockSize) + int64(n)
	x.sent = block
}

// last returns the number of the last block.
func (x *transfer) last() int64 {
	if x.size == unknownSize {
		return math.MaxInt64
	}
	return x.size/int64(x.blockSize) + 1
}

// progress returns the blocks and bytes that the client has acknowledged.
func (x *transfer) progress() (blocks, bytes int64) {
	blocks = max(0, x.acked)
	bytes = blocks * int64(x.blockSize)
	if x.size != unknownSize {
		bytes = min(bytes, x.size)
	}
	return blocks, bytes
}
