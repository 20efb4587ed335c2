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

// A thousand clients of one file cost one read of each of its chunks, and one open file.
func TestCacheReadsOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newHandLoop(t)
		c := l.newCache(64 << 20)
		want := contents(2*chunkSize + 1)
		first := newTestFile(t, want)
		clients := []*download{l.download(c, first.body("kernel"), 8192, 4)}
		for range 999 {
			other := newTestFile(t, want)
			clients = append(clients, l.download(c, other.body("kernel"), 8192, 4))
			l.settle()
			if len(other.reads) > 0 || !other.isClosed() {
				t.Fatalf("another Body of the same identity: %d reads, closed %v", len(other.reads), other.isClosed())
			}
		}
		for n, d := range clients {
			d.want = want
			if got, err := d.all(); err != nil || len(got) != len(want) {
				t.Fatalf("client %d got %d bytes, %v", n, len(got), err)
			}
		}
		if first.most() != 1 || len(first.reads) != 3 {
			t.Errorf("%d chunks were read up to %d times, want 3, 1", len(first.reads), first.most())
		}
		for _, d := range clients {
			if first.isClosed() {
				t.Error("closed while it is in use")
			}
			d.content.release()
			l.settle()
		}
		if !first.isClosed() {
			t.Error("not closed")
		}

		// It is still in memory for the next one.
		later := newTestFile(t, want)
		d := l.download(c, later.body("kernel"), 8192, 4)
		if got, err := d.all(); err != nil || !bytes.Equal(got, want) || len(later.reads) > 0 {
			t.Errorf("later client got %d bytes, %v, with %d reads", len(got), err, len(later.reads))
		}
		d.content.release()
		l.settle()
		if !later.isClosed() {
			t.Error("not closed")
		}
		c.check(t)
	})
}

// Bodies that say the same name but not the same size are not the same.
func TestCacheIdentity(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newHandLoop(t)
		c := l.newCache(0)
		for _, size := range []int{10, 20, 10} {
			d := l.download(c, newTestFile(t, contents(size)).body("a"), 512, 1)
			if got, err := d.all(); err != nil || len(got) != size {
				t.Errorf("got %d bytes, %v, want %d", len(got), err, size)
			}
			defer l.settle()
			defer d.content.release()
		}
	})
}

// What is ahead of the client is asked for before the client needs it.
func TestCacheReadsAhead(t *testing.T) {
	for name, tc := range map[string]struct {
		blockSize, window int
		acknowledged      int64 // bytes
		wantChunks        int
	}{
		"at the beginning":                      {512, 1, 0, 1},
		"in the middle of a chunk":              {512, 1, chunkSize / 2, 1},
		"a quarter before the end, in lockstep": {512, 1, 3 * chunkSize / 4, 2},
		"two windows":                           {1468, 64, 0, 4},
		"two huge windows: half of the cache":   {maxBlockSize, 64, 0, minChunks / 2},
		"to the end of the file":                {1468, 64, 8 * chunkSize, 10},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newHandLoop(t)
				most := minChunks
				if tc.wantChunks > minChunks {
					most = 2 * tc.wantChunks
				}
				c := l.newCache(most * chunkSize)
				f := newTestFile(t, contents(9*chunkSize+1))
				d := l.download(c, f.body(""), tc.blockSize, tc.window)
				for at := int64(0); at <= tc.acknowledged; at += chunkSize / 4 {
					d.content.acknowledged(at)
				}
				l.settle()
				if len(f.reads) != tc.wantChunks || f.most() != 1 {
					t.Errorf("%d chunks were read up to %d times, want %d", len(f.reads), f.most(), tc.wantChunks)
				}
				d.content.release()
				l.settle()
			})
		})
	}
}

// A file that can't be read ends those who read it, and nobody else: the next one tries again.
func TestCacheFaults(t *testing.T) {
	for name, tc := range map[string]struct {
		change  func(f *testFile)
		wantGot int
		wantErr error
		wantSay string
	}{
		"a broken disk":        {func(f *testFile) { f.breaks = 2 * chunkSize }, 2 * chunkSize / 512 * 512, errDisk, "read 65536 bytes at 131072 of 200000: disk on fire"},
		"a file that shrank":   {func(f *testFile) { f.bytes = f.bytes[:150000] }, 2 * chunkSize / 512 * 512, io.ErrUnexpectedEOF, "read 65536 bytes at 131072 of 200000: unexpected EOF"},
		"a file that is empty": {func(f *testFile) { f.bytes = nil }, 0, io.ErrUnexpectedEOF, "read 65536 bytes at 0 of 200000: unexpected EOF"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newHandLoop(t)
				c := l.newCache(0)
				f := newTestFile(t, contents(200_000))
				b := f.body("x")
				tc.change(f)
				one, two := l.download(c, b, 512, 1), l.download(c, newTestFile(t, nil).same(200_000), 512, 1)
				for _, d := range []*download{one, two} {
					got, err := d.all()
					if !errors.Is(err, tc.wantErr) || err.Error() != tc.wantSay || len(got) != tc.wantGot {
						t.Errorf("got %d bytes and %v, want %d and %q", len(got), err, tc.wantGot, tc.wantSay)
					}
				}
				reads := len(f.reads)
				if one.advance() {
					t.Error("got more after the fault")
				}
				l.settle()
				if f.most() != 1 || len(f.reads) != reads {
					t.Error("a file that can't be read is read again")
				}
				good := newTestFile(t, contents(200_000))
				three := l.download(c, good.body("x"), 512, 1)
				if got, err := three.all(); err != nil || !bytes.Equal(got, good.bytes) {
					t.Errorf("after the fault: %d bytes, %v", len(got), err)
				}
				for _, d := range []*download{one, two, three} {
					d.content.release()
				}
				l.settle()
				c.check(t)
				if !f.isClosed() || !good.isClosed() || l.pending != 0 {
					t.Errorf("closed: %v, %v; %d goroutines", f.isClosed(), good.isClosed(), l.pending)
				}
			})
		})
	}
}

// same returns a body that is said to be of a size, and the same as others, with a Closer of its own.
func (f *testFile) same(size int64) *Body {
	b, closer := f.body("x"), newTestFile(f.t, nil)
	b.Size, b.Closer = size, closer
	return b
}

func TestCachePanic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newHandLoop(t)
		c := l.newCache(0)
		d := l.download(c, &Body{File: panics{}, Size: 1}, 512, 1)
		if _, err := d.all(); err == nil || !bytes.Contains([]byte(err.Error()), []byte("panic: no")) {
			t.Errorf("error = %v", err)
		}
		d.content.release()
		l.settle()
	})
}

// A client that leaves while its file is being read holds nobody up; the file is closed when the read has ended, and
// what comes late is thrown away, or kept for others.
func TestCacheRelease(t *testing.T) {
	for name, tc := range map[string]struct {
		identity  string
		breaks    bool
		wantKept  int
		wantReads int // of the second client, of one chunk
	}{
		"of its own":         {"", false, 0, 1},
		"shared":             {"x", false, 1, 0},
		"of its own, broken": {"", true, 0, 1},
		"shared, and broken": {"x", true, 0, 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newHandLoop(t)
				c := l.newCache(0)
				f := newTestFile(t, contents(1000))
				f.slow = make(chan struct{})
				d := l.download(c, f.body(tc.identity), 512, 1)
				if d.advance() {
					t.Fatal("got bytes that were not read yet")
				}
				d.content.release()
				l.settle()
				if f.isClosed() {
					t.Error("closed while it is being read")
				}
				if tc.breaks {
					f.bytes = nil
				}
				f.slow <- struct{}{}
				l.settle()
				if !f.isClosed() || d.woken != 0 || l.pending != 0 {
					t.Errorf("closed %v, woken %d times, %d goroutines", f.isClosed(), d.woken, l.pending)
				}
				c.check(t)
				if len(c.chunks) != tc.wantKept || len(c.files) != tc.wantKept {
					t.Errorf("%d chunks of %d files kept, want %d", len(c.chunks), len(c.files), tc.wantKept)
				}
				next := newTestFile(t, contents(1000))
				d = l.download(c, next.body(tc.identity), 512, 1)
				if got, err := d.all(); err != nil || !bytes.Equal(got, next.bytes) || len(next.reads) != tc.wantReads {
					t.Errorf("the next one got %d bytes, %v, with %d reads", len(got), err, len(next.reads))
				}
				d.content.release()
				l.settle()
			})
		})
	}
}

// Who leaves is not woken, neither before nor among those who are woken.
func TestCacheWakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newHandLoop(t)
		c := l.newCache(0)
		f := newTestFile(t, contents(1000))
		f.slow = make(chan struct{})
		var clients []*download
		for range 6 {
			d := l.download(c, f.same(1000), 512, 1)
			for range 2 { // to ask again changes nothing
				if d.advance() {
					t.Fatal("got bytes that were not read yet")
				}
			}
			clients = append(clients, d)
		}
		ch := c.chunks[0]
		for i, n := range []int{0, 5, 1} {
			clients[n].content.release()
			if want := 5 - i; len(ch.waiters) != want {
				t.Errorf("%d wait, want %d", len(ch.waiters), want)
			}
		}
		gone := map[*download]bool{}
		for _, d := range clients[2:5] {
			d.onWake = func() {
				for _, other := range clients[2:5] {
					if other != d && !gone[other] {
						gone[other] = true
						other.content.release()
					}
				}
			}
		}
		f.slow <- struct{}{}
		l.settle()
		woken := 0
		for n, d := range clients {
			woken += d.woken
			if d.woken > 0 && !gone[d] {
				if got, err := d.all(); err != nil || len(got) != 1000 {
					t.Errorf("client %d got %d bytes, %v", n, len(got), err)
				}
				d.content.release()
			}
		}
		if woken != 1 {
			t.Errorf("%d were woken, want the one that did not leave", woken)
		}
		l.settle()
	})
}

// What many use stays, wherever the clock's hand is when it comes, and whatever else goes through the cache.
func TestCacheKeepsWhatIsUsed(t *testing.T) {
	for first := range minChunks {
		synctest.Test(t, func(t *testing.T) {
			l := newHandLoop(t)
			c := l.newCache(0)
			long := l.download(c, newTestFile(t, make([]byte, 6*minChunks*chunkSize)).body("long"), 8192, 1)
			reads := 0
			for chunk := 0; !long.ended; chunk++ {
				for range chunkSize / 8192 {
					long.advance()
					l.settle()
				}
				if chunk < first {
					continue
				}
				for range 2 {
					hot := newTestFile(t, contents(100))
					d := l.download(c, hot.body("hot"), 512, 1)
					if _, err := d.all(); err != nil {
						t.Fatal(err)
					}
					d.content.release()
					l.settle()
					reads += len(hot.reads)
				}
			}
			if reads != 1 {
				t.Errorf("read %d times, want once", reads)
			}
			long.content.release()
			l.settle()
		})
	}
}

// A client that is slow keeps its chunk.
func TestCacheKeepsWhatIsInUse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newHandLoop(t)
		c := l.newCache(0)
		f := newTestFile(t, contents(chunkSize/2))
		slow := l.download(c, f.body(""), 512, 1)
		l.settle()
		long := l.download(c, newTestFile(t, make([]byte, 6*minChunks*chunkSize)).body(""), 8192, 1)
		for n := 0; !long.ended; n++ {
			if n%8 == 0 {
				slow.advance()
			}
			long.advance()
			l.settle()
		}
		if f.most() != 1 {
			t.Errorf("read %d times, want once", f.most())
		}
		slow.content.release()
		long.content.release()
		l.settle()
	})
}

// The trouble of a source whose clients have left is not that of the next one.
func TestCacheTroubleOfAnEarlierSource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newHandLoop(t)
		c := l.newCache(0)
		old, good := newTestFile(t, contents(1000)), newTestFile(t, contents(1000))
		old.slow = make(chan struct{})
		first := l.download(c, old.body("x"), 512, 1)
		l.settle()
		first.content.release()
		second := l.download(c, good.body("x"), 512, 1)
		if second.advance() {
			t.Fatal("got bytes that were not read yet")
		}
		old.bytes = nil
		old.slow <- struct{}{}
		if got, err := second.all(); err != nil || !bytes.Equal(got, good.bytes) {
			t.Errorf("got %d bytes, %v", len(got), err)
		}
		second.content.release()
		l.settle()
		c.check(t)
		if !old.isClosed() || !good.isClosed() {
			t.Error("not closed")
		}
	})
}
