// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package tftp

import (
	"fmt"
	"runtime/debug"
	"sync/atomic"
)

// A content gives a loop the bytes of one transfer. Its methods are called by the loop only, and never wait.
type content interface {
	// block returns n bytes from offset at, in one or two pieces, and true; fewer bytes only at the end of the file. The
	// pieces are valid until the loop has flushed, and are to be queued before another call of this or another content.
	// False: not all of them are in memory. Then fault says why they won't come, or they have been asked for, and the
	// waiter is woken when it is worth asking again.
	block(at int64, n int) (one, two []byte, ok bool)
	// acknowledged tells that the client has all bytes before offset; no block before it is asked for again. What the
	// client needs next is read ahead.
	acknowledged(offset int64)
	// fault returns why bytes can't be had, nil if they can.
	fault() error
	// release lets go of everything, and closes the Body in a goroutine of its own. Nothing may be called afterwards, and
	// the waiter is not woken again.
	release()
}

// A waiter is told, in the loop, that bytes it lacked have come or won't.
type waiter interface{ wake() }

// memory is the content of bytes.
type memory struct {
	cache *cache // for what it does for its loop
	body  *Body
}

func (m *memory) block(at int64, n int) (one, two []byte, ok bool) {
	b := m.body.Bytes
	return b[at:min(at+int64(n), int64(len(b)))], nil, true
}

func (*memory) acknowledged(int64) {}

func (*memory) fault() error { return nil }

func (m *memory) release() { m.cache.close(m.body) }

// A source is an open Body that is read from. Whoever holds it last closes it: the loop, or a goroutine that reads.
type source struct {
	body  *Body
	holds atomic.Int32
}

// newSource returns a source that the loop holds.
func newSource(b *Body) *source {
	s := &source{body: b}
	s.hold()
	return s
}

func (s *source) hold() { s.holds.Add(1) }

// release says whether it was the last hold, and the caller is to close the Body.
func (s *source) release() (last bool) { return s.holds.Add(-1) == 0 }

// done releases a hold, and closes the Body if it was the last. It may block.
func (s *source) done() {
	if s.release() {
		s.body.close()
	}
}

// close closes the Body's Closer. It may block.
func (b *Body) close() {
	if b.Closer == nil {
		return
	}
	// Nothing was written that could be lost, and a panic must not end the transfers of all others.
	defer func() { _ = recover() }()
	_ = b.Closer.Close()
}

// guarded calls f, and returns a panic of it as an error.
func guarded(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	return f()
}
