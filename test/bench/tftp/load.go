// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"slices"
	"time"
)

// A load is what clients do to one server.
type load struct {
	server  netip.AddrPort
	file    *content
	ask     ask
	clients int // at once

	// New sessions start until so many have, or so much time has passed, whichever comes first; 0: no such bound. What
	// runs then may finish, until limit; with cutOff it is ended at once, and what it got so far counts.
	sessions int
	time     time.Duration
	limit    time.Duration // from the start. Default: a minute
	cutOff   bool

	rtt     time.Duration // how long after a packet the answer to it is sent
	loss    float64       // of all packets, each way
	seed    uint64        // of the losses
	retry   time.Duration // after which an RRQ is sent again. Default 1 s
	passive bool          // ACKs are never sent again by a timer
	loops   int           // threads. Default 1

	// gone ends the load: nobody is there to answer any more. nil: never.
	gone <-chan struct{}
	// measure is called at the first RRQ and at the end, before sessions are cut off. Default: nothing.
	measure func()
}

// An outcome is what became of a load.
type outcome struct {
	done       int // sessions whose file arrived, and was right
	unfinished int // given up at the limit
	cut        int // ended at the end of the time
	bytes      int64
	took       time.Duration
	durations  []time.Duration // of the sessions that were done, sorted
	failures   map[string]int  // by reason
	repeated   int             // RRQs that were sent again
	reacked    int             // ACKs that a timer sent again
	window     int             // agreed on in the last session that was done or cut off
	busy       time.Duration   // CPU time of the generator
	late       time.Duration   // mean of how much later than rtt answers were sent
	delayed    int             // answers that were
}

// failed is how many sessions did not bring the file.
func (o *outcome) failed() (n int) {
	for _, count := range o.failures {
		n += count
	}
	return n + o.unfinished
}

func (o *outcome) add(other *outcome) {
	o.done += other.done
	o.unfinished += other.unfinished
	o.cut += other.cut
	o.bytes += other.bytes
	o.took = max(o.took, other.took)
	o.durations = append(o.durations, other.durations...)
	for reason, n := range other.failures {
		o.failures[reason] += n
	}
	o.repeated += other.repeated
	o.reacked += other.reacked
	o.window = max(o.window, other.window)
	o.busy += other.busy
	if o.delayed += other.delayed; o.delayed > 0 {
		o.late += (other.late - o.late) * time.Duration(other.delayed) / time.Duration(o.delayed)
	}
}

// run puts the load on the server.
func (l load) run() (*outcome, error) {
	l.loops = min(max(l.loops, 1), l.clients)
	l.limit = cmp.Or(l.limit, time.Minute)
	l.retry = cmp.Or(l.retry, time.Second)
	if !l.server.Addr().Is4() {
		return nil, fmt.Errorf("server %v: the generator knows IPv4 only", l.server)
	}
	if l.clients < 1 || l.sessions == 0 && l.time == 0 {
		return nil, errors.New("a load needs clients, and a number of sessions or a time")
	}
	var loops []*loop
	defer func() {
		for _, one := range loops {
			one.close()
		}
	}()
	for i := range l.loops {
		part := l
		part.clients = share(l.clients, l.loops, i)
		part.sessions = share(l.sessions, l.loops, i)
		part.seed = l.seed + uint64(i)<<32
		one, err := newLoop(part, i)
		if err != nil {
			return nil, err
		}
		loops = append(loops, one)
	}
	if l.measure != nil {
		l.measure()
	}
	ended := make(chan error)
	start := time.Now()
	for _, one := range loops {
		go func() {
			runtime.LockOSThread() // its timer slack and its CPU time are the loop's own
			defer runtime.UnlockOSThread()
			ended <- one.run(start)
		}()
	}
	var err error
	for range loops {
		err = errors.Join(err, <-ended)
	}
	if l.measure != nil {
		l.measure()
	}
	sum := &outcome{failures: map[string]int{}}
	for _, one := range loops {
		one.cutOff()
		sum.add(&one.outcome)
	}
	slices.Sort(sum.durations)
	return sum, err
}

// share is part i of n in so many parts.
func share(n, parts, i int) int { return (n + i) / parts }
