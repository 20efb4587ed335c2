// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package index_test

import (
	"crypto/sha256"
	"encoding/hex"
	"io/fs"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/netboot-operator/netboot-operator/pkg/index"
)

func TestFileName(t *testing.T) {
	for name, tc := range map[string]struct{ url, want string }{
		"the last part of the path":           {url: "http://mirror/debian/vmlinuz-6.1", want: "vmlinuz-6.1"},
		"without the query":                   {url: "http://mirror/linux?token=a/b", want: "linux"},
		"without the fragment":                {url: "http://mirror/linux#a/b", want: "linux"},
		"without what a loader may interpret": {url: "http://mirror/a b'$(c);\"{d}%2e%2e", want: "abcd2e2e"},
		"without a dot at the start":          {url: "http://mirror/..hidden", want: "hidden"},
		"without a hyphen at the start":       {url: "http://mirror/--append", want: "append"},
		"nothing is left":                     {url: "http://mirror/%%%", want: "artifact"},
		"the parent folder":                   {url: "http://mirror/a/..", want: "artifact"},
		"no path: the host":                   {url: "http://mirror/", want: "mirror"},
		"the end of a long name": {
			url: "http://mirror/" + strings.Repeat("x", 60) + "linux.img", want: strings.Repeat("x", 55) + "linux.img",
		},
		"cut where a dot would come first": {
			url: "http://mirror/xx.." + strings.Repeat("y", 62), want: strings.Repeat("y", 62),
		},
	} {
		t.Run(name, func(t *testing.T) {
			a := index.Artifact{URLs: []string{tc.url}}
			if diff := cmp.Diff(tc.want, a.FileName()); diff != "" {
				t.Errorf("FileName() (-want +got):\n%s", diff)
			}
		})
	}
}

func TestPathTellsTheID(t *testing.T) {
	const url = "http://mirror/linux"
	digest := strings.Repeat("1", 64)
	sum := sha256.Sum256([]byte(url))
	for name, tc := range map[string]struct {
		artifact index.Artifact
		want     string
	}{
		"with a digest": {
			artifact: index.Artifact{URLs: []string{url}, SHA256: digest}, want: "/artifacts/sha256/" + digest + "/linux",
		},
		"without one: its URL": {
			artifact: index.Artifact{URLs: []string{url, "http://other/linux"}},
			want:     "/artifacts/unverified/" + hex.EncodeToString(sum[:]) + "/linux",
		},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, tc.artifact.Path()); diff != "" {
				t.Errorf("Path() (-want +got):\n%s", diff)
			}
		})
	}
}

// The path of an artifact can stand in every configuration as it is, whatever the URL holds.
func FuzzPath(f *testing.F) {
	for _, seed := range []string{
		"http://mirror/linux", "", "..", "/a/../..", "http://h/?/x", "http://h/\xff\x00", "http://h/-" + strings.Repeat(".", 64),
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, url string) {
		a := index.Artifact{URLs: []string{url}}
		const plain = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._+-"
		name := a.FileName()
		if name == "" || len(name) > 64 || strings.Trim(name, plain) != "" || name[0] == '.' || name[0] == '-' {
			t.Errorf("FileName() of %q = %q", url, name)
		}
		if p := a.Path(); !fs.ValidPath(strings.TrimPrefix(p, "/")) || strings.Count(p, "/") != 4 {
			t.Errorf("Path() of %q = %q", url, p)
		}
	})
}

func TestPlatform(t *testing.T) {
	profile := &index.Profile{Platforms: []index.Platform{{Architecture: "amd64"}, {Architecture: "arm64"}}}
	for name, tc := range map[string]struct {
		profile *index.Profile
		arch    index.Arch
		want    *index.Platform
	}{
		"by its architecture":                          {profile: profile, arch: "arm64", want: &profile.Platforms[1]},
		"the first when the architecture is not known": {profile: profile, want: &profile.Platforms[0]},
		"none for another architecture":                {profile: profile, arch: "riscv64"},
		"none in an empty profile":                     {profile: &index.Profile{}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := tc.profile.Platform(tc.arch); got != tc.want {
				t.Errorf("Platform(%q) = %v, want %v", tc.arch, got, tc.want)
			}
		})
	}
}
