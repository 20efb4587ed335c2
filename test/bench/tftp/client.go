// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// A client is the receiving side of one transfer: packets go in, what to say to them comes out. It knows no socket and no
// clock.
type client struct {
	ask  ask
	file *content

	blockSize, window int
	next              int64 // the block that comes next in order; 0: nothing has come yet
	unacked           int   // blocks in order since the last ACK
	stray             int64 // the last block out of order, if none in order came since; -1: none
	bytes             int64 // in order
}

func newClient(file *content, a ask) client {
	return client{ask: a, file: file, blockSize: defaultBlockSize, window: 1, stray: -1}
}

// A reply is what a client says to a packet.
type reply int

const (
	silence reply = iota
	ack           // of the block before next; of the OACK while next is 1
	lastACK       // the same, and that is the end
)

// acked is the number for an ACK.
func (c *client) acked() uint16 { return uint16(c.next - 1) }

// take deals with one packet. An error ends the transfer.
func (c *client) take(packet []byte) (reply, error) {
	if len(packet) < headerLen {
		return silence, fmt.Errorf("packet of %d bytes", len(packet))
	}
	switch binary.BigEndian.Uint16(packet) {
	case opOACK:
		return c.takeOACK(packet)
	case opData:
		return c.takeData(binary.BigEndian.Uint16(packet[2:]), packet[headerLen:])
	case opError:
		return silence, serverError(packet)
	default:
		return silence, fmt.Errorf("opcode %d", binary.BigEndian.Uint16(packet))
	}
}

func (c *client) takeOACK(packet []byte) (reply, error) {
	switch {
	case c.next > 1:
		return silence, nil // an old one
	case c.next == 1:
		return ack, nil // the ACK was lost
	case c.ask.none():
		return silence, errors.New("OACK although no option was asked")
	}
	agreed, err := c.ask.agree(packet)
	if err != nil {
		return silence, err
	}
	if agreed.size >= 0 && agreed.size != int64(len(c.file.Data)) {
		return silence, fmt.Errorf("tsize %d of a file of %d bytes", agreed.size, len(c.file.Data))
	}
	if agreed.blockSize > 0 {
		c.blockSize = agreed.blockSize
	}
	if agreed.windowSize > 0 {
		c.window = agreed.windowSize
	}
	c.next = 1
	return ack, nil
}

func (c *client) takeData(number uint16, payload []byte) (reply, error) {
	if c.next == 0 { // the server knows no options
		if number != 1 {
			return silence, nil
		}
		c.next = 1
	}
	if ahead := int64(int16(number - uint16(c.next))); ahead != 0 { // int16: the nearer of both ways around
		return c.takeStray(c.next + ahead), nil
	}
	offset := (c.next - 1) * int64(c.blockSize)
	want := min(int64(c.blockSize), int64(len(c.file.Data))-offset)
	if int64(len(payload)) != want {
		return silence, fmt.Errorf("block %d of %d bytes, want %d", c.next, len(payload), want)
	}
	if c.file.differs(payload, offset, c.next) {
		return silence, fmt.Errorf("block %d differs from the file", c.next)
	}
	c.next++
	c.bytes += want
	c.stray = -1
	c.unacked++
	switch {
	case want < int64(c.blockSize):
		return lastACK, nil
	case c.unacked >= c.window:
		c.unacked = 0
		return ack, nil
	default:
		return silence, nil
	}
}

// takeStray answers a block out of order with an ACK of what is here (RFC 7440, section 4), but once for a run of rising
// blocks: the rest of a window after a gap, or a window sent again, is one event. In lock step each repeated block is a
// run of its own, so each is answered.
func (c *client) takeStray(block int64) reply {
	goesOn := c.stray >= 0 && block > c.stray
	c.stray = block
	if goesOn {
		return silence
	}
	c.unacked = 0
	return ack
}
