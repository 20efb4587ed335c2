// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package artifact_test

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/netboot-operator/netboot-operator/pkg/artifact"
)

// noise returns bytes that differ at every offset.
func noise(size int, seed uint64) string {
	b := make([]byte, size)
	_, _ = rand.NewChaCha8([32]byte{byte(seed)}).Read(b) // it doesn't fail
	return string(b)
}

// A brokenLine is an upstream whose first connections break off, and which writes down what it is asked.
type brokenLine struct {
	content func(request int) string // from 0
	breaks  int                      // how many answers break off, each after pieceBytes
	header  http.Header              // of each answer
	ranges  rangeSupport

	mu    sync.Mutex
	asked []string
}

const pieceBytes = 1<<20 + 7

// A rangeSupport is how an upstream deals with the Range header.
type rangeSupport int

const (
	rangesWork rangeSupport = iota
	rangesIgnored
	rangesRefused   // 416
	rangesElsewhere // a part comes, but not the one that was asked for
	rangesClosed    // a range must have an end
)

func (l *brokenLine) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	l.mu.Lock()
	number := len(l.asked)
	l.asked = append(l.asked, strings.TrimSpace(r.Header.Get("Range")+" "+r.Header.Get("If-Range")))
	l.mu.Unlock()
	maps.Copy(w.Header(), l.header)
	content := l.content(number)
	first := 0
	if from, ok := strings.CutPrefix(r.Header.Get("Range"), "bytes="); ok && l.ranges != rangesIgnored {
		start, end, _ := strings.Cut(from, "-")
		first, _ = strconv.Atoi(start)
		known := r.Header.Get("If-Range")
		switch {
		case l.ranges == rangesRefused || l.ranges == rangesClosed && end == "":
			w.WriteHeader(http.StatusRequestedRangeNotSatisfiable)
			return
		case known != "" && known != w.Header().Get("ETag") && known != w.Header().Get("Last-Modified"):
			first = 0
		case l.ranges == rangesElsewhere:
			first += 5
		}
		if first > 0 {
			w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", first, len(content)-1, len(content)))
			w.Header().Set("Content-Length", strconv.Itoa(len(content)-first))
			w.WriteHeader(http.StatusPartialContent)
		}
	}
	if first == 0 {
		w.Header().Set("Content-Length", strconv.Itoa(len(content)))
	}
	rest := content[first:]
	if number < l.breaks {
		_, _ = io.WriteString(w, rest[:min(len(rest), pieceBytes)])
		flush(w)
		panic(http.ErrAbortHandler)
	}
	_, _ = io.WriteString(w, rest)
}

func TestResume(t *testing.T) {
	const size = 3 << 20
	file, other := noise(size, 1), noise(size, 2)
	always := func(int) string { return file }
	tagged := http.Header{"Etag": {`"v1"`}}
	dated := http.Header{"Last-Modified": {"Mon, 02 Nov 2026 10:00:00 GMT"}}
	last := strconv.Itoa(size - 1)
	piece, pieces := strconv.Itoa(pieceBytes), strconv.Itoa(2*pieceBytes)
	for name, tc := range map[string]struct {
		upstream    *brokenLine
		unverified  bool
		wantAsked   []string
		wantResumes int
	}{
		"by ETag": {
			upstream:  &brokenLine{content: always, breaks: 2, header: tagged},
			wantAsked: []string{"", "bytes=" + piece + "-" + last + ` "v1"`, "bytes=" + pieces + "-" + last + ` "v1"`}, wantResumes: 2,
		},
		"by Last-Modified": {
			upstream:  &brokenLine{content: always, breaks: 1, header: dated},
			wantAsked: []string{"", "bytes=" + piece + "-" + last + " Mon, 02 Nov 2026 10:00:00 GMT"}, wantResumes: 1,
		},
		"by nothing but the digest": {
			upstream:  &brokenLine{content: always, breaks: 1},
			wantAsked: []string{"", "bytes=" + piece + "-" + last}, wantResumes: 1,
		},
		"a weak ETag says nothing": {
			upstream:  &brokenLine{content: always, breaks: 1, header: http.Header{"Etag": {`W/"v1"`}}},
			wantAsked: []string{"", "bytes=" + piece + "-" + last}, wantResumes: 1,
		},
		"at an upstream that wants ranges with an end": {
			upstream:  &brokenLine{content: always, breaks: 1, ranges: rangesClosed},
			wantAsked: []string{"", "bytes=" + piece + "-" + last}, wantResumes: 1,
		},
		"not at an upstream without ranges": {
			upstream:  &brokenLine{content: always, breaks: 1, header: tagged, ranges: rangesIgnored},
			wantAsked: []string{"", "bytes=" + piece + "-" + last + ` "v1"`},
		},
		"not at an upstream that refuses ranges": {
			upstream:  &brokenLine{content: always, breaks: 1, header: tagged, ranges: rangesRefused},
			wantAsked: []string{"", "bytes=" + piece + "-" + last + ` "v1"`, ""},
		},
		"not where another part comes": {
			upstream:  &brokenLine{content: always, breaks: 1, header: tagged, ranges: rangesElsewhere},
			wantAsked: []string{"", "bytes=" + piece + "-" + last + ` "v1"`, ""},
		},
		"not when the file was of another length": {
			upstream: &brokenLine{content: func(request int) string {
				if request == 0 {
					return other[:size-1]
				}
				return file
			}, breaks: 1},
			wantAsked: []string{"", "bytes=" + piece + "-" + strconv.Itoa(size-2), ""},
		},
		"from the start when the parts turn out to be of two files": {
			upstream: &brokenLine{content: func(request int) string {
				if request == 0 {
					return other
				}
				return file
			}, breaks: 1},
			wantAsked: []string{"", "bytes=" + piece + "-" + last, ""}, wantResumes: 1,
		},
		"without a digest, by ETag": {
			unverified: true, upstream: &brokenLine{content: always, breaks: 1, header: tagged},
			wantAsked: []string{"", "bytes=" + piece + "-" + last + ` "v1"`}, wantResumes: 1,
		},
		"without a digest, not without a validator": {
			unverified: true, upstream: &brokenLine{content: always, breaks: 1},
			wantAsked: []string{"", ""},
		},
	} {
		t.Run(name, func(t *testing.T) {
			l := tc.upstream
			u := newUpstream(t, l.ServeHTTP)
			a := verified(file, u.URL)
			if tc.unverified {
				a.SHA256 = ""
			}
			dir, registry := t.TempDir(), prometheus.NewRegistry()
			s := newStore(t, artifact.Options{Dir: dir, Registerer: registry})

			f, err := s.Open(t.Context(), a)

			wantBytes(t, f, err, file)
			if diff := cmp.Diff(tc.wantAsked, l.asked); diff != "" {
				t.Errorf("the upstream was asked (-want +got):\n%s", diff)
			}
			wantFiles(t, dir, string(a.ID()))
			wantCounter(t, registry, "netboot_artifact_resumes_total", tc.wantResumes)
		})
	}
}

// TestResumeWhereAnotherBrokeOff has a mirror go on, of which nothing is known, and which must not be believed.
func TestResumeWhereAnotherBrokeOff(t *testing.T) {
	file := noise(200<<10, 1)
	for name, tc := range map[string]struct {
		mirror    string
		wantAsked []string
	}{
		"with the same file":     {file, []string{"bytes=102400-204799"}},
		"with another file":      {noise(200<<10, 2), []string{"bytes=102400-204799", ""}},
		"with a file too long":   {file + "!", []string{"bytes=102400-204799", ""}},
		"with a file that ended": {file[:1000], []string{"bytes=102400-204799", ""}},
	} {
		t.Run(name, func(t *testing.T) {
			broken := newUpstream(t, func(w http.ResponseWriter, r *http.Request) {
				if r.Header.Get("Range") != "" {
					answering(file)(w, r)
					return
				}
				w.Header().Set("Content-Length", strconv.Itoa(len(file)))
				_, _ = io.WriteString(w, file[:100<<10])
				flush(w)
				panic(http.ErrAbortHandler)
			})
			var asked []string
			mirror := newUpstream(t, func(w http.ResponseWriter, r *http.Request) {
				asked = append(asked, r.Header.Get("Range"))
				http.ServeContent(w, r, "", time.Time{}, strings.NewReader(tc.mirror))
			})
			f, err := newStore(t, artifact.Options{}).Open(t.Context(), verified(file, broken.URL, mirror.URL))
			wantBytes(t, f, err, file)
			if diff := cmp.Diff(tc.wantAsked, asked); diff != "" {
				t.Errorf("the mirror was asked (-want +got):\n%s", diff)
			}
		})
	}
}

// TestPageDoesNotCostWhatCame has a captive portal step in between.
func TestPageDoesNotCostWhatCame(t *testing.T) {
	file, number := noise(2*pieceBytes, 1), 0
	var asked []string
	u := newUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.Header.Get("Range"))
		switch number++; number {
		case 1:
			w.Header().Set("Content-Length", strconv.Itoa(len(file)))
			_, _ = io.WriteString(w, file[:pieceBytes])
			flush(w)
			panic(http.ErrAbortHandler)
		case 2:
			page(w, r)
		default:
			http.ServeContent(w, r, "", time.Time{}, strings.NewReader(file))
		}
	})
	s := newStore(t, artifact.Options{RetryAfter: time.Nanosecond})
	a := verified(file, u.URL)
	f, err := s.Open(t.Context(), a)
	wantError(t, f, err, artifact.ReasonUnexpectedContent,
		" from "+u.URL+": answered an HTML page, not the file: correct the URL, or see whether the server asks for a login")
	f, err = s.Open(t.Context(), a)
	wantBytes(t, f, err, file)
	rest := fmt.Sprintf("bytes=%d-%d", pieceBytes, len(file)-1)
	if diff := cmp.Diff([]string{"", rest, rest}, asked); diff != "" {
		t.Errorf("the upstream was asked (-want +got):\n%s", diff)
	}
}

// TestUpstreamThatAlwaysBreaksOff must end: no progress is made.
func TestUpstreamThatAlwaysBreaksOff(t *testing.T) {
	file := noise(3*pieceBytes, 1)
	l := &brokenLine{content: func(int) string { return file }, breaks: 1 << 30, ranges: rangesIgnored}
	u := newUpstream(t, l.ServeHTTP)
	f, err := newStore(t, artifact.Options{}).Open(t.Context(), verified(file, u.URL))
	wantError(t, f, err, artifact.ReasonUpstreamUnavailable, fmt.Sprintf(" from %s: broke off after %d bytes: unexpected EOF", u.URL, pieceBytes))
	if got := u.requests.Load(); got != 5 { // the first made progress
		t.Errorf("the upstream was asked %d times, want 5", got)
	}
}

func TestRestartInMidDownload(t *testing.T) {
	file := noise(3<<20, 1)
	piece := strconv.Itoa(pieceBytes)
	note := func(url string) string {
		return `{"source":"` + digest(url) + `","validator":"\"v1\"","total":3145728}`
	}
	for name, tc := range map[string]struct {
		partial   string
		note      func(url string) string
		age       time.Duration
		wantAsked []string
	}{
		"goes on":                        {file[:pieceBytes], note, 0, []string{"bytes=" + piece + `-3145727 "v1"`}},
		"goes on without notes":          {file[:pieceBytes], nil, 0, []string{"bytes=" + piece + "-"}},
		"goes on with damaged notes":     {file[:pieceBytes], func(string) string { return "{" }, 0, []string{"bytes=" + piece + "-"}},
		"goes on with another's notes":   {file[:pieceBytes], func(string) string { return note("x") }, 0, []string{"bytes=" + piece + "-3145727"}},
		"commits what was complete":      {file, note, 0, nil},
		"starts over when it was wrong":  {"?" + file[1:pieceBytes], note, 0, []string{"bytes=" + piece + `-3145727 "v1"`, ""}},
		"starts over when it was zeroed": {strings.Repeat("\x00", len(file)), note, 0, []string{""}},
		"starts over when it is longer":  {file + "!", note, 0, []string{""}},
		"starts over when it is old":     {file[:pieceBytes], note, 8 * 24 * time.Hour, []string{""}},
		"starts over when it is empty":   {"", note, 0, []string{""}},
	} {
		t.Run(name, func(t *testing.T) {
			l := &brokenLine{content: func(int) string { return file }, header: http.Header{"Etag": {`"v1"`}}}
			u := newUpstream(t, l.ServeHTTP)
			a, dir := verified(file, u.URL), t.TempDir()
			writeAged(t, tc.age, tc.partial, dir, "partial", a.SHA256)
			if tc.note != nil {
				write(t, tc.note(u.URL), dir, "partial", a.SHA256+".json")
			}
			s := newStore(t, artifact.Options{Dir: dir})
			f, err := s.Open(t.Context(), a)
			wantBytes(t, f, err, file)
			if diff := cmp.Diff(tc.wantAsked, l.asked); diff != "" {
				t.Errorf("the upstream was asked (-want +got):\n%s", diff)
			}
			wantFiles(t, dir, string(a.ID()))
		})
	}
}

// writeAged writes a file as if it had been written a while ago.
func writeAged(t *testing.T, age time.Duration, content string, path ...string) {
	t.Helper()
	write(t, content, path...)
	then := time.Now().Add(-age)
	if err := os.Chtimes(filepath.Join(path...), then, then); err != nil {
		t.Fatal(err)
	}
}

// wantBytes is wantContent for what is too much to print.
func wantBytes(t *testing.T, f *artifact.File, err error, want string) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	got, err := io.ReadAll(f)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, []byte(want)) {
		t.Errorf("%d bytes came that are not the %d of the file", len(got), len(want))
	}
}

func wantCounter(t *testing.T, registry *prometheus.Registry, name string, want int) {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			if got := f.GetMetric()[0].GetCounter().GetValue(); int(got) != want {
				t.Errorf("%s = %v, want %d", name, got, want)
			}
			return
		}
	}
	t.Errorf("no metric %s", name)
}
