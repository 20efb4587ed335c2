// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package artifact_test

import (
	"context"
	"encoding/pem"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/netboot-operator/netboot-operator/pkg/artifact"
	"github.com/netboot-operator/netboot-operator/pkg/index"
)

// patience bounds the wait for what happens by itself.
const patience = 2 * time.Minute

// eventually waits until ok.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	ticks := time.NewTicker(2 * time.Millisecond)
	defer ticks.Stop()
	for !ok() {
		select {
		case <-ticks.C:
		case <-ctx.Done():
			t.Fatalf("did not happen in %v: %s", patience, what)
		}
	}
}

// hijacked answers with bytes that net/http would not send.
func hijacked(t *testing.T, answer string) http.HandlerFunc {
	t.Helper()
	return func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		_, _ = io.WriteString(conn, answer)
		_ = conn.Close()
	}
}

func TestWrongLength(t *testing.T) {
	const ok = "HTTP/1.1 200 OK\r\nConnection: close\r\n"
	for name, tc := range map[string]struct {
		answer     string
		wantReason artifact.Reason // empty: the kernel comes
		wantText   string
	}{
		"too short for the length that is told": {
			ok + "Content-Length: 19\r\n\r\n" + kernel[:10], artifact.ReasonUpstreamUnavailable, "broke off after 10 bytes: unexpected EOF",
		},
		"too short, and no length told": {
			ok + "\r\n" + kernel[:10], artifact.ReasonDigestMismatch, "sha256 is " + digest(kernel[:10]) + ", want " + digest(kernel) +
				": the file has changed or is not the one that is meant; correct sha256 or the URL",
		},
		"too long": {
			ok + "Content-Length: 20\r\n\r\n" + kernel + "!", artifact.ReasonDigestMismatch, "sha256 is " + digest(kernel+"!") + ", want " + digest(kernel) +
				": the file has changed or is not the one that is meant; correct sha256 or the URL",
		},
		"more than the length that is told": {answer: ok + "Content-Length: 19\r\n\r\n" + kernel + "trailing"},
		"no length":                         {answer: ok + "\r\n" + kernel},
		"empty": {
			ok + "Content-Length: 0\r\n\r\n", artifact.ReasonDigestMismatch, "sha256 is " + digest("") + ", want " + digest(kernel) +
				": the file has changed or is not the one that is meant; correct sha256 or the URL",
		},
		"no answer": {"", artifact.ReasonUpstreamUnavailable, "EOF"},
		"not HTTP": {
			"SSH-2.0-OpenSSH\r\n", artifact.ReasonUpstreamUnavailable,
			`net/http: HTTP/1.x transport connection broken: malformed HTTP status code ""`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			u, dir := newUpstream(t, hijacked(t, tc.answer)), t.TempDir()
			f, err := newStore(t, artifact.Options{Dir: dir}).Open(t.Context(), verified(kernel, u.URL))
			if tc.wantReason == "" {
				wantContent(t, f, err, kernel)
				return
			}
			if tc.wantText == `net/http: HTTP/1.x transport connection broken: malformed HTTP status code ""` {
				if err == nil || !strings.Contains(err.Error(), u.URL+": ") || !strings.Contains(err.Error(), "malformed HTTP") {
					t.Errorf("Open() error = %v, want it to name URL and reason", err)
				}
				return
			}
			wantError(t, f, err, tc.wantReason, " from "+u.URL+": "+tc.wantText)
			wantFiles(t, dir)
		})
	}
}

// TestTrickle has a real upstream send a byte now and then: the mirror must be asked although something comes all the time.
func TestTrickle(t *testing.T) {
	slow := newUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "1000000")
		ticks := time.NewTicker(20 * time.Millisecond)
		defer ticks.Stop()
		for {
			if _, err := io.WriteString(w, "x"); err != nil {
				return
			}
			flush(w)
			select {
			case <-ticks.C:
			case <-r.Context().Done():
				return
			}
		}
	})
	mirror := newUpstream(t, answering(kernel))
	s := newStore(t, artifact.Options{StallTimeout: time.Second, Attempts: 1})
	f, err := s.Open(t.Context(), verified(kernel, slow.URL))
	if err == nil || !strings.HasSuffix(err.Error(), ": less than 16384 bytes came in 1s") {
		t.Errorf("Open() error = %v, want it to say that too little came", err)
		if err == nil {
			_ = f.Close()
		}
	}
	f, err = s.Open(t.Context(), verified(kernel, slow.URL, mirror.URL))
	wantContent(t, f, err, kernel)
}

// TestRetries has failures that pass, in virtual time.
func TestRetries(t *testing.T) {
	type answer struct {
		status int
		header http.Header
	}
	busy := func(after string) answer {
		return answer{http.StatusTooManyRequests, http.Header{"Retry-After": {after}}}
	}
	for name, tc := range map[string]struct {
		answers   []answer // the last one is repeated; 0: nobody answers
		wantAsked int
		wantAtMax time.Duration // until the end
		wantAtMin time.Duration
		wantText  string // empty: the kernel comes
	}{
		"a broken gateway":          {answers: []answer{{status: 502}, {status: 504}, {status: 200}}, wantAsked: 3, wantAtMax: 3 * time.Second},
		"nobody":                    {answers: []answer{{}, {}, {}, {status: 200}}, wantAsked: 4, wantAtMax: 7 * time.Second},
		"a busy server":             {answers: []answer{busy("7"), {status: 200}}, wantAsked: 2, wantAtMin: 7 * time.Second, wantAtMax: 7 * time.Second},
		"one that is busy for long": {answers: []answer{busy("86400"), {status: 200}}, wantAsked: 2, wantAtMin: time.Minute, wantAtMax: time.Minute},
		"one that is busy until":    {answers: []answer{busy("Sat, 01 Jan 2000 00:00:09 GMT"), {status: 200}}, wantAsked: 2, wantAtMin: 9 * time.Second, wantAtMax: 9 * time.Second},
		"nonsense":                  {answers: []answer{busy("soon"), {status: 200}}, wantAsked: 2, wantAtMax: time.Second},
		"too often":                 {answers: []answer{{status: 503}}, wantAsked: 4, wantAtMax: 7 * time.Second, wantText: "answered 503 Service Unavailable"},
		"not what lasts":            {answers: []answer{{status: 404}}, wantAsked: 1, wantText: "answered 404 Not Found: correct the URL, or put the file there"},
		"not what is not there":     {answers: []answer{{status: 501}}, wantAsked: 1, wantText: "answered 501 Not Implemented"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				asked, start := 0, time.Now()
				s := newStore(t, artifact.Options{Backoff: time.Second, Client: &http.Client{Transport: roundTripper(
					func(*http.Request) (*http.Response, error) {
						now := tc.answers[min(asked, len(tc.answers)-1)]
						if asked++; now.status == 0 {
							return nil, io.ErrUnexpectedEOF
						}
						body := io.NopCloser(strings.NewReader(kernel))
						return &http.Response{StatusCode: now.status, Header: now.header, Body: body, ContentLength: -1}, nil
					})}})
				f, err := s.Open(t.Context(), verified(kernel, "http://mirror/vmlinuz"))
				took := time.Since(start)
				if tc.wantText == "" {
					wantContent(t, f, err, kernel)
				} else {
					wantError(t, f, err, artifact.ReasonUpstreamUnavailable, " from http://mirror/vmlinuz: "+tc.wantText)
				}
				if asked != tc.wantAsked {
					t.Errorf("asked %d times, want %d", asked, tc.wantAsked)
				}
				if took < tc.wantAtMin || took > tc.wantAtMax {
					t.Errorf("took %v, want %v-%v", took, tc.wantAtMin, tc.wantAtMax)
				}
			})
		})
	}
}

// TestMirrorsByHealth asks a host that failed after the others, until that is long ago.
func TestMirrorsByHealth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked []string
		ill := true
		s := newStore(t, artifact.Options{Client: &http.Client{Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
			asked = append(asked, r.URL.Host)
			if r.URL.Host == "first" && ill {
				return nil, io.ErrUnexpectedEOF
			}
			body := io.NopCloser(strings.NewReader(r.URL.Path))
			return &http.Response{StatusCode: http.StatusOK, Body: body, ContentLength: -1}, nil
		})}})
		fetch := func(path string, want ...string) {
			t.Helper()
			asked = nil
			f, err := s.Open(t.Context(), verified(path, "http://first"+path, "http://second"+path))
			wantContent(t, f, err, path)
			if diff := cmp.Diff(want, asked); diff != "" {
				t.Errorf("asked for %s (-want +got):\n%s", path, diff)
			}
		}
		fetch("/a", "first", "second")
		fetch("/b", "second")
		<-time.After(15 * time.Minute)
		fetch("/c", "first", "second")
		ill = false
		<-time.After(15 * time.Minute)
		fetch("/d", "first")
	})
}

// TestCredentials has a server that wants a password or a token, and one that it redirects to.
func TestCredentials(t *testing.T) {
	var elsewhereGot []string
	elsewhere := newUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		elsewhereGot = append(elsewhereGot, r.Header.Get("Authorization"))
		answering(kernel)(w, r)
	})
	home := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		u, p, _ := r.BasicAuth()
		switch {
		case r.Header.Get("Authorization") != "Bearer "+token && (u != username || p != password):
			w.WriteHeader(http.StatusUnauthorized)
		case r.URL.Path == "/secret":
			w.WriteHeader(http.StatusForbidden)
		case r.URL.Path == "/away":
			http.Redirect(w, r, elsewhere.URL+"/x?signature=abc", http.StatusFound)
		case r.URL.Path == "/within":
			http.Redirect(w, r, "/vmlinuz", http.StatusFound)
		default:
			answering(kernel)(w, r)
		}
	})
	plain, safe := newUpstream(t, home), httptest.NewTLSServer(home)
	t.Cleanup(safe.Close)
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: safe.Certificate().Raw})
	const refused = "answered 401 Unauthorized: does it want credentials, or others? They are in the Secret that secretRef names"
	for name, tc := range map[string]struct {
		url         string
		credentials *index.Credentials
		wantReason  artifact.Reason
		wantText    string // empty: the kernel comes
	}{
		"a password":            {url: plain.URL, credentials: &index.Credentials{Username: username, Password: password}},
		"a token":               {url: plain.URL, credentials: &index.Credentials{BearerToken: token}},
		"in the URL":            {url: strings.Replace(plain.URL, "http://", "http://robot:correct%20horse@", 1)},
		"an authority":          {url: safe.URL, credentials: &index.Credentials{BearerToken: token, CA: ca}},
		"a redirect within":     {url: plain.URL + "/within", credentials: &index.Credentials{BearerToken: token}},
		"a redirect away":       {url: plain.URL + "/away", credentials: &index.Credentials{BearerToken: token}},
		"a redirect from https": {url: safe.URL + "/away", credentials: &index.Credentials{Username: username, Password: password, CA: ca}},

		"none":      {plain.URL, nil, artifact.ReasonUnauthorized, refused},
		"wrong":     {plain.URL, &index.Credentials{Username: username, Password: "battery staple"}, artifact.ReasonUnauthorized, refused},
		"forbidden": {plain.URL + "/secret", &index.Credentials{BearerToken: token}, artifact.ReasonUnauthorized, strings.Replace(refused, "401 Unauthorized", "403 Forbidden", 1)},
		"no authority": {
			safe.URL, &index.Credentials{BearerToken: token}, artifact.ReasonUpstreamUnavailable,
			"tls: failed to verify certificate: x509: certificate signed by unknown authority",
		},
		"no certificate": {
			safe.URL, &index.Credentials{CA: []byte("x")}, artifact.ReasonUnauthorized,
			"ca.crt of the Secret holds no certificate: it must be PEM, as BEGIN CERTIFICATE shows",
		},
		"not there": {plain.URL, &index.Credentials{Unavailable: `Secret "mirror" does not exist`}, artifact.ReasonUnauthorized, `Secret "mirror" does not exist`},
	} {
		t.Run(name, func(t *testing.T) {
			elsewhereGot = nil
			a := verified(kernel, tc.url)
			a.Credentials = tc.credentials
			f, err := newStore(t, artifact.Options{}).Open(t.Context(), a)
			if tc.wantText == "" {
				wantContent(t, f, err, kernel)
			} else {
				wantError(t, f, err, tc.wantReason, " from "+tc.url+": "+tc.wantText)
				for _, secret := range []string{password, "battery", token} {
					if strings.Contains(err.Error(), secret) {
						t.Errorf("the error tells a secret: %v", err)
					}
				}
			}
			for _, got := range elsewhereGot {
				if got != "" {
					t.Errorf("the other host was sent Authorization: %s", got)
				}
			}
			if strings.HasSuffix(tc.url, "/away") && len(elsewhereGot) != 1 {
				t.Errorf("the other host was asked %d times, want once", len(elsewhereGot))
			}
		})
	}
}

// TestNewCredentialsAreTriedAtOnce: a Secret was corrected.
func TestNewCredentialsAreTriedAtOnce(t *testing.T) {
	u := newUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer "+token {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		answering(kernel)(w, r)
	})
	s := newStore(t, artifact.Options{RetryAfter: time.Hour})
	wrong, right := verified(kernel, u.URL), verified(kernel, u.URL)
	wrong.Credentials, right.Credentials = &index.Credentials{BearerToken: "old"}, &index.Credentials{BearerToken: token}
	if _, err := s.Open(t.Context(), wrong); err == nil {
		t.Fatal("Open() with wrong credentials succeeded")
	}
	f, err := s.Open(t.Context(), right)
	wantContent(t, f, err, kernel)
}

// flip changes a byte of a file in a way that shows neither in its size nor in its time.
func flip(t *testing.T, path string) {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 1)
	_, err = f.ReadAt(b, 5)
	b[0] ^= 1
	_, writeErr := f.WriteAt(b, 5)
	if err := errors.Join(err, writeErr, f.Close(), os.Chtimes(path, info.ModTime(), info.ModTime())); err != nil {
		t.Fatal(err)
	}
}

// TestScrub flips a byte of a cached file while the Store runs. Without a scrub, nobody would look again.
func TestScrub(t *testing.T) {
	for name, kept := range map[string]bool{"what is kept comes again": true, "what is not kept goes": false} {
		t.Run(name, func(t *testing.T) {
			u, dir, registry := newUpstream(t, answering(kernel)), t.TempDir(), prometheus.NewRegistry()
			s := newStore(t, artifact.Options{Dir: dir, ScrubInterval: time.Millisecond, Registerer: registry})
			a := verified(kernel, u.URL)
			if kept {
				s.Keep("lab/debian", []*index.Artifact{a})
			}
			reader, err := s.Open(t.Context(), a)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = reader.Close() }()

			flip(t, filepath.Join(dir, string(a.ID())))

			eventually(t, "the damage is noticed", func() bool {
				_, err := reader.ReadAt(make([]byte, 1), 5)
				return errors.Is(err, io.EOF) // who reads on gets nothing, rather than wrong bytes
			})
			if kept {
				eventually(t, "the file is fetched again", func() bool { return u.requests.Load() == 2 && s.State(a.ID()).Cached })
			} else {
				eventually(t, "the file is gone", func() bool { return s.State(a.ID()) == artifact.State{} })
			}
			f, err := s.Open(t.Context(), a)
			wantContent(t, f, err, kernel)
			wantCounter(t, registry, "netboot_artifact_corrupt_total", 1)
		})
	}
}

// TestScrubFetchesWhatWasRemoved: somebody tidied up by hand.
func TestScrubFetchesWhatWasRemoved(t *testing.T) {
	u, dir := newUpstream(t, answering(kernel)), t.TempDir()
	s := newStore(t, artifact.Options{Dir: dir, ScrubInterval: time.Millisecond})
	a := verified(kernel, u.URL)
	s.Keep("lab/debian", []*index.Artifact{a})
	eventually(t, "the file comes", func() bool { return s.State(a.ID()).Cached })
	if err := os.Remove(filepath.Join(dir, string(a.ID()))); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the file comes again", func() bool {
		_, err := os.Stat(filepath.Join(dir, string(a.ID())))
		return err == nil
	})
}
