// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package artifact_test

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/netboot-operator/netboot-operator/pkg/artifact"
	"github.com/netboot-operator/netboot-operator/pkg/index"
)

const initrd = "not really an initrd"

// bundled returns a bundle of contents.
func bundled(t *testing.T, contents ...string) []byte {
	t.Helper()
	s := newStore(t, artifact.Options{})
	var artifacts []*index.Artifact
	for _, content := range contents {
		a := verified(content, newUpstream(t, answering(content)).URL)
		a.URLs = append(a.URLs, "http://mirror.example.com/"+a.SHA256)
		f, err := s.Open(t.Context(), a)
		wantContent(t, f, err, content)
		a.URLs = a.URLs[1:]
		artifacts = append(artifacts, a)
	}
	var b bytes.Buffer
	if err := s.WriteBundle(t.Context(), &b, artifact.Bundle(artifacts)); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// A loading is what a LoadBundle was told to say.
type loading []string

func (l *loading) note(b *artifact.BundledArtifact, before bool) {
	*l = append(*l, fmt.Sprintf("%s %d %v", b.ID(), b.Size, before))
}

// load loads a bundle into dir.
func load(t *testing.T, bundle []byte, dir string) (loading, error) {
	t.Helper()
	var told loading
	err := artifact.LoadBundle(t.Context(), bytes.NewReader(bundle), artifact.BundleOptions{Dir: dir, Loaded: told.note})
	return told, err
}

// wantRight fails if a file in a cache is not what its name says.
func wantRight(t *testing.T, dir string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		if name := filepath.Join(dir, "sha256", digest(string(content))); err == nil && path != name {
			t.Errorf("%s has the content of %s", path, name)
		}
		return err
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
}

func TestBundle(t *testing.T) {
	bundle, dir := bundled(t, kernel, initrd), t.TempDir()
	told, err := load(t, bundle, dir)
	if err != nil {
		t.Fatal(err)
	}
	wantFiles(t, dir, slices.Sorted(slices.Values([]string{"sha256/" + digest(kernel), "sha256/" + digest(initrd)}))...)
	want := loading{fmt.Sprintf("sha256/%s 19 false", digest(kernel)), fmt.Sprintf("sha256/%s 20 false", digest(initrd))}
	slices.Sort(want)
	if diff := cmp.Diff(want, told); diff != "" {
		t.Errorf("LoadBundle() told (-want +got):\n%s", diff)
	}
	s := newStore(t, artifact.Options{Dir: dir})
	for _, content := range []string{kernel, initrd} {
		f, err := s.Open(t.Context(), verified(content, "http://192.0.2.1/no/upstream"))
		wantContent(t, f, err, content)
	}
}

func TestBundleIsReproducible(t *testing.T) {
	first, second := bundled(t, kernel, initrd, ""), bundled(t, "", initrd, kernel)
	if !bytes.Equal(first, second) {
		t.Errorf("two bundles of the same artifacts differ:\n%s", cmp.Diff(string(first), string(second)))
	}
}

func TestBundleNames(t *testing.T) {
	a, b := verified(kernel, "http://b/x", "http://me:secret@a/x"), verified(kernel, "http://b/x")
	a.Field, b.Field = "BootProfile z", "BootProfile y"
	want := []*artifact.BundledArtifact{{
		SHA256: digest(kernel), Fields: []string{"BootProfile y", "BootProfile z"}, URLs: []string{"http://b/x", "http://me:xxxxx@a/x"},
	}}
	if diff := cmp.Diff(want, artifact.Bundle([]*index.Artifact{a, b})); diff != "" {
		t.Errorf("Bundle() (-want +got):\n%s", diff)
	}
}

func TestLoadBundleAgain(t *testing.T) {
	bundle, dir := bundled(t, kernel, initrd), t.TempDir()
	write(t, kernel, dir, "sha256", digest(kernel))
	write(t, strings.ToUpper(initrd), dir, "sha256", digest(initrd)) // as long, and damaged
	write(t, "left by a load that was killed", dir, "loading", "x")
	told, err := load(t, bundle, dir)
	if err != nil {
		t.Fatal(err)
	}
	want := loading{fmt.Sprintf("sha256/%s 19 true", digest(kernel)), fmt.Sprintf("sha256/%s 20 false", digest(initrd))}
	slices.Sort(want)
	if diff := cmp.Diff(want, told); diff != "" {
		t.Errorf("LoadBundle() told (-want +got):\n%s", diff)
	}
	wantRight(t, dir)
}

// TestLoadBundleBesideAStore loads what a Store that is at work could not have a moment ago.
func TestLoadBundleBesideAStore(t *testing.T) {
	dir := t.TempDir()
	u := newUpstream(t, status(http.StatusNotFound))
	s := newStore(t, artifact.Options{Dir: dir, RetryAfter: time.Nanosecond})
	a := verified(kernel, u.URL)
	f, err := s.Open(t.Context(), a)
	wantError(t, f, err, artifact.ReasonUpstreamUnavailable, " from "+u.URL+": answered 404 Not Found: correct the URL, or put the file there")
	if s.State(a.ID()).Cached {
		t.Error("State() says that it is cached")
	}
	if _, err := load(t, bundled(t, kernel), dir); err != nil {
		t.Fatal(err)
	}
	if got := s.State(a.ID()); !got.Cached || got.Bytes != int64(len(kernel)) {
		t.Errorf("State() = %+v after the bundle was loaded", got)
	}
	f, err = s.OpenCached(a.ID())
	wantContent(t, f, err, kernel)
	f, err = s.Open(t.Context(), a)
	wantContent(t, f, err, kernel)
}

func TestLoadBundleTwiceAtATime(t *testing.T) {
	bundle, dir := bundled(t, kernel), t.TempDir()
	err := artifact.LoadBundle(t.Context(), bytes.NewReader(bundle), artifact.BundleOptions{
		Dir: dir,
		Loaded: func(*artifact.BundledArtifact, bool) {
			_, err := load(t, bundle, dir)
			if err == nil || !strings.Contains(err.Error(), "another netboot bundle load is at work there") {
				t.Errorf("LoadBundle() beside another: %v", err)
			}
		},
	})
	if err != nil {
		t.Error(err)
	}
	if _, err := load(t, bundle, dir); err != nil {
		t.Errorf("LoadBundle() after another: %v", err)
	}
}

// A part is a file of a bundle that is made by hand.
type part struct {
	header  tar.Header
	content string
}

func indexPart(t *testing.T, version int, artifacts ...artifact.BundledArtifact) part {
	t.Helper()
	text, err := json.Marshal(map[string]any{"version": version, "artifacts": artifacts})
	if err != nil {
		t.Fatal(err)
	}
	return part{tar.Header{Name: "netboot-bundle.json", Mode: 0o644}, string(text)}
}

func byHand(t *testing.T, parts ...part) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, p := range parts {
		p.header.Size = int64(len(p.content))
		if err := w.WriteHeader(&p.header); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, p.content); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestLoadBundleRefuses(t *testing.T) {
	const damaged = "the bundle is damaged or was changed: get it again"
	listed := artifact.BundledArtifact{SHA256: digest(kernel), Size: int64(len(kernel))}
	good := indexPart(t, 1, listed)
	file := func(name, content string) part { return part{tar.Header{Name: name, Mode: 0o644}, content} }
	id := "sha256/" + digest(kernel)
	for name, tc := range map[string]struct {
		bundle  []byte
		want    string
		arrives bool // the kernel is loaded nevertheless
	}{
		"nothing":              {bundle: nil, want: "is not a bundle: netboot bundle save makes them"},
		"something else":       {bundle: []byte(strings.Repeat("x", 2048)), want: "is not a bundle: netboot bundle save makes them"},
		"another tar file":     {bundle: byHand(t, file(id, kernel)), want: "is not a bundle: netboot bundle save makes them"},
		"a later version":      {bundle: byHand(t, indexPart(t, 2, listed)), want: "is a bundle of version 2, and this netboot reads version 1: load it with the version that saved it"},
		"an index that is not": {bundle: byHand(t, file("netboot-bundle.json", "[]")), want: damaged},
		"an id that leads out": {
			bundle: byHand(t, indexPart(t, 1, artifact.BundledArtifact{SHA256: "../../x"}), file("sha256/../../x", kernel)),
			want:   "netboot-bundle.json: artifacts[0] can't be right: " + damaged,
		},
		"a size below zero": {
			bundle: byHand(t, indexPart(t, 1, artifact.BundledArtifact{SHA256: digest(kernel), Size: -1})),
			want:   "netboot-bundle.json: artifacts[0] can't be right: " + damaged,
		},
		"a size beyond all limits": {
			bundle: byHand(t, indexPart(t, 1, artifact.BundledArtifact{SHA256: digest(kernel), Size: 1 << 40})),
			want:   id + " has 1099511627776 bytes, more than 17179869184, the limit for an artifact",
		},
		"a digest twice in the index": {bundle: byHand(t, indexPart(t, 1, listed, listed)), want: "netboot-bundle.json: artifacts[1] can't be right: " + damaged},
		"null in the index":           {bundle: byHand(t, file("netboot-bundle.json", `{"version":1,"artifacts":[null]}`)), want: "netboot-bundle.json: artifacts[0] can't be right: " + damaged},
		"a file missing":              {bundle: byHand(t, good), want: "ends though 1 artifacts are still to come: " + damaged},
		"another digest":              {bundle: byHand(t, good, file(id, strings.ToUpper(kernel))), want: id + ": the bytes have another digest: " + damaged},
		"another size":                {bundle: byHand(t, good, file(id, kernel+"!")), want: fmt.Sprintf("%q with 20 bytes is not what netboot-bundle.json lists: %s", id, damaged)},
		"a link": {
			bundle: byHand(t, good, part{tar.Header{Typeflag: tar.TypeSymlink, Name: id, Linkname: "/etc/passwd"}, ""}),
			want:   fmt.Sprintf("%q with 0 bytes is not what netboot-bundle.json lists: %s", id, damaged),
		},
		"a file too much":     {bundle: byHand(t, good, file(id, kernel), file("sha256/"+digest(initrd), initrd)), want: "is not what netboot-bundle.json lists: " + damaged, arrives: true},
		"a file twice":        {bundle: byHand(t, good, file(id, kernel), file(id, kernel)), want: "is not what netboot-bundle.json lists: " + damaged, arrives: true},
		"a path that is out":  {bundle: byHand(t, good, file("../../../tmp/x", kernel)), want: `"../../../tmp/x" with 19 bytes is not what netboot-bundle.json lists: ` + damaged},
		"a path from the top": {bundle: byHand(t, good, file("/etc/x", kernel)), want: `"/etc/x" with 19 bytes is not what netboot-bundle.json lists: ` + damaged},
		"something behind":    {bundle: append(bundled(t, kernel), 'x'), want: "something follows the end: " + damaged, arrives: true},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			_, err := load(t, tc.bundle, dir)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("LoadBundle() error is %v, want %q", err, tc.want)
			}
			if tc.arrives {
				wantFiles(t, dir, id)
			} else {
				wantFiles(t, dir)
			}
		})
	}
}

func TestWriteBundleOfWhatIsNotThere(t *testing.T) {
	s := newStore(t, artifact.Options{})
	err := s.WriteBundle(t.Context(), io.Discard, artifact.Bundle([]*index.Artifact{verified(kernel, "http://mirror/x")}))
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("WriteBundle() error is %v, want %v", err, fs.ErrNotExist)
	}
}
