// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package artifact

import (
	"context"
	"io"
	"io/fs"
	"time"

	"github.com/netboot-operator/netboot-operator/pkg/index"
)

// scrubRate is how fast a scrub reads, in bytes a second. It leaves the disk to those who are served.
const scrubRate = 32 << 20

// scrub hashes what is cached once in an interval. Whatever else looks at files trusts size and time.
func (s *Store) scrub() {
	for {
		select {
		case <-time.After(s.options.ScrubInterval):
		case <-s.ctx.Done():
			return
		}
		s.scrubOnce()
	}
}

// scrubOnce hashes each file once, and has those fetched again that are kept and damaged or gone.
func (s *Store) scrubOnce() {
	entries, err := fs.ReadDir(s.disk.root.FS(), kindVerified)
	if err != nil {
		return // nothing can be served either
	}
	for _, found := range entries {
		id := index.ID(kindVerified + "/" + found.Name())
		if s.ctx.Err() != nil {
			return
		}
		if validID(id) && found.Type().IsRegular() {
			_ = s.check(id, true) // it has dealt with what it found
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, e := range s.entries {
		if len(e.keepers) == 0 || e.trusted == (stamp{}) || !verifiable(id) {
			continue
		}
		if _, err := s.disk.stat(id); err != nil { // somebody removed it
			e.trusted = stamp{}
			s.pull(id, e)
		}
	}
}

// A slowReader reads at scrubRate.
type slowReader struct {
	from  io.Reader
	ctx   context.Context // of the Store
	start time.Time
	read  int64
}

func (r *slowReader) Read(b []byte) (int, error) {
	n, err := r.from.Read(b)
	r.read += int64(n)
	due := time.Duration(float64(r.read) / scrubRate * float64(time.Second))
	if early := due - time.Since(r.start); early > 10*time.Millisecond {
		select {
		case <-time.After(early):
		case <-r.ctx.Done():
		}
	}
	return n, err
}
