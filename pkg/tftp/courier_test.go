// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package tftp

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// What a transfer comes to; the times are virtual.
type result struct {
	Outcome Outcome
	Took    time.Duration
	Packets int   // that the server sent
	Resent  int64 // those sent again
	Blocks  int64 // acknowledged
	Bytes   int64
}

// contents returns n bytes without a pattern.
func contents(n int) []byte {
	b := make([]byte, n)
	r := rand.NewChaCha8([32]byte{})
	_, _ = r.Read(b)
	return b
}

func TestCarry(t *testing.T) {
	patient := retry{first: time.Second, most: 5 * time.Second, attempts: 6}
	oack := []Option{{"tsize", "1"}}
	lockStep := terms{blockSize: 512, window: 1}
	withOACK := terms{blockSize: 512, window: 1, accepted: oack}
	windows := terms{blockSize: 512, window: 4, accepted: oack}

	for name, tc := range map[string]struct {
		terms   terms
		retry   retry // zero: patient
		size    int
		peer    peer
		want    result
		wantErr error
		partial bool // the peer does not get the whole file
	}{
		"empty file": {
			terms: lockStep, size: 0,
			want: result{Outcome: OutcomeComplete, Packets: 1, Blocks: 1},
		},
		"lock-step": {
			terms: lockStep, size: 1300,
			want: result{Outcome: OutcomeComplete, Packets: 3, Blocks: 3, Bytes: 1300},
		},
		"a whole number of blocks ends with an empty one": {
			terms: lockStep, size: 1024,
			want: result{Outcome: OutcomeComplete, Packets: 3, Blocks: 3, Bytes: 1024},
		},
		"OACK, then lock-step": {
			terms: withOACK, size: 1300,
			want: result{Outcome: OutcomeComplete, Packets: 4, Blocks: 3, Bytes: 1300},
		},
		"windows of four": {
			terms: windows, size: 5000,
			want: result{Outcome: OutcomeComplete, Packets: 11, Blocks: 10, Bytes: 5000},
		},
		"lost DATA is sent again after a second": {
			terms: lockStep, size: 1300, peer: peer{loseData: map[int]bool{2: true}},
			want: result{Outcome: OutcomeComplete, Took: time.Second, Packets: 4, Resent: 1, Blocks: 3, Bytes: 1300},
		},
		"DATA lost three times: 1, 2 and 4 s": {
			terms: lockStep, size: 1300, peer: peer{loseData: map[int]bool{2: true, 3: true, 4: true}},
			want: result{Outcome: OutcomeComplete, Took: 7 * time.Second, Packets: 6, Resent: 3, Blocks: 3, Bytes: 1300},
		},
		"the wait starts anew after each ACK": {
			terms: lockStep, size: 1300, peer: peer{loseData: map[int]bool{1: true, 2: true, 4: true}},
			want: result{Outcome: OutcomeComplete, Took: 4 * time.Second, Packets: 6, Resent: 3, Blocks: 3, Bytes: 1300},
		},
		"lost ACK: DATA again, acknowledged again": {
			terms: lockStep, size: 1300, peer: peer{loseACK: map[int]bool{1: true}},
			want: result{Outcome: OutcomeComplete, Took: time.Second, Packets: 4, Resent: 1, Blocks: 3, Bytes: 1300},
		},
		"lost OACK": {
			terms: windows, size: 1300, peer: peer{loseData: map[int]bool{1: true}},
			want: result{Outcome: OutcomeComplete, Took: time.Second, Packets: 5, Resent: 1, Blocks: 3, Bytes: 1300},
		},
		"lost ACK of the OACK": {
			terms: windows, size: 1300, peer: peer{loseACK: map[int]bool{1: true}},
			want: result{Outcome: OutcomeComplete, Took: time.Second, Packets: 5, Resent: 1, Blocks: 3, Bytes: 1300},
		},
		"lost last ACK, and the client has closed": {
			terms: lockStep, size: 1300, peer: peer{loseACK: map[int]bool{3: true}},
			want: result{
				Outcome: OutcomeLastACKLost, Took: 22 * time.Second, Packets: 8, Resent: 5, Blocks: 2, Bytes: 1024,
			},
		},
		"each ACK comes four times: nothing is sent twice": {
			terms: withOACK, size: 5000, peer: peer{repeat: 3},
			want: result{Outcome: OutcomeComplete, Packets: 11, Blocks: 10, Bytes: 5000},
		},
		"each ACK comes four times, in windows": {
			terms: windows, size: 5000, peer: peer{repeat: 3},
			want: result{Outcome: OutcomeComplete, Packets: 11, Blocks: 10, Bytes: 5000},
		},
		"DATA lost in a window: back to it at once": {
			// OACK, 1, (2), 3, 4: two ACKs of 1; the first brings 2 to 5, the second nothing.
			terms: windows, size: 5000, peer: peer{loseData: map[int]bool{3: true}},
			want: result{Outcome: OutcomeComplete, Packets: 14, Resent: 3, Blocks: 10, Bytes: 5000},
		},
		"a storm of ACKs on top of that": {
			terms: windows, size: 5000, peer: peer{loseData: map[int]bool{3: true}, repeat: 50},
			want: result{Outcome: OutcomeComplete, Packets: 14, Resent: 3, Blocks: 10, Bytes: 5000},
		},
		"the last DATA of a window lost": {
			terms: windows, size: 5000, peer: peer{loseData: map[int]bool{5: true}},
			want: result{Outcome: OutcomeComplete, Took: time.Second, Packets: 22, Resent: 11, Blocks: 10, Bytes: 5000},
		},
		"a whole window lost": {
			terms: windows, size: 2000, peer: peer{loseData: map[int]bool{2: true, 3: true, 4: true, 5: true}},
			want: result{Outcome: OutcomeComplete, Took: time.Second, Packets: 9, Resent: 4, Blocks: 4, Bytes: 2000},
		},
		"blocks roll over from 65535 to 0, twice": {
			terms: terms{blockSize: 8, window: 1}, size: 140_000 * 8,
			want: result{Outcome: OutcomeComplete, Packets: 140_001, Blocks: 140_001, Bytes: 140_000 * 8},
		},
		"blocks roll over within a window": {
			terms: terms{blockSize: 8, window: 7, accepted: oack}, size: 70_000*8 + 1,
			want: result{Outcome: OutcomeComplete, Packets: 70_002, Blocks: 70_001, Bytes: 70_000*8 + 1},
		},
		"DATA lost where blocks roll over": {
			terms: terms{blockSize: 8, window: 1}, size: 66_000 * 8, peer: peer{loseData: map[int]bool{65_536: true}},
			want: result{
				Outcome: OutcomeComplete, Took: time.Second, Packets: 66_002, Resent: 1, Blocks: 66_001, Bytes: 66_000 * 8,
			},
		},
		"size probe": {
			terms: windows, size: 5000, peer: peer{abort: map[int]*Error{1: {CodeOptionRefused, "User aborted"}}},
			want:    result{Outcome: OutcomeProbe, Packets: 1},
			wantErr: &Error{CodeOptionRefused, "User aborted"}, partial: true,
		},
		"size probe that acknowledged the OACK": {
			terms: withOACK, size: 5000, peer: peer{abort: map[int]*Error{2: {CodeUndefined, ""}}},
			want:    result{Outcome: OutcomeProbe, Packets: 2},
			wantErr: &Error{}, partial: true,
		},
		"client gives up": {
			terms: lockStep, size: 5000, peer: peer{abort: map[int]*Error{3: {CodeDiskFull, "full"}}},
			want:    result{Outcome: OutcomeClientError, Packets: 3, Blocks: 2, Bytes: 1024},
			wantErr: &Error{CodeDiskFull, "full"}, partial: true,
		},
		"client was never there": {
			terms: lockStep, size: 100, peer: peer{quiet: true},
			want:    result{Outcome: OutcomeTimeout, Took: 22 * time.Second, Packets: 6, Resent: 5},
			partial: true,
		},
		"client was never there, OACK": {
			terms: windows, size: 5000, peer: peer{quiet: true},
			want:    result{Outcome: OutcomeTimeout, Took: 22 * time.Second, Packets: 6, Resent: 5},
			partial: true,
		},
		"client asked for a timeout of one second": {
			terms: windows, retry: retry{time.Second, time.Second, 6}, size: 5000, peer: peer{quiet: true},
			want:    result{Outcome: OutcomeTimeout, Took: 6 * time.Second, Packets: 6, Resent: 5},
			partial: true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				file := contents(tc.size)
				tc.peer.blockSize, tc.peer.window = tc.terms.blockSize, tc.terms.window
				if tc.retry == (retry{}) {
					tc.retry = patient
				}

				got, err := carryToPeer(t.Context(), &tc.peer, tc.terms, tc.retry, file)

				if diff := cmp.Diff(tc.want, got); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
				if diff := cmp.Diff(tc.wantErr, err); diff != "" {
					t.Errorf("error (-want +got):\n%s", diff)
				}
				if !tc.partial && !bytes.Equal(tc.peer.got, file) {
					t.Errorf("peer got %d bytes that are not the file's %d", len(tc.peer.got), len(file))
				}
			})
		})
	}
}

// carryToPeer carries a file to p and returns when both have ended.
func carryToPeer(ctx context.Context, p *peer, agreed terms, r retry, file []byte) (result, error) {
	conn := newMemConn()
	c := &courier{
		conn: conn, transfer: newTransfer(agreed, r, int64(len(file))), oack: newOACK(agreed.accepted),
		blocks: fileBlocks(bytes.NewReader(file), int64(len(file))), lapsed: new(atomic.Bool),
	}
	var listening sync.WaitGroup
	listening.Go(func() { p.run(conn) })
	start := time.Now()
	var got result
	var err error
	got.Outcome, err = c.carry(ctx)
	got.Took = time.Since(start)
	close(conn.toClient)
	listening.Wait()
	got.Packets, got.Resent = p.packets, c.transfer.resent
	got.Blocks, got.Bytes = c.transfer.progress()
	return got, err
}

// Random loss in both directions: the file arrives whole, and a client that acknowledges each block out of order does not
// make the server send without end.
func TestCarryUnderRandomLoss(t *testing.T) {
	for name, tc := range map[string]struct {
		window  int
		percent int
	}{
		"lock-step, 1 %":     {1, 1},
		"windows of 4, 1 %":  {4, 1},
		"windows of 4, 5 %":  {4, 5},
		"windows of 64, 5 %": {64, 5},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := rand.New(rand.NewPCG(1, uint64(tc.window*100+tc.percent)))
				p := peer{blockSize: 512, window: tc.window, loseData: map[int]bool{}, loseACK: map[int]bool{}}
				for i := range 20_000 {
					p.loseData[i], p.loseACK[i] = r.IntN(100) < tc.percent, r.IntN(100) < tc.percent
				}
				p.loseACK[0] = false
				file := contents(1 << 20)
				agreed := terms{blockSize: 512, window: tc.window, accepted: []Option{{"blksize", "512"}}}

				got, err := carryToPeer(t.Context(), &p, agreed, retry{time.Second, 5 * time.Second, 6}, file)

				if err != nil || (got.Outcome != OutcomeComplete && got.Outcome != OutcomeLastACKLost) {
					t.Errorf("outcome %q, error %v", got.Outcome, err)
				}
				if !bytes.Equal(p.got, file) {
					t.Errorf("peer got %d bytes that are not the file's %d", len(p.got), len(file))
				}
				if most := 4 * 2049; got.Packets > most {
					t.Errorf("server sent %d packets for 2049 blocks, want %d at most", got.Packets, most)
				}
			})
		})
	}
}

// brokenFile can be read up to its middle.
type brokenFile struct{ size int64 }

var errDisk = errors.New("disk on fire")

func (f brokenFile) ReadAt(p []byte, off int64) (int, error) {
	if off >= f.size/2 {
		return 0, errDisk
	}
	return len(p), nil
}

func (brokenFile) Close() error  { return nil }
func (f brokenFile) Size() int64 { return f.size }

func TestCarryEndedFromOutside(t *testing.T) {
	for name, tc := range map[string]struct {
		event   func(conn *memConn, cancel context.CancelCauseFunc, x *transfer)
		file    io.ReaderAt
		want    Outcome
		wantErr error
	}{
		"replaced": {
			event: func(_ *memConn, cancel context.CancelCauseFunc, _ *transfer) { cancel(errReplaced) },
			want:  OutcomeReplaced,
		},
		"server stops": {
			event: func(_ *memConn, cancel context.CancelCauseFunc, _ *transfer) { cancel(errShutdown) },
			want:  OutcomeShutdown,
		},
		"the client's port is closed": {
			event: func(conn *memConn, _ context.CancelCauseFunc, _ *transfer) { conn.broken <- syscall.ECONNREFUSED },
			want:  OutcomeClientGone, wantErr: syscall.ECONNREFUSED,
		},
		"the client's port is closed when it has all": {
			event: func(conn *memConn, _ context.CancelCauseFunc, _ *transfer) {
				conn.toServer <- []byte{0, 4, 0, 1}
				synctest.Wait()
				conn.broken <- syscall.ECONNREFUSED
			},
			want: OutcomeLastACKLost,
		},
		"the file can't be read on": {
			event: func(conn *memConn, _ context.CancelCauseFunc, _ *transfer) { conn.toServer <- []byte{0, 4, 0, 1} },
			file:  brokenFile{1000}, want: OutcomeFailed, wantErr: errDisk,
		},
		"the file is shorter than its size": {
			event: func(conn *memConn, _ context.CancelCauseFunc, _ *transfer) { conn.toServer <- []byte{0, 4, 0, 1} },
			file:  strings.NewReader(strings.Repeat("x", 600)), want: OutcomeFailed, wantErr: io.ErrUnexpectedEOF,
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancelCause(t.Context())
				defer cancel(nil)
				conn := newMemConn()
				if tc.file == nil {
					tc.file = bytes.NewReader(contents(1000))
				}
				agreed := terms{blockSize: 512, window: 1}
				x := newTransfer(agreed, retry{time.Second, 5 * time.Second, 6}, 1000)
				c := &courier{conn: conn, transfer: x, blocks: fileBlocks(tc.file, 1000), lapsed: new(atomic.Bool)}
				start := time.Now()
				var got Outcome
				var err error
				var carrying sync.WaitGroup
				carrying.Go(func() { got, err = c.carry(ctx) })
				synctest.Wait() // block 1 is out

				tc.event(conn, cancel, x)
				carrying.Wait()

				if got != tc.want || !errors.Is(err, tc.wantErr) {
					t.Errorf("carry() = %q, %v, want %q, %v", got, err, tc.want, tc.wantErr)
				}
				if took := time.Since(start); took != 0 {
					t.Errorf("took %v, want no time", took)
				}
			})
		})
	}
}

// Garbage and old ACKs neither disturb a transfer nor keep its clock from running.
func TestCarryPassesOverNoise(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn := newMemConn()
		c := &courier{
			conn: conn, transfer: newTransfer(terms{blockSize: 8, window: 1}, retry{time.Second, 5 * time.Second, 3}, 100),
			blocks: fileBlocks(bytes.NewReader(contents(100)), 100), lapsed: new(atomic.Bool),
		}
		packets := [][]byte{
			{}, {0, 4}, {0, 4, 0, 0}, {0, 4, 0, 2}, {0, 4, 0xff, 0xff}, {0, 3, 0, 1}, {0, 1, 'a', 0},
		}
		var noise sync.WaitGroup
		stop := make(chan struct{})
		noise.Go(func() {
			tick := time.NewTicker(10 * time.Millisecond)
			defer tick.Stop()
			for i := 0; ; i++ {
				select {
				case <-tick.C:
					conn.toServer <- packets[i%len(packets)]
				case <-stop:
					return
				}
			}
		})
		start := time.Now()
		outcome, err := c.carry(t.Context())
		close(stop)
		noise.Wait()
		if outcome != OutcomeTimeout || err != nil {
			t.Errorf("carry() = %q, %v, want %q", outcome, err, OutcomeTimeout)
		}
		if took := time.Since(start); took != 7*time.Second {
			t.Errorf("took %v, want 7s", took)
		}
		if sent := len(conn.toClient); sent != 3 {
			t.Errorf("%d packets were sent, want 3", sent)
		}
	})
}

// A client that answered and then fell silent counts as lapsed, until it is heard again.
func TestCarryLapsed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn := newMemConn()
		c := &courier{
			conn: conn, transfer: newTransfer(terms{blockSize: 8, window: 1}, retry{time.Second, 5 * time.Second, 6}, 100),
			blocks: fileBlocks(bytes.NewReader(contents(100)), 100), lapsed: new(atomic.Bool),
		}
		ctx, cancel := context.WithCancel(t.Context())
		var carrying sync.WaitGroup
		carrying.Go(func() { _, _ = c.carry(ctx) })
		for i, step := range []struct {
			ack  uint16 // 0: none
			wait time.Duration
			want bool
		}{
			{wait: 1500 * time.Millisecond, want: false}, // it may not have heard us at all
			{ack: 1, want: false},
			{wait: 500 * time.Millisecond, want: false},
			{wait: time.Second, want: true},
			{ack: 1, want: true},
			{ack: 2, want: false},
		} {
			if step.ack != 0 {
				conn.toServer <- []byte{0, 4, 0, byte(step.ack)}
			}
			<-time.After(step.wait)
			synctest.Wait()
			if got := c.lapsed.Load(); got != step.want {
				t.Errorf("step %d: lapsed = %v, want %v", i, got, step.want)
			}
		}
		cancel()
		carrying.Wait()
	})
}

func TestTextBlocks(t *testing.T) {
	blocks := textBlocks(strings.NewReader("a\nb\rc\n"), 6, 2)
	for i, step := range []struct {
		block int64
		want  string
	}{
		{1, "a\r\nb"}, {2, "\r\x00c\r"}, {1, "a\r\nb"}, {2, "\r\x00c\r"}, {3, "\n"}, {2, "\r\x00c\r"}, {3, "\n"},
	} {
		p := make([]byte, 4)
		n, err := blocks(p, step.block)
		if err != nil || string(p[:n]) != step.want {
			t.Errorf("step %d: block %d = %q, %v, want %q", i, step.block, p[:n], err, step.want)
		}
	}
}

func TestTextBlocksOfABrokenFile(t *testing.T) {
	if _, err := textBlocks(brokenFile{1000}, 1000, 1)(make([]byte, 2000), 1); !errors.Is(err, errDisk) {
		t.Errorf("error = %v, want %v", err, errDisk)
	}
}

// A netascii transfer's end is found on the way, also when its last window is lost.
func TestCarryText(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		file := strings.Repeat("line\n", 10) // 60 bytes as netascii: 7 blocks of 8 and one of 4
		conn := newMemConn()
		agreed := terms{blockSize: 8, window: 3, accepted: []Option{{"blksize", "8"}}}
		c := &courier{
			conn: conn, transfer: newTransfer(agreed, retry{time.Second, 5 * time.Second, 6}, unknownSize),
			oack: newOACK(agreed.accepted), lapsed: new(atomic.Bool),
			blocks: textBlocks(strings.NewReader(file), int64(len(file)), 3),
		}
		p := peer{blockSize: 8, window: 3, loseData: map[int]bool{8: true, 9: true}}
		var listening sync.WaitGroup
		listening.Go(func() { p.run(conn) })
		outcome, err := c.carry(t.Context())
		close(conn.toClient)
		listening.Wait()
		if outcome != OutcomeComplete || err != nil {
			t.Errorf("carry() = %q, %v", outcome, err)
		}
		if want := strings.ReplaceAll(file, "\n", "\r\n"); string(p.got) != want {
			t.Errorf("peer got %q, want %q", p.got, want)
		}
		if blocks, n := c.transfer.progress(); blocks != 8 || n != 60 || c.transfer.resent != 2 {
			t.Errorf("%d blocks, %d bytes, %d resent, want 8, 60, 2", blocks, n, c.transfer.resent)
		}
	})
}
