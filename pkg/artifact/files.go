// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package artifact

import (
	"errors"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/netboot-operator/netboot-operator/pkg/index"
)

// openFile opens what a file URL names in the files folder, to be copied: a later edit can't change verified bytes.
func (s *Store) openFile(from *url.URL) (*source, *Error) {
	f, failed := s.openLocal(from)
	if failed != nil {
		return nil, failed
	}
	return &source{Reader: f, size: f.Size(), close: func() { _ = f.Close() }}, nil // nothing was written
}

// openLocal opens what a file URL names in the files folder.
func (s *Store) openLocal(from *url.URL) (*File, *Error) {
	if s.files == nil {
		return nil, because(ReasonSourceNotAllowed, "file URLs are off: set --files-dir, or use http")
	}
	name := strings.TrimLeft(from.Path, "/")
	if from.Host != "" || !filepath.IsLocal(name) {
		return nil, because(ReasonSourceNotAllowed,
			"not a file of the files folder: write file:///NAME, without a host and without ..")
	}
	// A named pipe would block until someone writes into it.
	opened, err := s.files.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err == nil {
		var f *File
		if f, err = newFile(opened); err == nil {
			return f, nil
		}
	}
	return nil, noFile(name, err)
}

// noFile says why a file of the files folder can't be opened.
func noFile(name string, err error) *Error {
	err = withoutPath(err)
	_, fromSystem := errors.AsType[syscall.Errno](err)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return because(ReasonUpstreamUnavailable, "no file %q in the files folder: put it there, or correct the URL", name)
	case errors.Is(err, fs.ErrInvalid):
		return because(ReasonSourceNotAllowed, "%q in the files folder is not a regular file", name)
	case !fromSystem: // os.Root has no exported error for a link that leads out
		return because(ReasonSourceNotAllowed, "%q leads out of the files folder", name)
	}
	return because(ReasonUpstreamUnavailable, "open %q in the files folder: %w", name, err)
}

// openInPlace opens an artifact without a digest whose first URL is a file, where it is. It returns nil when a is none
// of these or can't be opened so: a fetch then finds out why, or takes a mirror.
func (s *Store) openInPlace(a *index.Artifact) *File {
	if a.SHA256 != "" || !strings.HasPrefix(a.URLs[0], "file:") {
		return nil
	}
	start := time.Now()
	u, err := url.Parse(a.URLs[0])
	if err != nil {
		return nil
	}
	f, failed := s.openLocal(u)
	if failed != nil {
		return nil
	}
	if f.Size() > s.options.MaxBytes {
		_ = f.Close() // nothing was written
		return nil
	}
	if s.trust(a.ID(), stampOf(f.info)) {
		s.options.Observer.ArtifactFetched(a, f.Size(), time.Since(start))
	}
	return f
}
