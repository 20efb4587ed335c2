// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package tftp

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strconv"
	"sync/atomic"
	"time"
)

var errSoak = errors.New("as it was told")

// plainBodies are the kinds of body that give the right bytes.
func plainBodies() []string {
	return []string{"memory", "file", "shared", kindFresh, "stream", "sized stream"}
}

// kindFresh is the kind that the handler is not asked for each time.
const kindFresh = "fresh"

// oddBodies are all others, and handlers that have none.
func oddBodies() []string {
	return []string{
		"missing", "refused", "error", "panic", "none", "two", "blocks", "late", "file that fails", "file too short", "file that panics",
		"stream that fails", "stream too short", "stream too long", "stream that stalls", "stream that panics", "close that panics",
	}
}

// ServeTFTP counts the request, and opens what its name says.
func (s *soak) ServeTFTP(ctx context.Context, r *Request) (*Body, error) {
	number, kind := s.numberIn(r.Name)
	s.counts[number].opened.Add(1)
	data := s.file(number)
	size, half := int64(len(data)), int64(len(data)/2)
	switch kind {
	case "memory":
		return Bytes(data), nil
	case "file":
		return s.closing(&Body{File: bytes.NewReader(data), Size: size}), nil
	case "shared":
		return s.closing(&Body{File: bytes.NewReader(data), Size: size, Identity: strconv.FormatInt(size, 10)}), nil
	case kindFresh:
		return s.closing(&Body{
			File: bytes.NewReader(data), Size: size, Identity: strconv.FormatInt(size, 10), FreshFor: 50 * time.Millisecond,
		}), nil
	case "stream":
		return s.closing(&Body{Stream: bytes.NewReader(data), Size: UnknownSize}), nil
	case "sized stream":
		return s.closing(&Body{Stream: bytes.NewReader(data), Size: size}), nil
	case "refused":
		return nil, &Error{CodeAccessViolation, "not for you"}
	case "error":
		return nil, errSoak
	case "panic":
		panic("as it was told")
	case "none":
		return nil, nil
	case "two":
		return s.closing(&Body{Bytes: data, File: bytes.NewReader(data)}), nil
	case "blocks":
		<-ctx.Done()
		return nil, ctx.Err()
	case "late":
		<-ctx.Done()
		return s.closing(Bytes(data)), nil
	case "file that fails":
		return s.closing(&Body{File: badReader{errSoak}, Size: size + 1}), nil
	case "file too short":
		return s.closing(&Body{File: bytes.NewReader(data[:half]), Size: size + 1}), nil
	case "file that panics":
		return s.closing(&Body{File: badReader{}, Size: size + 1}), nil
	case "stream that fails":
		return s.closing(&Body{Stream: io.MultiReader(bytes.NewReader(data[:half]), badReader{errSoak}), Size: size}), nil
	case "stream too short":
		return s.closing(&Body{Stream: bytes.NewReader(data[:half]), Size: size + 1}), nil
	case "stream too long":
		return s.closing(&Body{Stream: bytes.NewReader(data), Size: half}), nil
	case "stream that stalls":
		end, _ := io.Pipe() // Read waits until it is closed
		b := s.closing(&Body{Stream: io.MultiReader(bytes.NewReader(data[:half]), end), Size: UnknownSize})
		b.Closer.(*soakCloser).then = end.Close
		return b, nil
	case "stream that panics":
		return s.closing(&Body{Stream: io.MultiReader(bytes.NewReader(data[:half]), badReader{}), Size: UnknownSize}), nil
	case "close that panics":
		b := s.closing(&Body{File: bytes.NewReader(data), Size: size})
		b.Closer.(*soakCloser).then = func() error { panic("as it was told") }
		return b, nil
	}
	return nil, fmt.Errorf("%q: %w", r.Name, fs.ErrNotExist)
}

// closing gives a Body a Closer that is counted.
func (s *soak) closing(b *Body) *Body {
	s.bodies.Add(1)
	b.Closer = &soakCloser{soak: s}
	return b
}

type soakCloser struct {
	soak   *soak
	closed atomic.Int32
	then   func() error
}

func (c *soakCloser) Close() error {
	if c.closed.Add(1) > 1 {
		c.soak.t.Error("a body was closed twice")
	}
	c.soak.bodies.Add(-1)
	if c.then != nil {
		return c.then()
	}
	return nil
}

// A badReader fails, or panics if it has no error.
type badReader struct{ err error }

func (b badReader) Read([]byte) (int, error) {
	if b.err == nil {
		panic("as it was told")
	}
	return 0, b.err
}

func (b badReader) ReadAt(p []byte, _ int64) (int, error) { return b.Read(p) }
