// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package tftp

import (
	"testing"
	"time"
)

// begun returns a transfer that has sent its first packet at time 0.
func begun(t terms, size int64) *transfer {
	x := newTransfer(t, patient(), size, 0)
	s := x.start(0)
	x.departed(s, s.to, 0)
	return &x
}

// ack has the transfer receive an ACK and sends what it then wants sent.
func (x *transfer) ack(block uint16, now time.Duration) step {
	s := x.receive(reply{block: block}, now)
	if s.to >= s.from {
		x.departed(s, s.to, now)
	}
	return s
}

// ACKs of blocks that were not sent, or long ago, neither disturb a transfer nor keep its clock from running.
func TestNoise(t *testing.T) {
	x := begun(terms{blockSize: 8, window: 1}, 100)
	x.ack(1, ms)
	deadline := x.deadline
	for i, block := range []uint16{0, 1, 3, 65535, 4, 1, 1, 1, 1} {
		now := time.Duration(2+i) * ms
		if got := x.ack(block, now); got != waiting() {
			t.Errorf("ACK %d: %+v", block, got)
		}
	}
	if x.deadline != deadline || x.acked != 1 || x.duplicates != 9 {
		t.Errorf("deadline %v, %d acknowledged, %d duplicates, want %v, 1, 9", x.deadline, x.acked, x.duplicates, deadline)
	}
}

// A client that answered and then fell silent is stalled, until it is heard again; one that never answered is not.
func TestStalled(t *testing.T) {
	x := begun(terms{blockSize: 8, window: 1}, 100)
	if x.send(1, 0); x.stalled() {
		t.Error("stalled at once")
	}
	s := x.expire(time.Second)
	x.departed(s, s.to, time.Second)
	if x.stalled() {
		t.Error("stalled, and may not even exist")
	}
	x.ack(1, 1001*ms)
	if x.stalled() {
		t.Error("stalled after an ACK")
	}
	s = x.expire(x.deadline)
	x.departed(s, s.to, x.deadline)
	if !x.stalled() {
		t.Error("not stalled after a deadline")
	}
	x.ack(1, 4*time.Second)
	if !x.stalled() {
		t.Error("not stalled after an ACK of long ago")
	}
	x.ack(2, 4*time.Second)
	if x.stalled() {
		t.Error("stalled after an ACK")
	}
}

// What a client's silence means depends on what it was sent.
func TestWhatSilenceMeans(t *testing.T) {
	x := begun(terms{blockSize: 8, window: 1}, 12) // two blocks
	if got := x.silence(OutcomeReplaced); got != OutcomeReplaced {
		t.Errorf("before any ACK: %q", got)
	}
	x.ack(1, ms)
	if got := x.silence(OutcomeReplaced); got != OutcomeLastACKLost {
		t.Errorf("with the last block sent: %q", got)
	}
	y := begun(terms{blockSize: 8, window: 1}, 24) // four
	y.ack(1, ms)
	if got := y.silence(OutcomeReplaced); got != OutcomeReplaced {
		t.Errorf("with two of four blocks sent: %q", got)
	}
}

// Each repetition of the request is answered once, and never when the client has answered; the tries of the server's own are
// not more for it.
func TestAgain(t *testing.T) {
	x := begun(terms{blockSize: 8, window: 4, accepted: []Option{{"blksize", "8"}}}, 100)
	now := time.Duration(0)
	for range 3 {
		now += 500 * ms
		s := x.again(now)
		if want := (step{from: 0, to: 0}); s != want {
			t.Fatalf("again() = %+v, want %+v", s, want)
		}
		x.departed(s, s.to, now)
	}
	if x.resent != 3 {
		t.Errorf("%d sent again, want 3", x.resent)
	}
	own := 0
	for {
		now = x.deadline
		s := x.expire(now)
		if s.outcome != "" {
			break
		}
		own++
		x.departed(s, s.to, now)
	}
	if own != maxUnprovenOACK-1 {
		t.Errorf("OACK sent %d times unasked, want %d", own, maxUnprovenOACK-1)
	}
	y := begun(terms{blockSize: 8, window: 4, accepted: []Option{{"blksize", "8"}}}, 100)
	y.ack(0, ms)
	if got := y.again(2 * ms); got != waiting() {
		t.Errorf("again() = %+v for a client that has answered", got)
	}
}

// A proven client's timer is believed: the server is not given up before it, however short the round trip.
func TestLastBlockWaitsForTheClientsTimer(t *testing.T) {
	for name, tc := range map[string]struct {
		asked time.Duration // timeout option; 0: none
		want  time.Duration // that it stays at least
	}{
		"EDK2's 4 s":     {0, 4 * time.Second},
		"a second":       {time.Second, time.Second},
		"longer than 30": {255 * time.Second, 30 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			w := patient()
			if tc.asked > 0 {
				w.most = tc.asked
			}
			x := newTransfer(terms{blockSize: 8, window: 1}, w, 12, 0)
			x.departed(x.start(0), 1, 0)
			x.ack(1, ms)
			for {
				now := x.deadline
				s := x.expire(now)
				if s.outcome != "" {
					if now < tc.want || s.outcome != OutcomeLastACKLost || now > 4*tc.want+5*time.Second {
						t.Errorf("given up after %v as %q, want %v at least", now, s.outcome, tc.want)
					}
					return
				}
				x.departed(s, s.to, now)
			}
		})
	}
}

// However many ACKs tell of a loss, it is answered once for each deadline, and when the client has got further.
func TestALossIsBelievedOnce(t *testing.T) {
	for name, tc := range map[string]struct {
		before   uint16 // the lost one
		wantNext step   // after ACK 8, at last
	}{
		"the first of a window": {4, step{from: 9, to: 12}},
		"one inside":            {6, step{from: 11, to: 12}}, // 7 to 10 are on their way
	} {
		t.Run(name, func(t *testing.T) {
			x := begun(terms{blockSize: 8, window: 4, accepted: []Option{{"blksize", "8"}}}, 1000)
			x.ack(0, ms)
			x.ack(4, 2*ms) // 5 to 8
			now := 3 * ms
			storm := func() (answered int) {
				for ; now < x.deadline; now += ms / 4 {
					if s := x.ack(tc.before, now); s.to >= s.from {
						answered++
					}
				}
				return answered
			}
			if got := storm(); got != 1 {
				t.Errorf("answered %d times, want once", got)
			}
			s := x.expire(now)
			x.departed(s, s.to, now)
			now += ms
			if got := storm(); got != 1 {
				t.Errorf("after the deadline: answered %d times, want once", got)
			}
			if s := x.ack(8, now); s != tc.wantNext {
				t.Errorf("after ACK 8: %+v, want %+v", s, tc.wantNext)
			}
		})
	}
}

// After a deadline the wait is doubled until it is known that the client has not become slow.
func TestBackoff(t *testing.T) {
	for name, tc := range map[string]struct {
		fresh int64 // of a flight from 5 to 8
		took  time.Duration
		tries int
		want  int
	}{
		"sent again, answered as promptly as ever":   {fresh: 9, took: 10 * ms, tries: 1, want: 0},
		"sent again, answered too soon for that":     {fresh: 9, took: ms, tries: 1, want: 3},
		"sent again, answered late":                  {fresh: 9, took: 100 * ms, tries: 1, want: 3},
		"the next one, answered late but in time":    {fresh: 9, took: 100 * ms, tries: 0, want: 0},
		"sent for the first time, answered late":     {fresh: 5, took: 100 * ms, tries: 0, want: 0},
		"sent on after a deadline, answered late":    {fresh: 7, took: 100 * ms, tries: 1, want: 0},
		"sent on after a deadline, but not this one": {fresh: 8, took: 100 * ms, tries: 1, want: 3},
	} {
		t.Run(name, func(t *testing.T) {
			x := transfer{
				blockSize: 8, window: 4, size: 1000, timing: patient(), acked: 4, sent: 8, flightFrom: 5, flightTo: 8,
				fresh: tc.fresh, backoff: 3, tries: tc.tries,
			}
			x.rtt.measure(10 * ms)
			x.receive(reply{block: 7}, tc.took)
			if x.backoff != tc.want {
				t.Errorf("doubled %d times, want %d", x.backoff, tc.want)
			}
		})
	}
}

// A client that becomes slow is not sent everything twice for ever: the wait stays long until the round trip is known.
func TestClientBecomesSlow(t *testing.T) {
	x := begun(terms{blockSize: 8, window: 1}, 1000)
	now := time.Duration(0)
	answerAfter := func(took time.Duration) {
		due := x.leftAt + took
		if x.resent > 0 && x.tries > 0 {
			due = now
		}
		for ; now < due; now = min(due, x.deadline) {
			if now >= x.deadline {
				s := x.expire(now)
				x.departed(s, s.to, now)
			}
		}
		x.ack(uint16(x.acked+1), now)
	}
	for range 20 {
		answerAfter(ms)
	}
	before := x.resent
	for range 20 {
		answerAfter(80 * ms)
	}
	if again := x.resent - before; again == 0 || again > 3 {
		t.Errorf("%d of 20 blocks sent again, want a few", again)
	}
}

// 10 000 transfers live in a loop: a block costs no memory.
func TestBlocksAllocateNothing(t *testing.T) {
	for name, window := range map[string]int{"lock-step": 1, "windows": 4} {
		t.Run(name, func(t *testing.T) {
			x := begun(terms{blockSize: 8, window: window, accepted: []Option{{"blksize", "8"}}}, 1<<40)
			now := ms
			x.ack(0, now)
			if got := testing.AllocsPerRun(1000, func() {
				now += ms
				x.ack(uint16(x.sent), now)
			}); got != 0 {
				t.Errorf("%v allocations, want none", got)
			}
		})
	}
}

func BenchmarkReceive(b *testing.B) {
	for name, window := range map[string]int{"window=1": 1, "window=4": 4} {
		b.Run(name, func(b *testing.B) {
			x := begun(terms{blockSize: 8, window: window, accepted: []Option{{"blksize", "8"}}}, 1<<60)
			now := ms
			x.ack(0, now)
			b.ReportAllocs()
			for b.Loop() {
				now += ms
				x.ack(uint16(x.sent), now)
			}
		})
	}
}
