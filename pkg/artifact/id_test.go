// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package artifact_test

import (
	"errors"
	"io/fs"
	"regexp"
	"strings"
	"testing"

	"github.com/netboot-operator/netboot-operator/pkg/artifact"
	"github.com/netboot-operator/netboot-operator/pkg/index"
)

// hostileIDs returns what a request may hold instead of an id.
func hostileIDs() map[string]string {
	return map[string]string{
		"nothing":                  "",
		"a folder":                 "sha256",
		"a folder with a slash":    "sha256/",
		"up":                       "../..",
		"up from a folder":         "sha256/../x",
		"up, as long as a digest":  "sha256/../" + strings.Repeat("x", 61),
		"up to the secret":         "sha256/../../secret",
		"the secret, absolute":     "/etc/passwd",
		"upper case":               "sha256/" + strings.ToUpper(digest(kernel)),
		"upper case folder":        "SHA256/" + digest(kernel),
		"one digit less":           "sha256/" + digest(kernel)[1:],
		"one digit more":           "sha256/" + digest(kernel) + "0",
		"a path below":             "sha256/" + digest(kernel) + "/x",
		"two slashes":              "sha256//" + digest(kernel),
		"another kind":             "partial/" + digest(kernel),
		"a final NUL":              "sha256/" + digest(kernel)[1:] + "\x00",
		"a final newline":          "sha256/" + digest(kernel) + "\n",
		"digits of another script": "sha256/" + strings.Repeat("١", 32),
		"long":                     "sha256/" + strings.Repeat("a", 1<<20),
		"unknown":                  "sha256/" + digest("unknown"),
		"unknown and unverified":   "unverified/" + digest("unknown"),
	}
}

func TestOpenCachedRefusesHostileIDs(t *testing.T) {
	dir := t.TempDir()
	write(t, "secret", dir, "secret")
	write(t, kernel, dir, "cache", "sha256", digest(kernel))
	s := newStore(t, artifact.Options{Dir: dir + "/cache"})
	for name, id := range hostileIDs() {
		t.Run(name, func(t *testing.T) {
			f, err := s.OpenCached(index.ID(id))
			if !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("OpenCached() = %v, %v, want %v", f, err, fs.ErrNotExist)
			}
			if err != nil && (strings.Contains(err.Error(), dir) || len(err.Error()) > 200) {
				t.Errorf("OpenCached() error tells too much: %v", err)
			}
			if got := s.State(index.ID(id)); got != (artifact.State{}) {
				t.Errorf("State() = %v, want nothing", got)
			}
		})
	}
}

func FuzzOpenCachedID(f *testing.F) {
	for _, id := range hostileIDs() {
		f.Add(id)
	}
	good := "sha256/" + digest(kernel)
	f.Add(good)
	dir := f.TempDir()
	s, err := artifact.New(artifact.Options{Dir: dir})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = s.Close() })
	form := regexp.MustCompile(`^sha256/[0-9a-f]{64}$`)
	f.Fuzz(func(t *testing.T, id string) {
		if id == good {
			write(t, kernel, dir, good)
		}
		file, err := s.OpenCached(index.ID(id))
		switch {
		case err == nil && !form.MatchString(id):
			t.Errorf("OpenCached(%q) opened something", id)
		case err == nil:
			wantContent(t, file, err, kernel)
		case !errors.Is(err, fs.ErrNotExist):
			t.Errorf("OpenCached(%q) error = %v, want %v", id, err, fs.ErrNotExist)
		}
	})
}
