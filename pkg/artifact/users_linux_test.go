// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package artifact_test

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/netboot-operator/netboot-operator/pkg/artifact"
	"github.com/netboot-operator/netboot-operator/pkg/index"
)

// halves answers with a file in two halves; the second comes when gate is closed. begun gets an item for each answer.
func halves(file string, begun chan<- struct{}, gate <-chan struct{}) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write([]byte(file[:len(file)/2])) // the client is gone, or not
		_ = http.NewResponseController(w).Flush()
		begun <- struct{}{}
		select {
		case <-gate:
		case <-r.Context().Done():
		}
		_, _ = w.Write([]byte(file[len(file)/2:])) // as above
	}
}

// TestTwoStoresFetchTheSame has two Stores on one folder fetch one artifact at the same time, the second of which starts while
// the first is in the middle, as when a pod takes over from another. Neither spoils what the other writes.
func TestTwoStoresFetchTheSame(t *testing.T) {
	file := noise(1<<20, 7)
	for name, tc := range map[string]struct {
		artifact func(url string) *index.Artifact
	}{
		"with a digest":    {func(url string) *index.Artifact { return verified(file, url) }},
		"without a digest": {func(url string) *index.Artifact { return unverified(url) }},
	} {
		t.Run(name, func(t *testing.T) {
			begun, gate := make(chan struct{}, 2), make(chan struct{})
			u := newUpstream(t, halves(file, begun, gate))
			a, dir := tc.artifact(u.URL+"/vmlinuz"), t.TempDir()
			var stores sync.WaitGroup
			for range 2 {
				s := newStore(t, artifact.Options{Dir: dir})
				stores.Go(func() {
					f, err := s.Open(t.Context(), a)
					wantContent(t, f, err, file)
				})
				<-begun
			}
			close(gate)
			stores.Wait()
			next := newStore(t, artifact.Options{Dir: dir})
			if a.SHA256 != "" {
				f, err := next.OpenCached(a.ID())
				wantContent(t, f, err, file)
			}
			if left, err := filepath.Glob(filepath.Join(dir, "partial", "*")); len(left) > 0 || err != nil {
				t.Errorf("partial/ holds %q, %v", left, err)
			}
		})
	}
}

// TestTwoStoresEvictNothing has a Store with a small budget beside one that keeps a file: that stays until the other is gone.
func TestTwoStoresEvictNothing(t *testing.T) {
	first, second, third := strings.Repeat("1", 1<<20), strings.Repeat("2", 1<<20), strings.Repeat("3", 1<<20)
	u := newUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		answering(map[string]string{"/1": first, "/2": second, "/3": third}[r.URL.Path])(w, r)
	})
	dir := t.TempDir()
	keeper, err := artifact.New(artifact.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	kept := verified(first, u.URL+"/1")
	keeper.Keep("lab/debian", []*index.Artifact{kept})
	f, err := keeper.Open(t.Context(), kept)
	wantContent(t, f, err, first)

	small := newStore(t, artifact.Options{Dir: dir, MaxCacheBytes: 3 << 19})
	f, err = small.Open(t.Context(), verified(second, u.URL+"/2"))
	wantContent(t, f, err, second)
	if _, err := os.Stat(filepath.Join(dir, string(kept.ID()))); err != nil {
		t.Errorf("what the other Store keeps: %v", err)
	}
	if err := keeper.Close(); err != nil {
		t.Fatal(err)
	}
	f, err = small.Open(t.Context(), verified(third, u.URL+"/3"))
	wantContent(t, f, err, third)
	if _, err := os.Stat(filepath.Join(dir, string(kept.ID()))); err == nil {
		t.Error("nothing is evicted when the other Store is gone")
	}
}

// TestTwoProcesses has a process fetch what this one fetches, in one folder, and kills it in the middle: what it was at is gone
// on with only after its death.
func TestTwoProcesses(t *testing.T) {
	file := noise(2<<20, 8)
	begun, gate := make(chan struct{}, 8), make(chan struct{})
	u := newUpstream(t, halves(file, begun, gate))
	a, dir := verified(file, u.URL+"/vmlinuz"), t.TempDir()
	other := child(t, "download", dir, u.URL+"/vmlinuz", a.SHA256)
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	<-begun
	s := newStore(t, artifact.Options{Dir: dir})
	opened := make(chan struct{})
	go func() {
		defer close(opened)
		f, err := s.Open(t.Context(), a)
		wantContent(t, f, err, file)
	}()
	<-begun
	if err := other.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := other.Wait(); err == nil {
		t.Error("the other process has ended by itself")
	}
	close(gate)
	select {
	case <-opened:
	case <-time.After(time.Minute):
		t.Fatal("it is not there")
	}
	third := newStore(t, artifact.Options{Dir: dir})
	f, err := third.OpenCached(a.ID())
	wantContent(t, f, err, file)
}
