// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package artifact

import (
	"errors"
	"io/fs"
	"slices"
	"sync/atomic"
	"time"

	"github.com/netboot-operator/netboot-operator/pkg/index"
)

const (
	// parallelFetches bounds the fetches that run at a time; more wait for their turn.
	parallelFetches = 8
	// backgroundFetches bounds those among them that no machine waits for: there is always room for one that does.
	backgroundFetches = 4
)

// A job is one fetch of an artifact, and what goes before it.
type job struct {
	artifact *index.Artifact
	news     bool // that the file can be opened is news, even if it turns out to be on disk

	background bool          // nobody waited when it began
	urgent     chan struct{} // closed when somebody does
	hurried    bool          // urgent is closed; under Store.mu

	// These are of the goroutine that does the job.
	slot, backgroundSlot bool // which ones it has

	fetching        atomic.Bool
	received, total atomic.Int64

	done  chan struct{} // closed when the job has ended; the fields below don't change afterwards
	err   error
	ended time.Time
}

// isFor says whether the job would have done for a the same.
func (j *job) isFor(a *index.Artifact) bool {
	return slices.Equal(j.artifact.URLs, a.URLs) && j.artifact.Credentials.Equal(a.Credentials)
}

// join returns the job that fetches a: the one that runs, the one that failed a moment ago, or a new one.
func (s *Store) join(id index.ID, a *index.Artifact, urgent bool) (*job, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, errClosed
	}
	e := s.entry(id)
	if j := e.job; j != nil {
		if urgent && !j.hurried {
			j.hurried = true
			close(j.urgent)
		}
		return j, nil
	}
	if f := e.failure; f != nil && f.isFor(a) && time.Since(f.ended) < s.options.RetryAfter {
		return f, nil
	}
	j := &job{
		artifact: a, news: e.trusted == (stamp{}) || e.failure != nil,
		background: !urgent, hurried: urgent, urgent: make(chan struct{}),
		done: make(chan struct{}),
	}
	j.total.Store(-1)
	e.job = j
	s.jobs.Go(func() { s.run(j, id) })
	return j, nil
}

// run does a job, and tells those who wait for it.
func (s *Store) run(j *job, id index.ID) {
	defer close(j.done)
	start := time.Now()
	size, fetched, err := s.bring(j, id)
	s.release(j)
	j.err, j.ended = err, time.Now()

	s.mu.Lock()
	e := s.entry(id)
	e.job = nil
	if err != nil && s.ctx.Err() == nil {
		e.trusted, e.failure = stamp{}, j
	}
	s.mu.Unlock()

	switch {
	case s.ctx.Err() != nil: // nobody is left who would want to know
	case err != nil:
		s.metrics.failed(err)
		s.options.Observer.ArtifactFailed(j.artifact, err)
	case fetched:
		s.metrics.fetched(j.ended.Sub(start))
		s.options.Observer.ArtifactFetched(j.artifact, size, j.ended.Sub(start))
	case j.news:
		s.options.Observer.ArtifactFetched(j.artifact, size, j.ended.Sub(start))
	}
}

// bring sees to it that the artifact is on disk and trusted. It returns its size, and whether it had to be fetched.
func (s *Store) bring(j *job, id index.ID) (size int64, fetched bool, err error) {
	a := j.artifact
	if j.background { // hashing all that is kept takes the disk from others
		if err := s.acquire(j); err != nil {
			return 0, false, err
		}
	}
	f, err := s.openChecked(id)
	if err == nil {
		return f.Size(), false, f.Close()
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return 0, false, storageFailed("read", err).at(a, a.URLs[0])
	}
	if err := s.acquire(j); err != nil {
		return 0, false, err
	}
	j.fetching.Store(true)
	s.options.Observer.ArtifactStarted(a)
	size, err = s.fetch(j, id, a)
	return size, true, err
}

// acquire waits until the job may use disk and network, unless it may already.
func (s *Store) acquire(j *job) error {
	if j.background && !j.slot {
		select {
		case s.background <- struct{}{}:
			j.backgroundSlot = true
		case <-j.urgent:
		case <-s.ctx.Done():
			return errClosed
		}
	}
	if !j.slot {
		select {
		case s.slots <- struct{}{}:
			j.slot = true
		case <-s.ctx.Done():
			return errClosed
		}
	}
	return nil
}

// release lets others have their turn.
func (s *Store) release(j *job) {
	if j.slot {
		<-s.slots
	}
	if j.backgroundSlot {
		<-s.background
	}
	j.slot, j.backgroundSlot = false, false
}
