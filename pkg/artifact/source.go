// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package artifact

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/netboot-operator/netboot-operator/pkg/index"
)

// A source is an artifact, or the rest of one, as a URL delivers it.
type source struct {
	io.Reader

	offset int64 // where the Reader begins: what was asked for, or 0 when the upstream can't go on there
	size   int64 // bytes of the whole file; -1: not told
	html   bool  // the upstream says that it is a page for people
	// validator is how the upstream calls this version of the file, for when the rest is asked for later. Empty: it has no
	// name for it that could be relied on.
	validator string

	close func() // ends the use of the source; called once
}

// A position says where to go on: what is there already, and what the upstream said about the file that it is of.
type position struct {
	offset    int64
	validator string // of the same URL; empty: not known
	total     int64  // bytes of the whole file; -1: not known
}

// fromStart is the position of nothing.
var fromStart = position{total: -1} //nolint:gochecknoglobals // a constant: Go has none of struct types

// openSource opens a URL by its scheme. Where at.offset is not 0, the source may begin there or at 0. An error that a
// passingError is in may be gone soon.
func (s *Store) openSource(ctx context.Context, from string, a *index.Artifact, at position) (*source, *Error) {
	u, err := url.Parse(from)
	if err != nil {
		return nil, because(ReasonSourceNotAllowed, "not a URL: correct it")
	}
	switch u.Scheme {
	case "http", "https":
		return s.openHTTP(ctx, u, a, at)
	case "oci":
		return s.openOCI(ctx, u, a, at)
	case "file":
		return s.openFile(u)
	}
	return nil, because(ReasonSourceNotAllowed, "%s:// is not served by this version: use http, https, oci or file", u.Scheme)
}

// A passingError is a failure that may be gone when the same is tried again.
type passingError struct {
	error

	after time.Duration // how long the upstream wants to be left alone; 0: it did not say
}

func (e *passingError) Unwrap() error { return e.error }

// passes says whether the same URL may be tried again, and how long the upstream wants to be left alone before.
func (e *Error) passes() (after time.Duration, ok bool) {
	if p, ok := errors.AsType[*passingError](e.Err); ok {
		return p.after, true
	}
	return 0, false
}

// maxLeftAlone bounds what an upstream may ask for by Retry-After: machines wait.
const maxLeftAlone = time.Minute

// ofStatus returns why as an error that passes, if the status that was answered says so.
func ofStatus(status int, h http.Header, why error) error {
	switch status {
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests, http.StatusInternalServerError,
		http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return &passingError{why, min(retryAfter(h), maxLeftAlone)}
	}
	return why
}

// retryAfter reads the header of that name; 0: nothing useful.
func retryAfter(h http.Header) time.Duration {
	value := h.Get("Retry-After")
	if seconds, err := strconv.ParseUint(value, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second
	}
	if at, err := http.ParseTime(value); err == nil {
		return max(0, time.Until(at))
	}
	return 0
}
