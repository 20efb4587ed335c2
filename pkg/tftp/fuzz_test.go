// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package tftp

import (
	"strings"
	"testing"
	"time"
)

// Whatever comes, parsing ends without a panic, invents nothing, and its result can be negotiated and answered.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"", "\x00\x01", "\x00\x01a\x00octet\x00", "\x00\x01aoctet\x00tsize\x000\x00", "\x00\x02a\x00mail\x00",
		"\x00\x01/x\x00OCTET\x00blksize\x001468\x00windowsize\x004\x00timeout\x005\x00tsize\x000\x00",
		"\x00\x01x\x00octet\x00blksize\x00-1\x00blksize\x000x10\x00", "\x00\x04\x00\x01", "\x00\x05\x00\x08no\x00",
		"\x00\x01a\x00\x00\x00octet\x00timeout\x000000000000000000005\x00",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, packet []byte) {
		if r, ok := parseReply(packet); ok && r.err != nil {
			if again := appendError(nil, r.err); len(again) > headerLen+maxMessageLen+1 {
				t.Errorf("ERROR of %d bytes", len(again))
			}
		}
		r, ok := parseRequest(packet)
		if !ok {
			return
		}
		if strings.Contains(r.name, "\x00") || r.mode == "" || !strings.Contains(string(packet), r.name) {
			t.Errorf("name %q, mode %q of packet %q", r.name, r.mode, packet)
		}
		for _, o := range r.options {
			if !strings.Contains(string(packet), o.Name+"\x00"+o.Value) {
				t.Errorf("option %q of packet %q", o, packet)
			}
		}
		most := limits{blockSize: 1468, window: 64}
		checkTerms(t, r.options, most, 1<<40, negotiate(r.options, most, 1<<40))
	})
}

// Whatever is asked for within whatever limits, what is agreed on breaks no rule.
func FuzzNegotiate(f *testing.F) {
	f.Add("blksize\x001468\x00windowsize\x004\x00timeout\x005\x00tsize\x000", 1468, 64, int64(1000))
	f.Add("TSIZE\x000\x00tsize\x001\x00blksize\x00-1\x00blksize\x000x10", 8, 1, int64(-1))
	f.Add("timeout\x0000000000000000000005\x00windowsize\x0065535", 65464, 65535, int64(1)<<62)
	f.Add("bl\u212asize\x008\x00\x00", 512, 1, int64(0))
	f.Fuzz(func(t *testing.T, asked string, blockSize, window int, size int64) {
		most := limits{blockSize: max(blockSize, minBlockSize), window: max(window, 1)}
		options := parseOptions([]byte(asked + "\x00"))
		checkTerms(t, options, most, size, negotiate(options, most, size))
	})
}

// Whatever a client, its network and the file's data do, a transfer keeps to its window, counts right, and ends.
func FuzzTransfer(f *testing.F) {
	f.Add(uint8(1), uint8(20), false, []byte{})
	f.Add(uint8(1), uint8(20), true, []byte{0, 1, 0, 1, 0, 1, 0, 1})
	f.Add(uint8(4), uint8(3), true, []byte{0, 1, 0, 4, 0, 2, 0, 2, 0, 2, 3, 0, 0, 4})
	f.Add(uint8(4), uint8(99), true, []byte{0, 1, 5, 6, 2, 50, 0, 3, 4, 9, 5, 3, 3, 0, 0, 2, 1, 7, 1, 255})
	f.Add(uint8(64), uint8(200), true, []byte{0, 1, 2, 1, 0, 9, 2, 1, 0, 0, 0, 0, 6, 0, 0, 60, 7, 0, 7, 8})
	f.Fuzz(func(t *testing.T, window, blocks uint8, oack bool, script []byte) {
		agreed := terms{blockSize: 8, window: 1}
		if oack {
			agreed.window = max(1, int(window))
			agreed.accepted = []Option{{"blksize", "8"}}
		}
		d := driver{t: t, size: int64(blocks)*8 + 3, there: 1 << 40}
		size := d.size
		if window >= 128 {
			size = UnknownSize
		}
		d.x = newTransfer(agreed, patient(), size, 0)
		d.x.skipZero = len(script)%2 == 0
		d.highest = d.x.first - 1
		d.perform(d.x.start(0))
		for i := 0; i+1 < len(script) && !d.over; i += 2 {
			d.act(script[i], int64(script[i+1]))
		}
		d.end()
	})
}

// A driver does with a transfer what a script says.
type driver struct {
	t       *testing.T
	x       transfer
	now     time.Duration
	size    int64 // in truth
	there   int64 // the data is there up to this block
	highest int64
	resent  int64
	over    bool
}

func (d *driver) act(what byte, n int64) {
	x := &d.x
	switch what % 8 {
	case 0: // an ACK that may do something
		d.hear(x.number(max(0, x.acked+n%int64(x.window+2))))
	case 1: // an ACK that may be anything
		d.hear(uint16(n * 257))
	case 2: // some time
		d.wait(time.Duration(n) * 100 * us)
	case 3: // until the deadline
		d.wait(x.deadline - d.now)
	case 4: // the request, again
		d.perform(x.again(d.now))
	case 5: // data goes
		d.there = max(0, x.acked) + n%8
	case 6: // data comes
		d.there = 1 << 40
		d.perform(x.fed(d.now))
	case 7:
		s := x.receive(reply{err: &Error{Code: ErrorCode(n)}}, d.now)
		if s.outcome != OutcomeProbe && s.outcome != OutcomeClientError {
			d.t.Errorf("ERROR: %+v", s)
		}
		d.perform(s)
	}
}

func (d *driver) hear(number uint16) {
	acked, sent := d.x.acked, d.x.sent
	d.perform(d.x.receive(reply{block: number}, d.now))
	if d.x.acked < acked || d.x.acked > sent {
		d.t.Errorf("ACK %d: from %d to %d acknowledged, and %d were sent", number, acked, d.x.acked, sent)
	}
}

// wait lets time pass, and deadlines with it.
func (d *driver) wait(long time.Duration) {
	until := d.now + max(0, long)
	for !d.over && d.x.deadline <= until {
		d.now = max(d.now, d.x.deadline)
		d.perform(d.x.expire(d.now))
	}
	d.now = max(d.now, until)
}

// perform does what a session does with a step, and looks at it.
func (d *driver) perform(s step) {
	x := &d.x
	if s.outcome != "" {
		d.over = true
	}
	if d.over || s.to < s.from {
		return
	}
	last := d.size/8 + 1
	switch {
	case s.from == 0 && (s.to != 0 || x.first != 0 || x.acked >= 0):
		d.t.Errorf("OACK in %+v, %d acknowledged", s, x.acked)
	case s.from > 0 && (s.from <= x.acked || s.to > x.acked+x.window || s.from > d.highest+1):
		d.t.Errorf("%+v, %d acknowledged, window %d, %d sent", s, x.acked, x.window, d.highest)
	case x.size != UnknownSize && s.to > last:
		d.t.Errorf("%+v, and the last block is %d", s, last)
	}
	upTo := max(s.from-1, min(s.to, d.there, last))
	if s.from == 0 {
		upTo = 0
	}
	d.resent += max(0, min(upTo, d.highest)-s.from+1)
	d.highest = max(d.highest, upTo)
	if upTo == last {
		x.found(last, int(d.size%8))
	}
	x.departed(s, upTo, d.now)
	if x.resent != d.resent || x.sent != d.highest {
		d.t.Errorf("%d sent again, %d the highest, want %d, %d", x.resent, x.sent, d.resent, d.highest)
	}
	if x.deadline <= d.now && !x.hungry() {
		d.t.Errorf("deadline %v at %v", x.deadline, d.now)
	}
	if most := d.now + max(x.timing.most, x.timing.body); x.deadline > most {
		d.t.Errorf("deadline %v at %v", x.deadline, d.now)
	}
}

// end leaves the transfer alone until it ends, which must be soon.
func (d *driver) end() {
	const most = 60
	for range most {
		if d.over {
			return
		}
		before := d.now
		d.wait(d.x.deadline - d.now)
		if d.now-before > 15*time.Second {
			d.t.Errorf("nothing happened from %v to %v", before, d.now)
		}
	}
	d.t.Errorf("not over after %d deadlines without a packet", most)
}
