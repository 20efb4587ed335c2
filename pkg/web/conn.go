// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package web

import (
	"container/list"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"sync/atomic"
	"syscall"
	"time"
)

// stride is how many bytes of an answer a client has to take within the stall timeout. With a minute, that is 140 kbit/s:
// a machine that is slower would need hours for an initrd.
const stride = 1 << 20

// A conn is a client's connection. Its write deadline moves when a stride has been sent: so nobody holds it by reading
// nothing, or a byte now and then.
type conn struct {
	net.Conn
	owner  *connections
	client netip.Prefix

	// Only who writes uses these.
	left int64 // bytes to send until the deadline moves
	more bool  // what is written is the beginning of something: it need not go out at once

	answered atomic.Int64 // bytes that were sent of the present answer

	// Of connections, under its lock.
	state   state
	among   *list.Element // where it waits in all that wait
	amongOf *list.Element // and in those of its client
}

// Write sends b.
func (c *conn) Write(b []byte) (n int, err error) {
	for {
		part := b[n:min(len(b), n+int(c.room()))]
		sent, err := c.write(part)
		n += sent
		c.sent(int64(sent))
		if err != nil || n == len(b) {
			return n, c.explain(err)
		}
	}
}

func (c *conn) write(b []byte) (int, error) {
	if to, ok := c.Conn.(syscall.Conn); ok && c.more {
		return sendMore(to, b)
	}
	return c.Conn.Write(b)
}

// ReadFrom sends what r holds. The kernel does it where r is a file, or a part of one.
func (c *conn) ReadFrom(r io.Reader) (n int64, err error) {
	to, ok := c.Conn.(io.ReaderFrom)
	if !ok {
		return io.Copy(writer{c}, r)
	}
	whole, limited := r.(*io.LimitedReader)
	if !limited {
		whole = &io.LimitedReader{R: r, N: 1<<63 - 1}
	}
	for whole.N > 0 {
		part := &io.LimitedReader{R: whole.R, N: min(whole.N, c.room())}
		want := part.N
		sent, err := to.ReadFrom(part)
		n += sent
		whole.N -= sent
		c.sent(sent)
		if err != nil {
			return n, c.explain(err)
		}
		if sent < want {
			break // r is at its end
		}
	}
	return n, nil
}

// writer is a conn without ReadFrom.
type writer struct{ io.Writer }

// fresh begins an answer: it may take the whole time, whatever is left from the one before.
func (c *conn) fresh() {
	c.left = 0
	c.answered.Store(0)
}

// room is how much may be sent before it is to be asked again.
func (c *conn) room() int64 {
	if c.left <= 0 {
		c.left = stride
		_ = c.SetWriteDeadline(time.Now().Add(c.owner.options.StallTimeout)) // an error shows when something is written
	}
	return c.left
}

func (c *conn) sent(n int64) {
	c.left -= n
	c.answered.Add(n)
	c.owner.metrics.sent(n)
}

func (c *conn) explain(err error) error {
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		return err
	}
	c.owner.metrics.stall()
	return fmt.Errorf("the client took less than 1 MiB in %v: %w", c.owner.options.StallTimeout, err)
}

// CloseWrite ends what is sent. net/http does it before it closes a connection on which something is unread, and waits a
// moment: a reset would take the answer from the client.
func (c *conn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// Close closes, and makes room for another.
func (c *conn) Close() error {
	err := c.Conn.Close()
	c.owner.remove(c)
	return err
}
