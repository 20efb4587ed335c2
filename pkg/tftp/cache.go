// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package tftp

import (
	"container/list"
	"slices"
	"time"
)

const (
	chunkSize    = 64 << 10 // bytes
	minChunks    = 8        // that a cache may hold
	maxLoads     = 64       // at once, but for those that are overdue
	maxAllLoads  = 256      // at once
	maxFileLoads = 8        // at once, of one file: one that hangs leaves room for others
)

// A cache holds the files of one loop in chunks, as far as its budget goes. Only the loop touches it, but for the goroutines
// that read a chunk each. Files with an identity are shared: each chunk is read once for all who want it, and stays when
// they are gone until its room is needed.
type cache struct {
	most     int           // chunks
	patience time.Duration // a load that takes longer is overdue: most likely it hangs, and others must not wait for it
	now      time.Duration
	do       func(work func() (then func()))
	flush    func()

	files   map[identity]*cachedFile // those that are shared
	chunks  []*chunk                 // that have a buffer, in the order of the clock
	hand    int                      // of the clock
	free    []*buffer
	loading int        // chunks
	overdue int        // chunks, of those
	begun   *list.List // of *chunk: the others of those, the oldest first
	line    *list.List // of *cachedFile: those that want chunks and are below their limit
	woken   []*cachedView
	closing []*Body // of which nothing is needed any more
}

type buffer [chunkSize]byte

// An identity says which Bodies are the same. The size belongs to it, so that a mistake of a handler's cuts nothing off.
type identity struct {
	name string
	size int64
}

// A cachedFile is a file, perhaps of several Bodies, of which some chunks are in memory.
type cachedFile struct {
	identity identity
	shared   bool             // it is in cache.files
	source   *source          // nil: nobody uses the file
	users    int              // views
	chunks   map[int64]*chunk // in memory, being loaded or wanted
	wanted   []*chunk         // not being loaded yet
	inLine   *list.Element    // nil: not in cache.line
	loading  int              // chunks
	failure  error            // once set, nothing is loaded any more
}

// A chunk is a piece of a file: wanted, being loaded, or ready.
type chunk struct {
	file    *cachedFile
	index   int64
	buffer  *buffer // nil: it is wanted
	bytes   []byte  // of buffer, when it is ready; otherwise nil
	place   int     // in cache.chunks, if there is a buffer
	here    int     // views that read it now
	used    bool    // since the clock's hand was here
	waiters []*cachedView

	loadAt time.Duration // when its load began
	inLoad *list.Element // nil: not in cache.begun
}

// newCache returns a cache that holds as many bytes as budget says. Loads are overdue after patience. do has work done by a
// goroutine, and what that returns by the loop. flush is called before a buffer is used again that packets may refer to.
func newCache(budget int, patience time.Duration, do func(work func() (then func())), flush func()) *cache {
	return &cache{
		most: max(budget/chunkSize, minChunks), patience: patience, do: do, flush: flush,
		files: map[identity]*cachedFile{}, begun: list.New(), line: list.New(),
	}
}

// tick tells the time. Loads that have become overdue make room for others.
func (c *cache) tick(now time.Duration) {
	c.now = now
	before := c.overdue
	for e := c.begun.Front(); e != nil && now >= e.Value.(*chunk).loadAt+c.patience; e = c.begun.Front() {
		c.begun.Remove(e).(*chunk).inLoad = nil
		c.overdue++
	}
	if c.overdue > before {
		c.dispatch()
	}
}

// pause returns how long tick has nothing to do; negative: for ever.
func (c *cache) pause(now time.Duration) time.Duration {
	oldest := c.begun.Front()
	if c.line.Len() == 0 || oldest == nil {
		return -1
	}
	return max(0, oldest.Value.(*chunk).loadAt+c.patience-now)
}

// open returns the content of b, which prepare returned and which it owns, for a transfer with these terms. Reading begins.
func (c *cache) open(b *Body, blockSize, window int, w waiter) content {
	switch {
	case b.Stream != nil:
		return newStream(c, b, blockSize, window, w)
	case b.File == nil:
		return &memory{cache: c, body: b}
	}
	// Two windows, and time to read the next chunk. More than half of the cache would push itself out.
	ahead := min(2*int64(window)*int64(blockSize)+chunkSize/4, int64(c.most/2)*chunkSize)
	v := &cachedView{cache: c, file: c.use(b), waiter: w, ahead: ahead, tailAt: -1}
	v.acknowledged(0)
	return v
}

// close closes a Body that nobody reads, or one whose Read is to end: that must not wait for the others.
func (c *cache) close(b *Body) {
	switch {
	case b.Closer == nil:
	case b.Stream != nil:
		c.closeIn(b)
	default:
		c.closing = append(c.closing, b)
	}
}

// closeAll closes what is to be closed. The loop calls it once in a turn: in a boot storm, a goroutine for each would cost
// more than closing does.
func (c *cache) closeAll() {
	if len(c.closing) > 0 {
		c.closeIn(c.closing...)
		c.closing = nil
	}
}

// closeIn closes Bodies in a goroutine.
func (c *cache) closeIn(bodies ...*Body) {
	c.do(func() func() {
		for _, b := range bodies {
			b.close()
		}
		return nil
	})
}

// use returns the file of a Body, for one more user.
func (c *cache) use(b *Body) *cachedFile {
	id := identity{b.Identity, b.Size}
	f := c.files[id]
	if f == nil {
		f = &cachedFile{identity: id, shared: b.Identity != "", chunks: map[int64]*chunk{}}
		if f.shared {
			c.files[id] = f
		}
	}
	f.users++
	if f.source != nil {
		c.close(b)
		return f
	}
	f.source = newSource(b)
	return f
}

// leave takes a user from a file.
func (c *cache) leave(f *cachedFile) {
	f.users--
	if f.users > 0 {
		return
	}
	c.forgetWanted(f)
	if f.source.release() {
		c.close(f.source.body)
	}
	f.source = nil
	if !f.shared {
		for _, ch := range f.chunks {
			if ch.bytes != nil {
				c.remove(ch)
			}
		}
	}
	c.forget(f)
}

// forget drops a file of which nothing is left.
func (c *cache) forget(f *cachedFile) {
	if f.shared && f.users == 0 && len(f.chunks) == 0 {
		delete(c.files, f.identity)
		f.shared = false
	}
}

// want has a chunk loaded, if it is not in memory.
func (c *cache) want(f *cachedFile, index int64) *chunk {
	ch := f.chunks[index]
	if ch == nil {
		ch = &chunk{file: f, index: index}
		f.chunks[index] = ch
		f.wanted = append(f.wanted, ch)
		c.queue(f)
		c.dispatch()
	}
	return ch
}

// queue puts a file in the line if it may load something.
func (c *cache) queue(f *cachedFile) {
	if f.inLine == nil && len(f.wanted) > 0 && f.loading < maxFileLoads {
		f.inLine = c.line.PushBack(f)
	}
}

// forgetWanted takes back what was asked for and is not being loaded yet.
func (c *cache) forgetWanted(f *cachedFile) {
	for _, ch := range f.wanted {
		delete(f.chunks, ch.index)
	}
	f.wanted = nil
	if f.inLine != nil {
		c.line.Remove(f.inLine)
		f.inLine = nil
	}
}

// dispatch loads what is wanted, file by file, as far as the limits allow.
func (c *cache) dispatch() {
	for c.begun.Len() < maxLoads && c.loading < maxAllLoads && c.line.Len() > 0 {
		b := c.buffer()
		if b == nil {
			return // all are being loaded: the next one to arrive makes room
		}
		f := c.line.Remove(c.line.Front()).(*cachedFile)
		f.inLine = nil
		ch := f.wanted[0]
		f.wanted = slices.Delete(f.wanted, 0, 1)
		c.load(ch, b)
		c.queue(f)
	}
}

// load reads a chunk in a goroutine.
func (c *cache) load(ch *chunk, b *buffer) {
	f := ch.file
	c.loading++
	f.loading++
	ch.loadAt, ch.inLoad = c.now, c.begun.PushBack(ch)
	ch.buffer, ch.place = b, len(c.chunks)
	c.chunks = append(c.chunks, ch)

	from, at, size := f.source, ch.index*chunkSize, f.identity.size
	bytes := b[:min(chunkSize, size-at)]
	from.hold()
	c.do(func() func() {
		err := guarded(func() error { return readAt(from.body.File, bytes, at, size) })
		from.done()
		return func() { c.arrived(ch, from, bytes, err) }
	})
}

// arrived takes what was read from a source.
func (c *cache) arrived(ch *chunk, from *source, bytes []byte, err error) {
	f := ch.file
	c.loading--
	f.loading--
	if ch.inLoad != nil {
		c.begun.Remove(ch.inLoad)
		ch.inLoad = nil
	} else {
		c.overdue--
	}
	switch {
	case err != nil && f.users > 0 && from != f.source:
		// An earlier source was at its end; the one that is there now may do better.
		c.retire(ch)
		f.wanted = append(f.wanted, ch)
	case err != nil && f.users > 0:
		c.fail(f, err)
		c.remove(ch)
	case err != nil || f.users == 0 && !f.shared:
		c.drop(ch)
	default:
		ch.bytes = bytes
		c.rouse(ch)
	}
	c.wake()
	c.queue(f)
	c.dispatch()
}

// fail ends a file. What is ready of it stays for those who use it.
func (c *cache) fail(f *cachedFile, err error) {
	f.failure = err
	if f.shared {
		delete(c.files, f.identity)
		f.shared = false
	}
	for _, ch := range f.chunks {
		c.rouse(ch)
	}
	c.forgetWanted(f)
}

// rouse marks those who wait for a chunk; wake wakes them.
func (c *cache) rouse(ch *chunk) {
	for _, v := range ch.waiters {
		v.waitsFor = nil
	}
	c.woken = append(c.woken, ch.waiters...)
	ch.waiters = nil
}

func (c *cache) wake() {
	for _, v := range c.woken {
		if v.file != nil { // one may have been released in the turn of another
			v.waiter.wake()
		}
	}
	clear(c.woken)
	c.woken = c.woken[:0]
}

// buffer returns one to read into, nil if all are being read into.
func (c *cache) buffer() *buffer {
	if len(c.free) == 0 && len(c.chunks) < c.most {
		return new(buffer)
	}
	if len(c.free) == 0 && !c.evict() {
		return nil
	}
	c.flush()
	last := len(c.free) - 1
	b := c.free[last]
	c.free = c.free[:last]
	return b
}

// evict removes the next chunk that nobody reads now or has read since the clock's hand went round (second chance).
//
// If all are being read, the one that came last goes: were it the first, and the clients one more than the chunks, each
// would find its chunk gone whenever it came back.
func (c *cache) evict() bool {
	last := -1
	for range 2 * len(c.chunks) {
		c.hand = (c.hand + 1) % len(c.chunks)
		switch ch := c.chunks[c.hand]; {
		case ch.bytes == nil: // being loaded
		case ch.here > 0:
			last = max(last, c.hand)
		case ch.used:
			ch.used = false
		default:
			c.drop(ch)
			return true
		}
	}
	if last >= 0 {
		c.drop(c.chunks[last])
	}
	return last >= 0
}

// drop removes a chunk, and its file if that was the last of it.
func (c *cache) drop(ch *chunk) {
	c.remove(ch)
	c.forget(ch.file)
}

// remove drops a chunk, and with it the buffer.
func (c *cache) remove(ch *chunk) {
	c.retire(ch)
	delete(ch.file.chunks, ch.index)
}

// retire takes the buffer from a chunk.
func (c *cache) retire(ch *chunk) {
	c.free = append(c.free, ch.buffer)
	ch.buffer, ch.bytes = nil, nil
	last := len(c.chunks) - 1
	moved := c.chunks[last]
	c.chunks[ch.place], moved.place = moved, ch.place
	c.chunks[last] = nil
	c.chunks = c.chunks[:last]
}
