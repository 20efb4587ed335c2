// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package artifact

import (
	"cmp"
	"encoding/json"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/netboot-operator/netboot-operator/pkg/index"
)

const (
	// usesName is the file that tells when artifacts were last used: what a file system knows about that depends on how it
	// is mounted.
	usesName = "uses.json"
	// saveInterval is how much of it a crash may forget.
	saveInterval = time.Minute
)

// A cacheFile is a file in the cache folder.
type cacheFile struct {
	id      index.ID
	size    int64
	used    time.Time
	partial bool // a part of what id names
}

// cacheFiles lists what takes room in the cache.
func (s *Store) cacheFiles() []cacheFile {
	var all []cacheFile
	for _, folder := range []string{kindVerified, kindUnverified, folderPartial} {
		entries, err := fs.ReadDir(s.disk.root.FS(), folder)
		if err != nil {
			continue // then nothing can be removed there either
		}
		for _, found := range entries {
			info, err := found.Info()
			if err != nil || !info.Mode().IsRegular() {
				continue
			}
			f := cacheFile{id: index.ID(folder + "/" + found.Name()), size: info.Size(), used: info.ModTime()}
			if folder == folderPartial {
				f.id, f.partial = index.ID(kindVerified+"/"+found.Name()), true
			}
			all = append(all, f)
		}
	}
	return all
}

// usage returns how many complete files there are, and how many bytes they and the partial ones have.
func (s *Store) usage() (files, bytes int64) {
	for _, f := range s.cacheFiles() {
		bytes += f.size
		if !f.partial {
			files++
		}
	}
	return files, bytes
}

// promised returns how much the fetches that run will still bring, as far as that is known.
func (s *Store) promised() (bytes int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.entries {
		if e.job != nil {
			bytes += max(e.job.total.Load()-e.job.received.Load(), 0)
		}
	}
	return bytes
}

// makeRoom evicts until what is here and what is coming fits into the budget. While another process has the folder too, nothing
// is evicted, and the budget does not count.
func (s *Store) makeRoom() *Error {
	if s.options.MaxCacheBytes == 0 {
		return nil
	}
	s.evictions.Lock()
	defer s.evictions.Unlock()
	if !s.disk.alone() {
		return nil // what the other needs is not known here; the one that stays makes room
	}
	files, needed := s.cacheFiles(), s.promised()
	for _, f := range files {
		needed += f.size
	}
	if needed -= s.evict(files, needed-s.options.MaxCacheBytes); needed > s.options.MaxCacheBytes {
		s.metrics.storageFailed()
		return because(ReasonStorageFailed, "no room in the artifact cache: %d bytes are needed at the same time, and it may have %d: %s",
			needed, s.options.MaxCacheBytes, "raise --cache-max-bytes, or remove BootProfiles")
	}
	return nil
}

// relieve evicts until that many bytes have gone, because the disk is full. It returns false if nothing could go.
func (s *Store) relieve(bytes int64) bool {
	s.evictions.Lock()
	defer s.evictions.Unlock()
	return s.disk.alone() && s.evict(s.cacheFiles(), bytes) > 0
}

// evict removes files that nobody needs until that many bytes have gone, and returns how many have: parts of files first,
// then what was not used for the longest time. s.evictions is held.
func (s *Store) evict(files []cacheFile, bytes int64) (gone int64) {
	s.mu.Lock()
	for i, f := range files {
		if e := s.entries[f.id]; e != nil && !f.partial && !e.used.IsZero() {
			files[i].used = e.used
		}
	}
	s.mu.Unlock()
	slices.SortFunc(files, func(a, b cacheFile) int {
		if a.partial != b.partial {
			if a.partial {
				return -1
			}
			return 1
		}
		return cmp.Or(a.used.Compare(b.used), cmp.Compare(a.id, b.id))
	})
	for _, f := range files {
		if gone >= bytes {
			break
		}
		if s.remove(f) {
			gone += f.size
			s.metrics.evicted()
		}
	}
	return gone
}

// remove removes a file unless somebody needs it.
func (s *Store) remove(f cacheFile) bool {
	if !validID(f.id) {
		return false // notes, and what is not ours
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.entries[f.id]
	if e != nil && (e.users > 0 || len(e.keepers) > 0 || e.job != nil) {
		return false
	}
	if f.partial {
		name := path.Join(folderPartial, strings.TrimPrefix(string(f.id), kindVerified+"/"))
		_ = s.disk.root.Remove(name + notesSuffix) // the next New does
		return s.disk.root.Remove(name) == nil
	}
	if s.disk.hide(f.id) != nil {
		return false
	}
	if e != nil {
		e.trusted = stamp{}
	}
	return s.disk.drop(f.id) == nil
}

// recallUses reads when the last process used what it left.
func (s *Store) recallUses() {
	var uses map[index.ID]int64
	if text, err := s.disk.root.ReadFile(usesName); err != nil || json.Unmarshal(text, &uses) != nil {
		uses = nil // then files were used when they were written
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range s.cacheFiles() {
		if at, ok := uses[f.id]; ok && validID(f.id) && !f.partial {
			s.entry(f.id).used = time.UnixMilli(at)
		}
	}
}

// saveUses writes down what was used, from time to time.
func (s *Store) saveUses() {
	ticks := time.NewTicker(saveInterval)
	defer ticks.Stop()
	for {
		select {
		case <-ticks.C:
			s.noteUses()
		case <-s.ctx.Done():
			return
		}
	}
}

// noteUses writes down when artifacts were last used. What is kept is in use as long as that: the next process must not
// evict it before it knows who needs it. Without the notes it would take the time of the files, so errors don't matter.
func (s *Store) noteUses() {
	now := time.Now()
	s.mu.Lock()
	if !s.unsaved {
		s.mu.Unlock()
		return
	}
	s.unsaved = false
	uses := map[index.ID]int64{}
	for id, e := range s.entries {
		switch {
		case !verifiable(id) || e.trusted == (stamp{}) && e.used.IsZero():
		case len(e.keepers) > 0 || e.users > 0:
			uses[id] = now.UnixMilli()
		default:
			uses[id] = e.used.UnixMilli()
		}
	}
	s.mu.Unlock()
	text, err := json.Marshal(uses)
	if err != nil {
		return
	}
	next := path.Join(folderPartial, s.disk.name+"-"+usesName)
	if s.disk.root.WriteFile(next, text, 0o644) == nil {
		_ = s.disk.root.Rename(next, usesName) // see above
	}
}
