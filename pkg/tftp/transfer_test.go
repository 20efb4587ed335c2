// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package tftp

import (
	"bytes"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// What a transfer comes to; the times are virtual.
type result struct {
	Outcome    Outcome
	Took       time.Duration
	Packets    int   // that the server sent
	Resent     int64 // those sent again
	Duplicates int64 // ACKs that said nothing new
	Blocks     int64 // acknowledged
	Bytes      int64
}

func resultOf(n *network) result {
	x := &n.server.transfer
	r := result{
		Outcome: n.server.outcome, Took: n.now, Packets: n.server.packets, Resent: x.resent, Duplicates: x.duplicates,
	}
	r.Blocks, r.Bytes = x.progress()
	return r
}

// lost returns a set of packets, counted from 1.
func lost(packets ...int) map[int]bool {
	set := make(map[int]bool, len(packets))
	for _, p := range packets {
		set[p] = true
	}
	return set
}

const ms = time.Millisecond

// Named packets are lost on the way of 0.5 ms; what that costs is exact. Of the packets to the loader the OACK is the first
// if there is one, and of those to the server the ACK of the OACK is.
func TestTransfer(t *testing.T) {
	oack := []Option{{"tsize", "1"}}
	lockStep := terms{blockSize: 512, window: 1}
	withOACK := terms{blockSize: 512, window: 1, accepted: oack}
	windows := terms{blockSize: 512, window: 4, accepted: oack}
	oneSecond := patient()
	oneSecond.most = time.Second
	two, many := patient(), patient()
	two.attempts, many.attempts = 2, 20

	for name, tc := range map[string]struct {
		terms   terms
		timing  timing // zero: patient
		size    int
		loader  loader
		lose    map[int]bool // packets to the loader
		loseACK map[int]bool
		want    result
		partial bool // the loader does not get the whole file
	}{
		"empty file": {
			terms: lockStep, size: 0,
			want: result{Outcome: OutcomeComplete, Took: ms, Packets: 1, Blocks: 1},
		},
		"empty file, OACK": {
			terms: withOACK, size: 0,
			want: result{Outcome: OutcomeComplete, Took: 2 * ms, Packets: 2, Blocks: 1},
		},
		"lock-step": {
			terms: lockStep, size: 1300,
			want: result{Outcome: OutcomeComplete, Took: 3 * ms, Packets: 3, Blocks: 3, Bytes: 1300},
		},
		"a whole number of blocks ends with an empty one": {
			terms: lockStep, size: 1024,
			want: result{Outcome: OutcomeComplete, Took: 3 * ms, Packets: 3, Blocks: 3, Bytes: 1024},
		},
		"OACK, then lock-step": {
			terms: withOACK, size: 1300,
			want: result{Outcome: OutcomeComplete, Took: 4 * ms, Packets: 4, Blocks: 3, Bytes: 1300},
		},
		"windows of four": {
			terms: windows, size: 5000,
			want: result{Outcome: OutcomeComplete, Took: 4 * ms, Packets: 11, Blocks: 10, Bytes: 5000},
		},
		"first DATA lost: again after a second": {
			terms: lockStep, size: 1300, lose: lost(1),
			want: result{Outcome: OutcomeComplete, Took: 1003 * ms, Packets: 4, Resent: 1, Blocks: 3, Bytes: 1300},
		},
		"second DATA lost: again after the floor, for the round trip is known": {
			terms: lockStep, size: 1300, lose: lost(2),
			want: result{Outcome: OutcomeComplete, Took: 53 * ms, Packets: 4, Resent: 1, Blocks: 3, Bytes: 1300},
		},
		"DATA lost three times: 50, 100 and 200 ms": {
			terms: lockStep, size: 1300, lose: lost(2, 3, 4),
			want: result{Outcome: OutcomeComplete, Took: 353 * ms, Packets: 6, Resent: 3, Blocks: 3, Bytes: 1300},
		},
		"the wait starts anew when the answer is as prompt as ever": {
			terms: lockStep, size: 1300, lose: lost(2, 3, 5),
			want: result{Outcome: OutcomeComplete, Took: 203 * ms, Packets: 6, Resent: 3, Blocks: 3, Bytes: 1300},
		},
		"the wait stays doubled while nothing was measured": {
			terms: lockStep, size: 1300, lose: lost(1, 3),
			want: result{Outcome: OutcomeComplete, Took: 3003 * ms, Packets: 5, Resent: 2, Blocks: 3, Bytes: 1300},
		},
		"ACK lost: DATA again, acknowledged again": {
			terms: lockStep, size: 1300, loseACK: lost(2),
			want: result{Outcome: OutcomeComplete, Took: 53 * ms, Packets: 4, Resent: 1, Blocks: 3, Bytes: 1300},
		},
		"OACK lost": {
			terms: windows, size: 1300, lose: lost(1),
			want: result{Outcome: OutcomeComplete, Took: 1002 * ms, Packets: 5, Resent: 1, Blocks: 3, Bytes: 1300},
		},
		"OACK lost, but the loader asks again": {
			terms: windows, size: 1300, lose: lost(1), loader: loader{asks: 100 * ms},
			want: result{Outcome: OutcomeComplete, Took: 102*ms + ms/2, Packets: 5, Resent: 1, Blocks: 3, Bytes: 1300},
		},
		"OACK lost twice": {
			terms: windows, size: 1300, lose: lost(1, 2),
			want: result{Outcome: OutcomeComplete, Took: 3002 * ms, Packets: 6, Resent: 2, Blocks: 3, Bytes: 1300},
		},
		"ACK of the OACK lost": {
			terms: windows, size: 1300, loseACK: lost(1),
			want: result{Outcome: OutcomeComplete, Took: 1002 * ms, Packets: 5, Resent: 1, Blocks: 3, Bytes: 1300},
		},
		"last DATA lost": {
			terms: withOACK, size: 1300, lose: lost(4),
			want: result{Outcome: OutcomeComplete, Took: 54 * ms, Packets: 5, Resent: 1, Blocks: 3, Bytes: 1300},
		},
		"last ACK lost, and the loader has closed": {
			terms: lockStep, size: 1300, loseACK: lost(3),
			want: result{
				Outcome: OutcomeLastACKLost, Took: 6352 * ms, Packets: 9, Resent: 6, Blocks: 2, Bytes: 1024,
			},
		},
		"last ACK lost, and the loader stays a while": {
			terms: lockStep, size: 1300, loseACK: lost(3), loader: loader{lingers: true},
			want: result{Outcome: OutcomeComplete, Took: 53 * ms, Packets: 4, Resent: 1, Blocks: 3, Bytes: 1300},
		},
		"last ACK of a window lost, and the loader has closed": {
			terms: windows, size: 1300, loseACK: lost(2),
			want: result{Outcome: OutcomeLastACKLost, Took: 6351 * ms, Packets: 12, Resent: 8}, // what nothing shows to have come is not sent whole again and again
		},
		"the only ACK lost": { // no reason to believe that anybody is there
			terms: lockStep, size: 100, loseACK: lost(1),
			want: result{Outcome: OutcomeTimeout, Took: 3 * time.Second, Packets: 2, Resent: 1},
		},
		"each ACK comes four times: nothing is sent twice": {
			terms: withOACK, size: 5000, loader: loader{every: 3},
			want: result{
				Outcome: OutcomeComplete, Took: 11 * ms, Packets: 11, Duplicates: 30, Blocks: 10, Bytes: 5000,
			},
		},
		"each ACK comes four times, in windows": {
			terms: windows, size: 5000, loader: loader{every: 3},
			want: result{Outcome: OutcomeComplete, Took: 4 * ms, Packets: 11, Duplicates: 9, Blocks: 10, Bytes: 5000},
		},
		"DATA lost in a window: back to it at once": {
			// OACK, 1, (2), 3, 4: two ACKs of 1; the first brings 2 to 5, the second nothing.
			terms: windows, size: 5000, lose: lost(3),
			want: result{
				Outcome: OutcomeComplete, Took: 5 * ms, Packets: 14, Resent: 3, Duplicates: 1, Blocks: 10, Bytes: 5000,
			},
		},
		"a storm of ACKs on top of that": {
			terms: windows, size: 5000, lose: lost(3), loader: loader{every: 50},
			want: result{
				Outcome: OutcomeComplete, Took: 5 * ms, Packets: 14, Resent: 3, Duplicates: 251, Blocks: 10, Bytes: 5000,
			},
		},
		"the first DATA of a window lost: back to it at the next one's ACK": {
			// OACK, (1), 2, 3, 4: three ACKs of 0; the first brings 1 to 4, the others nothing.
			terms: windows, size: 5000, lose: lost(2),
			want: result{
				Outcome: OutcomeComplete, Took: 5 * ms, Packets: 15, Resent: 4, Duplicates: 3, Blocks: 10, Bytes: 5000,
			},
		},
		"the first DATA of a window lost twice": {
			terms: windows, size: 5000, lose: lost(2, 6),
			want: result{
				Outcome: OutcomeComplete, Took: 55 * ms, Packets: 19, Resent: 8, Duplicates: 6, Blocks: 10, Bytes: 5000,
			},
		},
		"the last DATA of a window lost": {
			// 1 to 4 again, of which the loader has three, and says so with as many ACKs of 3: 5 to 7 follow, nothing else.
			terms: windows, size: 5000, lose: lost(5),
			want: result{
				Outcome: OutcomeComplete, Took: 54 * ms, Packets: 15, Resent: 4, Duplicates: 2, Blocks: 10, Bytes: 5000,
			},
		},
		"ACK of a window lost": {
			// 1 to 4 again, which the loader has: four ACKs of 4, of which three are echoes.
			terms: windows, size: 5000, loseACK: lost(2),
			want: result{
				Outcome: OutcomeComplete, Took: 54 * ms, Packets: 15, Resent: 4, Duplicates: 3, Blocks: 10, Bytes: 5000,
			},
		},
		"a window lost, and later on the first DATA of another": {
			// 1 to 4 come a second time and are new to the loader: no ACK of 8 is an echo of them.
			terms: windows, size: 10_000, lose: lost(2, 3, 4, 5, 1+4+9),
			want: result{
				Outcome: OutcomeComplete, Took: 57 * ms, Packets: 29, Resent: 8, Duplicates: 3, Blocks: 20, Bytes: 10_000,
			},
		},
		"DATA lost in a window, and another one on the way back": {
			// 33 to 48, (36): 36 to 51, (40): the first five ACKs of 39 may be echoes of 36 to 39, and bring 52 to 55 only; the
			// sixth brings 40 to 55.
			terms: terms{blockSize: 512, window: 16, accepted: oack}, size: 50_000, lose: lost(1+36, 1+48+5),
			want: result{
				Outcome: OutcomeComplete, Took: 9 * ms, Packets: 128, Resent: 29, Duplicates: 25, Blocks: 98, Bytes: 50_000,
			},
		},
		"a whole window lost": {
			terms: windows, size: 2000, lose: lost(2, 3, 4, 5),
			want: result{Outcome: OutcomeComplete, Took: 52 * ms, Packets: 9, Resent: 4, Blocks: 4, Bytes: 2000},
		},
		"the last DATA of the last window lost": {
			terms: windows, size: 1300, lose: lost(4),
			want: result{
				Outcome: OutcomeComplete, Took: 52 * ms, Packets: 7, Resent: 3, Duplicates: 1, Blocks: 3, Bytes: 1300,
			},
		},
		"size probe": {
			terms: windows, size: 5000, loader: loader{abort: map[int]ErrorCode{1: CodeOptionRefused}}, partial: true,
			want: result{Outcome: OutcomeProbe, Took: ms, Packets: 1},
		},
		"size probe that acknowledged the OACK": {
			terms: withOACK, size: 5000, loader: loader{abort: map[int]ErrorCode{2: CodeUndefined}}, partial: true,
			want: result{Outcome: OutcomeProbe, Took: 2 * ms, Packets: 2},
		},
		"no probe: the loader has no room": {
			terms: windows, size: 5000, loader: loader{abort: map[int]ErrorCode{1: CodeDiskFull}}, partial: true,
			want: result{Outcome: OutcomeClientError, Took: ms, Packets: 1},
		},
		"no probe: there was no OACK": {
			terms: lockStep, size: 5000, loader: loader{abort: map[int]ErrorCode{1: CodeUndefined}}, partial: true,
			want: result{Outcome: OutcomeClientError, Took: ms, Packets: 1},
		},
		"loader gives up": {
			terms: lockStep, size: 5000, loader: loader{abort: map[int]ErrorCode{3: CodeDiskFull}}, partial: true,
			want: result{Outcome: OutcomeClientError, Took: 3 * ms, Packets: 3, Blocks: 2, Bytes: 1024},
		},
		"loader was never there: two DATA": {
			terms: lockStep, size: 100, loader: loader{silent: true}, partial: true,
			want: result{Outcome: OutcomeTimeout, Took: 3 * time.Second, Packets: 2, Resent: 1},
		},
		"loader was never there: three OACKs": {
			terms: windows, size: 5000, loader: loader{silent: true}, partial: true,
			want: result{Outcome: OutcomeTimeout, Took: 7 * time.Second, Packets: 3, Resent: 2},
		},
		"loader was never there, and not more than two are wanted": {
			terms: windows, timing: two, size: 5000, loader: loader{silent: true}, partial: true,
			want: result{Outcome: OutcomeTimeout, Took: 3 * time.Second, Packets: 2, Resent: 1},
		},
		"loader was never there, and asked for a timeout of a second": {
			terms: windows, timing: oneSecond, size: 5000, loader: loader{silent: true}, partial: true,
			want: result{Outcome: OutcomeTimeout, Took: 3 * time.Second, Packets: 3, Resent: 2},
		},
		"loader falls silent: 30 s": {
			// 50, 100, 200 ms ... 5 s
			terms: withOACK, size: 5000, partial: true, loseACK: lost(numbers(3, 16)...),
			want: result{
				Outcome: OutcomeTimeout, Took: 31352 * ms, Packets: 14, Resent: 11, Blocks: 1, Bytes: 512,
			},
		},
		"loader falls silent, and is to be asked twenty times": {
			terms: withOACK, timing: many, size: 5000, partial: true, loseACK: lost(numbers(3, 50)...),
			want: result{
				Outcome: OutcomeTimeout, Took: 71352 * ms, Packets: 22, Resent: 19, Blocks: 1, Bytes: 512,
			},
		},
		"loader falls silent, and had asked for a timeout of a second": {
			// 50, 100, 200, 400, 800 ms, and 29 times 1 s
			terms: withOACK, timing: oneSecond, size: 5000, partial: true,
			loseACK: lost(numbers(3, 50)...),
			want: result{
				Outcome: OutcomeTimeout, Took: 30552 * ms, Packets: 36, Resent: 33, Blocks: 1, Bytes: 512,
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			sc := scene{
				terms: tc.terms, timing: tc.timing, file: contents(tc.size), loader: tc.loader,
				down: link{delay: ms / 2, lose: tc.lose}, up: link{delay: ms / 2, lose: tc.loseACK},
			}

			n, err := sc.play()

			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, resultOf(n)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if !tc.partial && !bytes.Equal(n.loader.got, sc.file) {
				t.Errorf("loader got %d bytes that are not the file's %d", len(n.loader.got), len(sc.file))
			}
		})
	}
}

// numbers returns the numbers from..to.
func numbers(from, to int) (all []int) {
	for i := from; i <= to; i++ {
		all = append(all, i)
	}
	return all
}
