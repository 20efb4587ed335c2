// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package tftp

import (
	"context"
	"errors"
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"time"
)

// replyLen is how much of a client's packet is read, in bytes: an ACK, or an ERROR with a longer message than any seen.
const replyLen = 512

// A courier carries a transfer over a connection: it sends what the transfer says, and tells it what came.
type courier struct {
	conn     net.Conn
	transfer *transfer
	oack     []byte
	blocks   source
	// lapsed is set while the client, having answered, leaves its deadlines unmet. The same request from the same port is
	// then no late copy of the first one: the machine was switched off and on, or its last ACK was lost and it reads the
	// file again (GRUB and PXELINUX use the same ports at each boot, lpxelinux one port for all).
	lapsed *atomic.Bool

	packet []byte // the DATA packet being sent
	reply  [replyLen]byte
	// trouble is why the last packet could not be sent, or what the client said in its ERROR.
	trouble error
}

// carry returns when the transfer has ended, or ctx has, with the outcome and what is known of the cause.
func (c *courier) carry(ctx context.Context) (Outcome, error) {
	defer context.AfterFunc(ctx, func() { _ = c.conn.SetReadDeadline(time.Unix(1, 0)) })()

	c.packet = make([]byte, headerLen+c.transfer.blockSize)
	next := c.transfer.start(time.Now())
	for next.outcome == "" {
		gone, err := c.send(next)
		if err != nil {
			return OutcomeFailed, err
		}
		if gone {
			next = c.transfer.refused()
			break
		}
		if next, err = c.hear(ctx); err != nil {
			return OutcomeFailed, err
		}
		c.lapsed.Store(c.transfer.stalled())
	}
	if next.outcome == OutcomeComplete || next.outcome == OutcomeLastACKLost {
		return next.outcome, nil
	}
	return next.outcome, c.trouble
}

// send sends the blocks of one step. A packet that the system does not take (a full queue, a firewall, a route that is
// gone) counts as lost, unless the client's host has said of an earlier one that the port is closed: then gone is true.
// The error is the file's.
func (c *courier) send(s step) (gone bool, err error) {
	for block := s.from; block <= s.to; block++ {
		packet, err := c.pack(block)
		if err != nil {
			return false, err
		}
		_, c.trouble = c.conn.Write(packet)
		if errors.Is(c.trouble, syscall.ECONNREFUSED) {
			return true, nil
		}
		if block > 0 && len(packet) < len(c.packet) {
			break // the last block, which a step may not know to be the last
		}
	}
	return false, nil
}

// pack returns a block as a packet: the OACK, or DATA that is valid until the next call.
func (c *courier) pack(block int64) ([]byte, error) {
	if block == 0 {
		return c.oack, nil
	}
	n, err := c.blocks(c.packet[headerLen:], block)
	if err != nil {
		return nil, err
	}
	if n < c.transfer.blockSize {
		c.transfer.found(block, n)
	}
	appendDataHeader(c.packet[:0], uint16(block))
	return c.packet[:headerLen+n], nil
}

// hear waits for one packet, or the transfer's deadline, or the end of ctx. What is no ACK or ERROR is passed over.
func (c *courier) hear(ctx context.Context) (step, error) {
	// The deadline comes before the look at ctx: whose end, coming later, moves the deadline.
	if err := c.conn.SetReadDeadline(c.transfer.deadline); err != nil {
		return step{}, err
	}
	if ctx.Err() != nil {
		return ended(stopped(ctx)), nil
	}
	n, err := c.conn.Read(c.reply[:])
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded) && ctx.Err() != nil:
		return ended(stopped(ctx)), nil
	case errors.Is(err, os.ErrDeadlineExceeded):
		return c.transfer.expire(time.Now()), nil
	case errors.Is(err, syscall.ECONNREFUSED):
		c.trouble = err
		return c.transfer.refused(), nil
	case err != nil:
		return step{}, err
	}
	r, ok := parseReply(c.reply[:n])
	if !ok {
		return waiting(), nil
	}
	if r.err != nil {
		c.trouble = r.err
	}
	return c.transfer.receive(r, time.Now()), nil
}
