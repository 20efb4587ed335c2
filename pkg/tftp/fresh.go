// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package tftp

import "time"

// maxFresh bounds how many Bodies are kept for further requests, and so how many Files stay open for that.
const maxFresh = 256

// fresh keeps Bodies for requests that ask for the same soon after (Body.FreshFor). In a boot storm all machines ask for
// the same few loaders: the way to a goroutine and back, and opening a file, are the larger part of what that costs.
type fresh struct {
	cache  *cache
	bodies map[freshKey]freshBody
	sweep  time.Duration // when the first of them may have expired
}

type freshKey struct {
	name string
	mode Mode
}

type freshBody struct {
	body  *Body       // without Closer, so that any number of transfers may use it
	file  *cachedFile // held, so that it stays open; nil: bytes in memory
	until time.Duration
}

// find returns a Body for a request, nil if there is none.
func (f *fresh) find(r *Request, now time.Duration) *Body {
	kept, ok := f.bodies[freshKey{r.Name, r.Mode}]
	if !ok || now >= kept.until || kept.file != nil && kept.file.failure != nil {
		return nil
	}
	return kept.body
}

// keep keeps what was found for a request, if it may: a Body that a transfer has already begun with.
func (f *fresh) keep(r *Request, b *Body, now time.Duration) {
	shareable := b.Bytes != nil && b.Closer == nil || b.File != nil && b.Identity != ""
	if b.FreshFor <= 0 || !shareable {
		return
	}
	key := freshKey{r.Name, r.Mode}
	f.drop(key)
	if len(f.bodies) >= maxFresh {
		return
	}
	body := *b
	body.Closer = nil
	kept := freshBody{body: &body, until: now + b.FreshFor}
	if b.File != nil {
		kept.file = f.cache.use(&body)
	}
	if len(f.bodies) == 0 || kept.until < f.sweep {
		f.sweep = kept.until
	}
	f.bodies[key] = kept
}

// expire drops what is not fresh any more.
func (f *fresh) expire(now time.Duration) {
	if len(f.bodies) == 0 || now < f.sweep {
		return
	}
	f.sweep = never
	for key, kept := range f.bodies {
		if now >= kept.until {
			f.drop(key)
			continue
		}
		f.sweep = min(f.sweep, kept.until)
	}
}

func (f *fresh) dropAll() { f.expire(never) }

func (f *fresh) drop(key freshKey) {
	kept, ok := f.bodies[key]
	if !ok {
		return
	}
	delete(f.bodies, key)
	if kept.file != nil {
		f.cache.leave(kept.file)
	}
}

// pause returns how long there is nothing to do; negative: for ever.
func (f *fresh) pause(now time.Duration) time.Duration {
	if len(f.bodies) == 0 {
		return -1
	}
	return max(0, f.sweep-now)
}
