// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package artifact

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/netboot-operator/netboot-operator/pkg/index"
)

// What zero values of Options stand for, and the bounds of the others.
const (
	defaultMaxBytes     = 16 << 30
	defaultRetryAfter   = 5 * time.Second
	maxRetryAfter       = time.Hour
	defaultStallTimeout = 30 * time.Second
	minStallTimeout     = time.Second
	maxStallTimeout     = 10 * time.Minute
	defaultAttempts     = 4
	maxAttempts         = 20
	defaultBackoff      = 500 * time.Millisecond
)

// Options say where a Store keeps its files and how it fetches them.
type Options struct {
	// Dir is the folder of the cache. It is made if it is missing. Required.
	Dir string
	// FilesDir is the folder in which file:///NAME is looked for. Empty: artifacts with file URLs are refused.
	FilesDir string
	// Client fetches http and https URLs. Nil: a client with timeouts for each step but none for the whole download,
	// with the proxy of the environment, which follows up to 10 redirects.
	Client *http.Client
	// MaxBytes is the size, in bytes, beyond which an artifact is refused. 0: 16 GiB. Not negative.
	MaxBytes int64
	// RetryAfter is how long after a failed fetch further requests get the same error without a new try.
	// 0: 5 s. At most 1 h.
	RetryAfter time.Duration
	// StallTimeout ends a download that brings less than 16 KiB in this time, and a request without an answer.
	// 0: 30 s. Between 1 s and 10 min.
	StallTimeout time.Duration
	// Attempts is how often a URL is asked in one fetch while its failures are such that may pass. 0: 4. At most 20.
	Attempts int
	// Backoff bounds the wait before the second attempt; it doubles with each further one. 0: 0.5 s. At most 30 s.
	Backoff time.Duration
	// MaxCacheBytes is the size, in bytes, that the files in Dir may have together. What was not used for the longest time
	// is evicted; what is kept or open never is, but then nothing else comes. 0: no limit. Not negative.
	MaxCacheBytes int64
	// ScrubInterval is the time between two looks at all bytes that are cached. 0: none. Not negative.
	ScrubInterval time.Duration
	// Registerer gets the metrics, which docs/metrics.md lists. One Store can register there. Nil: none are kept.
	Registerer prometheus.Registerer
	// Observer is told of fetches. Nil: nobody.
	Observer Observer
}

// An Observer is told once of each fetch how it ended, before any request that waits for it is answered. Its methods are
// called from many goroutines at once, without a lock held, and must not block. The first
// request that is answered from what an earlier process left is told of like a fetch. Others that are answered from the
// cache, or with the error of an earlier fetch, are not told of.
type Observer interface {
	// ArtifactStarted says that a is being fetched: it is not in the cache. ArtifactFetched or ArtifactFailed follows, unless
	// the Store is closed before.
	ArtifactStarted(a *index.Artifact)
	// ArtifactFetched says that a can be opened from now on. A file URL without a digest is told of when it is first
	// opened and whenever the file has changed.
	ArtifactFetched(a *index.Artifact, bytes int64, took time.Duration)
	// ArtifactFailed says that a can't be had now; err is an *Error.
	ArtifactFailed(a *index.Artifact, err error)
}

// nobody is the Observer of those who want none.
type nobody struct{}

func (nobody) ArtifactStarted(*index.Artifact)                       {}
func (nobody) ArtifactFetched(*index.Artifact, int64, time.Duration) {}
func (nobody) ArtifactFailed(*index.Artifact, error)                 {}

// completed returns o with the zero values replaced, or an error that names the field, its value and its bounds.
func (o Options) completed() (Options, error) {
	if o.Dir == "" {
		return o, errors.New("no Dir: name the folder of the cache")
	}
	if o.MaxBytes < 0 {
		return o, fmt.Errorf("MaxBytes %d: must be 0 (16 GiB) or more", o.MaxBytes)
	}
	if o.RetryAfter < 0 || o.RetryAfter > maxRetryAfter {
		return o, fmt.Errorf("RetryAfter %v: outside 0-%v", o.RetryAfter, maxRetryAfter)
	}
	if o.StallTimeout != 0 && (o.StallTimeout < minStallTimeout || o.StallTimeout > maxStallTimeout) {
		return o, fmt.Errorf("StallTimeout %v: neither 0 nor in %v-%v", o.StallTimeout, minStallTimeout, maxStallTimeout)
	}
	if o.Attempts < 0 || o.Attempts > maxAttempts {
		return o, fmt.Errorf("number of Attempts %d: outside 0-%d", o.Attempts, maxAttempts)
	}
	if o.Backoff < 0 || o.Backoff > maxBackoff {
		return o, fmt.Errorf("bound of Backoff %v: outside 0-%v", o.Backoff, maxBackoff)
	}
	if o.MaxCacheBytes < 0 {
		return o, fmt.Errorf("MaxCacheBytes %d: must be 0 (no limit) or more", o.MaxCacheBytes)
	}
	if o.ScrubInterval < 0 {
		return o, fmt.Errorf("ScrubInterval %v: must be 0 (none) or more", o.ScrubInterval)
	}
	if o.MaxBytes == 0 {
		o.MaxBytes = defaultMaxBytes
	}
	if o.RetryAfter == 0 {
		o.RetryAfter = defaultRetryAfter
	}
	if o.StallTimeout == 0 {
		o.StallTimeout = defaultStallTimeout
	}
	if o.Attempts == 0 {
		o.Attempts = defaultAttempts
	}
	if o.Backoff == 0 {
		o.Backoff = defaultBackoff
	}
	if o.Observer == nil {
		o.Observer = nobody{}
	}
	if o.Client == nil {
		o.Client = newClient()
	}
	return o, nil
}
