// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package tftp

import (
	"container/list"
	"context"
	"encoding/binary"
	"errors"
	"time"
)

// A session answers one read request. It belongs to its shard's loop; only the handler's goroutine reads request.
type session struct {
	shard   *shard
	route   route
	request Request
	packet  string        // the request as it came, to know it again
	arrived time.Duration // on the shard's clock
	repeats int64         // of the request
	port    *port         // of its own; nil: the shard's

	cancel context.CancelFunc // ends the handler's context; nil: it has none of its own
	opened bool               // the handler has returned
	over   bool               // the session has ended; a handler that still runs no longer matters
	handed bool               // another socket got the request, and gets what follows

	body     *Body
	tag      any // for the record
	content  content
	agreed   terms
	oack     []byte
	transfer transfer
	place    wheelPlace

	// While the client has not answered, its address may be forged.
	unproven *list.Element // of shard.unproven; nil: it has answered
	answered int           // bytes sent in answer to the last request

	firstByte time.Duration // on the shard's clock, of the first DATA; 0: none
}

// asked takes the session's own request, once more.
func (x *session) asked() {
	x.repeats++
	if !x.opened {
		return // the answer to the first one is on its way
	}
	x.answered = 0
	x.perform(x.transfer.again(x.shard.now))
}

// lapsed says that the same request again is a new one: the client has answered and then left a deadline unmet. The machine
// was switched off and on, or its last ACK was lost and it reads the file again (GRUB and PXELINUX use the same ports at
// each boot, lpxelinux one port for all).
func (x *session) lapsed() bool { return x.opened && x.transfer.stalled() }

// replaced returns what it means that the client asks for something else.
func (x *session) replaced() Outcome {
	if !x.opened {
		return OutcomeReplaced
	}
	return x.transfer.silence(OutcomeReplaced)
}

// begin starts the transfer of an opened body.
func (x *session) begin(b *Body, most limits) {
	s := x.shard
	x.body = b
	if b.Begin != nil {
		_ = guarded(func() error { // a panic of others' code ends no other transfer
			x.tag = b.Begin(&x.request)
			return nil
		})
	}
	x.agreed = negotiate(x.request.Options, most, b.Size)
	x.content = s.cache.open(b, x.agreed.blockSize, x.agreed.window, x)
	x.transfer = newTransfer(x.agreed, s.server.timing(x.agreed.timeout), b.Size, s.now)
	x.transfer.skipZero = b.RolloverToOne
	if len(x.agreed.accepted) > 0 {
		x.oack = newOACK(x.agreed.accepted)
	}
	x.perform(x.transfer.start(s.now))
}

// hear takes a packet of the client that is no request.
func (x *session) hear(r reply) {
	if !x.opened {
		return // nothing was sent that it could answer
	}
	duplicates, acked := x.transfer.duplicates, x.transfer.acked
	next := x.transfer.receive(r, x.shard.now)
	x.shard.tally.duplicateACKs += uint64(x.transfer.duplicates - duplicates)
	if x.transfer.proven() {
		x.prove()
	}
	if acked < 1 && x.transfer.acked >= 1 { // the number of an OACK's ACK can be guessed by whoever forged the request
		x.shard.server.books.proved(x.request.Client.Addr(), time.Now())
	}
	if next.outcome != "" {
		x.end(next.outcome, asError(r.err))
		return
	}
	x.content.acknowledged(max(0, x.transfer.acked) * int64(x.transfer.blockSize))
	x.perform(next)
}

// prove takes note that the client has answered, so that its address is its own.
func (x *session) prove() {
	if x.unproven != nil {
		x.shard.unproven.Remove(x.unproven)
		x.unproven = nil
	}
}

// asError keeps a nil pointer from becoming an error.
func asError(e *Error) error {
	if e == nil {
		return nil
	}
	return e
}

// wake takes the news that the data is there which was missing.
func (x *session) wake() {
	if x.over {
		return
	}
	if x.transfer.starved == 0 { // it was missing for the second time, and has been sent from elsewhere since
		return
	}
	x.perform(x.transfer.fed(x.shard.now))
}

// expire takes the passing of the deadline.
func (x *session) expire() {
	if !x.opened {
		x.end(OutcomeFailed, errLate)
		return
	}
	next := x.transfer.expire(x.shard.now)
	if next.outcome == OutcomeFailed {
		x.end(next.outcome, errLate)
		return
	}
	if next.outcome == OutcomeTimeout && !x.transfer.proven() {
		next.outcome = OutcomeNeverAnswered
	}
	x.perform(next)
}

// perform does what the transfer wants done.
func (x *session) perform(next step) {
	if next.outcome != "" {
		x.end(next.outcome, nil)
		return
	}
	if next.to >= next.from {
		resent := x.transfer.resent
		upTo, ok := x.send(next)
		if !ok {
			return // the session has ended
		}
		x.flush()
		x.transfer.departed(next, upTo, x.shard.now)
		x.shard.tally.retransmits += uint64(x.transfer.resent - resent)
	}
	x.shard.wheel.schedule(x)
}

// send sends the blocks of one step, as far as their data is there, and returns the last one sent. ok is false when that
// has ended the session.
func (x *session) send(s step) (upTo int64, ok bool) {
	if s.from == 0 {
		return 0, x.emit(x.oack, nil, nil)
	}
	size := x.transfer.blockSize
	header := x.shard.header[:]
	for block := s.from; block <= s.to; block++ {
		one, two, there := x.content.block((block-1)*int64(size), size)
		if !there {
			if err := x.content.fault(); err != nil {
				x.end(OutcomeFailed, err)
				return 0, false
			}
			return block - 1, true
		}
		binary.BigEndian.PutUint16(header[2:], x.transfer.number(block))
		if !x.emit(header, one, two) {
			return 0, false
		}
		if n := len(one) + len(two); n < size {
			x.transfer.found(block, n)
			return block, true
		}
	}
	return s.to, true
}

// emit sends one packet. ok is false when the client is unproven and may have no more: then the session has ended.
func (x *session) emit(header, one, two []byte) (ok bool) {
	n := len(header) + len(one) + len(two)
	if x.unproven != nil {
		if !x.shard.afford(x.request.Client.Addr(), len(x.packet), x.answered, n) {
			x.end(OutcomeNeverAnswered, errBudget)
			return false
		}
		x.answered += n
	}
	if x.firstByte == 0 && x.opened && len(header) == headerLen && header[1] == byte(opData) {
		x.firstByte = x.shard.now
	}
	x.shard.emit(x.port, &x.route, header, one, two)
	return true
}

// say sends an ERROR. It tries once: whoever misses it asks again.
func (x *session) say(e *Error) {
	packet := appendError(nil, e)
	if x.unproven != nil && !x.shard.afford(x.request.Client.Addr(), len(x.packet), x.answered, len(packet)) {
		return
	}
	x.shard.emit(x.port, &x.route, packet, nil, nil)
	x.flush()
}

// flush sends what is queued at a port of the session's own; the shard's is flushed for all sessions at once.
func (x *session) flush() {
	if x.port != nil {
		x.port.wire.flush()
	}
}

// end is the one way out: it tells the client where that makes sense, lets go of all that the session has, and reports.
func (x *session) end(o Outcome, err error) {
	if x.over {
		return
	}
	s := x.shard
	switch o {
	case OutcomeNotFound, OutcomeRefused:
		x.say(wireError(err))
	case OutcomeFailed:
		if errors.Is(err, errLate) {
			x.say(&Error{CodeUndefined, "the file did not come in time"})
		} else {
			x.say(&Error{CodeUndefined, "internal error"})
		}
	case OutcomeShutdown:
		x.say(&Error{CodeUndefined, "server stops"})
	}
	x.over = true
	if x.cancel != nil {
		x.cancel()
	}
	s.forget(x)
	if x.content != nil {
		x.content.release()
	}
	if x.port != nil {
		x.port.close(s)
	}
	if x.opened { // otherwise the handler's goroutine still counts
		s.server.books.release(x.request.Client.Addr())
	}
	if x.body == nil || !x.body.Unrecorded {
		s.report(x.record(o, err))
	}
}

func (x *session) record(o Outcome, err error) Record {
	r := Record{
		Request: x.request, Accepted: x.agreed.accepted, BlockSize: x.agreed.blockSize, WindowSize: x.agreed.window,
		Duration: x.shard.now - x.arrived, Outcome: o, Err: err, Repeats: x.repeats,
	}
	if x.body != nil {
		r.Served, r.Tag = x.body.Name, x.tag
		r.Blocks, r.Bytes = x.transfer.progress()
		r.Retransmits, r.DuplicateACKs = x.transfer.resent, x.transfer.duplicates
		r.RoundTrip = x.transfer.rtt.smoothed
	}
	if x.firstByte != 0 {
		r.FirstByte = x.firstByte - x.arrived
	}
	return r
}
