// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"math/rand/v2"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// sparePorts is how many ports the short sessions of a loop go through before one is used again: by then no packet
	// to its last session is on the way.
	sparePorts = 4096
	// spin is how long before a deadline the loop stops sleeping and polls, so that waking up late does not add to the
	// emulated round trip. Only where one client makes all the packets.
	spin = 80 * time.Microsecond
	idle = -1 // no session
)

// A session is one transfer in a loop: a client, its socket and its clock.
type session struct {
	client
	number  uint32 // tells sessions apart that took the same place
	fd      int32
	running bool
	met     bool // peer is known
	peer    unix.RawSockaddrInet4
	began   time.Duration // times are since the loop's start
	heard   time.Duration
	luck    *rand.Rand // nil: no losses
}

// A note is something to do for a session at a time.
type note struct {
	at     time.Duration
	place  int32
	number uint32
	block  uint16 // to ACK
}

// notes is a queue of notes whose times rise, because the delay of all of them is the same.
type notes struct {
	ring       []note
	head, size int
}

func (q *notes) push(n note) {
	if q.size == len(q.ring) {
		grown := make([]note, max(1024, 2*len(q.ring)))
		for i := range q.size {
			grown[i] = q.ring[(q.head+i)%len(q.ring)]
		}
		q.ring, q.head = grown, 0
	}
	q.ring[(q.head+q.size)%len(q.ring)] = n
	q.size++
}

// due takes the first note if its time has come.
func (q *notes) due(now time.Duration) (note, bool) {
	if q.size == 0 || q.ring[q.head].at > now {
		return note{}, false
	}
	n := q.ring[q.head]
	q.head = (q.head + 1) % len(q.ring)
	q.size--
	return n, true
}

// next is the time of the first note, or later, if that is earlier.
func (q *notes) next(later time.Duration) time.Duration {
	if q.size == 0 {
		return later
	}
	return min(later, q.ring[q.head].at)
}

// A loop runs the sessions of its load in one thread.
type loop struct {
	load
	outcome  outcome
	poller   *poller
	receiver *receiver
	sessions []session // by place: a client is a place
	network  byte      // 127.x/16 that the clients are in
	opened   int       // sockets ever
	places   []int32   // by descriptor: whose socket it is, or idle
	ports    []int32   // open sockets that nobody uses, oldest first
	request  []byte
	to       unix.RawSockaddrInet4
	start    time.Time
	started  int   // sessions
	running  int   // sessions
	answers  notes // rtt from now
	watches  notes // retry from now
	scratch  [64]byte
}

// newLoop prepares a loop. Loops have numbers from 0 on.
func newLoop(l load, number int) (*loop, error) {
	p, err := newPoller()
	if err != nil {
		return nil, err
	}
	o := &loop{
		load:     l,
		outcome:  outcome{failures: map[string]int{}},
		poller:   p,
		network:  byte(1 + number),
		receiver: newReceiver(headerLen + max(l.ask.BlockSize, defaultBlockSize) + 1), // 1: a larger block shows
		sessions: make([]session, l.clients),
		request:  newRequest(l.file.Name, l.ask),
		to:       sockaddr(l.server),
	}
	ports := l.clients
	if l.reusesPorts() {
		ports += sparePorts
		o.outcome.durations = make([]time.Duration, 0, 1<<18)
	}
	for range ports {
		if err := o.open(); err != nil {
			o.close()
			return nil, err
		}
	}
	return o, nil
}

// reusesPorts says whether the ports of sessions that ended are used again: sessions come fast, and nothing is lost that
// would be sent again to the next one.
func (l *load) reusesPorts() bool {
	return l.loss == 0 && l.time > 0 && len(l.file.Data) <= fullyCompared
}

// clientAddress is the address of client n: each has its own, as in life, because servers may treat those specially that
// they know.
func clientAddress(network byte, n int) netip.Addr {
	return netip.AddrFrom4([4]byte{127, network, byte(n / 250), byte(1 + n%250)})
}

// open adds a socket to those that nobody uses.
func (o *loop) open() error {
	buffer := 0
	if o.ask.WindowSize > 16 {
		buffer = 1 << 20 // a window must fit: losses are emulated elsewhere
	}
	fd, err := openSocket(clientAddress(o.network, o.opened), buffer)
	if err != nil {
		return err
	}
	o.opened++
	for len(o.places) <= fd {
		o.places = append(o.places, idle)
	}
	o.ports = append(o.ports, int32(fd))
	return o.poller.add(fd)
}

// run starts sessions and serves them until the load is done.
func (o *loop) run(start time.Time) error {
	sharpenTimers()
	o.start = start
	before := threadTime()
	for place := range o.sessions {
		if err := o.begin(int32(place)); err != nil {
			return err
		}
		if place%64 == 63 { // answers come while others still ask
			if err := o.turn(0); err != nil {
				return err
			}
		}
	}
	for o.running > 0 && !o.over(o.now()) {
		now := o.now()
		wake := o.watches.next(o.answers.next(o.limit))
		if o.load.cutOff {
			wake = min(wake, o.time)
		}
		wait := wake - now
		if o.rtt > 0 && o.clients == 1 {
			wait -= spin
		}
		if err := o.turn(wait); err != nil {
			return err
		}
	}
	o.outcome.took = o.now()
	o.outcome.busy = threadTime() - before
	return nil
}

func (o *loop) now() time.Duration { return time.Since(o.start) }

// over says whether the sessions under way are to be ended.
func (o *loop) over(now time.Duration) bool {
	select {
	case <-o.gone:
		return true
	default:
	}
	return now >= o.limit || o.load.cutOff && now >= o.time
}

// more says whether another session is to start.
func (o *loop) more(now time.Duration) bool {
	return (o.load.sessions == 0 || o.started < o.load.sessions) && (o.time == 0 || now < o.time)
}

// begin starts a session in a place, if there is one more to start.
func (o *loop) begin(place int32) error {
	now := o.now()
	if !o.more(now) {
		return nil
	}
	if len(o.ports) == 0 {
		if err := o.open(); err != nil {
			return err
		}
	}
	fd := o.ports[0]
	o.ports = o.ports[1:]
	o.places[fd] = place
	s := &o.sessions[place]
	*s = session{client: newClient(o.file, o.ask), number: s.number + 1, fd: fd, running: true, began: now, heard: now}
	if o.loss > 0 {
		s.luck = rand.New(rand.NewPCG(o.seed, uint64(o.started)))
	}
	o.started++
	o.running++
	o.sendRequest(place, now)
	return nil
}

// sendRequest sends the RRQ of a session, and notes when to look after it.
func (o *loop) sendRequest(place int32, now time.Duration) {
	s := &o.sessions[place]
	o.send(s, o.request, &o.to)
	o.watches.push(note{at: now + o.retry, place: place, number: s.number})
}

// send sends a packet of a session, unless it gets lost.
func (o *loop) send(s *session, packet []byte, to *unix.RawSockaddrInet4) {
	if s.luck != nil && s.luck.Float64() < o.loss {
		return
	}
	send(s.fd, packet, to)
}

// turn waits for packets, at most so long, deals with them, and does what is due.
func (o *loop) turn(wait time.Duration) error {
	n := o.poller.wait(wait)
	for i := range n {
		if err := o.read(o.poller.events[i].Fd); err != nil {
			return err
		}
	}
	now := o.now()
	for n, ok := o.answers.due(now); ok; n, ok = o.answers.due(now) {
		if s := &o.sessions[n.place]; s.running && s.number == n.number {
			o.outcome.delayed++
			o.outcome.late += (now - n.at - o.outcome.late) / time.Duration(o.outcome.delayed)
			o.send(s, appendACK(o.scratch[:0], n.block), &s.peer)
		}
	}
	for n, ok := o.watches.due(now); ok; n, ok = o.watches.due(now) {
		if s := &o.sessions[n.place]; s.running && s.number == n.number {
			o.watch(n.place, now)
		}
	}
	return nil
}

// watch looks after a session that may have been forgotten by the server.
func (o *loop) watch(place int32, now time.Duration) {
	s := &o.sessions[place]
	switch {
	case s.next == 0:
		o.outcome.repeated++
		o.sendRequest(place, now)
		return
	case !o.passive && now-s.heard >= o.retry:
		o.outcome.reacked++
		o.send(s, appendACK(o.scratch[:0], s.acked()), &s.peer)
	}
	o.watches.push(note{at: now + o.retry, place: place, number: s.number})
}

// read deals with the packets that a socket has.
func (o *loop) read(fd int32) error {
	n := o.receiver.receive(fd)
	place := o.places[fd]
	if place == idle {
		return nil // to a session that is over
	}
	now := o.now()
	s := &o.sessions[place]
	for i := range n {
		if s.luck != nil && s.luck.Float64() < o.loss {
			continue
		}
		from := &o.receiver.from[i]
		if !s.met {
			s.peer, s.met = *from, true
		} else if from.Port != s.peer.Port || from.Addr != s.peer.Addr {
			// The server took a repeated RRQ for another one. RFC 1350, section 4.
			o.send(s, appendError(o.scratch[:0], 5, "another port"), from)
			continue
		}
		s.heard = now
		says, err := s.take(o.receiver.packet(i))
		if err != nil {
			if !refused(o.receiver.packet(i)) {
				o.send(s, appendError(o.scratch[:0], 0, err.Error()), &s.peer)
			}
			o.outcome.failures[err.Error()]++
			return o.end(place)
		}
		if says == silence {
			continue
		}
		if says == lastACK {
			o.answerNow(s) // the client is gone a round trip later
			o.outcome.done++
			o.outcome.durations = append(o.outcome.durations, now-s.began)
			return o.end(place)
		}
		if o.rtt > 0 {
			o.answers.push(note{at: now + o.rtt, place: place, number: s.number, block: s.acked()})
		} else {
			o.answerNow(s)
		}
	}
	return nil
}

func (o *loop) answerNow(s *session) { o.send(s, appendACK(o.scratch[:0], s.acked()), &s.peer) }

// end ends the session in a place, and starts the next one there.
func (o *loop) end(place int32) error {
	s := &o.sessions[place]
	o.outcome.bytes += s.bytes
	o.outcome.window = s.window
	s.running = false
	o.running--
	o.places[s.fd] = idle
	if o.reusesPorts() {
		o.ports = append(o.ports, s.fd)
	} else {
		_ = unix.Close(int(s.fd)) // takes it out of the poller
	}
	return o.begin(place)
}

// cutOff ends what still runs: as a client does that is switched off politely.
func (o *loop) cutOff() {
	for place := range o.sessions {
		s := &o.sessions[place]
		if !s.running {
			continue
		}
		if s.met {
			send(s.fd, appendError(o.scratch[:0], 0, "enough"), &s.peer)
		}
		o.outcome.bytes += s.bytes
		o.outcome.window = max(o.outcome.window, s.window)
		s.running = false
		o.running--
		if o.load.cutOff && o.outcome.took < o.limit {
			o.outcome.cut++
		} else {
			o.outcome.unfinished++
		}
	}
}

// close closes all sockets.
func (o *loop) close() {
	for place := range o.sessions {
		if s := &o.sessions[place]; s.fd > 0 && o.places[s.fd] == int32(place) {
			_ = unix.Close(int(s.fd))
		}
	}
	for _, fd := range o.ports {
		_ = unix.Close(int(fd))
	}
	o.poller.close()
}

// threadTime is the CPU time of the calling thread.
func threadTime() time.Duration {
	var usage unix.Rusage
	if unix.Getrusage(unix.RUSAGE_THREAD, &usage) != nil {
		return 0
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
