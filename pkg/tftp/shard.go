// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package tftp

import (
	"container/list"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"time"
)

// batch is how many datagrams are taken from the shared port at a time.
const batch = 64

// Why a session ended that the client knows nothing of.
var (
	errLate   = errors.New("the data did not come in time")
	errBudget = errors.New("no more may be sent to addresses that have not answered")
	errMany   = errors.New("too many clients have not answered")
)

// A shard serves one socket: one loop, and a session for each client. All that it has belongs to the loop; handlers, reads
// of files, and ports of their own come in through the mailbox.
type shard struct {
	server *Server
	wire   wire
	mail   mailbox
	epoch  time.Time
	now    time.Duration // since epoch, when the loop last looked

	transfers context.Context // of the handlers; outlives that of Serve by the grace
	draining  bool

	sessions map[peer]*session
	unproven list.List // of *session, in the order of arrival: those whose client has not answered
	wheel    wheel
	cache    *cache
	fresh    fresh
	tally    tally
	header   [headerLen]byte // of the DATA packet that is being sent

	neighbours *neighbours // nil: there are none, and will be none

	pending int // what do has begun and not ended
	record  func(Record) (taken bool)
}

// do has work done by a goroutine of its own, and then what it returns by the loop; nil: nothing. Serve returns when all
// such goroutines have ended.
func (s *shard) do(work func() (then func())) {
	s.pending++
	go func() {
		then := work()
		s.mail.post(func() {
			s.pending--
			if then != nil {
				then()
			}
		})
	}()
}

// run answers until ctx has ended and the sessions have, too, or their grace has run out, and so have those of all other
// shards that stop. The error is the socket's.
func (s *shard) run(ctx context.Context, grace time.Duration) error {
	s.server.drains.begin(ctx, s)
	defer s.server.drains.end(s)
	deadline := time.Duration(-1)
	s.meet()
	for {
		pause := sooner(sooner(s.wheel.pause(s.now), s.fresh.pause(s.now)), s.cache.pause(s.now))
		if s.neighbours != nil {
			pause = sooner(pause, s.neighbours.pause(s.now))
		}
		if deadline >= 0 {
			pause = sooner(pause, max(0, deadline-s.now))
		}
		datagrams, err := s.wire.receive(pause)
		s.now = time.Since(s.epoch)
		if err != nil {
			s.endAll(OutcomeFailed, err)
			return err
		}
		s.cache.tick(s.now)
		if ctx.Err() != nil && !s.draining {
			s.draining, deadline = true, s.now+grace
			s.announce() //nolint:contextcheck // transfers outlive ctx
		}
		for i := range datagrams {
			s.take(i, &datagrams[i]) //nolint:contextcheck // transfers outlive ctx
		}
		s.tally.received += uint64(len(datagrams))
		s.mail.deliver()
		s.wheel.advance(s.now, (*session).expire)
		s.fresh.expire(s.now)
		if deadline >= 0 && s.now >= deadline {
			s.endAll(OutcomeShutdown, nil)
			deadline = -1
		}
		s.attend() //nolint:contextcheck // transfers outlive ctx
		s.wire.flush()
		s.settle()
		if s.draining && len(s.sessions) == 0 && s.server.drains.drained(s) {
			s.depart() //nolint:contextcheck // it takes what is left
			return nil
		}
	}
}

// sooner returns the shorter of two pauses, of which a negative one is for ever.
func sooner(a, b time.Duration) time.Duration {
	if a < 0 || b >= 0 && b < a {
		return b
	}
	return a
}

// drain waits until the goroutines have noticed that it is over. run has ended: what they post is delivered here.
func (s *shard) drain() error {
	s.fresh.dropAll()
	patience := time.NewTimer(lastCall)
	defer patience.Stop()
	for {
		s.mail.deliver()
		s.settle()
		if s.pending == 0 {
			return nil
		}
		select {
		case <-s.mail.bell:
		case <-patience.C:
			return fmt.Errorf("TFTP server: handlers still run %v after their context ended", lastCall)
		}
	}
}

// settle hands the loop's counters over.
func (s *shard) settle() {
	s.cache.closeAll()
	s.tally.active, s.tally.unproven = len(s.sessions), s.unproven.Len()
	s.tally.overflows = s.wire.overflowed()
	s.server.metrics.add(&s.tally)
}

func (s *shard) endAll(o Outcome, err error) {
	for _, x := range s.sessions {
		x.end(o, err)
	}
	s.wire.flush()
}

// take decides what becomes of a datagram. What is not a request, and belongs to no session, gets no answer: two servers
// that answer each other's ERRORs never stop.
func (s *shard) take(i int, d *datagram) {
	if len(d.data) < 2 {
		s.tally.drop(dropNotARequest)
		return
	}
	switch binary.BigEndian.Uint16(d.data) {
	case opACK, opError:
		x := s.sessions[d.from]
		r, ok := parseReply(d.data)
		if x == nil && ok && s.stray(d) {
			return
		}
		if x == nil || x.port != nil || !ok {
			s.tally.drop(dropNotARequest)
			return
		}
		x.hear(r)
	case opRead, opWrite:
		s.ask(i, d)
	default:
		s.tally.drop(dropNotARequest)
	}
}

// ask decides what becomes of a request.
func (s *shard) ask(i int, d *datagram) {
	r, ok := parseRequest(d.data)
	if !ok {
		s.tally.drop(dropNotARequest)
		return
	}
	if s.known(d) || s.pass(i, d) {
		return
	}
	s.begin(r, d, s.wire.destination(i), false)
}

// known says whether a request is one of a session, which then has been told. One that a session gives way to is not.
func (s *shard) known(d *datagram) bool {
	old := s.sessions[d.from]
	if old == nil {
		return false
	}
	if old.packet == string(d.data) && !old.lapsed() {
		old.asked()
		return true
	}
	old.end(old.replaced(), nil)
	return false
}

// begin begins a session for a request, within the limits.
func (s *shard) begin(r request, d *datagram, to destination, handedOn bool) {
	if s.draining {
		s.tally.drop(dropDraining)
		return
	}
	client, wall := d.from.addrPort(), s.epoch.Add(s.now)
	reason, ok := s.server.books.admit(client, wall)
	if !ok && reason == dropTransfers && s.makeRoom() {
		reason, ok = s.server.books.admit(client, wall)
	}
	if !ok {
		s.tally.drop(reason)
		return
	}
	x := &session{
		shard:   s,
		route:   route{peer: d.from},
		request: Request{Name: r.name, Mode: r.mode, Options: r.options, Client: client},
		packet:  string(d.data),
		arrived: s.now,
		handed:  handedOn,
	}
	if to.local.IsValid() {
		x.route.local = to.local.As16()
		x.request.Local = to.local
	}
	s.sessions[d.from] = x
	x.unproven = s.unproven.PushBack(x)
	switch {
	case r.opcode == opWrite:
		x.opened = true
		x.end(OutcomeRefused, &Error{CodeAccessViolation, "read only"})
		return
	case r.mode != Octet && r.mode != NetASCII:
		x.opened = true
		x.end(OutcomeRefused, &Error{CodeIllegal, "mode is not octet or netascii"})
		return
	}
	if s.unproven.Len() > s.server.options.MaxUnproven {
		s.giveUpOldest()
	}
	if s.server.options.Ports.mode == portsShared { // to open a port may take many tries, which the loop has no time for
		if b := s.fresh.find(&x.request, s.now); b != nil {
			s.opened(x, s.server.opening(&x.request, b))
			return
		}
	}
	ctx, cancel := context.WithCancel(s.transfers)
	x.cancel = cancel
	x.transfer.deadline = s.now + s.server.options.BodyTimeout
	s.wheel.schedule(x)
	s.do(func() func() {
		o := s.server.open(ctx, &x.request)
		return func() {
			s.opened(x, o)
			if o.err == nil && !x.over {
				s.fresh.keep(&x.request, o.body, s.now)
			}
		}
	})
}

// makeRoom ends the oldest session whose client has not answered, if it has had time to.
func (s *shard) makeRoom() bool {
	oldest := s.unproven.Front()
	if oldest == nil || s.now-oldest.Value.(*session).arrived < s.server.options.RetransmitTimeout {
		return false
	}
	s.giveUpOldest()
	return true
}

// giveUpOldest ends the oldest session whose client has not answered.
func (s *shard) giveUpOldest() {
	s.tally.drop(dropUnproven)
	s.unproven.Front().Value.(*session).end(OutcomeNeverAnswered, errMany)
}

// opened takes what the handler found.
func (s *shard) opened(x *session, o opening) {
	x.opened = true
	if x.over {
		s.server.books.release(x.request.Client.Addr())
		s.discard(o)
		return
	}
	if errors.Is(o.err, errNoPort) {
		s.discard(o)
		s.tally.drop(dropPorts)
		x.end(OutcomeNeverAnswered, o.err)
		return
	}
	if o.err != nil {
		s.discard(o)
		x.end(verdict(o.err), o.err)
		return
	}
	if x.port = o.port; x.port != nil {
		s.do(func() func() { return x.port.listen(s, x) })
	}
	x.begin(o.body, o.most)
}

// discard lets go of an opening that nobody waits for.
func (s *shard) discard(o opening) {
	if o.port != nil {
		o.port.close(s)
	}
	if o.body != nil {
		s.cache.close(o.body)
	}
}

// forget takes a session out of everything that the loop finds sessions by.
func (s *shard) forget(x *session) {
	delete(s.sessions, x.route.peer)
	s.wheel.remove(x)
	if x.unproven != nil {
		s.unproven.Remove(x.unproven)
		x.unproven = nil
	}
}

// afford says whether an address that has not answered may be sent so much.
func (s *shard) afford(client netip.Addr, asked, answered, n int) bool {
	if !s.server.books.afford(client, asked, answered, n, s.epoch.Add(s.now)) {
		s.tally.drop(dropBudget)
		return false
	}
	s.tally.unprovenBytes += uint64(n)
	return true
}

func (s *shard) emit(p *port, r *route, header, one, two []byte) {
	s.tally.sent++
	s.tally.sentBytes += uint64(len(header) + len(one) + len(two))
	w := s.wire
	if p != nil {
		w = p.wire
	}
	w.queue(r, header, one, two)
}

// report hands a record to whoever observes, who may be slow: then it is lost, and counted.
func (s *shard) report(r Record) {
	s.server.metrics.ended(&r)
	if !s.record(r) {
		s.server.metrics.lostObservation()
	}
}
