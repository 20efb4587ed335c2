// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package artifact_test

import (
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/netboot-operator/netboot-operator/pkg/artifact"
	"github.com/netboot-operator/netboot-operator/pkg/index"
)

const owner index.Key = "lab/debian"

func TestKeep(t *testing.T) {
	broken := atomic.Bool{}
	broken.Store(true)
	u := newUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		if broken.Load() {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		answering(kernel)(w, r)
	})
	told := &notebook{}
	s := newStore(t, artifact.Options{Observer: told, RetryAfter: time.Millisecond})
	a := verified(kernel, u.URL)

	s.Keep(owner, []*index.Artifact{a})
	eventually(t, "the failure shows", func() bool { return s.State(a.ID()).Err != nil })
	eventually(t, "it is tried again", func() bool { return u.requests.Load() > 2 })
	if s.State(a.ID()).Err == nil {
		t.Error("State().Err is gone while it is tried again")
	}
	broken.Store(false)
	eventually(t, "it comes", func() bool { return s.State(a.ID()).Cached })
	if diff := cmp.Diff(artifact.State{Cached: true, Bytes: 19}, s.State(a.ID())); diff != "" {
		t.Errorf("State() (-want +got):\n%s", diff)
	}
	asked := u.requests.Load()
	f, err := s.Open(t.Context(), a)
	wantContent(t, f, err, kernel)
	if got := u.requests.Load(); got != asked {
		t.Errorf("Open() asked the upstream %d times", got-asked)
	}
	if started := told.started.Load(); started != asked {
		t.Errorf("the observer was told of %d starts, want %d", started, asked)
	}
}

// TestKeepAfterAnEdit: the profile's URL was corrected, and nobody waits for the backoff.
func TestKeepAfterAnEdit(t *testing.T) {
	u := newUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/right" {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		answering(kernel)(w, r)
	})
	s := newStore(t, artifact.Options{RetryAfter: time.Hour})
	wrong, right := verified(kernel, u.URL+"/wrong"), verified(kernel, u.URL+"/right")
	s.Keep(owner, []*index.Artifact{wrong})
	eventually(t, "the failure shows", func() bool { return s.State(wrong.ID()).Err != nil })
	s.Keep(owner, []*index.Artifact{right})
	eventually(t, "it comes", func() bool { return s.State(right.ID()).Cached })
}

// TestKeepOfTwoProfiles: each names the same bytes elsewhere, and one of them is wrong.
func TestKeepOfTwoProfiles(t *testing.T) {
	gone, u := newUpstream(t, status(http.StatusNotFound)), newUpstream(t, answering(kernel))
	s := newStore(t, artifact.Options{RetryAfter: time.Hour})
	s.Keep("lab/a", []*index.Artifact{verified(kernel, gone.URL)})
	s.Keep("lab/b", []*index.Artifact{verified(kernel, u.URL)})
	eventually(t, "it comes", func() bool { return s.State(verified(kernel).ID()).Cached })
}

func TestKeepWhatIsNotNeededAnyMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked atomic.Int64
		s := newStore(t, artifact.Options{RetryAfter: time.Second, Client: &http.Client{Transport: roundTripper(
			func(*http.Request) (*http.Response, error) {
				asked.Add(1)
				return &http.Response{StatusCode: http.StatusNotFound, Body: http.NoBody}, nil
			})}})
		s.Keep(owner, []*index.Artifact{verified(kernel, "http://mirror/vmlinuz")})
		<-time.After(time.Hour)
		if got := asked.Load(); got < 10 || got > 60 {
			t.Errorf("asked %d times in an hour, want it to be 5 minutes apart in the end", got)
		}
		s.Keep(owner, nil)
		<-time.After(10 * time.Minute)
		before := asked.Load()
		<-time.After(time.Hour)
		if got := asked.Load(); got != before {
			t.Errorf("asked %d times more though nobody needs it", got-before)
		}
	})
}

// TestKeepUnverifiedFile is served where it is, and not copied.
func TestKeepUnverifiedFile(t *testing.T) {
	dir := t.TempDir()
	s := newStore(t, artifact.Options{Dir: dir, FilesDir: newFilesDir(t)})
	a := unverified("file:///other")
	s.Keep(owner, []*index.Artifact{a, unverified()}) // and one that the schema refuses
	eventually(t, "it is there", func() bool { return s.State(a.ID()).Cached })
	wantFiles(t, dir)
}

// TestMachinesBeforeBackground: however much is pulled, there is a slot for what a machine waits for; also when that is
// already in the queue.
func TestMachinesBeforeBackground(t *testing.T) {
	release := make(chan struct{})
	var mu sync.Mutex
	running, wanted := map[string]bool{}, ""
	u := newUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		running[r.URL.Path] = true
		waits := r.URL.Path != wanted
		mu.Unlock()
		if waits {
			<-release
		}
		answering(r.URL.Path)(w, r)
	})
	s := newStore(t, artifact.Options{})
	var all []*index.Artifact
	for i := range 20 {
		path := fmt.Sprintf("/%02d", i)
		all = append(all, verified(path, u.URL+path))
	}
	s.Keep(owner, all)
	eventually(t, "four are under way", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(running) == 4
	})
	mu.Lock()
	queued := slices.IndexFunc(all, func(a *index.Artifact) bool { return !running[strings.TrimPrefix(a.URLs[0], u.URL)] })
	wanted = fmt.Sprintf("/%02d", queued)
	mu.Unlock()

	f, err := s.Open(t.Context(), all[queued])
	wantContent(t, f, err, wanted)
	mu.Lock()
	if len(running) != 5 {
		t.Errorf("%d fetches ran, want the four that hang and the one that was waited for", len(running))
	}
	mu.Unlock()
	close(release)
	for _, a := range all {
		eventually(t, "all come", func() bool { return s.State(a.ID()).Cached })
	}
}

func TestProgress(t *testing.T) {
	file, release := noise(1<<20, 1), make(chan struct{})
	u := newUpstream(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", strconv.Itoa(len(file)))
		_, _ = io.WriteString(w, file[:256<<10])
		flush(w)
		<-release
		_, _ = io.WriteString(w, file[256<<10:])
	})
	s := newStore(t, artifact.Options{})
	a := verified(file, u.URL)
	s.Keep(owner, []*index.Artifact{a})
	want := artifact.State{Fetching: true, Received: 256 << 10, Total: 1 << 20}
	eventually(t, "a quarter is here", func() bool { return s.State(a.ID()) == want })
	close(release)
	eventually(t, "all is here", func() bool { return s.State(a.ID()) == artifact.State{Cached: true, Bytes: 1 << 20} })
}

// letters is an upstream with a file of 1000 bytes for each path.
func letters(w http.ResponseWriter, r *http.Request) { answering(letter(r.URL.Path))(w, r) }

func letter(path string) string { return strings.Repeat(path[1:2], 1000) }

func TestEviction(t *testing.T) {
	u, dir, registry := newUpstream(t, letters), t.TempDir(), prometheus.NewRegistry()
	options := artifact.Options{Dir: dir, MaxCacheBytes: 3500, Registerer: registry}
	s := newStore(t, options)
	a := func(path string) *index.Artifact { return verified(letter(path), u.URL+path) }
	open := func(path string) *artifact.File {
		t.Helper()
		f, err := s.Open(t.Context(), a(path))
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	use := func(path string) { wantContent(t, open(path), nil, letter(path)) }
	want := func(paths ...string) {
		t.Helper()
		for _, path := range []string{"/a", "/b", "/c", "/d", "/e", "/f"} {
			here := strings.Contains(strings.Join(paths, " "), path)
			if got := s.State(a(path).ID()).Cached; got != here {
				t.Errorf("State(%s).Cached = %v, want %v", path, got, here)
			}
		}
	}
	use("/a")
	use("/b")
	use("/c")
	want("/a", "/b", "/c")
	use("/a")
	use("/d") // /b was not used for the longest time
	want("/a", "/c", "/d")

	s.Keep(owner, []*index.Artifact{a("/c")})
	use("/a")
	use("/e") // /c is kept
	want("/a", "/c", "/e")

	reader := open("/a")
	use("/e")
	use("/f") // /a is open
	want("/a", "/c", "/f")
	wantCounter(t, registry, "netboot_artifact_evictions_total", 3)

	s.Keep("lab/other", []*index.Artifact{a("/f")})
	f, err := s.Open(t.Context(), a("/b"))
	wantError(t, f, err, artifact.ReasonStorageFailed, " from "+u.URL+"/b: no room in the artifact cache: "+
		"4000 bytes are needed at the same time, and it may have 3500: raise --cache-max-bytes, or remove BootProfiles")
	want("/a", "/c", "/f")
	wantContent(t, reader, nil, letter("/a")) // and closes it
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}

	// What was used when survives: /c and /f were kept to the end, though used before /a.
	options.Registerer = nil
	s = newStore(t, options)
	want("/a", "/c", "/f")
	use("/b")
	want("/b", "/c", "/f")
}

// TestEvictionOfWhatCameBefore has files of a process that left no notes: the time of the files counts.
func TestEvictionOfWhatCameBefore(t *testing.T) {
	for name, notes := range map[string]string{"none": "", "damaged": "{"} {
		t.Run(name, func(t *testing.T) {
			u, dir := newUpstream(t, letters), t.TempDir()
			if notes != "" {
				write(t, notes, dir, "uses.json")
			}
			for i, path := range []string{"/b", "/a", "/c"} {
				writeAged(t, time.Duration(3-i)*time.Hour, letter(path), dir, string(verified(letter(path)).ID()))
			}
			s := newStore(t, artifact.Options{Dir: dir, MaxCacheBytes: 3999})
			f, err := s.Open(t.Context(), verified(letter("/d"), u.URL+"/d"))
			wantContent(t, f, err, letter("/d"))
			if s.State(verified(letter("/b")).ID()).Cached || !s.State(verified(letter("/a")).ID()).Cached {
				t.Error("the oldest file must go, and no other")
			}
		})
	}
}

// TestPartsGoFirst: what did not arrive is worth less than what did.
func TestPartsGoFirst(t *testing.T) {
	u, dir := newUpstream(t, letters), t.TempDir()
	part := verified("something large").SHA256
	write(t, letter("/a"), dir, string(verified(letter("/a")).ID()))
	write(t, strings.Repeat("x", 2000), dir, "partial", part)
	write(t, "{}", dir, "partial", part+".json")
	s := newStore(t, artifact.Options{Dir: dir, MaxCacheBytes: 3500})
	f, err := s.Open(t.Context(), verified(letter("/b"), u.URL+"/b"))
	wantContent(t, f, err, letter("/b"))
	matches, err := filepath.Glob(filepath.Join(dir, "partial", "*"))
	if err != nil || len(matches) > 0 {
		t.Errorf("partial/ holds %q, %v", matches, err)
	}
	if !s.State(verified(letter("/a")).ID()).Cached {
		t.Error("a whole file went before the part of one")
	}
}

// TestUnknownSizeAndBudget: the upstream does not tell what comes.
func TestUnknownSizeAndBudget(t *testing.T) {
	file := noise(40<<20, 1)
	u := newUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		flush(w)
		answering(file)(w, r)
	})
	dir := t.TempDir()
	s := newStore(t, artifact.Options{Dir: dir, MaxCacheBytes: 20 << 20})
	f, err := s.Open(t.Context(), verified(file, u.URL))
	if err == nil {
		_ = f.Close()
	}
	if err == nil || !strings.Contains(err.Error(), "no room in the artifact cache: ") {
		t.Errorf("Open() error = %v, want it to say that there is no room", err)
	}
	wantFiles(t, dir)
}

func TestMetrics(t *testing.T) {
	registry := prometheus.NewRegistry()
	s := newStore(t, artifact.Options{Registerer: registry})
	if _, err := artifact.New(artifact.Options{Dir: t.TempDir(), Registerer: registry}); err == nil {
		t.Error("two stores could register at one place")
	}
	u := newUpstream(t, answering(kernel))
	f, err := s.Open(t.Context(), verified(kernel, u.URL))
	wantContent(t, f, err, kernel)
	if _, err := s.Open(t.Context(), verified("x", u.URL)); err == nil {
		t.Error("Open() of wrong bytes succeeded")
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			words := []string{f.GetName()}
			for _, l := range m.GetLabel() {
				words = append(words, l.GetValue())
			}
			name := strings.Join(words, " ")
			switch {
			case m.GetCounter() != nil:
				got[name] = m.GetCounter().GetValue()
			case m.GetGauge() != nil:
				got[name] = m.GetGauge().GetValue()
			default:
				got[name] = float64(m.GetHistogram().GetSampleCount())
			}
		}
	}
	const p = "netboot_artifact_"
	if diff := cmp.Diff(map[string]float64{
		p + "active_fetches": 0, p + "cache_bytes": 19, p + "cache_files": 1, p + "cache_limit_bytes": 0, p + "corrupt_total": 0,
		p + "evictions_total": 0, p + "fetch_duration_seconds": 1, p + "fetched_bytes_total": 38, p + "resumes_total": 0,
		p + "storage_errors_total": 0, p + "fetches_total Fetched": 1, p + "fetches_total DigestMismatch": 1,
		p + "fetches_total UpstreamUnavailable": 0, p + "fetches_total Unauthorized": 0, p + "fetches_total UnexpectedContent": 0,
		p + "fetches_total SourceNotAllowed": 0, p + "fetches_total StorageFailed": 0,
	}, got); diff != "" {
		t.Errorf("metrics (-want +got):\n%s", diff)
	}
}
