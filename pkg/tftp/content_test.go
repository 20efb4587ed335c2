// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package tftp

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// A handLoop does for contents what a shard's loop does, when it is told to.
type handLoop struct {
	t       testing.TB
	caches  []*cache
	posted  chan func()
	begun   int // by do
	pending int
	queued  []sentPiece
}

// A sentPiece is a part of a packet that waits to be sent: what it should be, and where it is.
type sentPiece struct{ want, is []byte }

func newHandLoop(t testing.TB) *handLoop {
	t.Helper()
	return &handLoop{t: t, posted: make(chan func(), 1<<12)}
}

// loadPatience is how long a read may take before it is overdue.
const loadPatience = 10 * time.Second

// newCache returns a cache for this loop. A budget of 0 is the smallest that there is.
func (l *handLoop) newCache(budget int) *cache {
	c := newCache(budget, loadPatience, l.do, l.flush)
	l.caches = append(l.caches, c)
	return c
}

func (l *handLoop) do(work func() (then func())) {
	l.begun++
	l.pending++
	go func() {
		then := work()
		l.posted <- func() {
			l.pending--
			if then != nil {
				then()
			}
		}
	}()
}

// flush sends what is queued, which must still be what it was.
func (l *handLoop) flush() {
	for _, p := range l.queued {
		if !bytes.Equal(p.want, p.is) {
			l.t.Fatalf("%d bytes changed before they were sent", len(p.is))
		}
	}
	l.queued = l.queued[:0]
}

// turn runs what was posted, and says whether anything was.
func (l *handLoop) turn() bool {
	for _, c := range l.caches {
		c.closeAll()
	}
	synctest.Wait()
	for n := 0; ; n++ {
		select {
		case f := <-l.posted:
			f()
		default:
			return n > 0
		}
	}
}

// settle runs what is posted until nothing more comes by itself.
func (l *handLoop) settle() {
	for l.turn() {
	}
}

// A download reads a content from its beginning, as a client would.
type download struct {
	loop      *handLoop
	content   content
	blockSize int
	window    int64
	want      []byte

	acked  int64 // blocks
	sent   int64 // blocks
	got    []byte
	ended  bool
	woken  int
	onWake func()
}

func (l *handLoop) download(c *cache, b *Body, blockSize, window int) *download {
	d := &download{loop: l, blockSize: blockSize, window: int64(window)}
	d.content = c.open(b, blockSize, window, d)
	return d
}

func (d *download) wake() {
	d.woken++
	if d.onWake != nil {
		d.onWake()
	}
}

// advance sends what it may, says whether that was anything, and acknowledges it.
func (d *download) advance() bool {
	size := int64(d.blockSize)
	for d.sent < d.acked+d.window && !d.ended {
		one, two, ok := d.content.block(d.sent*size, d.blockSize)
		if !ok {
			break
		}
		d.got = append(append(d.got, one...), two...)
		at := len(d.got) - len(one) - len(two)
		d.loop.queued = append(d.loop.queued,
			sentPiece{bytes.Clone(one), one}, sentPiece{bytes.Clone(two), two})
		if d.want != nil && !bytes.HasPrefix(d.want[min(at, len(d.want)):], d.got[at:]) {
			d.loop.t.Fatalf("wrong bytes at %d", at)
		}
		d.sent++
		d.ended = len(one)+len(two) < d.blockSize
	}
	progress := d.sent > d.acked
	d.acked = d.sent
	if progress && !d.ended {
		d.content.acknowledged(d.acked * size)
	}
	return progress
}

// all reads to the end, or as far as it goes.
func (d *download) all() ([]byte, error) {
	for !d.ended {
		woken := d.woken
		if d.advance() {
			continue
		}
		if err := d.content.fault(); err != nil {
			return d.got, err
		}
		d.loop.settle()
		if d.woken == woken {
			return d.got, errStuck
		}
	}
	d.loop.flush()
	return d.got, nil
}

var errStuck = errors.New("nobody was woken")

// A testFile is a File and a Closer that watches what is done to it.
type testFile struct {
	t      testing.TB
	bytes  []byte
	slow   chan struct{} // if not nil, each read takes one
	breaks int64         // a read from here on fails; 0: none

	mu     sync.Mutex
	reads  map[int64]int // by offset
	busy   int
	closed int
}

var errDisk = errors.New("disk on fire")

func newTestFile(t testing.TB, b []byte) *testFile {
	t.Helper()
	return &testFile{t: t, bytes: b, reads: map[int64]int{}}
}

func (f *testFile) ReadAt(p []byte, at int64) (int, error) {
	f.mu.Lock()
	f.reads[at]++
	f.busy++
	if f.closed > 0 {
		f.t.Error("read after it was closed")
	}
	f.mu.Unlock()
	if f.slow != nil {
		<-f.slow
	}
	f.mu.Lock()
	f.busy--
	f.mu.Unlock()
	if f.breaks > 0 && at >= f.breaks {
		return 0, errDisk
	}
	return bytes.NewReader(f.bytes).ReadAt(p, at)
}

// Close may not be called while the file is being read from any place.
func (f *testFile) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed++
	if f.closed > 1 {
		f.t.Error("closed twice")
	}
	if f.busy > 0 {
		f.t.Error("closed while it is being read")
	}
	return nil
}

func (f *testFile) isClosed() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.closed > 0
}

// most returns how often the same bytes were read at most.
func (f *testFile) most() (most int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, n := range f.reads {
		most = max(most, n)
	}
	return most
}

// body returns a File body, prepared.
func (f *testFile) body(identity string) *Body {
	f.t.Helper()
	b, err := prepare(f.t.Context(), &Request{Mode: Octet},
		&Body{File: f, Size: int64(len(f.bytes)), Identity: identity, Closer: f})
	if err != nil {
		f.t.Fatal(err)
	}
	return b
}

// Every kind of content gives a file's bytes, whatever the sizes.
func TestContents(t *testing.T) {
	for name, newBody := range map[string]func(b []byte) *Body{
		"bytes":             Bytes,
		"file":              func(b []byte) *Body { return &Body{File: bytes.NewReader(b), Size: int64(len(b))} },
		"shared file":       func(b []byte) *Body { return &Body{File: bytes.NewReader(b), Size: int64(len(b)), Identity: "x"} },
		"stream":            func(b []byte) *Body { return &Body{Stream: bytes.NewBuffer(b), Size: int64(len(b))} },
		"stream of no size": func(b []byte) *Body { return &Body{Stream: bytes.NewBuffer(b), Size: UnknownSize} },
		"stream in drips":   func(b []byte) *Body { return &Body{Stream: newDrips(b), Size: int64(len(b))} },
		"unsized, in drips": func(b []byte) *Body { return &Body{Stream: newDrips(b), Size: UnknownSize} },
	} {
		t.Run(name, func(t *testing.T) {
			for _, size := range []int{0, 1, 511, 512, 513, 16 << 10, 48 << 10, chunkSize - 1, chunkSize, chunkSize + 1, 3*chunkSize + 77} {
				for _, blockSize := range []int{8, 512, 1468, 8192, maxBlockSize} {
					for _, window := range []int{1, 4, 64} {
						if size > 600 && (blockSize == 8 || blockSize == 512 && window == 1) {
							continue // slow, and nothing new
						}
						synctest.Test(t, func(t *testing.T) {
							l := newHandLoop(t)
							c := l.newCache(0)
							want := contents(size)
							b, err := prepare(t.Context(), &Request{Mode: Octet}, newBody(want))
							if err != nil {
								t.Fatal(err)
							}
							d := l.download(c, b, blockSize, window)
							got, err := d.all()
							if err != nil || !bytes.Equal(got, want) {
								t.Errorf("%d bytes in blocks of %d, window %d: got %d, %v", size, blockSize, window, len(got), err)
							}
							d.content.release()
							l.settle()
							if l.pending != 0 {
								t.Errorf("%d goroutines are left", l.pending)
							}
						})
					}
				}
			}
		})
	}
}

// drips reads as little as it likes, and sometimes nothing, and returns the end with the last bytes.
type drips struct {
	rest []byte
	rand *rand.Rand
}

func newDrips(b []byte) *drips { return &drips{b, rand.New(rand.NewPCG(1, 2))} }

func (b *drips) Read(p []byte) (int, error) {
	n := copy(p[:b.rand.IntN(min(len(p), 3000)+1)], b.rest)
	b.rest = b.rest[n:]
	if len(b.rest) == 0 {
		return n, io.EOF
	}
	return n, nil
}

// All the ways out close the Body once.
func TestClosers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newHandLoop(t)
		c := l.newCache(0)
		f := newTestFile(t, nil)
		b, err := prepare(t.Context(), &Request{Mode: Octet}, &Body{Bytes: []byte("x"), Closer: f})
		if err != nil {
			t.Fatal(err)
		}
		m := c.open(b, 512, 1, nil)
		if f.isClosed() {
			t.Error("closed before it was released")
		}
		m.release()
		l.settle()
		if !f.isClosed() {
			t.Error("not closed")
		}
		(&Body{Closer: panics{}}).close() // must return
	})
}

// panics does what nobody should.
type panics struct{}

func (panics) Close() error                      { panic("no") }
func (panics) ReadAt([]byte, int64) (int, error) { panic("no") }
func (panics) Read([]byte) (int, error)          { panic("no") }
