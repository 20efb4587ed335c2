// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package artifact

import (
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"time"

	"github.com/netboot-operator/netboot-operator/pkg/index"
)

const (
	// maxBackoff bounds the wait between two rounds over the URLs of an artifact.
	maxBackoff = 30 * time.Second
	// progressBytes is how much must have come before a connection breaks so that the same URL is asked for the rest without
	// this being counted: a large file over a bad line arrives, and a server that always breaks off is given up.
	progressBytes = 1 << 20
)

// fetch tries the URLs of an artifact until one delivers the right bytes, and returns how many these are. Failures that may
// pass are tried again, Options.Attempts times in all, each time longer after the one before.
func (s *Store) fetch(j *job, id index.ID, a *index.Artifact) (int64, error) {
	d := &download{store: s, job: j, id: id, artifact: a, total: -1}
	defer d.leave()
	info, failed := d.recall()
	if failed != nil {
		return 0, failed.at(a, a.URLs[0])
	}
	if info != nil {
		return info.Size(), nil
	}
	failures := make([]*Error, len(a.URLs))
	for attempt := 1; ; attempt++ {
		again, after := false, time.Duration(0)
		for _, i := range s.health.order(a.URLs) {
			if failures[i] != nil {
				if _, ok := failures[i].passes(); !ok {
					continue
				}
			}
			info, failed := d.from(a.URLs[i])
			if s.ctx.Err() != nil {
				return 0, errClosed
			}
			if failed == nil {
				return info.Size(), nil
			}
			failures[i] = failed.at(a, a.URLs[i])
			if failed.Reason == ReasonStorageFailed { // no URL can mend it
				return 0, joined(failures)
			}
			if wanted, ok := failed.passes(); ok {
				again, after = true, max(after, wanted)
			}
		}
		if !again || attempt >= s.options.Attempts {
			return 0, joined(failures)
		}
		if err := s.pause(j, max(after, s.backoff(attempt))); err != nil {
			return 0, err
		}
	}
}

// joined returns the failures at the URLs of an artifact, in their order, as one. URLs that were not tried have none.
func joined(failures []*Error) *Error {
	var all *Error
	for _, failed := range failures {
		switch {
		case failed == nil:
		case all == nil:
			all = failed
		default:
			all = all.andMirror(failed)
		}
	}
	return all
}

// backoff returns how long to wait after that many attempts: any time up to a bound that doubles, so that the pods of a
// cluster don't come back together.
func (s *Store) backoff(attempt int) time.Duration {
	bound := s.options.Backoff
	for range attempt - 1 {
		bound = min(2*bound, maxBackoff)
	}
	return rand.N(bound) + 1
}

// pause waits. Others have the slot of the job meanwhile.
func (s *Store) pause(j *job, d time.Duration) error {
	s.release(j)
	select {
	case <-time.After(d):
	case <-s.ctx.Done():
	}
	return s.acquire(j)
}

// from fetches from one URL, and goes on there after breaks as long as much comes in between.
func (d *download) from(from string) (fs.FileInfo, *Error) {
	s := d.store
	for {
		before := d.most
		info, failed := d.once(from)
		if s.ctx.Err() != nil {
			return nil, failed
		}
		if failed == nil {
			s.health.well(from)
			return info, nil
		}
		after, ok := failed.passes()
		if ok {
			s.health.failed(from)
		}
		if !ok || d.most-before < progressBytes {
			return nil, failed
		}
		if err := s.pause(d.job, max(after, s.backoff(1))); err != nil {
			return nil, because(ReasonUpstreamUnavailable, "%w", err)
		}
	}
}

// once asks one URL, for the rest if a part is there.
func (d *download) once(from string) (fs.FileInfo, *Error) {
	s, a := d.store, d.artifact
	src, failed := s.openSource(s.ctx, from, a, d.position(from))
	if failed != nil {
		return nil, failed
	}
	defer src.close()
	switch {
	case src.html && a.SHA256 == "", // nothing else could tell that it is not the file
		src.html && d.size > 0 && src.size != d.total: // nor what would be lost for it
		return nil, judge(a, "", true)
	case src.size > s.options.MaxBytes:
		return nil, s.tooLarge()
	}
	resumed := src.offset > 0
	if failed := d.begin(from, src); failed != nil {
		return nil, failed
	}
	if failed := d.receive(src); failed != nil {
		return nil, failed
	}
	if failed := judge(a, hex.EncodeToString(d.hash.Sum(nil)), src.html); failed != nil {
		d.discard()
		if resumed {
			return d.once(from) // the parts may be of different files
		}
		return nil, failed
	}
	return d.commit()
}

// receive copies src behind what is there already.
func (d *download) receive(src *source) *Error {
	s := d.store
	_, err := io.Copy(d, &mortalReader{s.ctx, src})
	switch {
	case d.writeError != nil:
		return d.notWritten(d.writeError)
	case d.noRoom != nil:
		d.discard()
		return d.noRoom
	case d.full:
		d.discard()
		return s.tooLarge()
	case err != nil:
		return because(ReasonUpstreamUnavailable, "broke off after %d bytes: %w", d.size, &passingError{error: err})
	case src.size >= 0 && d.size < src.size:
		return because(ReasonUpstreamUnavailable, "ended after %d of %d bytes: %w",
			d.size, src.size, &passingError{error: io.ErrUnexpectedEOF})
	case src.size >= 0 && d.size > src.size:
		size := d.size
		d.discard()
		return because(ReasonUpstreamUnavailable, "delivered %d bytes, more than the %d that it told", size, src.size)
	}
	return nil
}

func (s *Store) tooLarge() *Error {
	return because(ReasonUnexpectedContent,
		"larger than %d bytes, the limit for an artifact: correct the URL, or raise the limit", s.options.MaxBytes)
}

// errTooLarge ends a copy of more than Options.MaxBytes.
var errTooLarge = errors.New("larger than the limit")
