// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package artifact_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/netboot-operator/netboot-operator/pkg/artifact"
	"github.com/netboot-operator/netboot-operator/pkg/index"
)

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// flush sends what was written: without a Content-Length, since net/http can't know it yet.
func flush(w http.ResponseWriter) { w.(http.Flusher).Flush() }

func page(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = io.WriteString(w, "<html>Log in</html>")
}

// mirror is a handler with every kind of upstream trouble, and some that is none.
func mirror(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/vmlinuz":
		answering(kernel)(w, r)
	case "/plain":
		if got := r.Header.Get("Accept-Encoding"); got != "identity" {
			http.Error(w, "asked for "+got, http.StatusNotAcceptable)
			return
		}
		answering(kernel)(w, r)
	case "/chunked":
		flush(w)
		answering(kernel)(w, r)
	case "/html-named-kernel":
		w.Header().Set("Content-Type", "text/html")
		_, _ = io.WriteString(w, kernel)
	case "/moved":
		http.Redirect(w, r, "/vmlinuz", http.StatusFound)
	case "/moved-away":
		http.Redirect(w, r, "/gone", http.StatusFound)
	case "/moved-signed":
		http.Redirect(w, r, "/gone?signature=secret", http.StatusFound)
	case "/loop":
		http.Redirect(w, r, "/loop", http.StatusFound)
	case "/other":
		answering("something else")(w, r)
	case "/moved-other":
		http.Redirect(w, r, "/other", http.StatusMovedPermanently)
	case "/page":
		page(w, r)
	case "/broken":
		w.WriteHeader(http.StatusInternalServerError)
	case "/partial":
		w.WriteHeader(http.StatusPartialContent)
		answering(kernel)(w, r)
	case "/gzip":
		w.Header().Set("Content-Encoding", "gzip")
		answering(kernel)(w, r)
	case "/cut":
		w.Header().Set("Content-Length", "19")
		_, _ = io.WriteString(w, kernel[:10]) // net/http closes the connection
	case "/cut-chunked":
		_, _ = io.WriteString(w, kernel[:10])
		flush(w)
		panic(http.ErrAbortHandler)
	case "/large":
		answering(strings.Repeat("x", 65))(w, r)
	case "/large-chunked":
		flush(w)
		answering(strings.Repeat("x", 65))(w, r)
	default:
		w.WriteHeader(http.StatusNotFound)
	}
}

// refusing returns the address of nobody.
func refusing(t *testing.T) string {
	t.Helper()
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	return gone.URL
}

func TestUpstreams(t *testing.T) {
	u, nobody := newUpstream(t, mirror), refusing(t)
	const tooLarge = "larger than 64 bytes, the limit for an artifact: correct the URL, or raise the limit"
	const isPage = "answered an HTML page, not the file: correct the URL, or see whether the server asks for a login"
	mismatch := "sha256 is " + digest("something else") + ", want " + digest(kernel) +
		": the file has changed or is not the one that is meant; correct sha256 or the URL"
	notFound := "answered 404 Not Found: correct the URL, or put the file there"
	refused := "dial tcp " + strings.TrimPrefix(nobody, "http://") + ": connect: connection refused"

	for name, tc := range map[string]struct {
		urls       []string // "/..." is at the upstream
		unverified bool
		wantReason artifact.Reason // empty: the kernel comes
		wantText   string          // UPSTREAM stands for its URL
	}{
		"a file":                          {urls: []string{"/vmlinuz"}},
		"asks for the file as it is":      {urls: []string{"/plain"}},
		"a file of unknown length":        {urls: []string{"/chunked"}},
		"the right bytes, wrongly typed":  {urls: []string{"/html-named-kernel"}},
		"a redirect is followed":          {urls: []string{"/moved"}},
		"a redirect without a digest":     {urls: []string{"/moved"}, unverified: true},
		"a mirror after a 404":            {urls: []string{"/gone", "/vmlinuz"}},
		"a mirror after wrong bytes":      {urls: []string{"/other", "/vmlinuz"}},
		"a mirror after nobody":           {urls: []string{nobody, "/vmlinuz"}},
		"a mirror after an unusable URL":  {urls: []string{"oci://mirror/debian", "/page", "/vmlinuz"}},
		"a mirror for an unverified file": {urls: []string{"/gone", "/vmlinuz"}, unverified: true},

		"wrong bytes": {
			urls: []string{"/other"}, wantReason: artifact.ReasonDigestMismatch,
			wantText: " from UPSTREAM/other: " + mismatch,
		},
		"wrong bytes after a redirect": {
			urls: []string{"/moved-other"}, wantReason: artifact.ReasonDigestMismatch,
			wantText: " from UPSTREAM/moved-other: " + mismatch,
		},
		"a page": {
			urls: []string{"/page"}, wantReason: artifact.ReasonUnexpectedContent,
			wantText: " from UPSTREAM/page: " + isPage,
		},
		"a page without a digest": {
			urls: []string{"/page"}, unverified: true, wantReason: artifact.ReasonUnexpectedContent,
			wantText: " from UPSTREAM/page: " + isPage,
		},
		"a missing file": {
			urls: []string{"/gone"}, wantReason: artifact.ReasonUpstreamUnavailable,
			wantText: " from UPSTREAM/gone: " + notFound,
		},
		"a redirect to a missing file": {
			urls: []string{"/moved-away"}, wantReason: artifact.ReasonUpstreamUnavailable,
			wantText: " from UPSTREAM/moved-away: redirected to UPSTREAM/gone: " + notFound,
		},
		"a redirect with a signature, which lets anybody in": {
			urls: []string{"/moved-signed"}, wantReason: artifact.ReasonUpstreamUnavailable,
			wantText: " from UPSTREAM/moved-signed: redirected to UPSTREAM/gone: " + notFound,
		},
		"a redirect loop": {
			urls: []string{"/loop"}, wantReason: artifact.ReasonUpstreamUnavailable,
			wantText: " from UPSTREAM/loop: stopped after 10 redirects",
		},
		"a broken server": {
			urls: []string{"/broken"}, wantReason: artifact.ReasonUpstreamUnavailable,
			wantText: " from UPSTREAM/broken: answered 500 Internal Server Error",
		},
		"a part that nobody asked for": {
			urls: []string{"/partial"}, wantReason: artifact.ReasonUpstreamUnavailable,
			wantText: " from UPSTREAM/partial: answered 206 Partial Content",
		},
		"a compressed file": {
			urls: []string{"/gzip"}, wantReason: artifact.ReasonUnexpectedContent,
			wantText: ` from UPSTREAM/gzip: answered with Content-Encoding "gzip" though asked not to: ` +
				"serve the file as it is there",
		},
		"nobody": {
			urls: []string{nobody}, wantReason: artifact.ReasonUpstreamUnavailable,
			wantText: " from " + nobody + ": " + refused,
		},
		"cut in the middle": {
			urls: []string{"/cut"}, wantReason: artifact.ReasonUpstreamUnavailable,
			wantText: " from UPSTREAM/cut: broke off after 10 bytes: unexpected EOF",
		},
		"cut in the middle without a digest": {
			urls: []string{"/cut"}, unverified: true, wantReason: artifact.ReasonUpstreamUnavailable,
			wantText: " from UPSTREAM/cut: broke off after 10 bytes: unexpected EOF",
		},
		"cut in the middle of chunks": {
			urls: []string{"/cut-chunked"}, unverified: true, wantReason: artifact.ReasonUpstreamUnavailable,
			wantText: " from UPSTREAM/cut-chunked: broke off after 10 bytes: unexpected EOF",
		},
		"too large by its own account": {
			urls: []string{"/large"}, wantReason: artifact.ReasonUnexpectedContent,
			wantText: " from UPSTREAM/large: " + tooLarge,
		},
		"too large as it comes": {
			urls: []string{"/large-chunked"}, wantReason: artifact.ReasonUnexpectedContent,
			wantText: " from UPSTREAM/large-chunked: " + tooLarge,
		},
		"what is no source": {
			urls: []string{"ftp://mirror/vmlinuz"}, wantReason: artifact.ReasonSourceNotAllowed,
			wantText: " from ftp://mirror/vmlinuz: ftp:// is not served by this version: use http, https, oci or file",
		},
		"a registry": {
			urls: []string{"oci://mirror/debian"}, wantReason: artifact.ReasonSourceNotAllowed,
			wantText: ` from oci://mirror/debian: "mirror/debian" names no version: end it in :TAG or @sha256:HEX`,
		},
		"files where there are none": {
			urls: []string{"file:///vmlinuz"}, unverified: true, wantReason: artifact.ReasonSourceNotAllowed,
			wantText: " from file:///vmlinuz: file URLs are off: set --files-dir, or use http",
		},
		"all mirrors fail": {
			urls: []string{"/other", nobody, "/gone"}, wantReason: artifact.ReasonDigestMismatch,
			wantText: " from UPSTREAM/other: " + mismatch +
				"; from " + nobody + ": " + refused +
				"; from UPSTREAM/gone: " + notFound,
		},
	} {
		t.Run(name, func(t *testing.T) {
			a := &index.Artifact{Field: field}
			for _, url := range tc.urls {
				if strings.HasPrefix(url, "/") {
					url = u.URL + url
				}
				a.URLs = append(a.URLs, url)
			}
			if !tc.unverified {
				a.SHA256 = digest(kernel)
			}
			dir, told := t.TempDir(), &notebook{}
			s := newStore(t, artifact.Options{Dir: dir, Observer: told, MaxBytes: 64})

			f, err := s.Open(t.Context(), a)

			if tc.wantReason == "" {
				wantContent(t, f, err, kernel)
				wantFiles(t, dir, string(a.ID()))
				told.want(t, "fetched 19 bytes")
				return
			}
			wantError(t, f, err, tc.wantReason, strings.ReplaceAll(tc.wantText, "UPSTREAM", u.URL))
			wantFiles(t, dir)
			told.want(t, "failed with "+string(tc.wantReason))
		})
	}
}

func TestArtifactsThatTheSchemaRefuses(t *testing.T) {
	s := newStore(t, artifact.Options{})
	f, err := s.Open(t.Context(), unverified())
	wantError(t, f, err, artifact.ReasonSourceNotAllowed, ": no URL: name one")
	f, err = s.Open(t.Context(), &index.Artifact{Field: field, URLs: []string{"http://mirror/"}, SHA256: "../x"})
	wantError(t, f, err, artifact.ReasonDigestMismatch,
		` from http://mirror/: sha256 "../x" is not 64 lower-case hex digits: correct it`)
	f, err = s.Open(t.Context(), unverified("http://mirror:port/"))
	wantError(t, f, err, artifact.ReasonSourceNotAllowed, " from http://mirror:port/: not a URL: correct it")
}

func TestErrorsHidePasswords(t *testing.T) {
	s := newStore(t, artifact.Options{})
	f, err := s.Open(t.Context(), unverified("oci://user:secret@mirror/debian"))
	wantError(t, f, err, artifact.ReasonSourceNotAllowed,
		` from oci://user:xxxxx@mirror/debian: "mirror/debian" names no version: end it in :TAG or @sha256:HEX`)
}

func TestStall(t *testing.T) {
	const window = 10500 * time.Millisecond // between two chunks
	for name, tc := range map[string]struct {
		chunk    int           // bytes that come every second
		wantTook time.Duration // until the end
		wantText string        // empty: 1 MiB comes
	}{
		"steady":  {chunk: 16 << 10, wantTook: 64 * time.Second},
		"trickle": {chunk: 100, wantTook: window, wantText: "broke off after 1000 bytes: less than 16384 bytes came in 10.5s"},
		"silent":  {chunk: 0, wantTook: window, wantText: "less than 16384 bytes came in 10.5s"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				content := strings.Repeat("x", 1<<20)
				dir, start := t.TempDir(), time.Now()
				s := newStore(t, artifact.Options{
					Dir: dir, StallTimeout: window, Attempts: 1,
					Client: &http.Client{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
						if tc.chunk == 0 {
							<-r.Context().Done()
							return nil, r.Context().Err()
						}
						body := &drip{done: r.Context().Done(), rest: content, chunk: tc.chunk, end: r.Context().Err}
						return &http.Response{StatusCode: http.StatusOK, Body: body, ContentLength: -1, Request: r}, nil
					})},
				})

				f, err := s.Open(t.Context(), verified(content, "http://mirror/initrd"))

				if tc.wantText == "" {
					wantContent(t, f, err, content)
				} else {
					wantError(t, f, err, artifact.ReasonUpstreamUnavailable, " from http://mirror/initrd: "+tc.wantText)
					wantFiles(t, dir)
				}
				if took := time.Since(start); took != tc.wantTook {
					t.Errorf("took %v, want %v", took, tc.wantTook)
				}
			})
		})
	}
}

// A drip is a body that comes in chunks, one a second.
type drip struct {
	rest  string
	chunk int
	done  <-chan struct{}
	end   func() error
}

func (d *drip) Read(b []byte) (int, error) {
	if d.rest == "" {
		return 0, io.EOF
	}
	select {
	case <-time.After(time.Second):
	case <-d.done:
		return 0, d.end()
	}
	n := copy(b[:min(len(b), d.chunk)], d.rest)
	d.rest = d.rest[n:]
	return n, nil
}

func (d *drip) Close() error { return nil }
