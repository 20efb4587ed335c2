// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package tftp

import "time"

// A loader is a client, with the habits of one of those that boot machines. It keeps what comes in order and throws away
// the rest. The zero value acknowledges the end of each window and says no more; it has no timer: the server must repair
// what is lost, once it has asked. When it has the last block it closes its port.
type loader struct {
	stray    answer        // to DATA that is not the next block, or was had before
	repeats  time.Duration // it sends its last ACK again when it has heard nothing new for so long; 0: never
	slower   bool          // it waits twice as long each time
	patience int           // how often, before it gives up
	asks     time.Duration // it sends its request again when nothing came for so long; 0: never
	work     time.Duration // what it needs for a packet; others wait for it meanwhile
	hold     int           // after so many blocks it reads no packets for holdFor, but they wait for it; 0: never
	holdFor  time.Duration
	lingers  bool              // it acknowledges blocks after the last one, too
	every    int               // each ACK is sent so many times more
	abort    map[int]ErrorCode // on the packet so numbered from 1 that arrives, it sends ERROR and ends
	silent   bool              // it is not there

	network   *network
	window    int
	blockSize int
	skipZero  bool
	got       []byte
	complete  bool
	ended     bool

	completeAt time.Duration

	packets  int   // that arrived
	blocks   int64 // in order
	counted  int64 // the block that its window begins after
	told     int64 // the block that a gap was last told after; -1: none
	busy     time.Duration
	last     uint16 // the number of its last ACK
	alarm    int    // counts what makes earlier alarms void
	repeated int
}

// The habits of those that boot machines, as read in their sources and seen in captures.
func edk2() loader { return loader{repeats: 4 * time.Second, patience: 6, asks: 4 * time.Second} }
func grub() loader {
	return loader{hold: 50, holdFor: 3 * time.Second, asks: 400 * time.Millisecond, lingers: true}
}
func pxelinux() loader {
	return loader{repeats: 110 * time.Millisecond, slower: true, patience: 10, asks: 110 * time.Millisecond}
}
func ipxe() loader {
	return loader{repeats: 250 * time.Millisecond, slower: true, patience: 6, asks: 250 * time.Millisecond, lingers: true}
}
func uboot() loader {
	return loader{stray: ackGap, repeats: 5 * time.Second, patience: 10, asks: 5 * time.Second}
}
func uroot() loader { return loader{stray: ackOld, repeats: time.Second, patience: 60} }

// answer is what a loader does about a stray block.
type answer int

const (
	ackStray answer = iota // an ACK of the last block in order, for each; its window then begins there (EDK2, PXELINUX)
	ackGap                 // the same, but once until another block comes in order (U-Boot, RFC 7440)
	ackOld                 // only for blocks that it has (iPXE, GRUB, most that know no windows)
)

// begin tells it what the server agreed to, which loaders of this kind do not doubt.
func (l *loader) begin(n *network, sc scene) {
	l.network, l.window, l.blockSize, l.skipZero, l.told = n, sc.terms.window, sc.terms.blockSize, sc.skipZero, -1
	l.ask()
}

// ask repeats the request until something comes.
func (l *loader) ask() {
	if l.asks == 0 || l.silent {
		return
	}
	n := l.network
	n.at(n.now+l.asks, func() {
		if l.packets == 0 && !l.ended {
			n.carry(&n.up, n.server.asked)
			l.ask()
		}
	})
}

// arrive takes a packet from the network.
func (l *loader) arrive(m parcel) {
	if l.silent || l.ended {
		return
	}
	n := l.network
	if n.now >= l.busy && l.work == 0 {
		l.take(m)
		return
	}
	l.busy = max(l.busy, n.now) + l.work
	n.at(l.busy, func() { l.take(m) })
}

// take acts on a packet.
func (l *loader) take(m parcel) {
	if l.ended {
		return
	}
	l.packets++
	if code, ok := l.abort[l.packets]; ok {
		n := l.network
		n.carry(&n.up, func() { n.server.hear(reply{err: &Error{Code: code}}) })
		l.ended = true
		return
	}
	switch {
	case m.options != nil:
		if l.blocks == 0 {
			l.ack()
		}
	case m.number == l.number(l.blocks+1) && !l.complete:
		l.keep(m.data)
	default:
		l.astray(m)
	}
}

// keep takes the next block.
func (l *loader) keep(data []byte) {
	l.got = append(l.got, data...)
	l.blocks++
	l.told = -1
	if l.complete = len(data) < l.blockSize; l.complete {
		l.completeAt = l.network.now
	}
	if l.hold > 0 && l.blocks%int64(l.hold) == 0 {
		l.busy = l.network.now + l.holdFor
	}
	if l.complete || l.blocks-l.counted == int64(l.window) {
		l.ack()
		l.ended = l.complete && !l.lingers
	}
}

// astray answers a block that is not the next one.
func (l *loader) astray(m parcel) {
	old := l.number(l.blocks)-m.number < 1<<15
	switch {
	case l.stray == ackGap && l.told == l.blocks, l.stray == ackOld && !old:
		return
	}
	l.told = l.blocks
	l.ack()
}

// ack acknowledges what it has.
func (l *loader) ack() {
	l.repeated = 0
	l.counted = l.blocks
	l.last = l.number(l.blocks)
	l.say()
}

func (l *loader) say() {
	n := l.network
	r := reply{block: l.last}
	for range l.every + 1 {
		n.carry(&n.up, func() { n.server.hear(r) })
	}
	if l.repeats == 0 || l.complete {
		return
	}
	l.alarm++
	alarm := l.alarm
	wait := l.repeats
	if l.slower {
		wait <<= l.repeated
	}
	n.at(n.now+wait, func() {
		if alarm != l.alarm || l.ended {
			return
		}
		if l.repeated++; l.repeated > l.patience {
			l.ended = true
			return
		}
		l.say()
	})
}

// number returns what stands for a block on the wire.
func (l *loader) number(block int64) uint16 {
	if l.skipZero && block > 0 {
		return uint16((block-1)%65535) + 1
	}
	return uint16(block)
}
