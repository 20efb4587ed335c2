// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package artifact_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/netboot-operator/netboot-operator/pkg/artifact"
	"github.com/netboot-operator/netboot-operator/pkg/index"
)

// A cutWriter breaks the connection after some bytes of a body.
type cutWriter struct {
	http.ResponseWriter
	left int
}

func (w *cutWriter) Write(b []byte) (int, error) {
	n, err := w.ResponseWriter.Write(b[:min(len(b), w.left)])
	if w.left -= n; w.left == 0 {
		if f, ok := w.ResponseWriter.(http.Flusher); ok {
			f.Flush()
		}
		panic(http.ErrAbortHandler)
	}
	return n, err
}

// cutting returns a guard that breaks the first blobs off after half of their bytes, and one that counts how many.
func cutting(times int64, half int) func(http.Handler) http.Handler {
	var cut atomic.Int64
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			if strings.Contains(req.URL.Path, "/blobs/") && cut.Add(1) <= times {
				w = &cutWriter{w, half}
			}
			next.ServeHTTP(w, req)
		})
	}
}

func TestOCIGoesOnAfterABreak(t *testing.T) {
	const size, half = 1 << 20, 1<<20/2 - 7
	content := strings.Repeat("0123456789abcdef", size/16)
	plain, packed := content, tarOf(t, member{name: "vmlinuz", content: content})
	for name, tc := range map[string]struct {
		what  string // after the host
		layer string
		guard func(http.Handler) http.Handler
		want  []string // which parts of blobs are asked for
	}{
		"a layer": {
			what: "boot:v1", layer: plain,
			want: []string{"", fmt.Sprintf("bytes=%d-%d", half, size-1)},
		},
		"a blob": {
			what: "boot@sha256:" + digest(content), layer: plain,
			want: []string{"", fmt.Sprintf("bytes=%d-%d", half, size-1)},
		},
		"a layer behind tokens": {
			what: "boot:v1", layer: plain, guard: bearerAuth,
			want: []string{"", fmt.Sprintf("bytes=%d-%d", half, size-1)}, // the token of the manifest is good for it
		},
		"a file in a layer, from the start": {what: "boot:v1#path=vmlinuz", layer: packed, want: []string{"", ""}},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRegistry(t, func(next http.Handler) http.Handler {
				next = cutting(1, half)(next)
				if tc.guard != nil {
					next = tc.guard(next)
				}
				return next
			})
			r.manifest(t, "boot", "v1", r.layer(t, "boot", "", tc.layer))
			a := verified(content, r.url(tc.what))
			a.Credentials = &index.Credentials{Username: username, Password: password}
			f, err := newStore(t, artifact.Options{Backoff: time.Millisecond}).Open(t.Context(), a)
			wantContent(t, f, err, content)
			var got []string
			for _, line := range r.requests("/blobs/") {
				_, part, _ := strings.Cut(line, "sha256:")
				_, part, _ = strings.Cut(part, " ")
				got = append(got, part)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("ranges of blobs (-want +got):\n%s", diff)
			}
		})
	}
}
