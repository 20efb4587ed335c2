// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package tftp

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// The data of some blocks comes late.
func TestTransferOfLateData(t *testing.T) {
	oack := []Option{{"tsize", "1"}}
	lockStep := terms{blockSize: 512, window: 1, accepted: oack}
	windows := terms{blockSize: 512, window: 4, accepted: oack}
	late := func(blocks map[int64]time.Duration) func(int64) time.Duration {
		return func(block int64) time.Duration { return blocks[block] }
	}
	type blocks = map[int64]time.Duration

	for name, tc := range map[string]struct {
		terms   terms
		there   blocks // when a block's data is there; others always are
		unsized bool
		lose    map[int]bool
		want    result
		partial bool
	}{
		"lock-step: a block is sent when it is there": {
			terms: lockStep, there: blocks{2: 10 * time.Second},
			want: result{Outcome: OutcomeComplete, Took: 10_004 * ms, Packets: 6, Blocks: 5, Bytes: 2500},
		},
		"the first block, longer than the wait for an ACK": {
			terms: terms{blockSize: 512, window: 1}, there: blocks{1: 10 * time.Second},
			want: result{Outcome: OutcomeComplete, Took: 10_005 * ms, Packets: 5, Blocks: 5, Bytes: 2500},
		},
		"half a window goes ahead": {
			terms: windows, there: blocks{3: 21 * ms},
			want: result{Outcome: OutcomeComplete, Took: 23 * ms, Packets: 6, Blocks: 5, Bytes: 2500},
		},
		"half a window goes ahead, and again when it is not acknowledged": {
			// 1 and 2 again at 51 ms: the loader has both, and says so twice. Then there is nothing to send.
			terms: windows, there: blocks{3: time.Second},
			want: result{
				Outcome: OutcomeComplete, Took: 1001 * ms, Packets: 8, Resent: 2, Duplicates: 1, Blocks: 5, Bytes: 2500,
			},
		},
		"two in a window come late, one after the other": {
			terms: windows, there: blocks{2: 11 * ms, 4: 31 * ms},
			want: result{Outcome: OutcomeComplete, Took: 33 * ms, Packets: 6, Blocks: 5, Bytes: 2500},
		},
		"DATA lost before the gap": {
			// 1, (2); 3 and 4 at 10 ms bring two ACKs of 1.
			terms: windows, there: blocks{3: 10 * ms}, lose: lost(3),
			want: result{
				Outcome: OutcomeComplete, Took: 12 * ms, Packets: 9, Resent: 3, Duplicates: 1, Blocks: 5, Bytes: 2500,
			},
		},
		"size not known": {
			terms: windows, there: blocks{5: 10 * ms}, unsized: true,
			want: result{Outcome: OutcomeComplete, Took: 11 * ms, Packets: 6, Blocks: 5, Bytes: 2500},
		},
		"size not known, and the last block lost": {
			terms: windows, there: blocks{5: 10 * ms}, unsized: true, lose: lost(6),
			want: result{Outcome: OutcomeComplete, Took: 61 * ms, Packets: 7, Resent: 1, Blocks: 5, Bytes: 2500},
		},
		"the data does not come: 15 s": {
			terms: lockStep, there: blocks{3: time.Minute}, partial: true,
			want: result{Outcome: OutcomeFailed, Took: 15_003 * ms, Packets: 3, Blocks: 2, Bytes: 1024},
		},
		"the first block's data does not come": {
			terms: terms{blockSize: 512, window: 1}, there: blocks{1: time.Minute}, partial: true,
			want: result{Outcome: OutcomeFailed, Took: 15_000 * ms},
		},
		"the rest of a window does not come: 15 s from when it was missed": {
			terms: windows, there: blocks{3: time.Minute}, partial: true,
			want: result{
				Outcome: OutcomeFailed, Took: 15_001 * ms, Packets: 5, Resent: 2, Duplicates: 1, Blocks: 2, Bytes: 1024,
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			sc := scene{
				terms: tc.terms, file: contents(2500), unsized: tc.unsized, there: late(tc.there),
				down: link{delay: ms / 2, lose: tc.lose}, up: link{delay: ms / 2},
			}

			n, err := sc.play()

			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, resultOf(n)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if n.loader.complete == tc.partial {
				t.Errorf("loader has the whole file: %v", n.loader.complete)
			}
		})
	}
}

// What a caller may do that has nothing to say.
func TestFedForNothing(t *testing.T) {
	x := newTransfer(terms{blockSize: 8, window: 2, accepted: []Option{{"blksize", "8"}}}, patient(), 100, 0)
	x.departed(x.start(0), 0, 0)
	if got := x.fed(ms); got != waiting() {
		t.Errorf("fed() of a transfer that lacks nothing = %+v", got)
	}

	s := x.receive(reply{block: 0}, ms)
	x.departed(s, 2, ms)
	s = x.expire(x.deadline) // 1 and 2 again
	at := x.deadline
	x.departed(s, 1, at) // the data of 2 was there, and is not any more
	if got := x.again(at); got != waiting() {
		t.Errorf("again() = %+v for a client that has answered", got)
	}
	s = x.receive(reply{block: 2}, at+ms) // the loader had it from the first time
	if want := (step{from: 3, to: 4}); s != want {
		t.Fatalf("after ACK 2: %+v, want %+v", s, want)
	}
	x.departed(s, 4, at+ms)
	if got := x.fed(at + 2*ms); got != waiting() {
		t.Errorf("fed() = %+v with data that the client has", got)
	}
}

// The same at the end of a file, where no further block shows that the data is not missed any more.
func TestFedForNothingAtTheEnd(t *testing.T) {
	x := begun(terms{blockSize: 8, window: 4, accepted: []Option{{"blksize", "8"}}}, 28)
	x.ack(0, ms) // 1 to 4
	at := x.deadline
	x.departed(x.expire(at), 4, at) // all of them again
	at = x.deadline
	x.departed(x.expire(at), 0, at) // and now none is there any more
	if s := x.ack(2, at+ms); s.to >= s.from {
		t.Errorf("after ACK 2: %+v, and 3 and 4 may be on their way", s)
	}
	if got := x.fed(at + 2*ms); got != waiting() {
		t.Errorf("fed() = %+v, and the client has 2", got)
	}
}

// While there is nothing to send, there is nothing that a client could have lost.
func TestDuplicatesOfAHungryTransfer(t *testing.T) {
	x := newTransfer(terms{blockSize: 8, window: 4, accepted: []Option{{"blksize", "8"}}}, patient(), 1000, 0)
	x.departed(x.start(0), 0, 0)
	s := x.receive(reply{block: 0}, ms)
	x.departed(s, 0, ms)
	for now := 10 * ms; now < time.Second; now += 10 * ms {
		if got := x.ack(0, now); got != waiting() {
			t.Fatalf("at %v: %+v", now, got)
		}
	}
	if x.deadline != ms+x.timing.body {
		t.Errorf("deadline %v, want %v", x.deadline, ms+x.timing.body)
	}
}

// A step of which nothing could be sent does not change what is known of those before.
func TestNothingDeparted(t *testing.T) {
	x := newTransfer(terms{blockSize: 8, window: 4, accepted: []Option{{"blksize", "8"}}}, patient(), 1000, 0)
	x.departed(x.start(0), 0, 0)
	s := x.receive(reply{block: 0}, 8*ms)
	x.departed(s, 2, 8*ms)
	x.departed(x.fed(15*ms), 2, 15*ms)
	before := x.rtt
	x.receive(reply{block: 2}, 16*ms) // 8 ms after 1 and 2
	before.measure(8 * ms)
	if x.rtt != before {
		t.Errorf("round trip %+v, want %+v", x.rtt, before)
	}
}

// News of data that is then not there after all does not make the time that it may take longer.
func TestFedInVain(t *testing.T) {
	x := newTransfer(terms{blockSize: 8, window: 1}, patient(), 100, 0)
	x.departed(x.start(0), 0, 0)
	for now := time.Second; now < 20*time.Second; now += time.Second {
		if now >= x.deadline {
			if got := x.expire(now); got.outcome != OutcomeFailed || now != 15*time.Second {
				t.Errorf("at %v: %+v", now, got)
			}
			return
		}
		if got, want := x.again(now), waiting(); got != want {
			t.Errorf("at %v: again() = %+v, there is nothing to send", now, got)
		}
		x.departed(x.fed(now), 0, now)
	}
	t.Error("no end")
}
