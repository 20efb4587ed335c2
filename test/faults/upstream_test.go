// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package faults

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Sizes of files, in bytes.
const (
	kernelSize = 300_000
	initrdSize = 1_500_000
	loaderSize = 60_000
)

// random returns size bytes that depend on name.
func random(name string, size int) []byte {
	b := make([]byte, size)
	_, _ = rand.NewChaCha8(sha256.Sum256([]byte(name))).Read(b) // never fails
	return b
}

func digest(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}

// An artifact is a file that profiles name: its URL is /SIZE/NAME of the upstream.
type artifact struct {
	name string
	size int
}

func (a artifact) path() string { return fmt.Sprintf("/%d/%s", a.size, a.name) }

// spec is the artifact in a BootProfile.
func (a artifact) spec(upstream string) string {
	return fmt.Sprintf(`{url: "%s%s", sha256: %s}`, upstream, a.path(), digest(random(a.name, a.size)))
}

// newUpstream starts the server that artifacts come from. Names that begin with "trickle" come at a byte in five seconds.
func newUpstream(t *testing.T) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		size, name, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
		n, err := strconv.Atoi(size)
		if err != nil {
			http.NotFound(w, r)
			return
		}
		content := random(name, n)
		if strings.HasPrefix(name, "trickle") {
			trickle(w, r, content)
			return
		}
		http.ServeContent(w, r, "", time.Time{}, strings.NewReader(string(content)))
	}))
	t.Cleanup(s.Close)
	t.Cleanup(s.CloseClientConnections)
	return s.URL
}

func trickle(w http.ResponseWriter, r *http.Request, content []byte) {
	w.Header().Set("Content-Length", strconv.Itoa(len(content)))
	tick := time.NewTicker(5 * time.Second)
	defer tick.Stop()
	for i := range content {
		if _, err := w.Write(content[i : i+1]); err != nil {
			return
		}
		_ = http.NewResponseController(w).Flush() // the next Write tells
		select {
		case <-tick.C:
		case <-r.Context().Done():
			return
		}
	}
}
