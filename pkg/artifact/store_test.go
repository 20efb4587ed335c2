// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package artifact_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/netboot-operator/netboot-operator/pkg/artifact"
)

func TestOpenFetchesOnce(t *testing.T) {
	release := make(chan struct{})
	u := newUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		<-release
		answering(kernel)(w, r)
	})
	dir, told := t.TempDir(), &notebook{}
	s := newStore(t, artifact.Options{Dir: dir, Observer: told})
	a := verified(kernel, u.URL+"/vmlinuz")
	if diff := cmp.Diff(artifact.State{}, s.State(a.ID())); diff != "" {
		t.Errorf("State() before the first use (-want +got):\n%s", diff)
	}

	var openers sync.WaitGroup
	for range 100 {
		openers.Go(func() {
			f, err := s.Open(t.Context(), a)
			if err != nil {
				t.Error(err)
				return
			}
			defer func() { _ = f.Close() }()
			if got, err := io.ReadAll(f); err != nil || string(got) != kernel {
				t.Errorf("content = %q, %v, want %q", got, err, kernel)
			}
		})
	}
	close(release)
	openers.Wait()

	f, err := s.Open(t.Context(), a)
	wantContent(t, f, err, kernel)
	f, err = s.OpenCached(a.ID())
	wantContent(t, f, err, kernel)
	if got := u.requests.Load(); got != 1 {
		t.Errorf("the upstream was asked %d times, want once", got)
	}
	wantFiles(t, dir, "sha256/"+digest(kernel))
	told.want(t, "fetched 19 bytes")
	if diff := cmp.Diff(artifact.State{Cached: true, Bytes: 19}, s.State(a.ID())); diff != "" {
		t.Errorf("State() (-want +got):\n%s", diff)
	}
}

func TestFileServesRanges(t *testing.T) {
	u := newUpstream(t, answering(kernel))
	s := newStore(t, artifact.Options{})
	f, err := s.Open(t.Context(), verified(kernel, u.URL))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()

	part := make([]byte, 6)
	if _, err := f.ReadAt(part, 4); err != nil || string(part) != "really" {
		t.Errorf("ReadAt(4) = %q, %v, want %q", part, err, "really")
	}
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", http.NoBody)
	r.Header.Set("Range", "bytes=4-9")
	w := httptest.NewRecorder()
	http.ServeContent(w, r, "vmlinuz", f.ModTime(), f)
	if w.Code != http.StatusPartialContent || w.Body.String() != "really" {
		t.Errorf("ServeContent() answered %d %q, want 206 %q", w.Code, w.Body, "really")
	}
}

func TestWaiterGivesUpAndTheDownloadGoesOn(t *testing.T) {
	asked, release := make(chan struct{}), make(chan struct{})
	u := newUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		close(asked)
		<-release
		answering(kernel)(w, r)
	})
	s := newStore(t, artifact.Options{})
	a := verified(kernel, u.URL)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-asked
		cancel()
	}()

	if _, err := s.Open(ctx, a); !errors.Is(err, context.Canceled) {
		t.Errorf("Open() error = %v, want %v", err, context.Canceled)
	}
	close(release)
	f, err := s.Open(t.Context(), a)
	wantContent(t, f, err, kernel)
	if got := u.requests.Load(); got != 1 {
		t.Errorf("the upstream was asked %d times, want once", got)
	}
}

func TestRestart(t *testing.T) {
	id := verified(kernel).ID()
	for name, tc := range map[string]struct {
		onDisk       string // of the last process
		wantCached   error  // of OpenCached, which has no upstream to ask
		wantRequests int64  // of Open after it
	}{
		"keeps a good file":         {onDisk: kernel, wantRequests: 0},
		"repairs a flipped byte":    {onDisk: "Not really a kernel", wantCached: os.ErrNotExist, wantRequests: 1},
		"repairs a truncated file":  {onDisk: "not really", wantCached: os.ErrNotExist, wantRequests: 1},
		"repairs an empty file":     {onDisk: "", wantCached: os.ErrNotExist, wantRequests: 1},
		"repairs a file that grew":  {onDisk: kernel + "!", wantCached: os.ErrNotExist, wantRequests: 1},
		"repairs an untrusted page": {onDisk: "<html>", wantCached: os.ErrNotExist, wantRequests: 1},
	} {
		t.Run(name, func(t *testing.T) {
			u := newUpstream(t, answering(kernel))
			dir := t.TempDir()
			write(t, tc.onDisk, dir, string(id))
			write(t, "half", dir, "partial", "LEFTOVER")
			write(t, "old", dir, string(unverified(u.URL).ID()))
			s := newStore(t, artifact.Options{Dir: dir})
			wantFiles(t, dir, string(id))
			want := artifact.State{Cached: true, Bytes: int64(len(tc.onDisk))}
			if diff := cmp.Diff(want, s.State(id)); diff != "" {
				t.Errorf("State() at start (-want +got):\n%s", diff)
			}

			f, err := s.OpenCached(id)
			if tc.wantCached == nil {
				wantContent(t, f, err, kernel)
			} else if !errors.Is(err, tc.wantCached) {
				t.Errorf("OpenCached() error = %v, want %v", err, tc.wantCached)
			}
			f, err = s.Open(t.Context(), verified(kernel, u.URL))
			wantContent(t, f, err, kernel)
			if got := u.requests.Load(); got != tc.wantRequests {
				t.Errorf("the upstream was asked %d times, want %d", got, tc.wantRequests)
			}
			wantFiles(t, dir, string(id))
		})
	}
}

func TestChangedUnderTheStore(t *testing.T) {
	for name, change := range map[string]func(path string) error{
		"removed":   os.Remove,
		"truncated": func(path string) error { return os.Truncate(path, 3) },
		"flipped": func(path string) error {
			then := time.Now().Add(-time.Hour) // the clock of a file system may be coarse
			return errors.Join(os.WriteFile(path, []byte(strings.ToUpper(kernel)), 0o600), os.Chtimes(path, then, then))
		},
	} {
		t.Run(name, func(t *testing.T) {
			u := newUpstream(t, answering(kernel))
			dir := t.TempDir()
			s := newStore(t, artifact.Options{Dir: dir})
			a := verified(kernel, u.URL)
			f, err := s.Open(t.Context(), a)
			wantContent(t, f, err, kernel)
			if err := change(filepath.Join(dir, string(a.ID()))); err != nil {
				t.Fatal(err)
			}

			f, err = s.Open(t.Context(), a)
			wantContent(t, f, err, kernel)
			if got := u.requests.Load(); got != 2 {
				t.Errorf("the upstream was asked %d times, want twice", got)
			}
		})
	}
}

func TestUnverified(t *testing.T) {
	content := "first"
	u := newUpstream(t, func(w http.ResponseWriter, r *http.Request) { answering(content)(w, r) })
	dir, a := t.TempDir(), unverified(u.URL)
	s := newStore(t, artifact.Options{Dir: dir})
	f, err := s.Open(t.Context(), a)
	wantContent(t, f, err, "first")
	wantFiles(t, dir, string(a.ID()))

	content = "second"
	f, err = s.OpenCached(a.ID())
	wantContent(t, f, err, "first")
	f, err = s.Open(t.Context(), a)
	wantContent(t, f, err, "first")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}

	s = newStore(t, artifact.Options{Dir: dir})
	if _, err := s.OpenCached(a.ID()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("OpenCached() after a restart: error = %v, want %v", err, os.ErrNotExist)
	}
	f, err = s.Open(t.Context(), a)
	wantContent(t, f, err, "second")
}

func TestRetryAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		told, asked := &notebook{}, 0
		s := newStore(t, artifact.Options{
			RetryAfter: time.Minute, Attempts: 1,
			Observer: told,
			Client: &http.Client{Transport: roundTripper(func(*http.Request) (*http.Response, error) {
				if asked++; asked == 1 {
					return &http.Response{StatusCode: http.StatusServiceUnavailable, Body: http.NoBody}, nil
				}
				body := io.NopCloser(strings.NewReader(kernel))
				return &http.Response{StatusCode: http.StatusOK, Body: body, ContentLength: -1}, nil
			})},
		})
		a := verified(kernel, "http://mirror/vmlinuz")
		const unavailable = " from http://mirror/vmlinuz: answered 503 Service Unavailable"
		for range 3 {
			f, err := s.Open(t.Context(), a)
			wantError(t, f, err, artifact.ReasonUpstreamUnavailable, unavailable)
		}
		if err := s.State(a.ID()).Err; err == nil || !strings.HasSuffix(err.Error(), unavailable) {
			t.Errorf("State().Err = %v, want %q", err, unavailable)
		}
		if asked != 1 {
			t.Errorf("the upstream was asked %d times within RetryAfter, want once", asked)
		}

		<-time.After(time.Minute)
		f, err := s.Open(t.Context(), a)
		wantContent(t, f, err, kernel)
		told.want(t, "failed with UpstreamUnavailable", "fetched 19 bytes")
		if diff := cmp.Diff(artifact.State{Cached: true, Bytes: 19}, s.State(a.ID())); diff != "" {
			t.Errorf("State() (-want +got):\n%s", diff)
		}
	})
}

func TestOneProfilesBadURLIsNotAnothersError(t *testing.T) {
	bad, good := newUpstream(t, status(http.StatusNotFound)), newUpstream(t, answering(kernel))
	s := newStore(t, artifact.Options{RetryAfter: time.Hour})
	if _, err := s.Open(t.Context(), verified(kernel, bad.URL)); err == nil {
		t.Fatal("Open() of a missing file succeeded")
	}
	f, err := s.Open(t.Context(), verified(kernel, good.URL))
	wantContent(t, f, err, kernel)
	f, err = s.Open(t.Context(), verified(kernel, bad.URL)) // the content is the same, wherever it came from
	wantContent(t, f, err, kernel)
}

func TestParallelDownloadsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		running, most := 0, 0
		s := newStore(t, artifact.Options{
			Client: &http.Client{Transport: roundTripper(func(*http.Request) (*http.Response, error) {
				mu.Lock()
				running++
				most = max(most, running)
				mu.Unlock()
				<-time.After(time.Second)
				mu.Lock()
				running--
				mu.Unlock()
				body := io.NopCloser(strings.NewReader(kernel))
				return &http.Response{StatusCode: http.StatusOK, Body: body, ContentLength: -1}, nil
			})},
		})
		var openers sync.WaitGroup
		for i := range 30 {
			openers.Go(func() {
				f, err := s.Open(t.Context(), unverified("http://mirror/"+strings.Repeat("x", i)))
				if err != nil {
					t.Error(err)
					return
				}
				_ = f.Close()
			})
		}
		openers.Wait()
		if most != 8 {
			t.Errorf("%d downloads ran at a time, want 8", most)
		}
	})
}

func TestClose(t *testing.T) {
	asked := make(chan struct{})
	u := newUpstream(t, func(_ http.ResponseWriter, r *http.Request) {
		close(asked)
		<-r.Context().Done()
	})
	dir, told := t.TempDir(), &notebook{}
	s := newStore(t, artifact.Options{Dir: dir, Observer: told})
	go func() {
		<-asked
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	const want = "artifact store is closed"
	for _, when := range []string{"during", "after"} {
		if _, err := s.Open(t.Context(), verified(kernel, u.URL)); err == nil || err.Error() != want {
			t.Errorf("Open() %s Close: error = %v, want %q", when, err, want)
		}
	}
	if err := s.Close(); err != nil {
		t.Errorf("second Close() error = %v", err)
	}
	wantFiles(t, dir)
	told.want(t)
}
