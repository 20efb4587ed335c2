// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package tftp

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"testing/synctest"
)

// A tap is a Stream that gives what it is given, when it is given it.
type tap struct {
	t      testing.TB
	pieces chan []byte // closed: the end
	closed chan struct{}
	err    error // instead of io.EOF
	rest   []byte
	most   int // bytes that a Read returns; 0: no limit
	read   int // bytes
}

func newTap(t testing.TB) *tap {
	t.Helper()
	return &tap{t: t, pieces: make(chan []byte, 100), closed: make(chan struct{})}
}

var errClosed = errors.New("the tap is closed")

func (s *tap) Read(p []byte) (int, error) {
	if len(s.rest) == 0 {
		select {
		case piece, ok := <-s.pieces:
			if !ok && s.err != nil {
				return 0, s.err
			} else if !ok {
				return 0, io.EOF
			}
			s.rest = piece
		case <-s.closed:
			return 0, errClosed
		}
	}
	if s.most > 0 {
		p = p[:min(len(p), s.most)]
	}
	n := copy(p, s.rest)
	s.rest = s.rest[n:]
	s.read += n
	return n, nil
}

// Close may be called while a Read waits, and ends it.
func (s *tap) Close() error {
	if s.isClosed() {
		s.t.Error("closed twice")
		return nil
	}
	close(s.closed)
	return nil
}

func (s *tap) isClosed() bool {
	select {
	case <-s.closed:
		return true
	default:
		return false
	}
}

func (s *tap) body(size int64) *Body {
	s.t.Helper()
	b, err := prepare(s.t.Context(), &Request{Mode: Octet}, &Body{Stream: s, Size: size, Closer: s})
	if err != nil {
		s.t.Fatal(err)
	}
	return b
}

// How a stream ends, or does not, and what the client gets of it: never a last block that is not the last.
func TestStreamEnds(t *testing.T) {
	for name, tc := range map[string]struct {
		size    int64
		bytes   int
		stalls  bool  // instead of an end
		err     error // instead of an end
		wantGot int
		wantErr error
		wantSay string
	}{
		"at its size":                     {size: 1000, bytes: 1000, wantGot: 1000},
		"at its size, a whole block":      {size: 1024, bytes: 1024, wantGot: 1024},
		"empty":                           {size: 0, bytes: 0},
		"of no known size":                {size: UnknownSize, bytes: 1000, wantGot: 1000},
		"of no known size, a whole block": {size: UnknownSize, bytes: 1024, wantGot: 1024},
		"of no known size, empty":         {size: UnknownSize},
		"early":                           {size: 1000, bytes: 999, wantGot: 512, wantErr: io.ErrUnexpectedEOF, wantSay: "read 999 bytes of 1000: unexpected EOF"},
		"at once":                         {size: 1000, wantErr: io.ErrUnexpectedEOF, wantSay: "read 0 bytes of 1000: unexpected EOF"},
		"late":                            {size: 1000, bytes: 1001, wantGot: 512, wantSay: "read more than the 1000 bytes that there should be"},
		"should be empty":                 {size: 0, bytes: 1, wantSay: "read more than the 0 bytes that there should be"},
		"never":                           {size: 1000, bytes: 1000, stalls: true, wantGot: 512, wantErr: errStuck},
		"stalls in the middle":            {size: 2000, bytes: 1000, stalls: true, wantGot: 512, wantErr: errStuck},
		"breaks":                          {size: 2000, bytes: 1100, err: errDisk, wantGot: 1024, wantErr: errDisk, wantSay: "disk on fire"},
		"breaks, of no known size":        {size: UnknownSize, bytes: 1100, err: errDisk, wantGot: 1024, wantErr: errDisk},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newHandLoop(t)
				c := l.newCache(0)
				s := newTap(t)
				s.err = tc.err
				s.pieces <- contents(tc.bytes)
				if !tc.stalls {
					close(s.pieces)
				}
				d := l.download(c, s.body(tc.size), 512, 1)
				got, err := d.all()
				if !bytes.Equal(got, contents(tc.wantGot)) {
					t.Errorf("got %d bytes, want %d", len(got), tc.wantGot)
				}
				if wantOK := tc.wantErr == nil && tc.wantSay == ""; wantOK != (err == nil) || tc.wantErr != nil && !errors.Is(err, tc.wantErr) {
					t.Errorf("error = %v, want %v", err, tc.wantErr)
				}
				if tc.wantSay != "" && err.Error() != tc.wantSay {
					t.Errorf("error = %v, want %s", err, tc.wantSay)
				}
				d.content.release()
				l.settle()
				if !s.isClosed() || l.pending != 0 {
					t.Errorf("closed: %v; %d goroutines", s.isClosed(), l.pending)
				}
			})
		})
	}
}

// A stream is read ahead of the client, but not further than its buffers go.
func TestStreamReadsAhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const blockSize, window, span = 1000, 4, 17_000 // 16 KiB and more, in whole blocks
		l := newHandLoop(t)
		c := l.newCache(0)
		s := newTap(t)
		s.pieces <- contents(200_000)
		d := l.download(c, s.body(UnknownSize), blockSize, window)
		for _, step := range []struct {
			acknowledged int64
			wantRead     int
		}{
			{0, 3 * span}, {span - 1, 3 * span}, {span, 4 * span}, {2*span + 5, 5 * span}, {5 * span, 8 * span},
		} {
			d.content.acknowledged(step.acknowledged)
			l.settle()
			if s.read != step.wantRead {
				t.Errorf("after %d bytes were acknowledged, %d are read, want %d", step.acknowledged, s.read, step.wantRead)
			}
		}
		d.content.release()
		l.settle()
	})
}

// A stream of small pieces is not handed on piece by piece when the client is not waiting.
func TestStreamFillsBuffers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newHandLoop(t)
		c := l.newCache(0)
		s := newTap(t)
		s.most = 100
		s.pieces <- contents(200_000)
		close(s.pieces)
		d := l.download(c, s.body(UnknownSize), 512, 1)
		d.content.acknowledged(0)
		l.settle()
		begun := l.begun
		for !d.ended {
			d.advance()
			l.settle()
		}
		if len(d.got) != 200_000 {
			t.Errorf("got %d bytes", len(d.got))
		}
		if n := l.begun - begun; n > 200_000/minStreamBuffer+2 {
			t.Errorf("%d turns for %d buffers", n, 200_000/minStreamBuffer)
		}
		d.content.release()
		l.settle()
	})
}

// A slow stream's bytes go on as they come, but for those that wait to be converted.
func TestStreamTrickles(t *testing.T) {
	for mode, late := range map[Mode]int{Octet: 512, NetASCII: 512 + textPiece} {
		t.Run(string(mode), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newHandLoop(t)
				s := newTap(t)
				b, err := prepare(t.Context(), &Request{Mode: mode}, &Body{Stream: s, Size: 50_000, Closer: s})
				if err != nil {
					t.Fatal(err)
				}
				d := l.download(l.newCache(0), b, 512, 8)
				d.want = bytes.Repeat([]byte("x"), 50_000)
				for at := 0; at < len(d.want); at += 500 {
					s.pieces <- d.want[at : at+500]
					l.settle()
					for d.advance() {
						l.settle()
					}
					if lacks := at + 500 - len(d.got); lacks >= late {
						t.Fatalf("%d bytes have come, and the client has all but %d", at+500, lacks)
					}
				}
				close(s.pieces)
				if _, err := d.all(); err != nil || len(d.got) != len(d.want) {
					t.Errorf("got %d bytes, %v", len(d.got), err)
				}
				d.content.release()
				l.settle()
			})
		})
	}
}

// A client that leaves while a Read waits: the loop does not wait for it, and Close ends it.
func TestStreamRelease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newHandLoop(t)
		c := l.newCache(0)
		s := newTap(t)
		d := l.download(c, s.body(1000), 512, 1)
		if d.advance() {
			t.Fatal("got bytes that were not there")
		}
		d.content.release()
		l.settle()
		if !s.isClosed() || d.woken != 0 || l.pending != 0 {
			t.Errorf("closed: %v; woken %d times; %d goroutines", s.isClosed(), d.woken, l.pending)
		}
	})
}

// One without a Closer, and one that reads a File, which must not be closed under the reader, end when the Read does.
func TestStreamReleaseWaits(t *testing.T) {
	for name, tc := range map[string]struct {
		mode Mode
		body func(f *testFile, s *tap) *Body
	}{
		"no closer": {Octet, func(_ *testFile, s *tap) *Body { return &Body{Stream: s, Size: 1000} }},
		"a file":    {NetASCII, func(f *testFile, _ *tap) *Body { return &Body{File: f, Size: 1000, Closer: f} }},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newHandLoop(t)
				c := l.newCache(0)
				f, s := newTestFile(t, contents(1000)), newTap(t)
				f.slow = make(chan struct{})
				b, err := prepare(t.Context(), &Request{Mode: tc.mode}, tc.body(f, s))
				if err != nil {
					t.Fatal(err)
				}
				d := l.download(c, b, 512, 1)
				d.content.acknowledged(0)
				l.settle()
				d.content.release()
				l.settle()
				if f.isClosed() || l.pending != 1 {
					t.Errorf("closed: %v; %d goroutines, want the one that reads", f.isClosed(), l.pending)
				}
				close(f.slow)
				s.pieces <- contents(600) // more than a block, and not all
				l.settle()
				if f.isClosed() != (b.Closer != nil) || l.pending != 0 {
					t.Errorf("in the end, closed: %v; %d goroutines", f.isClosed(), l.pending)
				}
			})
		})
	}
}

func TestStreamPanic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newHandLoop(t)
		c := l.newCache(0)
		d := l.download(c, &Body{Stream: panics{}, Size: 1}, 512, 1)
		if _, err := d.all(); err == nil || !bytes.Contains([]byte(err.Error()), []byte("panic: no")) {
			t.Errorf("error = %v", err)
		}
		d.content.release()
		l.settle()
	})
}

// A block that is sent again is still there as long as it is not acknowledged, and is not overwritten before it is sent.
func TestStreamKeepsTheWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const blockSize, window = 512, 64
		l := newHandLoop(t)
		c := l.newCache(0)
		want := contents(300_000)
		d := l.download(c, &Body{Stream: bytes.NewReader(want), Size: int64(len(want))}, blockSize, window)
		for base := int64(0); base*blockSize < int64(len(want)); base += 7 {
			l.settle()
			d.content.acknowledged(base * blockSize)
			l.settle()
			for range 2 {
				for block := base; block < base+window && block*blockSize < int64(len(want)); block++ {
					one, _, ok := d.content.block(block*blockSize, blockSize)
					if !ok || !bytes.HasPrefix(want[block*blockSize:], one) {
						t.Fatalf("block %d with %d acknowledged: %d bytes, %v", block, base, len(one), ok)
					}
					l.queued = append(l.queued, sentPiece{bytes.Clone(one), one})
				}
			}
		}
		l.flush()
		d.content.release()
		l.settle()
	})
}

// What steadyReader makes of readers that keep to the letter of their contract, or not even that.
func TestSteadyReader(t *testing.T) {
	for name, tc := range map[string]struct {
		read    func(p []byte) (int, error)
		wantErr string
	}{
		"nothing, again and again": {func([]byte) (int, error) { return 0, nil }, io.ErrNoProgress.Error()},
		"more than there is room":  {func(p []byte) (int, error) { return len(p) + 1, nil }, "reader returned 11 bytes for 10"},
		"less than nothing":        {func([]byte) (int, error) { return -1, nil }, "reader returned -1 bytes for 10"},
		"an error":                 {func([]byte) (int, error) { return 0, errDisk }, errDisk.Error()},
	} {
		t.Run(name, func(t *testing.T) {
			r := &steadyReader{reader: readerFunc(tc.read), size: UnknownSize}
			for range 2 {
				if n, err := r.read(make([]byte, 10), 10); n != 0 || err == nil || err.Error() != tc.wantErr {
					t.Errorf("read %d bytes, %v, want %s", n, err, tc.wantErr)
				}
			}
		})
	}
}

type readerFunc func(p []byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }
