// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package artifact

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/netboot-operator/netboot-operator/pkg/index"
)

// errClosed is what Open returns after Close.
var errClosed = errors.New("artifact store is closed")

// A Store opens artifacts, and fetches those that it does not have. All methods may be called from many goroutines at
// once. Whoever made it closes it.
type Store struct {
	options Options
	disk    *disk
	files   *os.Root // where file URLs are resolved; nil: nowhere

	ctx    context.Context // the life of the Store, which owns the fetches
	cancel context.CancelFunc
	jobs   sync.WaitGroup
	slots  chan struct{}      // holds one item for each fetch that runs
	checks singleflight.Group // hashes of what is on disk, by id

	mu      sync.Mutex
	closed  bool
	entries map[index.ID]*entry
}

// An entry is what the Store knows about an artifact. There is one for each that was asked for with Open or found on
// disk, never for an id that only came from the network.
type entry struct {
	trusted stamp // the file whose bytes are known to be right; the zero value: none
	job     *job  // the fetch that runs; nil: none
	failure *job  // the last fetch, if it failed
}

// A job is one fetch of an artifact.
type job struct {
	urls  []string
	news  bool          // that the file can be opened is news, even if it turns out to be on disk
	done  chan struct{} // closed when the job has ended; the fields below don't change afterwards
	err   error
	ended time.Time
}

// New returns a Store that works in o.Dir. It removes what interrupted downloads left there, but looks at nothing else.
// Its errors name the field of Options, the value and what is wrong with it.
func New(o Options) (*Store, error) {
	o, err := o.completed()
	if err != nil {
		return nil, fmt.Errorf("artifact store: %w", err)
	}
	var files *os.Root
	if o.FilesDir != "" {
		if files, err = os.OpenRoot(o.FilesDir); err != nil {
			return nil, fmt.Errorf("artifact store: FilesDir %q: %w", o.FilesDir, withoutPath(err))
		}
	}
	d, err := openDisk(o.Dir)
	if err != nil {
		if files != nil {
			err = errors.Join(err, files.Close())
		}
		return nil, fmt.Errorf("artifact store: Dir %q: must be a folder that can be written: %w", o.Dir, withoutPath(err))
	}
	ctx, cancel := context.WithCancel(context.Background())
	return &Store{
		options: o, disk: d, files: files,
		ctx: ctx, cancel: cancel, slots: make(chan struct{}, parallelFetches),
		entries: map[index.ID]*entry{},
	}, nil
}

// Close ends the fetches that run and waits for them. Files that are open stay usable. Open fails from now on.
func (s *Store) Close() error {
	s.mu.Lock()
	closed := s.closed
	s.closed = true
	s.mu.Unlock()
	if closed {
		return nil
	}
	s.cancel()
	s.jobs.Wait()
	s.options.Client.CloseIdleConnections()
	err := s.disk.close()
	if s.files != nil {
		err = errors.Join(err, s.files.Close())
	}
	return err
}

// Open opens a, which must not change afterwards, and fetches it first if need be. It then waits until the last byte
// was verified, or until ctx ends: the fetch goes on for others. When a can't be had, the error is an *Error.
func (s *Store) Open(ctx context.Context, a *index.Artifact) (*File, error) {
	if err := checkArtifact(a); err != nil {
		return nil, err
	}
	if f := s.openInPlace(a); f != nil {
		return f, nil
	}
	id := a.ID()
	for {
		if f, err := s.openTrusted(id); err == nil {
			return f, nil
		}
		j, err := s.join(id, a) //nolint:contextcheck // the fetch outlives the one who asks
		if err != nil {
			return nil, err
		}
		select {
		case <-j.done:
		case <-ctx.Done():
			return nil, fmt.Errorf("wait for %s: %w", a.Field, context.Cause(ctx))
		}
		switch {
		case j.err == nil:
			f, err := s.openTrusted(id)
			if err != nil { // it was removed since: not by us
				return nil, storageFailed("read", err).at(a, a.URLs[0])
			}
			return f, nil
		case slices.Equal(j.urls, a.URLs):
			return nil, j.err
		}
		// What another artifact's URLs could not deliver, these may.
	}
}

// OpenCached opens the artifact of that id if it is on disk, and never fetches it. Any string may be given. What an
// earlier process left is hashed first; one without a digest counts only if this Store fetched it. When there is
// nothing to open, the error wraps fs.ErrNotExist.
func (s *Store) OpenCached(id index.ID) (*File, error) {
	if !validID(id) {
		return nil, fmt.Errorf("open artifact: not an id: %w", fs.ErrNotExist)
	}
	f, err := s.openChecked(id)
	if err != nil {
		return nil, fmt.Errorf("open artifact %s: %w", id, withoutPath(err))
	}
	return f, nil
}

// A State is what a Store knows about an artifact. The zero value: nothing, it was not asked for yet.
type State struct {
	// Cached says that Open needs no network: the file is there. One that an earlier process left is hashed before its
	// first use, and should it then turn out to be damaged, it is fetched again.
	Cached bool
	// Bytes is the file's size while Cached.
	Bytes int64
	// Err is the *Error of the last fetch if it failed. Nil while Cached, and while the first fetch runs.
	Err error
}

// State returns what is known about an artifact without opening it.
func (s *Store) State(id index.ID) State {
	var e entry
	s.mu.Lock()
	if known := s.entries[id]; known != nil {
		e = *known
	}
	s.mu.Unlock()
	if e.trusted != (stamp{}) {
		return State{Cached: true, Bytes: e.trusted.size}
	}
	if validID(id) && verifiable(id) {
		if info, err := s.disk.stat(id); err == nil && info.Mode().IsRegular() {
			return State{Cached: true, Bytes: info.Size()}
		}
	}
	if e.failure != nil {
		return State{Err: e.failure.err}
	}
	return State{}
}

// entry returns the entry of id, a new one if need be. s.mu is held.
func (s *Store) entry(id index.ID) *entry {
	e := s.entries[id]
	if e == nil {
		e = &entry{}
		s.entries[id] = e
	}
	return e
}

// trust notes that the file with this stamp has the right bytes. It returns false if that was known.
func (s *Store) trust(id index.ID, at stamp) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.entry(id)
	isNew := e.trusted != at
	e.trusted, e.failure = at, nil
	return isNew
}

// openTrusted opens what is on disk if its bytes are known to be right; else the error wraps fs.ErrNotExist.
func (s *Store) openTrusted(id index.ID) (*File, error) {
	f, err := s.disk.open(id)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	e := s.entries[id]
	trusted := e != nil && e.trusted == stampOf(f.info)
	s.mu.Unlock()
	if !trusted {
		_ = f.Close() // nothing was written
		return nil, fs.ErrNotExist
	}
	return f, nil
}

// openChecked opens what is on disk after it was hashed, once for all who ask at the same time.
func (s *Store) openChecked(id index.ID) (*File, error) {
	f, err := s.openTrusted(id)
	if !errors.Is(err, fs.ErrNotExist) {
		return f, err
	}
	if _, err, _ := s.checks.Do(string(id), func() (any, error) { return nil, s.check(id) }); err != nil {
		return nil, err
	}
	return s.openTrusted(id)
}

// check hashes what is on disk, and removes it if the bytes are not what id says. In that case, and if there is nothing,
// the error wraps fs.ErrNotExist.
func (s *Store) check(id index.ID) error {
	if !verifiable(id) {
		return fs.ErrNotExist
	}
	f, err := s.disk.open(id)
	if err != nil {
		return err
	}
	hash := sha256.New()
	_, err = io.Copy(hash, &mortalReader{s.ctx, f})
	_ = f.Close() // nothing was written
	if s.ctx.Err() != nil {
		return errClosed
	}
	if err != nil || id != idOf(hash.Sum(nil)) {
		return errors.Join(fs.ErrNotExist, s.disk.remove(id))
	}
	s.trust(id, stampOf(f.info))
	return nil
}

// verifiable says whether a valid id tells the digest of the content.
func verifiable(id index.ID) bool { return id[:len(kindVerified)] == kindVerified }

func idOf(digest []byte) index.ID { return index.ID(kindVerified + "/" + hex.EncodeToString(digest)) }

// join returns the job that fetches a: the one that runs, the one that failed a moment ago, or a new one.
func (s *Store) join(id index.ID, a *index.Artifact) (*job, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, errClosed
	}
	e := s.entry(id)
	if e.job != nil {
		return e.job, nil
	}
	if f := e.failure; f != nil && slices.Equal(f.urls, a.URLs) && time.Since(f.ended) < s.options.RetryAfter {
		return f, nil
	}
	j := &job{urls: a.URLs, news: e.trusted == (stamp{}) || e.failure != nil, done: make(chan struct{})}
	e.job = j
	s.jobs.Go(func() { s.run(j, id, a) })
	return j, nil
}

// run does a job, and tells those who wait for it.
func (s *Store) run(j *job, id index.ID, a *index.Artifact) {
	defer close(j.done)
	start := time.Now()
	size, fetched, err := s.bring(id, a)
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
		s.options.Observer.ArtifactFailed(a, err)
	case fetched || j.news:
		s.options.Observer.ArtifactFetched(a, size, j.ended.Sub(start))
	}
}

// bring sees to it that a is on disk and trusted. It returns its size, and whether it had to be fetched.
func (s *Store) bring(id index.ID, a *index.Artifact) (size int64, fetched bool, err error) {
	f, err := s.openChecked(id)
	if err == nil {
		return f.Size(), false, f.Close()
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return 0, false, storageFailed("read", err).at(a, a.URLs[0])
	}
	select {
	case s.slots <- struct{}{}:
		defer func() { <-s.slots }()
	case <-s.ctx.Done():
		return 0, false, errClosed
	}
	size, err = s.fetch(id, a)
	return size, true, err
}
