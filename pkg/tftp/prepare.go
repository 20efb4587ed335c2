// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package tftp

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"

	"github.com/pin/tftp/v3/netascii"
)

const (
	// maxInMemory is how much of a Body is converted or read before its transfer begins, in bytes.
	maxInMemory = 64 << 10
	// maxSize is the largest size believed, in bytes.
	maxSize = 1 << 50
)

// prepare checks what a handler returned for r, and converts it to what is sent: a copy of b, whose Size is that of the
// transfer. It may block. If it returns an error, it has closed b, and so it does, to end a Read, when ctx ends.
func prepare(ctx context.Context, r *Request, b *Body) (*Body, error) {
	if b == nil {
		return nil, errors.New("handler returned neither a body nor an error")
	}
	p := *b
	if p.Closer != nil {
		p.Closer = &closeOnce{closer: b.Closer}
	}
	if err := guarded(func() error { return p.prepare(ctx, r) }); err != nil {
		p.close()
		return nil, err
	}
	return &p, nil
}

func (b *Body) prepare(ctx context.Context, r *Request) error {
	if err := b.check(); err != nil {
		return err
	}
	if b.Bytes != nil {
		b.Size = int64(len(b.Bytes))
	}
	if r.Mode == NetASCII {
		b.convert()
	}
	tsize := func(o Option) bool { return strings.EqualFold(o.Name, "tsize") }
	if b.Stream != nil && b.Size == UnknownSize && slices.ContainsFunc(r.Options, tsize) {
		return b.measure(ctx)
	}
	return nil
}

func (b *Body) check() error {
	set := 0
	for _, is := range []bool{b.Bytes != nil, b.File != nil, b.Stream != nil} {
		if is {
			set++
		}
	}
	switch {
	case set != 1:
		return fmt.Errorf("body has %d of Bytes, File and Stream, want 1", set)
	case b.Bytes != nil, b.Stream != nil && b.Size == UnknownSize:
		return nil
	case b.Size < 0 || b.Size > maxSize:
		return fmt.Errorf("size of the body is %d, want 0 to %d", b.Size, int64(maxSize))
	}
	return nil
}

// convert makes netascii of the Body. Its Identity and, but for a short text in memory, its Size are no longer true.
func (b *Body) convert() {
	b.Identity = ""
	switch {
	case b.Bytes != nil && len(b.Bytes) <= maxInMemory:
		b.Bytes, _ = io.ReadAll(newTextReader(bytes.NewReader(b.Bytes), b.Size)) // a reader of bytes does not fail
		b.Size = int64(len(b.Bytes))
		return
	case b.Bytes != nil:
		b.Stream = bytes.NewReader(b.Bytes)
	case b.File != nil:
		b.Stream, b.unshaken = io.NewSectionReader(b.File, 0, b.Size), true
	}
	b.Stream = newTextReader(b.Stream, b.Size)
	b.Bytes, b.File, b.Size = nil, nil, UnknownSize
}

// measure finds the size of a stream that ends early: it makes Bytes of it.
func (b *Body) measure(ctx context.Context) error {
	if !b.unshaken {
		stop := context.AfterFunc(ctx, b.close)
		defer stop()
	}
	rest := &steadyReader{reader: b.Stream, size: UnknownSize}
	start, err := io.ReadAll(io.LimitReader(rest, maxInMemory+1))
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	switch {
	case err != nil:
		return err
	case len(start) <= maxInMemory:
		b.close()
		b.Bytes, b.Size, b.Stream, b.Closer = start, int64(len(start)), nil, nil
	default:
		b.Stream = io.MultiReader(bytes.NewReader(start), rest)
	}
	return nil
}

// A closeOnce closes once, for whoever comes first.
type closeOnce struct {
	once   sync.Once
	closer io.Closer
}

func (c *closeOnce) Close() (err error) {
	c.once.Do(func() { err = c.closer.Close() })
	return err
}

// readAt fills p from offset at of a file of the given size.
func readAt(f io.ReaderAt, p []byte, at, size int64) error {
	if len(p) == 0 {
		return nil
	}
	n, err := f.ReadAt(p, at)
	if n == len(p) {
		return nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("read %d bytes at %d of %d: %w", len(p), at, size, err)
}

// A steadyReader makes a reader's ways plain: each Read returns bytes or an error, and not both. An end before size, or
// bytes after it, are errors, unless the size is UnknownSize.
type steadyReader struct {
	reader io.Reader
	size   int64
	at     int64 // how much was read
	err    error
}

// emptyReads is how often in a row a reader may return nothing at all.
const emptyReads = 100

func (s *steadyReader) Read(p []byte) (n int, err error) {
	if len(p) == 0 {
		return 0, nil
	}
	for range emptyReads {
		if n > 0 || s.err != nil {
			break
		}
		n, s.err = s.reader.Read(p)
		if n < 0 || n > len(p) {
			n, s.err = 0, fmt.Errorf("reader returned %d bytes for %d", n, len(p))
		}
	}
	s.at += int64(n)
	switch {
	case n == 0 && s.err == nil:
		s.err = io.ErrNoProgress
	case s.size == UnknownSize:
	case s.at > s.size:
		n, s.err = 0, fmt.Errorf("read more than the %d bytes that there should be", s.size)
	case s.at < s.size && errors.Is(s.err, io.EOF):
		s.err = fmt.Errorf("read %d bytes of %d: %w", s.at, s.size, io.ErrUnexpectedEOF)
	}
	if n > 0 {
		return n, nil
	}
	return 0, s.err
}

// read reads into p, which is not empty, until there are at least so many bytes, or p is full. An error may come with bytes.
func (s *steadyReader) read(p []byte, least int) (n int, err error) {
	for n < min(least, len(p)) && err == nil {
		var got int
		got, err = s.Read(p[n:])
		n += got
	}
	return n, err
}

// A textReader converts to netascii.
type textReader struct{ reader io.Reader }

// newTextReader returns a reader of the text r, whose size as it is may be UnknownSize. The converter is given bytes and
// errors apart, for it drops bytes that come with the error.
func newTextReader(r io.Reader, size int64) io.Reader {
	return textReader{netascii.ToReader(&steadyReader{reader: r, size: size})}
}

// textPiece is how much text is converted before the first of it is handed on, in bytes: the converter fills what it gets.
const textPiece = 2 << 10

func (t textReader) Read(p []byte) (int, error) { return t.reader.Read(p[:min(len(p), textPiece)]) }
