// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package artifact_test

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/netboot-operator/netboot-operator/pkg/artifact"
	"github.com/netboot-operator/netboot-operator/pkg/index"
)

const field = `BootProfile "lab/debian" spec.platforms[0].kernel`

// kernel is the file that most tests ask for.
const kernel = "not really a kernel"

func digest(content string) string {
	sum := sha256.Sum256([]byte(content))
	return hex.EncodeToString(sum[:])
}

// verified returns an artifact with the digest of content.
func verified(content string, urls ...string) *index.Artifact {
	return &index.Artifact{Field: field, URLs: urls, SHA256: digest(content)}
}

// unverified returns an artifact without a digest.
func unverified(urls ...string) *index.Artifact { return &index.Artifact{Field: field, URLs: urls} }

// newStore returns a Store that is closed at the end of the test; Dir is a new folder unless given.
func newStore(t *testing.T, o artifact.Options) *artifact.Store {
	t.Helper()
	if o.Dir == "" {
		o.Dir = t.TempDir()
	}
	if o.Backoff == 0 {
		o.Backoff = time.Millisecond
	}
	s, err := artifact.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// An upstream is an HTTP server that counts what it is asked.
type upstream struct {
	*httptest.Server

	requests atomic.Int64
}

func newUpstream(t *testing.T, h http.HandlerFunc) *upstream {
	t.Helper()
	u := &upstream{}
	u.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		u.requests.Add(1)
		h(w, r)
	}))
	t.Cleanup(u.Close)
	return u
}

// answering returns a handler that answers everything with content.
func answering(content string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/octet-stream")
		_, _ = io.WriteString(w, content)
	}
}

// status returns a handler that answers everything with that status.
func status(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
}

// wantContent reads a file that was opened, and closes it.
func wantContent(t *testing.T, f *artifact.File, err error, want string) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	got, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("content (-want +got):\n%s", diff)
	}
	if f.Size() != int64(len(want)) {
		t.Errorf("Size() = %d, want %d", f.Size(), len(want))
	}
}

// wantError compares an error of Open with the reason and the text after `fetch FIELD from `.
func wantError(t *testing.T, f *artifact.File, err error, reason artifact.Reason, text string) {
	t.Helper()
	if err == nil {
		_ = f.Close()
		t.Fatal("Open() succeeded")
	}
	failed, ok := errors.AsType[*artifact.Error](err)
	if !ok {
		t.Fatalf("Open() error %T %q is no *Error", err, err)
	}
	want, got := fmt.Sprintf("%s: fetch %s%s", reason, field, text), fmt.Sprintf("%s: %v", failed.Reason, err)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Open() error (-want +got):\n%s", diff)
	}
}

// wantFiles compares the paths of all files below dir, but for those that tell which Stores there are.
func wantFiles(t *testing.T, dir string, want ...string) {
	t.Helper()
	var got []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && filepath.Base(filepath.Dir(path)) != "users" {
			path, err = filepath.Rel(dir, path)
			got = append(got, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("files in the cache (-want +got):\n%s", diff)
	}
}

func write(t *testing.T, content string, path ...string) {
	t.Helper()
	name := filepath.Join(path...)
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// A notebook is an Observer that writes down what it is told.
type notebook struct {
	mu    sync.Mutex
	lines []string

	started atomic.Int64
}

func (n *notebook) ArtifactStarted(*index.Artifact) { n.started.Add(1) }

func (n *notebook) ArtifactFetched(_ *index.Artifact, bytes int64, _ time.Duration) {
	n.note(fmt.Sprintf("fetched %d bytes", bytes))
}

func (n *notebook) ArtifactFailed(_ *index.Artifact, err error) {
	failed, ok := errors.AsType[*artifact.Error](err)
	if !ok {
		failed = &artifact.Error{Reason: "no *Error"}
	}
	n.note("failed with " + string(failed.Reason))
}

func (n *notebook) note(line string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.lines = append(n.lines, line)
}

func (n *notebook) want(t *testing.T, want ...string) {
	t.Helper()
	n.mu.Lock()
	defer n.mu.Unlock()
	if diff := cmp.Diff(want, n.lines); diff != "" {
		t.Errorf("the observer was told (-want +got):\n%s", diff)
	}
}
