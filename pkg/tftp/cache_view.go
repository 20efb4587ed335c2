// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package tftp

// A cachedView is the content of one transfer from a cached file.
type cachedView struct {
	cache  *cache
	file   *cachedFile // nil after release
	waiter waiter
	ahead  int64 // how far to read ahead of what is acknowledged, in bytes
	asked  int64 // all chunks before this one have been asked for once

	current  *chunk // the one that was read last
	waitsFor *chunk // among whose waiters this is; nil: none
	place    int    // there

	// The part of a block in a chunk that was there when the next was not: in a small cache the two may never meet.
	tail   []byte
	tailAt int64
}

func (v *cachedView) block(at int64, n int) (one, two []byte, ok bool) {
	n = int(min(int64(n), v.file.identity.size-at))
	if n <= 0 {
		return nil, nil, true
	}
	index, from := at/chunkSize, int(at%chunkSize)
	inFirst := min(n, chunkSize-from)
	switch first := v.ready(index); {
	case first != nil:
		one = first[from:][:inFirst]
	case v.tailAt == at && len(v.tail) == inFirst:
		one = v.tail
	default:
		v.await(index)
		return nil, nil, false
	}
	if inFirst == n {
		return one, nil, true
	}
	if next := v.ready(index + 1); next != nil {
		return one, next[:n-inFirst], true
	}
	if v.tailAt != at {
		v.cache.flush() // packets may refer to the old one
		v.tail, v.tailAt = append(v.tail[:0], one...), at
	}
	v.await(index + 1)
	return nil, nil, false
}

// ready returns a chunk's bytes, nil if they are not there.
func (v *cachedView) ready(index int64) []byte {
	ch := v.file.chunks[index]
	if ch == nil || ch.bytes == nil {
		return nil
	}
	if ch != v.current {
		v.leaveChunk()
		v.current = ch
		ch.here++
		ch.used = true
	}
	return ch.bytes
}

func (v *cachedView) leaveChunk() {
	if v.current != nil {
		v.current.here--
		v.current = nil
	}
}

// await asks for a chunk that is not there.
func (v *cachedView) await(index int64) {
	if v.file.failure != nil {
		return
	}
	v.waitNoMore()
	ch := v.cache.want(v.file, index)
	v.waitsFor, v.place = ch, len(ch.waiters)
	ch.waiters = append(ch.waiters, v)
}

func (v *cachedView) waitNoMore() {
	if v.waitsFor == nil {
		return
	}
	waiters := v.waitsFor.waiters
	last := len(waiters) - 1
	waiters[v.place] = waiters[last]
	waiters[v.place].place = v.place
	waiters[last] = nil
	v.waitsFor.waiters = waiters[:last]
	v.waitsFor = nil
}

func (v *cachedView) acknowledged(offset int64) {
	f := v.file
	to := min(offset+v.ahead, f.identity.size)
	v.asked = max(v.asked, offset/chunkSize)
	for v.asked*chunkSize < to && f.failure == nil {
		v.cache.want(f, v.asked)
		v.asked++
	}
}

func (v *cachedView) fault() error { return v.file.failure }

func (v *cachedView) release() {
	v.waitNoMore()
	v.leaveChunk()
	f := v.file
	v.file = nil
	v.cache.leave(f)
}
