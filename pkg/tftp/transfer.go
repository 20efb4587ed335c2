// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package tftp

import (
	"math"
	"time"
)

// A transfer is the state of one file on its way to one client. It does no I/O and reads no clock: it is told what came and
// when, and says what to send. Times are durations since a moment of the caller's choice.
//
// Blocks are counted without rolling over, so that block n is the bytes from (n-1)*blockSize; number is what shows on the
// wire. Block 0 is the OACK, which ACK 0 acknowledges. The last block is the first one shorter than blockSize, perhaps
// empty.
//
// A flight is what is on its way to the client, at most up to the end of its window. Each step that has blocks begins a
// flight or adds to the one under way, and the caller tells with departed how far it came.
type transfer struct {
	blockSize int
	window    int64 // blocks
	size      int64 // bytes, or UnknownSize
	timing    timing
	rtt       roundTrip
	skipZero  bool // after block 65535 comes 1, not 0

	first int64 // the block that was sent first: 0 or 1
	acked int64 // the client has all blocks up to this one; first-1: none
	sent  int64 // the highest block that was sent

	flightFrom, flightTo int64         // the flight's blocks
	flightAt             time.Duration // when it began
	leftAt               time.Duration // when the last part of it left
	// fresh is the first block of that last part which had not been sent before, if there is one. An ACK of such a block
	// is about that very packet: it tells the round trip (Karn).
	fresh    int64
	echoes   int64 // how many ACKs may come only because the client got blocks twice
	wentBack bool  // the flight answers a loss that the client told of: further ACKs of the same block say nothing new

	starved   int64         // the block that could not be sent because its data is not there yet; 0: none
	starvedAt time.Duration // since when

	tries    int           // how often the block after acked was sent and timed out
	backoff  int           // how often the wait is doubled
	heard    time.Duration // when the client last made progress; at first, when the transfer began
	deadline time.Duration // when to call expire

	resent     int64 // packets that were sent more than once
	duplicates int64 // ACKs that acknowledged nothing new
}

// timing says when to send again and when to give up.
type timing struct {
	first    time.Duration // the wait before the round trip is known
	floor    time.Duration // the shortest wait after that
	most     time.Duration // the longest wait
	idle     time.Duration // a client that has answered once may be silent for so long
	body     time.Duration // the file's data may be so late
	attempts int           // the least number of times that a block is sent before a client that answered once is given up
}

// What a client that never answered gets at most of one request, for its address may be forged: OACKs are as short as
// requests, DATA is not.
const (
	maxUnprovenOACK = 3
	maxUnprovenDATA = 2
)

// UnknownSize is the size of a stream whose end is not known.
const UnknownSize = -1

// newTransfer returns the state before the first packet. size is in bytes, or UnknownSize.
func newTransfer(t terms, w timing, size int64, now time.Duration) transfer {
	x := transfer{blockSize: t.blockSize, window: int64(t.window), size: size, timing: w, first: 1, heard: now}
	if len(t.accepted) > 0 {
		x.first = 0
	}
	x.acked, x.sent, x.flightTo = x.first-1, x.first-1, x.first-1
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
func (x *transfer) start(now time.Duration) step { return x.send(x.acked+1, now) }

// again takes the request that began this transfer, once more. It is answered while the client has not answered itself:
// one small request, one answer.
func (x *transfer) again(now time.Duration) step {
	if x.proven() || x.hungry() {
		return waiting()
	}
	return x.send(x.acked+1, now)
}

// receive takes an ACK or ERROR of the client.
//
// An ACK inside the flight may say that the next block is lost. Then that block is sent again, and what follows, up to the
// end of the window that now begins there (RFC 7440, section 4). But an ACK may be about packets of before as well, for
// clients answer a block that they have already: EDK2 does so each time, with the last block that it has in order, and
// counts its window from there. A server that goes back for that sends again what the client has, gets the next such ACK,
// and so on. Therefore it goes back only if the ACK can't be of that kind. Else the window moves on and what it gains is
// sent, nothing twice; if something was lost after all, the client's ACKs of those blocks will tell.
func (x *transfer) receive(r reply, now time.Duration) step {
	if r.err != nil {
		return ended(x.aborted(r.err.Code))
	}
	block := x.acked + x.ahead(r.block)
	if block == x.acked {
		return x.duplicate(now)
	}
	if block > x.sent {
		x.duplicates++ // of long ago, or of nothing that was sent
		return waiting()
	}
	inside := block < x.flightTo
	goBack := inside && (x.isFresh(block) || x.echoes == 0)
	x.learn(block, now)
	x.acked, x.heard, x.tries, x.wentBack = block, now, 0, goBack
	switch {
	case block == x.last():
		return ended(OutcomeComplete)
	case inside && !goBack:
		return x.send(x.flightTo+1, now)
	}
	return x.send(block+1, now)
}

// duplicate takes an ACK of what was acknowledged before. In lock-step it is nothing: answering it doubles every later
// packet (RFC 1123, section 4.2.3.1). In a window it may say that the window's first block is lost, and is believed once.
func (x *transfer) duplicate(now time.Duration) step {
	x.duplicates++
	switch {
	case x.window == 1, x.wentBack, x.acked >= x.flightTo:
		return waiting()
	case x.echoes > 0:
		x.echoes--
		return waiting()
	case x.early(now):
		return waiting()
	}
	x.wentBack = true
	return x.send(x.acked+1, now)
}

// isFresh says whether a block was sent once, in the last part of the flight.
func (x *transfer) isFresh(block int64) bool { return block >= x.fresh && block <= x.flightTo }

// early says whether an ACK that comes now is too early to be about the flight.
func (x *transfer) early(now time.Duration) bool {
	return !x.rtt.known() || now-x.flightAt < x.rtt.least
}

// learn takes from an ACK of a new block what it says about the client's pace and about the ACKs that are still to come.
func (x *transfer) learn(block int64, now time.Duration) {
	took := now - x.leftAt
	if x.isFresh(block) {
		x.rtt.measure(took)
		x.backoff = 0
		x.echoes = 0 // the client has seen all that left before
		return
	}
	// After a packet was sent again, it is not known which of the two an ACK is about, and the wait stays long until it
	// is (Karn): the client may have become slow. It has not if the ACK is as prompt as ever, or the second in time.
	if x.rtt.usual(took) || x.tries == 0 {
		x.backoff = 0
	}
	// The client has none of the blocks after this one, or it would have said so: they bring no echo. It may, though, be
	// slow, and the ACK about an earlier flight; so this is believed as long as most of what was sent was of use.
	if !x.early(now) && x.resent <= x.acked+x.window {
		x.echoes = min(x.echoes, max(0, block-x.flightFrom+1))
	}
}

// aborted returns what an ERROR means.
func (x *transfer) aborted(code ErrorCode) Outcome {
	if x.first == 0 && x.acked <= 0 && (code == CodeUndefined || code == CodeOptionRefused) {
		return OutcomeProbe
	}
	return OutcomeClientError
}

// expire takes the passing of the deadline.
func (x *transfer) expire(now time.Duration) step {
	if x.hungry() {
		return ended(OutcomeFailed) // the data did not come in time
	}
	x.tries++
	if x.exhausted(now) {
		return ended(x.silence(OutcomeTimeout))
	}
	x.backoff++
	x.wentBack = false
	next := x.send(x.acked+1, now)
	if x.acked == 0 && x.tries > 1 {
		// The ACK of an OACK is always the same: who forges the request can forge it, too. The window that it opened is sent
		// twice, for it may have been lost, and then one block at a time until the client has shown that something came.
		next.to = min(next.to, next.from)
	}
	return next
}

// exhausted says whether the client has been given enough tries and time.
func (x *transfer) exhausted(now time.Duration) bool {
	switch {
	case !x.proven() && x.first == 0:
		return x.tries >= min(x.timing.attempts, maxUnprovenOACK)
	case !x.proven():
		return x.tries >= min(x.timing.attempts, maxUnprovenDATA)
	case x.sent == x.last(): // it most likely has everything and has closed its port; if not, its own timer has time to say so
		return x.tries >= x.timing.attempts && now-x.heard >= min(x.timing.most, x.timing.idle)
	}
	return x.tries >= x.timing.attempts && now-x.heard >= x.timing.idle
}

// fed takes the news that the data which the transfer waits for is there.
func (x *transfer) fed(now time.Duration) step {
	if x.starved <= max(x.acked, 0) { // nothing lacks, or the client has it from before
		x.starved = 0
		return waiting()
	}
	return x.send(x.starved, now)
}

// silence returns what it means that the client says no more: all is well if it was there and has been sent everything,
// for most clients close their port when they have the last block; otherwise it means o.
func (x *transfer) silence(o Outcome) Outcome {
	if x.sent == x.last() && x.proven() {
		return OutcomeLastACKLost
	}
	return o
}

// proven says whether the client has answered at all, so that its address is not forged.
func (x *transfer) proven() bool { return x.acked >= x.first }

// stalled says whether the client has answered, but not since a deadline passed.
func (x *transfer) stalled() bool { return x.proven() && x.tries > 0 }

// hungry says whether the data of the very next block is not there.
func (x *transfer) hungry() bool { return x.starved > 0 && x.starved == x.acked+1 }

// send returns the step that sends the blocks from the given one to the end of the window.
func (x *transfer) send(from int64, now time.Duration) step {
	to := min(x.acked+x.window, x.last())
	if from == 0 {
		to = 0 // the OACK goes alone
	}
	x.deadline = now + x.wait()
	return step{from: from, to: to}
}

// departed tells the transfer that of a step's blocks those up to the given one were sent, from-1 if none. The others
// lack their data; when that has come, fed sends them.
func (x *transfer) departed(s step, upTo int64, now time.Duration) {
	switch {
	case upTo < s.to && upTo < x.last():
		if x.starved != upTo+1 {
			x.starved, x.starvedAt = upTo+1, now
		}
		if x.hungry() { // there is nothing to wait for but the data
			x.deadline = x.starvedAt + x.timing.body
		}
	case upTo >= x.starved:
		x.starved = 0
	}
	if upTo < s.from {
		return
	}
	again := max(0, min(upTo, x.sent)-s.from+1)
	x.resent += again
	if s.from == x.acked+1 {
		x.flightFrom, x.flightAt = s.from, now
	}
	x.echoes += again
	x.fresh = max(s.from, x.sent+1)
	x.sent = max(x.sent, upTo)
	x.flightTo, x.leftAt = upTo, now
}

// wait returns how long an ACK is waited for.
func (x *transfer) wait() time.Duration {
	wait := x.timing.first
	if x.rtt.known() {
		wait = max(x.rtt.timeout(), x.timing.floor)
	}
	for range x.backoff {
		if wait >= x.timing.most {
			break
		}
		wait *= 2
	}
	return min(wait, x.timing.most)
}

// found takes the news that block is the last one and holds n bytes: news only if the size was unknown.
func (x *transfer) found(block int64, n int) { x.size = (block-1)*int64(x.blockSize) + int64(n) }

// last returns the number of the last block.
func (x *transfer) last() int64 {
	if x.size == UnknownSize {
		return math.MaxInt64
	}
	return x.size/int64(x.blockSize) + 1
}

// progress returns the blocks and bytes that the client has acknowledged.
func (x *transfer) progress() (blocks, bytes int64) {
	blocks = max(0, x.acked)
	bytes = blocks * int64(x.blockSize)
	if x.size != UnknownSize {
		bytes = min(bytes, x.size)
	}
	return blocks, bytes
}

// rollover is how many numbers there are before they repeat, when 0 is skipped.
const rollover = 65535

// number returns what stands for a block on the wire. After 65535 comes 0, as all known loaders expect, or 1, as some
// network gear does.
func (x *transfer) number(block int64) uint16 {
	if x.skipZero && block > 0 {
		return uint16((block-1)%rollover) + 1
	}
	return uint16(block)
}

// ahead returns how far a number on the wire lies after that of acked.
func (x *transfer) ahead(number uint16) int64 {
	if !x.skipZero || x.acked <= 0 {
		return int64(number - uint16(x.acked))
	}
	if number == 0 {
		return math.MaxInt32 // no block has it
	}
	ahead := int64(number) - int64(x.number(x.acked))
	if ahead < 0 {
		ahead += rollover
	}
	return ahead
}
