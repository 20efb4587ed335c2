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
	"net/http"
	"os"
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
	files   *os.Root     // where file URLs are resolved; nil: nowhere
	careful *http.Client // Options.Client, which keeps credentials from others
	metrics *metrics
	health  health

	clientsMu sync.Mutex
	clients   map[[sha256.Size]byte]*http.Client // by the authorities that they trust beside the system's

	ctx        context.Context // the life of the Store, which owns the fetches
	cancel     context.CancelFunc
	jobs       sync.WaitGroup
	slots      chan struct{}      // holds one item for each fetch that runs
	background chan struct{}      // holds one more for each of them that nobody waits for
	checks     singleflight.Group // hashes of what is on disk, by id

	evictions sync.Mutex // is held by the one who makes room

	mu      sync.Mutex
	closed  bool
	entries map[index.ID]*entry
	kept    map[index.Key][]index.ID
	unsaved bool // something was used that the notes of uses don't have
}

// An entry is what the Store knows about an artifact. There is one for each that was asked for or found on disk, never for
// an id that only came from the network. Entries stay.
type entry struct {
	trusted stamp     // the file whose bytes are known to be right; the zero value: none
	job     *job      // the fetch that runs; nil: none
	failure *job      // the last fetch, if it failed
	used    time.Time // when it was last opened
	users   int       // those who have it open or wait for it

	keepers map[index.Key][]*index.Artifact
	pulling bool          // somebody sees to it that it comes
	changed chan struct{} // tells them that keepers are others
}

// New returns a Store that works in o.Dir. It removes what nobody can go on with there, but hashes nothing. Its errors name
// the field of Options, the value and what is wrong with it.
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
	s := &Store{
		options: o, disk: d, files: files, careful: careful(o.Client),
		health:  health{hosts: map[string]illness{}},
		clients: map[[sha256.Size]byte]*http.Client{},
		ctx:     ctx, cancel: cancel,
		slots: make(chan struct{}, parallelFetches), background: make(chan struct{}, backgroundFetches),
		entries: map[index.ID]*entry{}, kept: map[index.Key][]index.ID{},
	}
	if s.metrics, err = newMetrics(o.Registerer, s); err != nil {
		return nil, errors.Join(fmt.Errorf("artifact store: %w", err), s.Close())
	}
	s.recallUses()
	s.jobs.Go(s.saveUses)
	if o.ScrubInterval > 0 {
		s.jobs.Go(s.scrub)
	}
	return s, nil
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
	s.noteUses()
	s.closeClients()
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
	defer s.pin(id)()
	for {
		if f, err := s.openTrusted(id); err == nil {
			return f, nil
		}
		j, err := s.join(id, a, true)
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
		case j.isFor(a):
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

// A State is what a Store knows about an artifact. The zero value: nothing, its fetch has not begun.
type State struct {
	// Cached says that Open needs no network: the file is there. One that an earlier process left is hashed before its
	// first use, and should it then turn out to be damaged, it is fetched again.
	Cached bool
	// Bytes is the file's size while Cached.
	Bytes int64
	// Fetching says that a fetch runs. Received of Total bytes are here; Total is -1 when no upstream has told it.
	Fetching        bool
	Received, Total int64
	// Err is the *Error of the last fetch if it failed. Nil while Cached. It stays while the next fetch runs.
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
	var state State
	if e.job != nil && e.job.fetching.Load() {
		state = State{Fetching: true, Received: e.job.received.Load(), Total: e.job.total.Load()}
	}
	if e.failure != nil {
		state.Err = e.failure.err
	}
	return state
}

// entry returns the entry of id, a new one if need be. s.mu is held.
func (s *Store) entry(id index.ID) *entry {
	e := s.entries[id]
	if e == nil {
		e = &entry{changed: make(chan struct{}, 1)}
		s.entries[id] = e
	}
	return e
}

// pin keeps an artifact from being evicted until the function that it returns is called.
func (s *Store) pin(id index.ID) func() {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.use(s.entry(id))
}

// use counts one more user of e. s.mu is held. The function that it returns ends that; further calls do nothing.
func (s *Store) use(e *entry) func() {
	e.users++
	return sync.OnceFunc(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		e.users--
	})
}

// trust notes that the file with this stamp has the right bytes. It returns false if that was known.
func (s *Store) trust(id index.ID, at stamp) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.entry(id)
	isNew := e.trusted != at
	e.trusted, e.failure = at, nil
	if e.used.IsZero() {
		e.used = time.Now()
	}
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
	if trusted {
		f.release = s.use(e)
		e.used, s.unsaved = time.Now(), true
	}
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
	if _, err, _ := s.checks.Do(string(id), func() (any, error) { return nil, s.check(id, false) }); err != nil {
		return nil, err
	}
	return s.openTrusted(id)
}

// check hashes what is on disk, slowly if asked to, and removes it if the bytes are not what id says. In that case, and if
// there is nothing, the error wraps fs.ErrNotExist.
func (s *Store) check(id index.ID, slowly bool) error {
	if !verifiable(id) {
		return fs.ErrNotExist
	}
	f, err := s.disk.open(id)
	if err != nil {
		return err
	}
	var from io.Reader = &mortalReader{s.ctx, f}
	if slowly {
		from = &slowReader{from: from, ctx: s.ctx, start: time.Now()}
	}
	hash := sha256.New()
	_, err = io.Copy(hash, from)
	_ = f.Close() // nothing was written
	if s.ctx.Err() != nil {
		return errClosed
	}
	if err != nil || id != idOf(hash.Sum(nil)) {
		return errors.Join(fs.ErrNotExist, s.damaged(id, stampOf(f.info)))
	}
	s.trust(id, stampOf(f.info))
	return nil
}

// damaged removes a file whose bytes are wrong, and sees to it that what is kept comes again. Those who read the file find
// its end.
func (s *Store) damaged(id index.ID, at stamp) error {
	s.mu.Lock()
	info, err := s.disk.stat(id)
	if err != nil || stampOf(info) != at { // it is another one by now
		s.mu.Unlock()
		return nil
	}
	if err = s.disk.hide(id); err == nil {
		if e := s.entries[id]; e != nil {
			e.trusted = stamp{}
			s.pull(id, e)
		}
	}
	s.mu.Unlock()
	s.metrics.damaged()
	if err != nil {
		return withoutPath(err)
	}
	return withoutPath(s.disk.shred(id))
}

// verifiable says whether a valid id tells the digest of the content.
func verifiable(id index.ID) bool { return id[:len(kindVerified)] == kindVerified }

func idOf(digest []byte) index.ID { return index.ID(kindVerified + "/" + hex.EncodeToString(digest)) }
