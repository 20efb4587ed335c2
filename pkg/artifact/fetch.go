// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package artifact

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"net/url"

	"github.com/netboot-operator/netboot-operator/pkg/index"
)

// parallelFetches bounds the fetches that run at a time; more wait for their turn.
const parallelFetches = 8

// A source is an artifact as a URL delivers it.
type source struct {
	io.Reader

	size int64 // bytes; -1: not told
	html bool  // the upstream says that it is a page for people

	close func() // ends the use of the source; called once
}

// fetch tries the URLs of a in order until one delivers the right bytes, and returns how many these are.
func (s *Store) fetch(id index.ID, a *index.Artifact) (int64, error) {
	var failed *Error
	for _, from := range a.URLs {
		size, err := s.fetchFrom(from, id, a)
		if s.ctx.Err() != nil {
			return 0, errClosed
		}
		if err == nil {
			return size, nil
		}
		err = err.at(a, from)
		if failed == nil {
			failed = err
		} else {
			failed = failed.andMirror(err)
		}
		if err.Reason == ReasonStorageFailed {
			break
		}
	}
	return 0, failed
}

// fetchFrom copies what one URL delivers into the cache if it is right. Otherwise it leaves nothing behind.
func (s *Store) fetchFrom(from string, id index.ID, a *index.Artifact) (int64, *Error) {
	src, failed := s.source(from)
	if failed != nil {
		return 0, failed
	}
	defer src.close()
	switch {
	case src.html && a.SHA256 == "": // nothing else could tell that it is not the file
		return 0, judge(a, "", true)
	case src.size > s.options.MaxBytes:
		return 0, s.tooLarge()
	}

	p, err := s.disk.create()
	if err != nil {
		return 0, storageFailed("write to", err)
	}
	dst := &sink{to: p, hash: sha256.New(), room: s.options.MaxBytes}
	if failed := s.receive(dst, src, a); failed != nil {
		_ = p.discard() // the next New removes what can't be removed now
		return 0, failed
	}
	info, err := p.commit(id)
	if err != nil {
		return 0, storageFailed("write to", err)
	}
	s.trust(id, stampOf(info))
	return info.Size(), nil
}

// source opens a URL by its scheme.
func (s *Store) source(from string) (*source, *Error) {
	u, err := url.Parse(from)
	if err != nil {
		return nil, because(ReasonSourceNotAllowed, "not a URL: correct it")
	}
	switch u.Scheme {
	case "http", "https":
		return s.get(u)
	case "file":
		return s.openFile(u)
	}
	return nil, because(ReasonSourceNotAllowed, "%s:// is not served by this version: use http, https or file", u.Scheme)
}

// receive copies src to dst and decides whether it is what a asks for.
func (s *Store) receive(dst *sink, src *source, a *index.Artifact) *Error {
	n, err := io.Copy(dst, &mortalReader{s.ctx, src})
	switch {
	case dst.err != nil:
		return storageFailed("write to", dst.err)
	case dst.full:
		return s.tooLarge()
	case err != nil:
		return because(ReasonUpstreamUnavailable, "broke off after %d bytes: %w", n, err)
	case src.size >= 0 && n != src.size:
		return because(ReasonUpstreamUnavailable, "ended after %d of %d bytes: %w", n, src.size, io.ErrUnexpectedEOF)
	}
	return judge(a, hex.EncodeToString(dst.hash.Sum(nil)), src.html)
}

func (s *Store) tooLarge() *Error {
	return because(ReasonUnexpectedContent,
		"larger than %d bytes, the limit for an artifact: correct the URL, or raise the limit", s.options.MaxBytes)
}

// A mortalReader ends with a context: Store.Close doesn't wait until a large file is read to its end.
type mortalReader struct {
	ctx context.Context // of the Store
	io.Reader
}

func (r *mortalReader) Read(b []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.Reader.Read(b)
}

// A sink hashes what it writes, and remembers what went wrong on its side: io.Copy doesn't tell who failed.
type sink struct {
	to   io.Writer
	hash hash.Hash
	room int64 // bytes that may still come
	full bool  // more came
	err  error // of the writer
}

func (d *sink) Write(b []byte) (int, error) {
	if int64(len(b)) > d.room {
		d.full = true
		return 0, fmt.Errorf("no room for %d bytes: %w", len(b), io.ErrShortWrite)
	}
	n, err := d.to.Write(b)
	d.room -= int64(n)
	d.hash.Write(b[:n])
	d.err = err
	return n, err
}
