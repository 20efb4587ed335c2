// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package boot

import (
	"io"
	"io/fs"
	"net/netip"
	"net/url"
	"time"

	"github.com/netboot-operator/netboot-operator/pkg/attempt"
	"github.com/netboot-operator/netboot-operator/pkg/index"
	"github.com/netboot-operator/netboot-operator/pkg/render"
)

// A Request is one question of a firmware, loader or installer.
type Request struct {
	Name   string           // as it was sent, without a query
	Query  url.Values       // HTTP only
	Over   render.Transport // the server that was asked
	Client netip.Addr       // who asked; a hint, never an identity
	Local  netip.Addr       // the address that was asked; zero when not known
	Host   string           // HTTP: the Host header, HOST or HOST:PORT as the client wrote it; may be empty
	TLS    bool             // HTTP: it came over TLS

	event event // what is told of it
}

// A File is the answer to a Request. Close it.
type File struct {
	Content
	Size        int64
	ModTime     time.Time // zero: made for this request
	ContentType string
	ETag        string    // quoted, or empty
	Machine     index.Key // whom it was made for; empty: anybody

	identity string // all Files with it have the same bytes; empty: made for this request
}

// Content is what a File holds.
type Content interface {
	io.ReaderAt
	io.ReadSeeker
	io.Closer
}

// A Refusal says, for the person at the console, why there is no answer. It goes out on the wire as it is.
type Refusal struct {
	Kind   attempt.RefusalKind
	Reason string
	// Unavailable: what was asked for should be there, but can't be had now.
	Unavailable bool
	// Forbidden: it is there, but not for who asks.
	Forbidden bool
	// Later: we can't answer yet, and shall.
	Later bool
	// If none of these is set, it does not exist, and the Refusal wraps fs.ErrNotExist.
}

// Error returns the reason.
func (r *Refusal) Error() string { return r.Reason }

// Unwrap lets errors.Is find fs.ErrNotExist.
func (r *Refusal) Unwrap() error {
	if r.Unavailable || r.Forbidden || r.Later {
		return nil
	}
	return fs.ErrNotExist
}
