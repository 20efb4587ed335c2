// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package tftp

import (
	"bytes"
	"container/heap"
	"fmt"
	"math/rand/v2"
	"time"
)

// A network carries packets between one transfer and one loader, in virtual time and always in the same way for the same
// seed. Nothing runs beside it: it takes one event after the other.
type network struct {
	now    time.Duration
	events events
	count  int // events so far, which orders those of the same time
	random *rand.Rand

	down, up link // to the loader, to the server
	server   *server
	loader   *loader
}

// A link carries packets one way.
type link struct {
	delay, jitter time.Duration // a packet takes delay and up to jitter more, so that packets can overtake each other
	spacing       time.Duration // packets leave so far apart
	loss, twice   float64       // the share of packets that are lost, and that arrive a second time
	late          float64       // the share of packets that take lateBy more
	lateBy        time.Duration
	lose          map[int]bool          // packets that are lost, counted from 1
	slow          map[int]time.Duration // packets that take so much more

	sent int
	free time.Duration // when the next packet can leave
}

type event struct {
	at    time.Duration
	order int
	run   func()
}

// events is a heap, the next event first.
type events []event

func (e events) Len() int { return len(e) }
func (e events) Less(i, j int) bool {
	return e[i].at < e[j].at || e[i].at == e[j].at && e[i].order < e[j].order
}
func (e events) Swap(i, j int) { e[i], e[j] = e[j], e[i] }
func (e *events) Push(x any)   { *e = append(*e, x.(event)) }
func (e *events) Pop() any {
	last := len(*e) - 1
	x := (*e)[last]
	(*e)[last] = event{}
	*e = (*e)[:last]
	return x
}

func (n *network) at(t time.Duration, run func()) {
	n.count++
	heap.Push(&n.events, event{max(t, n.now), n.count, run})
}

// carry has a packet arrive, or not.
func (n *network) carry(l *link, arrive func()) {
	l.sent++
	leaves := max(n.now, l.free) + l.spacing
	l.free = leaves
	copies := 1
	if n.random.Float64() < l.twice {
		copies = 2
	}
	for range copies {
		late := time.Duration(n.random.Float64()*float64(l.jitter)) + l.slow[l.sent]
		if n.random.Float64() < l.late {
			late += l.lateBy
		}
		if lost := n.random.Float64() < l.loss; lost || l.lose[l.sent] {
			continue
		}
		n.at(leaves+l.delay+late, arrive)
	}
}

// run takes events until the server has ended. It fails if that takes too many.
func (n *network) run(most int) error {
	for range most {
		if n.server.outcome != "" || n.server.fault != nil {
			return n.server.fault
		}
		if len(n.events) == 0 {
			return fmt.Errorf("at %v: nothing will happen any more, and the transfer has not ended", n.now)
		}
		next := heap.Pop(&n.events).(event)
		n.now = next.at
		next.run()
	}
	return fmt.Errorf("at %v: not ended after %d events", n.now, most)
}

// A parcel is a packet of the server: a DATA packet or, with options, an OACK.
type parcel struct {
	number  uint16
	data    []byte
	options []Option
}

// server does what a session does, and watches the transfer.
type server struct {
	network  *network
	transfer transfer
	options  []Option
	file     []byte
	there    func(block int64) (at time.Duration) // when a block's data is there; nil: always

	outcome Outcome
	fault   error // what the transfer did that it must not
	packets int   // sent
	bytes   int   // sent
	resent  int64 // packets sent that were sent before
	highest int64 // the highest block sent
	armed   time.Duration
}

// perform does a step.
func (s *server) perform(next step) {
	n, x := s.network, &s.transfer
	if s.outcome != "" {
		return
	}
	if next.outcome != "" {
		s.outcome = next.outcome
		return
	}
	if next.to >= next.from {
		s.check(next)
		x.departed(next, s.send(next), n.now)
		if x.deadline <= n.now && x.starved == 0 {
			s.fail("the deadline %v has passed", x.deadline)
		}
		if x.resent != s.resent {
			s.fail("%d packets were sent again, and %d counted", s.resent, x.resent)
		}
	}
	s.arm()
}

// check fails if the step has blocks that the client can't want.
func (s *server) check(next step) {
	x := &s.transfer
	switch {
	case next.from == 0 && (next.to != 0 || x.first != 0 || x.acked >= 0):
		s.fail("OACK sent in %+v", next)
	case next.from != 0 && (next.from <= x.acked || next.to > x.acked+x.window || next.to > x.last()):
		s.fail("step %+v with %d acknowledged, a window of %d and %d blocks", next, x.acked, x.window, x.last())
	case next.from > s.highest+1:
		s.fail("step %+v after block %d", next, s.highest)
	}
}

func (s *server) fail(format string, args ...any) {
	if s.fault == nil {
		s.fault = fmt.Errorf("at %v: "+format, append([]any{s.network.now}, args...)...)
	}
}

// send sends blocks as far as their data is there, and returns the last.
func (s *server) send(next step) int64 {
	n, x := s.network, &s.transfer
	size := int64(x.blockSize)
	for block := next.from; block <= next.to; block++ {
		m := parcel{number: x.number(block)}
		if block == 0 {
			m.options = s.options
		} else {
			if s.there != nil {
				if at := s.there(block); at > n.now {
					n.at(at, func() { s.perform(x.fed(n.now)) })
					return block - 1
				}
			}
			start := min((block-1)*size, int64(len(s.file)))
			m.data = s.file[start:min(start+size, int64(len(s.file)))]
		}
		s.packets++
		s.bytes += headerLen + len(m.data)
		if block <= s.highest {
			s.resent++
		}
		s.highest = max(s.highest, block)
		n.carry(&n.down, func() { n.loader.arrive(m) })
		if len(m.data) < x.blockSize && block != 0 {
			x.found(block, len(m.data))
			return block
		}
	}
	return next.to
}

// arm has the deadline looked at when it has passed.
func (s *server) arm() {
	n := s.network
	if s.armed > n.now && s.armed <= s.transfer.deadline {
		return // and then again
	}
	s.armed = max(s.transfer.deadline, n.now+1)
	n.at(s.armed, func() {
		switch {
		case s.outcome != "":
		case s.transfer.deadline > n.now:
			s.arm()
		default:
			s.perform(s.transfer.expire(n.now))
		}
	})
}

// hear takes an ACK or ERROR.
func (s *server) hear(r reply) {
	s.perform(s.transfer.receive(r, s.network.now))
}

// asked takes the request again, as a session does.
func (s *server) asked() {
	if !s.transfer.stalled() {
		s.perform(s.transfer.again(s.network.now))
	}
}

// patient are the defaults of a server.
func patient() timing {
	return timing{
		first: time.Second, floor: 50 * time.Millisecond, most: 5 * time.Second, idle: 30 * time.Second,
		body: 15 * time.Second, attempts: 6,
	}
}

// A scene is a transfer to be played.
type scene struct {
	terms    terms
	timing   timing // zero: patient
	file     []byte
	unsized  bool // the server does not know the file's size
	skipZero bool
	there    func(block int64) time.Duration
	down, up link
	loader   loader
	seed     uint64
}

// play carries a file over a network until the server has ended.
func (sc scene) play() (*network, error) {
	n := &network{random: rand.New(rand.NewPCG(sc.seed, 1)), down: sc.down, up: sc.up}
	if sc.timing == (timing{}) {
		sc.timing = patient()
	}
	size := int64(len(sc.file))
	if sc.unsized {
		size = UnknownSize
	}
	x := newTransfer(sc.terms, sc.timing, size, 0)
	x.skipZero = sc.skipZero
	n.server = &server{
		network: n, transfer: x, options: sc.terms.accepted, file: sc.file, there: sc.there, highest: x.first - 1,
	}
	loader := sc.loader
	n.loader = &loader
	loader.begin(n, sc)
	n.server.perform(n.server.transfer.start(0))
	if err := n.run(1000 + 200*int(x.last()%(1<<40))); err != nil {
		return n, err
	}
	switch n.server.outcome {
	case OutcomeComplete, OutcomeLastACKLost:
		if loader.complete && !bytes.Equal(loader.got, sc.file) {
			return n, fmt.Errorf("loader got %d bytes that are not the file's %d", len(loader.got), len(sc.file))
		}
	}
	return n, nil
}
