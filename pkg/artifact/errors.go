// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package artifact

import (
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"strings"

	"github.com/netboot-operator/netboot-operator/pkg/index"
)

// Reason says in one word why an artifact can't be had. The values are the API's reasons of condition ArtifactsReady.
type Reason string

// The reasons.
const (
	// ReasonDigestMismatch: an upstream delivered other bytes than the digest says.
	ReasonDigestMismatch Reason = "DigestMismatch"
	// ReasonUpstreamUnavailable: an upstream could not be reached, broke off, or answered an error status.
	ReasonUpstreamUnavailable Reason = "UpstreamUnavailable"
	// ReasonUnauthorized: an upstream wants credentials, or others.
	ReasonUnauthorized Reason = "Unauthorized"
	// ReasonUnexpectedContent: an upstream answered something that is no artifact, such as an HTML page.
	ReasonUnexpectedContent Reason = "UnexpectedContent"
	// ReasonSourceNotAllowed: the URL names something that is not fetched here.
	ReasonSourceNotAllowed Reason = "SourceNotAllowed"
	// ReasonStorageFailed: the cache could not be written or read.
	ReasonStorageFailed Reason = "StorageFailed"
)

// An Error says why an artifact can't be had, in words for the person who wrote its field. It holds no local path.
type Error struct {
	Reason Reason // of the first URL, but StorageFailed when that ended the search
	Field  string // which field of which object: index.Artifact.Field
	URL    string // the first URL, without a password
	Err    error  // what went wrong; with mirrors, at each of them
}

// Error returns `fetch BootProfile "lab/debian" spec.platforms[0].kernel from http://mirror/linux: CAUSE`, and after it
// "; from URL: CAUSE" for each mirror.
func (e *Error) Error() string {
	if e.URL == "" {
		return fmt.Sprintf("fetch %s: %v", e.Field, e.Err)
	}
	return fmt.Sprintf("fetch %s from %s: %v", e.Field, e.URL, e.Err)
}

// Unwrap returns what went wrong.
func (e *Error) Unwrap() error { return e.Err }

// because returns an error without a source: newError or andMirror put it in its place.
func because(reason Reason, format string, args ...any) *Error {
	return &Error{Reason: reason, Err: fmt.Errorf(format, args...)}
}

// storageFailed returns the error of an operation on the cache.
func storageFailed(operation string, err error) *Error {
	if isFull(err) {
		return because(ReasonStorageFailed, "%s the artifact cache: %w: make room on its file system, or lower --cache-max-bytes",
			operation, withoutPath(err))
	}
	return because(ReasonStorageFailed, "%s the artifact cache: %w", operation, withoutPath(err))
}

// at completes an error that because made.
func (e *Error) at(a *index.Artifact, from string) *Error {
	return &Error{Reason: e.Reason, Field: a.Field, URL: shown(from), Err: e.Err}
}

// andMirror adds what went wrong at the next URL. A cache that failed is the reason of the whole: no URL can mend it.
func (e *Error) andMirror(next *Error) *Error {
	both := *e
	both.Err = fmt.Errorf("%w; from %s: %w", e.Err, next.URL, next.Err)
	if next.Reason == ReasonStorageFailed {
		both.Reason = ReasonStorageFailed
	}
	return &both
}

// shown returns a URL as it may be shown.
func shown(raw string) string {
	if u, err := url.Parse(raw); err == nil && u.User != nil {
		return u.Redacted()
	}
	return raw
}

// withoutPath returns the cause of a file operation's error: its text would tell a local path.
func withoutPath(err error) error {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return e.Err
	}
	if e, ok := errors.AsType[*os.LinkError](err); ok {
		return e.Err
	}
	return err
}

// checkArtifact refuses what the API's schema does not let pass, so that the rest may rely on it.
func checkArtifact(a *index.Artifact) error {
	if len(a.URLs) == 0 {
		return because(ReasonSourceNotAllowed, "no URL: name one").at(a, "")
	}
	if a.SHA256 != "" && !validID(a.ID()) {
		failed := because(ReasonDigestMismatch, "sha256 %q is not 64 lower-case hex digits: correct it", a.SHA256)
		return failed.at(a, a.URLs[0])
	}
	return nil
}

// validID says whether id has the form that index.Artifact.ID returns. Ids come from the network and become file names.
func validID(id index.ID) bool {
	kind, digits, _ := strings.Cut(string(id), "/")
	return (kind == kindVerified || kind == kindUnverified) &&
		len(digits) == 64 && strings.Trim(digits, "0123456789abcdef") == ""
}

// judge decides whether what came may be served: nil, or why not. html says whether the upstream called it a page.
func judge(a *index.Artifact, digest string, html bool) *Error {
	switch {
	case a.SHA256 != "" && a.SHA256 == digest:
		return nil
	case html:
		return because(ReasonUnexpectedContent,
			"answered an HTML page, not the file: correct the URL, or see whether the server asks for a login")
	case a.SHA256 == "":
		return nil
	}
	return because(ReasonDigestMismatch,
		"sha256 is %s, want %s: the file has changed or is not the one that is meant; correct sha256 or the URL",
		digest, a.SHA256)
}
