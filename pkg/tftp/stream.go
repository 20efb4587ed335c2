// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package tftp

import (
	"errors"
	"io"
)

const (
	// streamBuffers is how many buffers a stream is read into: the one that the client is at, and two windows ahead.
	streamBuffers = 3
	// minStreamBuffer is the least length of a buffer, in bytes.
	minStreamBuffer = 16 << 10
)

// A stream is the content of a Body that is read once. It is read, by one goroutine at a time, into buffers in turn, as far
// as the client has left them behind. A buffer holds whole blocks, and a window at least.
type stream struct {
	cache   *cache // for what it does for its loop
	waiter  waiter
	source  *source
	reader  *steadyReader
	size    int64 // UnknownSize before the end was seen
	buffers [streamBuffers][]byte

	blockSize int
	span      int64 // the length of a buffer, in bytes

	have     int64 // bytes that were read
	freed    int64 // buffers that the client has left behind
	reading  bool
	starving bool // a block was not there
	proven   bool // the client has answered: until then its address may be forged, and what is read for it alone be wasted
	done     bool // it was read to the end, or failed
	err      error
	released bool
}

// newStream returns the content of b, which is read from when the first block is wanted.
func newStream(c *cache, b *Body, blockSize, window int, w waiter) *stream {
	blocks := max(window, (minStreamBuffer+blockSize-1)/blockSize)
	return &stream{
		cache: c, waiter: w, source: newSource(b), reader: &steadyReader{reader: b.Stream, size: b.Size},
		size: b.Size, blockSize: blockSize, span: int64(blocks) * int64(blockSize),
	}
}

func (s *stream) block(at int64, n int) (one, two []byte, ok bool) {
	if s.size != UnknownSize {
		n = int(min(int64(n), s.size-at))
	}
	end := at + int64(n)
	// That the last bytes are the last is known when the stream has ended: no client is to take a file for complete that
	// is not.
	if end > s.have || end == s.size && (!s.done || s.err != nil) {
		s.starving = true
		s.readOn()
		return nil, nil, false
	}
	if n == 0 {
		return nil, nil, true
	}
	return s.buffers[at/s.span%streamBuffers][at%s.span:][:n], nil, true
}

func (s *stream) acknowledged(offset int64) {
	s.proven = true
	for (s.freed+1)*s.span <= offset {
		s.cache.flush() // packets that are sent again may refer to it
		s.freed++
	}
	s.readOn()
}

func (s *stream) fault() error { return s.err }

func (s *stream) release() {
	s.released = true
	if s.source.release() || !s.source.body.unshaken { // if it is being read, this ends the Read
		s.cache.close(s.source.body)
	}
}

// readOn reads into the next buffer if it may be written to.
func (s *stream) readOn() {
	if s.reading || s.done || s.released {
		return
	}
	ahead := (s.freed + streamBuffers) * s.span
	if !s.proven {
		ahead = int64(s.blockSize)
	}
	if s.have != s.size && s.have >= ahead {
		return
	}
	room := s.room()
	// While the client is close behind, it gets each block that comes; with a buffer ahead of it, all the next one at once.
	least := s.blockSize - int(s.have%int64(s.blockSize))
	if s.have >= (s.freed+2)*s.span {
		least = len(room)
	}
	s.reading = true
	s.source.hold()
	s.cache.do(func() func() {
		var n int
		err := guarded(func() (err error) {
			n, err = s.reader.read(room, least)
			return err
		})
		s.source.done()
		return func() { s.arrived(n, err) }
	})
}

// room returns where the next bytes go.
func (s *stream) room() []byte {
	if s.have == s.size {
		return make([]byte, 1) // the reader finds the end, and needs no buffer for that
	}
	b := &s.buffers[s.have/s.span%streamBuffers]
	length := s.span
	if s.size != UnknownSize {
		length = min(length, s.size-s.have/s.span*s.span)
	}
	if !s.proven {
		length = min(length, int64(s.blockSize))
	}
	if int64(len(*b)) < length {
		grown := make([]byte, length)
		copy(grown, *b) // the first block, if the client has answered meanwhile
		*b = grown
	}
	return (*b)[s.have%s.span:]
}

// arrived takes what was read.
func (s *stream) arrived(n int, err error) {
	s.reading = false
	s.have += int64(n)
	switch {
	case errors.Is(err, io.EOF):
		s.done, s.size = true, s.have
	case err != nil:
		s.done, s.err = true, err
	}
	s.readOn()
	if s.starving && !s.released {
		s.starving = false
		s.waiter.wake()
	}
}
