// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package tftp

import (
	"math/bits"
	"time"
)

// How long a socket that leaves waits for what may still come: datagrams that were on their way to it, and notes.
const (
	leaveQuiet = 20 * time.Millisecond  // so long nothing came
	leaveMost  = 500 * time.Millisecond // then it leaves anyhow
)

// A leaver is a wire whose socket can be taken out of those that Linux shares the clients out among, and still be read: what
// is in its queue would be lost if it closed.
type leaver interface {
	// leave returns an error if the socket still gets datagrams.
	leave() error
}

// meet finds out who is there already. Packets of their transfers may be in the socket's queue.
func (s *shard) meet() {
	if s.neighbours == nil {
		return
	}
	s.now = time.Since(s.epoch)
	s.neighbours.changed = s.now
	there := s.neighbours.greet(helloAnswer, s.now)
	patience := time.NewTimer(meeting)
	defer patience.Stop()
	for there&^s.neighbours.known != 0 {
		select {
		case <-s.mail.bell:
			s.mail.deliver()
		case <-patience.C:
			return
		}
	}
}

// announce has all neighbours told that this one drains, before anything else is done.
func (s *shard) announce() {
	if s.neighbours != nil {
		s.neighbours.next = s.now
		s.attend()
	}
}

// attend does what is due for the neighbours.
func (s *shard) attend() {
	n := s.neighbours
	if n == nil {
		return
	}
	each(n.known, func(place int) {
		if s.now-n.all[place].heard >= neighbourSilence {
			s.relay(n.forget(place, s.now), true)
		}
	})
	if s.now >= n.next {
		var flags byte
		if s.draining {
			flags |= helloDraining
		}
		if s.hasStrays() {
			flags |= helloStrays
		}
		n.greet(flags, s.now)
	}
	if n.full != 0 {
		for _, b := range n.flush(s.now) {
			s.relay(b, true)
		}
	}
}

// hasStrays says whether a transfer began before the neighbours changed.
func (s *shard) hasStrays() bool {
	if s.neighbours.known == 0 {
		return false
	}
	for _, x := range s.sessions {
		if x.handed || x.arrived <= s.neighbours.changed {
			return true
		}
	}
	return false
}

// correspond has the loop take what neighbours send, one note after the other, until the post closes.
func (s *shard) correspond(p post) {
	b, taken := make([]byte, maxNotes+1), make(chan struct{}, 1)
	for {
		n, place, err := p.receive(b)
		if err != nil {
			return
		}
		s.mail.post(func() {
			s.told(place, b[:n])
			taken <- struct{}{}
		})
		<-taken
	}
}

// told takes a note of a neighbour.
func (s *shard) told(place int, b []byte) {
	n := s.neighbours
	if n == nil { // it came too late
		return
	}
	kind, body, ok := parseNote(b)
	if !ok {
		s.tally.undelivered++
		return
	}
	switch kind {
	case noteHello:
		n.hear(place, body[0], s.now)
	case noteBye:
		s.relay(n.forget(place, s.now), true)
	case notePackets:
		s.relay(b, false)
	}
}

// relay takes the packets of a note: from a neighbour, or back because a neighbour is gone.
func (s *shard) relay(b []byte, back bool) {
	if len(b) < notesHead {
		return
	}
	for b = b[notesHead:]; len(b) > 0; {
		h, rest, ok := parseHanded(b)
		if !ok {
			s.tally.undelivered++
			return
		}
		b = rest
		if !back {
			s.tally.taken++
		}
		if h.request {
			s.received(&h)
		} else if !back {
			s.reply(&h)
		}
	}
}

// reply takes an ACK or ERROR that another socket got.
func (s *shard) reply(h *handed) {
	x := s.sessions[h.from]
	if r, ok := parseReply(h.data); ok && x != nil && x.port == nil {
		x.hear(r)
	}
}

// holders returns the neighbours that may have transfers whose packets come in here. One that drains hands them requests all
// the time.
func (s *shard) holders() uint64 {
	if s.draining {
		return s.neighbours.known
	}
	return s.neighbours.holders(s.now)
}

// stray hands on an ACK or ERROR that belongs to no session here. It returns false if there is nobody who may have it.
func (s *shard) stray(d *datagram) bool {
	if s.neighbours == nil || s.neighbours.known == 0 {
		return false
	}
	holders := s.holders()
	if holders == 0 {
		return false
	}
	h := handed{from: d.from, data: d.data}
	each(holders, func(place int) { s.neighbours.put(place, &h) })
	return true
}

// pass hands on a request that came to this socket, if somebody else may know it, or must begin it because this one drains.
// It returns false if it is this one's.
func (s *shard) pass(i int, d *datagram) bool {
	n := s.neighbours
	if n == nil || n.known == 0 {
		return false
	}
	ask := s.holders()
	if ask == 0 && !s.draining {
		return false
	}
	self := uint8(n.post.place())
	return s.forward(&handed{
		request: true, hops: maxHops, origin: self, home: self, ask: ask, from: d.from, to: s.wire.destination(i), data: d.data,
	})
}

// received takes a request that a neighbour handed on. Who knows it answers; else those who have still to be asked get it, and
// then its home.
func (s *shard) received(h *handed) {
	d := datagram{from: h.from, data: h.data}
	r, ok := parseRequest(d.data)
	if !ok || s.known(&d) || h.hops == 0 {
		return
	}
	h.hops--
	if s.forward(h) {
		return
	}
	handedOn := int(h.origin) != s.neighbours.post.place()
	if handedOn && s.neighbours.flags&helloStrays == 0 {
		s.neighbours.next = s.now // they are told before the client is answered
	}
	s.begin(r, &d, h.to, handedOn)
}

// forward hands a request to the next who is to have it. It returns false if it is this one's.
func (s *shard) forward(h *handed) bool {
	n := s.neighbours
	self := n.post.place()
	h.ask &= n.known
	for h.ask != 0 {
		place := bits.TrailingZeros64(h.ask)
		h.ask &^= bit(place)
		if n.put(place, h) {
			return true
		}
	}
	if home := int(h.home); home != self && n.all[home].flags&helloDraining == 0 && n.put(home, h) {
		return true
	}
	if !s.draining {
		return false
	}
	heir, ok := n.heir()
	if !ok {
		return false
	}
	h.home = uint8(heir)
	return n.put(heir, h)
}

// depart hands over what is in the socket's queue, and what still comes. The caller closes it then.
func (s *shard) depart() {
	n := s.neighbours
	if n == nil || n.known == 0 {
		return
	}
	if l, ok := s.wire.(leaver); !ok || l.leave() != nil {
		s.server.options.Log.V(1).Info("The socket can't leave before it closes: packets in its queue are lost")
	}
	bye := note(noteBye)
	each(n.known, func(place int) { _ = n.post.send(place, bye) }) // who does not get it finds out
	for began, quiet := s.now, s.now; s.now-quiet < leaveQuiet && s.now-began < leaveMost; {
		taken, pause := s.tally.taken, leaveQuiet
		if n.full != 0 {
			pause = fullPause
		}
		datagrams, err := s.wire.receive(pause)
		s.now = time.Since(s.epoch)
		if err != nil {
			return
		}
		for i := range datagrams {
			s.take(i, &datagrams[i])
		}
		s.mail.deliver()
		for _, b := range n.flush(s.now) {
			s.relay(b, true)
		}
		if len(datagrams) > 0 || s.tally.taken != taken || n.full != 0 {
			quiet = s.now
		}
	}
	s.settle()
}
