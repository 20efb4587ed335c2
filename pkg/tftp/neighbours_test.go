// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package tftp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

// memPosts deliver notes in memory, as Linux does: a queue is short, and a place that nobody has is known.
type memPosts struct {
	mu  sync.Mutex
	all map[int]*memPost
}

type memNote struct {
	from int
	b    string
}

type memPost struct {
	posts  *memPosts
	own    int
	in     chan memNote
	closed chan struct{}
}

func (m *memPosts) open(place int) *memPost {
	m.mu.Lock()
	defer m.mu.Unlock()
	p := &memPost{posts: m, own: place, in: make(chan memNote, 11), closed: make(chan struct{})}
	m.all[place] = p
	return p
}

func (p *memPost) place() int { return p.own }

func (p *memPost) send(place int, b []byte) error {
	p.posts.mu.Lock()
	to := p.posts.all[place]
	p.posts.mu.Unlock()
	if to == nil {
		return errNobody
	}
	select {
	case to.in <- memNote{p.own, string(b)}:
		return nil
	default:
		return errFull
	}
}

func (p *memPost) receive(b []byte) (n, place int, err error) {
	select {
	case note := <-p.in:
		return copy(b, note.b), note.from, nil
	case <-p.closed:
		return 0, 0, net.ErrClosed
	}
}

func (p *memPost) close() {
	p.posts.mu.Lock()
	defer p.posts.mu.Unlock()
	if p.posts.all[p.own] == p {
		delete(p.posts.all, p.own)
		close(p.closed)
	}
}

// A street has loops in virtual time that are neighbours. Who gets a packet, the test says in Linux's place.
type street struct {
	t      *testing.T
	posts  *memPosts
	houses map[int]*house

	mu   sync.Mutex
	sent []string // "place: packet" of what was sent to clients
}

type house struct {
	*virtual

	post *memPost
	reg  *prometheus.Registry
}

// inStreet runs f, and then ends all loops. Each must end without a word.
func inStreet(t *testing.T, f func(s *street)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := &street{t: t, posts: &memPosts{all: map[int]*memPost{}}, houses: map[int]*house{}}
		defer func() { // also when f has had enough: loops that go on never let time stand still
			for place := range s.houses {
				s.stop(place)
			}
		}()
		f(s)
	})
}

// start starts a loop at a place. Its files are "large", of 10 blocks, and "own", which tells the place.
func (s *street) start(place int) *house {
	s.t.Helper()
	h := &house{post: s.posts.open(place), reg: prometheus.NewRegistry()}
	server, err := New(files{"large": make([]byte, 5000), "own": fmt.Appendf(nil, "place %d", place)}, Options{Registerer: h.reg})
	if err != nil {
		s.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(s.t.Context())
	h.virtual = &virtual{ended: make(chan error, 1), stop: cancel, records: make(chan Record, 1<<14)}
	h.wire = newMemWire(func(_ peer, packet string) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.sent = append(s.sent, fmt.Sprintf("%d: %.4q", place, packet))
	})
	h.shard = newShard(context.WithoutCancel(ctx), server, h.wire, func(r Record) bool {
		h.records <- r
		return true
	})
	h.neighbours = newNeighbours(h.post, &h.tally)
	h.do(func() func() {
		h.correspond(h.post)
		return nil
	})
	context.AfterFunc(ctx, h.wire.wake)
	go func() {
		err := h.run(ctx, server.options.ShutdownGrace)
		h.post.close()
		h.neighbours, h.tally.neighbours = nil, 0
		h.ended <- errors.Join(err, h.drain())
	}()
	s.houses[place] = h
	s.rest(10 * time.Millisecond)
	return h
}

// stop has a loop drain, and waits for that.
func (s *street) stop(place int) {
	s.t.Helper()
	h := s.houses[place]
	delete(s.houses, place)
	h.stop()
	if err := <-h.ended; err != nil {
		s.t.Errorf("the loop at %d ended with %v", place, err)
	}
}

// kill ends a loop as if its process were killed: nobody is told.
func (s *street) kill(place int) {
	h := s.houses[place]
	delete(s.houses, place)
	h.post.close()
	close(h.wire.closed)
	<-h.ended //nolint:errcheck // the wire was closed, which is an error
	h.stop()
}

// rest lets time pass.
func (s *street) rest(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

// send has the loop at a place get a packet of client number n.
func (s *street) send(place, n int, packet string) {
	s.houses[place].send(n, packet)
	s.rest(20 * time.Millisecond)
}

// want fails the test if something else was sent to clients since the last call. A packet is told by its first four bytes.
func (s *street) want(packets ...string) {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if diff := cmp.Diff(packets, s.sent); diff != "" {
		s.t.Errorf("sent (-want +got):\n%s", diff)
	}
	s.sent = nil
}

// heard returns what was sent to clients since the last call.
func (s *street) heard() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	sent := s.sent
	s.sent = nil
	return sent
}

// given returns how many packets a loop has handed to others.
func (s *street) given(place int) float64 {
	return testutil.ToFloat64(s.houses[place].server.metrics.given)
}

// known returns how many neighbours the loop at place 1 knows.
func (s *street) known() float64 {
	return testutil.ToFloat64(s.houses[1].server.metrics.neighbours)
}

const (
	askLarge = "\x00\x01large\x00octet\x00"
	askOwn   = "\x00\x01own\x00octet\x00"
)

// data and ack are what a packet of that block begins with.
func data(place, block int) string { return fmt.Sprintf("%d: %q", place, []byte{0, 3, 0, byte(block)}) }

func acked(block int) string { return string([]byte{0, 4, 0, byte(block)}) }

func TestNeighbours(t *testing.T) {
	for name, f := range map[string]func(s *street){
		"an ACK reaches the transfer that it belongs to": func(s *street) {
			s.start(0)
			s.send(0, 1, askLarge)
			s.start(5)
			s.send(5, 1, acked(1))
			s.send(0, 1, acked(2))
			s.send(5, 1, acked(3))
			s.want(data(0, 1), data(0, 2), data(0, 3), data(0, 4))
		},
		"an ACK of nobody's gets no answer": func(s *street) {
			s.start(0)
			s.start(1)
			s.send(1, 1, acked(1))
			s.send(0, 1, acked(1))
			s.want()
		},
		"a request that comes again joins the transfer": func(s *street) {
			s.start(0)
			s.send(0, 1, askLarge)
			s.start(1)
			s.send(1, 1, askLarge)
			s.want(data(0, 1), data(0, 1))
		},
		"another request takes the transfer's place, and its server falls silent": func(s *street) {
			old := s.start(0)
			s.send(0, 1, askLarge)
			s.start(1)
			s.send(1, 1, acked(1))
			s.send(1, 1, askOwn)
			s.want(data(0, 1), data(0, 2), data(1, 1))
			if r := <-old.records; r.Outcome != OutcomeReplaced {
				s.t.Errorf("the transfer ended as %s, want %s", r.Outcome, OutcomeReplaced)
			}
			s.send(1, 1, acked(1))
			s.rest(time.Minute)
			s.want()
		},
		"a request that nobody knows is answered where it came in": func(s *street) {
			s.start(0)
			s.start(1)
			s.start(2)
			s.send(1, 1, askOwn)
			s.want(data(1, 1))
		},
		"nothing is handed over when all that began before is over": func(s *street) {
			s.start(0)
			s.send(0, 1, askOwn)
			s.start(1)
			s.send(1, 1, acked(1))
			s.rest(settling + helloEvery)
			before := s.given(1)
			s.send(1, 2, askOwn)
			s.send(1, 3, acked(9))
			s.want(data(0, 1), data(1, 1))
			if got := s.given(1) - before; got != 0 || before == 0 {
				s.t.Errorf("%v packets were handed over, after %v before; want 0 after some", got, before)
			}
		},
		"long transfers are found long after": func(s *street) {
			s.start(0)
			s.send(0, 1, askLarge)
			s.start(1)
			for block := 1; block < 9; block++ {
				s.rest(900 * time.Millisecond)
				s.send(1, 1, acked(block))
			}
			s.rest(10 * time.Millisecond)
			if sent := s.heard(); !slices.Contains(sent, data(0, 9)) {
				s.t.Errorf("sent %v, want the ninth block in it", sent)
			}
		},
		"one that drains hands requests on": func(s *street) {
			s.start(0)
			s.send(0, 1, askLarge) // which keeps it from ending
			s.start(1)
			s.houses[0].stop()
			s.rest(10 * time.Millisecond)
			s.send(0, 2, askOwn)
			s.want(data(0, 1), data(1, 1))
		},
		"what one that drains gets of a client whose request it handed on reaches that, as long as it takes": func(s *street) {
			s.start(0)
			s.send(0, 1, askLarge)
			s.start(1)
			s.houses[0].stop()
			s.rest(10 * time.Millisecond)
			s.send(0, 2, askLarge)
			s.heard()
			for block := 1; block < 9; block++ {
				s.rest(900 * time.Millisecond)
				s.send(0, 1, acked(block))
				s.send(0, 2, acked(block))
			}
			if sent := s.heard(); !slices.Contains(sent, data(1, 9)) || slices.Contains(sent, data(0, 1)) {
				s.t.Errorf("sent %v, want the ninth block from place 1 in it", sent)
			}
		},
		"so does what its own other clients send, when it is asked by the other one's": func(s *street) {
			s.start(0)
			s.start(1)
			s.rest(settling + helloEvery)
			s.send(0, 1, askLarge)
			s.send(1, 1, acked(1)) // nobody's, as far as place 1 is told
			s.want(data(0, 1))
		},
		"of two that drain, none gets requests": func(s *street) {
			s.start(0)
			s.send(0, 1, askLarge)
			s.start(1)
			s.send(1, 2, askLarge)
			s.start(2)
			s.houses[0].stop()
			s.houses[1].stop()
			s.rest(10 * time.Millisecond)
			s.send(0, 3, askOwn)
			s.send(1, 4, askOwn)
			s.want(data(0, 1), data(1, 1), data(2, 1), data(2, 1))
		},
		"when all drain, requests are met with silence": func(s *street) {
			s.start(0)
			s.send(0, 1, askLarge)
			s.start(1)
			s.send(1, 2, askLarge)
			s.houses[0].stop()
			s.houses[1].stop()
			s.rest(10 * time.Millisecond)
			before := s.given(0) + s.given(1)
			s.send(0, 3, askOwn)
			s.want(data(0, 1), data(1, 1))
			if got := s.given(0) + s.given(1) - before; got > 2 {
				s.t.Errorf("one request was handed on %v times", got)
			}
		},
		"what is in the queue of one that leaves is handed over": func(s *street) {
			s.start(0)
			s.start(1)
			s.rest(settling + helloEvery)
			s.houses[0].stop()
			s.houses[0].send(1, askOwn)
			s.houses[0].send(2, askOwn)
			s.rest(10 * time.Millisecond)
			s.want(data(1, 1), data(1, 1))
		},
		"requests on their way to one that was killed are answered": func(s *street) {
			s.start(0)
			s.start(1)
			s.kill(0)
			s.send(1, 1, askOwn)
			s.want(data(1, 1))
			if s.known() != 0 {
				s.t.Errorf("%v neighbours, want none", s.known())
			}
		},
		"one that was killed is forgotten without traffic": func(s *street) {
			s.start(0)
			s.start(1)
			s.kill(0)
			s.rest(neighbourSilence + helloEvery)
			if s.known() != 0 {
				s.t.Errorf("%v neighbours, want none", s.known())
			}
		},
		"one that hangs is forgotten": func(s *street) {
			hangs := s.posts.open(0)
			s.start(1)
			if err := hangs.send(1, note(noteHello, helloStrays)); err != nil {
				s.t.Fatal(err)
			}
			s.rest(neighbourSilence - helloEvery)
			if s.known() != 1 {
				s.t.Fatalf("%v neighbours, want the one that hangs", s.known())
			}
			s.rest(2 * helloEvery)
			s.send(1, 1, askOwn)
			s.want(data(1, 1))
			hangs.close()
		},
		"one that leaves says so": func(s *street) {
			s.start(0)
			s.start(1)
			s.stop(0)
			s.rest(time.Millisecond)
			if s.known() != 0 {
				s.t.Errorf("%v neighbours, want none", s.known())
			}
		},
		"notes that can't be read are counted": func(s *street) {
			stranger := s.posts.open(0)
			s.start(1)
			for _, b := range []string{"", "TFn2h\x00", "TFn1x", "TFn1h", "TFn1p\x00"} {
				if err := stranger.send(1, []byte(b)); err != nil {
					s.t.Fatal(err)
				}
			}
			s.rest(helloEvery) // the loop settles its counters when it has something to do
			if got := testutil.ToFloat64(s.houses[1].server.metrics.undelivered); got != 5 {
				s.t.Errorf("%v notes were counted, want 5", got)
			}
			stranger.close()
		},
		"many packets at once get through a short queue": func(s *street) {
			const clients = 500
			s.start(0)
			for n := range clients {
				s.houses[0].send(n, askLarge)
			}
			s.rest(10 * time.Millisecond)
			s.start(1)
			s.heard()
			for n := range clients {
				s.houses[1].send(n, acked(1))
			}
			s.rest(30 * time.Millisecond)
			second := 0
			for _, packet := range s.heard() {
				if packet == data(0, 2) {
					second++
				}
			}
			if second != clients {
				s.t.Errorf("%d answers to %d ACKs", second, clients)
			}
		},
	} {
		t.Run(name, func(t *testing.T) { inStreet(t, f) })
	}
}

// TestNeighbourThatNeverEmptiesItsQueue holds that what waits for one has a bound, and requests are answered beyond it.
func TestNeighbourThatNeverEmptiesItsQueue(t *testing.T) {
	inStreet(t, func(s *street) {
		hangs := s.posts.open(0)
		s.start(1)
		if err := hangs.send(1, note(noteHello, helloStrays)); err != nil {
			t.Fatal(err)
		}
		s.rest(time.Millisecond)
		const clients = 2000
		for n := range clients {
			s.houses[1].send(n, askOwn)
		}
		s.rest(20 * time.Millisecond)
		most := maxNotes/(handedHead+len(askOwn)) + cap(hangs.in)
		if got, answered := s.given(1), len(s.heard()); got > float64(most) || answered != clients-int(got) {
			t.Errorf("%v of %d requests wait for one that hangs, %d were answered", got, clients, answered)
		}
		if held := len(s.houses[1].neighbours.all[0].out); held > maxNotes {
			t.Errorf("%d bytes are held for it, want %d at most", held, maxNotes)
		}
		hangs.close()
	})
}
