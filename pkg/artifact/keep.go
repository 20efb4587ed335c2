// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package artifact

import (
	"cmp"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/netboot-operator/netboot-operator/pkg/index"
)

// maxPullBackoff bounds the wait after failures of what nobody waits for.
const maxPullBackoff = 5 * time.Minute

// Keep says which artifacts owner needs from now on; nil: none. They are fetched now, and again, with backoff, when that
// fails or the file is damaged, and they are never evicted. Keep does not wait. The artifacts must not change afterwards.
func (s *Store) Keep(owner index.Key, artifacts []*index.Artifact) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	before := map[index.ID][]*index.Artifact{}
	for _, id := range s.kept[owner] {
		e := s.entry(id)
		before[id] = e.keepers[owner]
		delete(e.keepers, owner)
	}
	delete(s.kept, owner)
	for _, a := range artifacts {
		if checkArtifact(a) != nil { // the schema lets none of these pass
			continue
		}
		id := a.ID()
		e := s.entry(id)
		if e.keepers == nil {
			e.keepers = map[index.Key][]*index.Artifact{}
		}
		if len(e.keepers[owner]) == 0 {
			s.kept[owner] = append(s.kept[owner], id)
		}
		e.keepers[owner] = append(e.keepers[owner], a)
	}
	for _, id := range s.kept[owner] {
		e := s.entries[id]
		if s.pull(id, e); !slices.EqualFunc(before[id], e.keepers[owner], sameSources) {
			select {
			case e.changed <- struct{}{}:
			default: // they know already
			}
		}
	}
	s.unsaved = true
}

func sameSources(a, b *index.Artifact) bool {
	return slices.Equal(a.URLs, b.URLs) && a.Credentials.Equal(b.Credentials)
}

// pull sees to it that an artifact comes if it is kept. s.mu is held.
func (s *Store) pull(id index.ID, e *entry) {
	if e.pulling || len(e.keepers) == 0 || s.closed {
		return
	}
	e.pulling = true
	s.jobs.Go(func() { s.pullUntilThere(id, e) })
}

// pullUntilThere fetches an artifact from what its keepers name, in turns, until it is there or nobody keeps it.
func (s *Store) pullUntilThere(id index.ID, e *entry) {
	for attempt := 0; ; attempt++ {
		s.mu.Lock()
		var named []*index.Artifact
		for _, owner := range slices.SortedFunc(maps.Keys(e.keepers), cmp.Compare[index.Key]) {
			for _, a := range e.keepers[owner] {
				if !slices.ContainsFunc(named, func(b *index.Artifact) bool { return sameSources(a, b) }) {
					named = append(named, a)
				}
			}
		}
		if len(named) == 0 || s.closed {
			e.pulling = false
			s.mu.Unlock()
			return
		}
		s.mu.Unlock()
		if s.pullOnce(id, named[attempt%len(named)]) {
			s.mu.Lock()
			e.pulling = false
			s.mu.Unlock()
			return
		}
		wait := s.options.RetryAfter
		if round := attempt/len(named) + 1; attempt%len(named) == len(named)-1 {
			wait += rand.N(min(s.options.RetryAfter<<min(round, 16), maxPullBackoff))
		} else {
			wait = 0
		}
		select {
		case <-e.changed:
		case <-time.After(wait):
		case <-s.ctx.Done():
		}
	}
}

// pullOnce says whether a is there now.
func (s *Store) pullOnce(id index.ID, a *index.Artifact) bool {
	if f := s.openInPlace(a); f != nil {
		_ = f.Close() // nothing was written
		return true
	}
	j, err := s.join(id, a, false)
	if err != nil {
		return false
	}
	<-j.done // it ends with the Store
	return j.err == nil
}
