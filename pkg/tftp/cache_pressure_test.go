// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package tftp

import (
	"bytes"
	"math/rand/v2"
	"strconv"
	"testing"
	"testing/synctest"
)

// check fails the test if the cache has lost count.
func (c *cache) check(t *testing.T) {
	t.Helper()
	if n := len(c.chunks) + len(c.free); n > c.most {
		t.Fatalf("%d buffers, want at most %d", n, c.most)
	}
	if c.loading > maxAllLoads || c.loading-c.overdue > maxLoads || c.overdue < 0 || c.loading != c.overdue+c.begun.Len() {
		t.Fatalf("%d loads at once, %d of them overdue, %d not", c.loading, c.overdue, c.begun.Len())
	}
	loading := 0
	for place, ch := range c.chunks {
		if ch.place != place || ch.buffer == nil || ch.file.chunks[ch.index] != ch {
			t.Fatalf("chunk at %d is lost", place)
		}
		if ch.bytes == nil {
			loading++
		}
		if ch.file.loading > maxFileLoads {
			t.Fatalf("%d loads of one file at once", ch.file.loading)
		}
	}
	for id, f := range c.files {
		if f.users == 0 && len(f.chunks) == 0 {
			t.Fatalf("nothing is left of %v", id)
		}
	}
	if loading != c.loading {
		t.Fatalf("%d chunks are being loaded, and %d counted", loading, c.loading)
	}
}

// Files that hang take some of the loads, and what does not get one is forgotten when its client leaves.
func TestCacheHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newHandLoop(t)
		c := l.newCache(64 << 20)
		hanging := newTestFile(t, contents(100*chunkSize))
		hanging.slow = make(chan struct{})
		h := l.download(c, hanging.body(""), maxBlockSize, 64)
		if h.advance() {
			t.Fatal("got bytes that were not read yet")
		}
		good := newTestFile(t, contents(3*chunkSize))
		d := l.download(c, good.body(""), 1468, 4)
		if got, err := d.all(); err != nil || !bytes.Equal(got, good.bytes) {
			t.Errorf("beside a file that hangs: %d bytes, %v", len(got), err)
		}
		c.check(t)
		if c.loading != maxFileLoads {
			t.Errorf("%d loads, want %d", c.loading, maxFileLoads)
		}

		var others []*download
		for range 2 * maxLoads {
			f := newTestFile(t, contents(1))
			f.slow = hanging.slow
			others = append(others, l.download(c, f.body(""), 512, 1))
		}
		c.check(t)
		if c.loading != maxLoads || c.line.Len() != maxLoads+maxFileLoads {
			t.Errorf("%d loads, %d in line", c.loading, c.line.Len())
		}
		for _, o := range append(others, h, d) {
			o.content.release()
		}
		if c.line.Len() != 0 {
			t.Errorf("%d in line whose clients have left", c.line.Len())
		}
		close(hanging.slow)
		l.settle()
		c.check(t)
		if l.pending != 0 || len(c.chunks) != 0 || !hanging.isClosed() {
			t.Errorf("left over: %d goroutines, %d chunks; closed %v", l.pending, len(c.chunks), hanging.isClosed())
		}
	})
}

// Many clients in a cache that is far too small, who come, read, and leave in the middle.
func TestCacheUnderPressure(t *testing.T) {
	for seed := range uint64(3) {
		synctest.Test(t, func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 0))
			l := newHandLoop(t)
			c := l.newCache(0)
			shared := make([][]byte, 4)
			for i := range shared {
				shared[i] = contents(r.IntN(6 * chunkSize))
			}
			blockSizes := []int{512, 1468, 8192, maxBlockSize}
			var opened []*testFile
			var running []*download
			for turn := range 8_000 {
				if len(running) < 20 && turn < 4_000 {
					i := r.IntN(2 * len(shared))
					want, identity := shared[i%len(shared)], ""
					if i < len(shared) {
						identity = strconv.Itoa(i)
					}
					f := newTestFile(t, want)
					opened = append(opened, f)
					d := l.download(c, f.body(identity), blockSizes[r.IntN(len(blockSizes))], 1+r.IntN(20))
					d.want = want
					running = append(running, d)
				}
				if len(running) == 0 {
					break
				}
				i := r.IntN(len(running))
				d := running[i]
				d.advance()
				if err := d.content.fault(); err != nil {
					t.Fatal(err)
				}
				if d.ended && len(d.got) != len(d.want) {
					t.Fatalf("got %d bytes, want %d", len(d.got), len(d.want))
				}
				if d.ended || r.IntN(100) == 0 {
					d.content.release()
					running[i] = running[len(running)-1]
					running = running[:len(running)-1]
				}
				switch r.IntN(4) {
				case 0:
					l.turn()
				case 1:
					l.flush()
				}
				c.check(t)
			}
			if len(running) > 0 {
				t.Errorf("%d never came to an end", len(running))
			}
			l.settle()
			l.flush()
			for _, f := range opened {
				if !f.isClosed() {
					t.Error("not closed")
				}
			}
			for _, ch := range c.chunks {
				if !ch.file.shared || ch.file.users != 0 || ch.here != 0 {
					t.Error("a chunk is kept for nobody")
				}
			}
			if l.pending != 0 || c.line.Len() != 0 {
				t.Errorf("left over: %d goroutines, %d in line", l.pending, c.line.Len())
			}
		})
	}
}

// More clients than chunks, each with a file of its own, in lockstep: most find what they need all the same.
func TestCacheThrashes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newHandLoop(t)
		c := l.newCache(0)
		var files []*testFile
		var clients []*download
		for range minChunks + 2 {
			f := newTestFile(t, contents(chunkSize/2))
			files = append(files, f)
			clients = append(clients, l.download(c, f.body(""), 1468, 1))
			l.settle()
		}
		blocks := 0
		for left := len(clients); left > 0; {
			for _, d := range clients {
				if d.ended {
					continue
				}
				for !d.advance() {
					l.settle()
				}
				blocks++
				if d.ended {
					left--
				}
			}
		}
		reads := 0
		for i, d := range clients {
			reads += files[i].most()
			d.content.release()
		}
		if reads > 2*blocks/5 {
			t.Errorf("%d reads for %d blocks", reads, blocks)
		}
		t.Logf("%d reads for %d blocks of %d clients with %d chunks", reads, blocks, len(clients), minChunks)
		l.settle()
	})
}

// Two halves of a block whose chunks never stay in memory together make a block all the same.
func TestCacheHalves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newHandLoop(t)
		c := l.newCache(0)
		f := newTestFile(t, contents(2*chunkSize))
		d := l.download(c, f.body(""), 1000, 1)
		const at = 65_000 // to 66_000
		drop := func(index int64) {
			if ch := c.chunks[0]; len(c.chunks) != 1 || ch.index != index {
				t.Fatalf("%d chunks, the first is %d, want only %d", len(c.chunks), ch.index, index)
			}
			c.remove(c.chunks[0])
		}
		l.settle()
		if _, _, ok := d.content.block(at, 1000); ok {
			t.Fatal("there before it was read")
		}
		v := d.content.(*cachedView)
		c.remove(v.file.chunks[0])
		l.settle()
		one, two, ok := d.content.block(at, 1000)
		if !ok || !bytes.Equal(append(bytes.Clone(one), two...), f.bytes[at:at+1000]) {
			t.Errorf("%d+%d bytes, %v", len(one), len(two), ok)
		}
		drop(1)
		d.content.release()
		l.settle()
	})
}

// A block costs no allocation, wherever it comes from.
func TestBlockAllocates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newHandLoop(t)
		c := l.newCache(0)
		for name, b := range map[string]*Body{
			"memory": Bytes(contents(chunkSize)),
			"cache":  newTestFile(t, contents(2*chunkSize)).body("x"),
			"stream": {Stream: bytes.NewReader(contents(chunkSize)), Size: chunkSize},
		} {
			d := l.download(c, b, 1468, 4)
			d.content.acknowledged(0)
			l.settle()
			at := int64(0)
			if n := testing.AllocsPerRun(20, func() {
				if _, _, ok := d.content.block(at, 1468); !ok {
					t.Fatalf("%s: no block at %d", name, at)
				}
				at += 1468
				d.content.acknowledged(at)
			}); n != 0 {
				t.Errorf("%s: %v allocations a block", name, n)
			}
			d.content.release()
			l.settle()
		}
	})
}

// What a block costs that is in memory.
func BenchmarkBlock(b *testing.B) {
	l := newHandLoop(b)
	c := newCache(64<<20, loadPatience, l.do, l.flush)
	const size = 8 << 20
	for name, body := range map[string]*Body{
		"memory": Bytes(make([]byte, size)),
		"cache":  {File: bytes.NewReader(make([]byte, size)), Size: size, Identity: "x"},
	} {
		b.Run(name, func(b *testing.B) {
			reader := c.open(body, 1468, 1, nil)
			defer reader.release()
			for at := int64(0); at < size; at += chunkSize {
				reader.acknowledged(at) // all is asked for
			}
			for l.pending > 0 {
				(<-l.posted)()
			}
			x := c.open(body, 1468, 1, nil)
			defer x.release()
			b.SetBytes(1468)
			b.ReportAllocs()
			at := int64(0)
			for b.Loop() {
				if _, _, ok := x.block(at, 1468); !ok {
					b.Fatalf("no block at %d", at)
				}
				if at += 1468; at > size-1468 {
					at = 0
				}
				x.acknowledged(at)
			}
		})
	}
}
