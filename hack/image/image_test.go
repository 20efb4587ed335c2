// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"archive/tar"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

// loaderTime is when the stand-in for a loader was made. HTTP clients see it.
func loaderTime() time.Time { return time.Unix(1500000000, 0) }

// sample prepares a build of two platforms with stand-ins of a line each, below dir.
func sample(t *testing.T, dir string, umask os.FileMode) build {
	t.Helper()
	put := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o777&^umask); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, time.Time{}, loaderTime()); err != nil {
			t.Fatal(err)
		}
		return path
	}
	put("tree/usr/share/netboot/loaders/bios/pxelinux.0", "a loader")
	put("tree/usr/share/doc/pxelinux/copyright", "GPL")
	put("licences/modules/example.org/a@v1.0.0/LICENSE", "MIT")
	return build{
		release:  release{version: "v1.2.3", revision: "abc", created: time.Unix(1700000000, 0)},
		tree:     filepath.Join(dir, "tree"),
		licences: filepath.Join(dir, "licences"),
		programs: []platform{
			{architecture: "amd64", program: put("netboot-amd64", "a program")},
			{architecture: "arm64", program: put("netboot-arm64", "another program")},
		},
	}
}

// An entry is what a test wants to know of a file in an image.
type entry struct {
	Mode       int64
	Owner      int
	Modified   time.Time
	Content    string
	Capability string
}

// unpack returns all files of an image, those of later layers over those of earlier ones.
func unpack(t *testing.T, image v1.Image) map[string]entry {
	t.Helper()
	layers, err := image.Layers()
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]entry{}
	for _, l := range layers {
		content, err := l.Uncompressed()
		if err != nil {
			t.Fatal(err)
		}
		for r := tar.NewReader(content); ; {
			header, err := r.Next()
			if errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatal(err)
			}
			text, err := io.ReadAll(r)
			if err != nil {
				t.Fatal(err)
			}
			if header.Gid != header.Uid {
				t.Errorf("%s: user %d, group %d, want the same", header.Name, header.Uid, header.Gid)
			}
			all[header.Name] = entry{
				Mode: header.Mode, Owner: header.Uid, Modified: header.ModTime.UTC(), Content: string(text),
				Capability: header.PAXRecords["SCHILY.xattr.security.capability"],
			}
		}
	}
	return all
}

// read opens a layout that holds one index, and returns the images by platform.
func read(t *testing.T, dir string) (v1.Hash, map[string]v1.Image) {
	t.Helper()
	top, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		t.Fatal(err)
	}
	entries, err := top.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	if len(entries.Manifests) != 1 {
		t.Fatalf("%d entries in index.json, want one, the image's index: tools push what it names", len(entries.Manifests))
	}
	digest := entries.Manifests[0].Digest
	index, err := top.ImageIndex(digest)
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := index.IndexManifest()
	if err != nil {
		t.Fatal(err)
	}
	images := map[string]v1.Image{}
	for _, m := range manifest.Manifests {
		if images[m.Platform.String()], err = index.Image(m.Digest); err != nil {
			t.Fatal(err)
		}
	}
	return digest, images
}

func write(t *testing.T, b build) (dir string, digest v1.Hash) {
	t.Helper()
	dir = t.TempDir()
	digest, err := b.write(dir)
	if err != nil {
		t.Fatal(err)
	}
	return dir, digest
}

func TestImage(t *testing.T) {
	b := sample(t, t.TempDir(), 0o22)
	dir, digest := write(t, b)
	top, err := layout.ImageIndexFromPath(filepath.Join(dir, "oci"))
	if err != nil {
		t.Fatal(err)
	}
	if err := validate.Index(top); err != nil {
		t.Errorf("the layout is not valid: %v", err)
	}
	gotDigest, images := read(t, filepath.Join(dir, "oci"))
	if gotDigest != digest {
		t.Errorf("the layout holds %v, write() returned %v", gotDigest, digest)
	}
	if len(images) != 2 {
		t.Errorf("%d platforms, want two", len(images))
	}
	for architecture, program := range map[string]string{"amd64": "a program", "arm64": "another program"} {
		t.Run(architecture, func(t *testing.T) {
			image := images["linux/"+architecture]
			if image == nil {
				t.Fatal("the index has no image for it")
			}
			checkConfig(t, image, architecture, b.release)
			checkFiles(t, unpack(t, image), program, b.release)

			tag, err := name.NewTag("ghcr.io/netboot-operator/netboot-operator:v1.2.3")
			if err != nil {
				t.Fatal(err)
			}
			archive, err := tarball.ImageFromPath(filepath.Join(dir, "netboot-operator-"+architecture+".tar"), &tag)
			if err != nil {
				t.Fatal(err)
			}
			if err := validate.Image(archive); err != nil {
				t.Errorf("the archive is not valid: %v", err)
			}
			want, err := image.ConfigName()
			if err != nil {
				t.Fatal(err)
			}
			if got, err := archive.ConfigName(); err != nil || got != want {
				t.Errorf("the archive's configuration is %v (%v), the layout's %v", got, err, want)
			}
		})
	}
}

func checkConfig(t *testing.T, image v1.Image, architecture string, r release) {
	t.Helper()
	got, err := image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	if got.OS != "linux" || got.Architecture != architecture {
		t.Errorf("platform %s/%s, want linux/%s", got.OS, got.Architecture, architecture)
	}
	if !got.Created.Equal(r.created) {
		t.Errorf("created %v, want %v", got.Created, r.created)
	}
	want := v1.Config{Entrypoint: []string{"/netboot"}, User: "65532:65532", WorkingDir: "/", Labels: labels(r)}
	if diff := cmp.Diff(want, got.Config); diff != "" {
		t.Errorf("configuration (-want +got):\n%s", diff)
	}
	for label, value := range got.Config.Labels {
		if value == "" {
			t.Errorf("label %s is empty", label)
		}
	}
	if len(got.History) != len(got.RootFS.DiffIDs) {
		t.Errorf("%d entries of history for %d layers", len(got.History), len(got.RootFS.DiffIDs))
	}
}

func checkFiles(t *testing.T, files map[string]entry, program string, r release) {
	t.Helper()
	for path, want := range map[string]entry{
		"netboot": {
			Mode: 0o755, Modified: r.created.UTC(), Content: program,
			// What setcap cap_net_bind_service+ep writes.
			Capability: "\x01\x00\x00\x02\x00\x04\x00\x00" + strings.Repeat("\x00", 12),
		},
		"usr/share/netboot/loaders/bios/pxelinux.0": {Mode: 0o644, Modified: loaderTime().UTC(), Content: "a loader"},
		"usr/share/doc/pxelinux/copyright":          {Mode: 0o644, Modified: loaderTime().UTC(), Content: "GPL"},
		"usr/share/doc/netboot-operator/modules/example.org/a@v1.0.0/LICENSE": {
			Mode: 0o644, Modified: r.created.UTC(), Content: "MIT",
		},
		"usr/share/":                {Mode: 0o755, Modified: time.Unix(0, 0).UTC()},
		"var/lib/netboot-operator/": {Mode: 0o750, Owner: 65532, Modified: r.created.UTC()},
		"run/netboot/":              {Mode: 0o750, Owner: 65532, Modified: r.created.UTC()},
	} {
		got, ok := files[path]
		if !ok {
			t.Errorf("no %s in the image", path)
		} else if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", path, diff)
		}
	}
	for path, got := range files {
		if isFolder := strings.HasSuffix(path, "/"); !isFolder && got.Mode&0o111 != 0 && path != "netboot" {
			t.Errorf("%s can be executed: nothing but the program should", path)
		}
		if got.Mode&0o022 != 0 {
			t.Errorf("%s can be written to by others, mode %o", path, got.Mode)
		}
	}
	if passwd := files["etc/passwd"].Content; !strings.Contains(passwd, "nonroot:x:65532:65532:") {
		t.Errorf("no user 65532 in /etc/passwd:\n%s", passwd)
	}
}

// TestSameInputSameImage writes the same twice, from another folder and by somebody with another umask; then with one byte
// more.
func TestSameInputSameImage(t *testing.T) {
	first, digest := write(t, sample(t, t.TempDir(), 0o22))
	second, again := write(t, sample(t, t.TempDir(), 0o77))
	if again != digest {
		t.Errorf("the same input gave %v and %v", digest, again)
	}
	for _, archive := range []string{"netboot-operator-amd64.tar", "netboot-operator-arm64.tar"} {
		var content [2]string
		for i, dir := range []string{first, second} {
			data, err := os.ReadFile(filepath.Join(dir, archive))
			if err != nil {
				t.Fatal(err)
			}
			content[i] = string(data)
		}
		if content[0] != content[1] {
			t.Errorf("the same input gave two different %s", archive)
		}
	}

	changed := sample(t, t.TempDir(), 0o22)
	if err := os.WriteFile(changed.programs[1].program, []byte("another program!"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, other := write(t, changed); other == digest {
		t.Error("another program gave the same digest")
	}
}

func TestWriteReplaces(t *testing.T) {
	b, dir := sample(t, t.TempDir(), 0o22), t.TempDir()
	if _, err := b.write(dir); err != nil {
		t.Fatal(err)
	}
	b.programs = b.programs[:1]
	want, err := b.write(dir)
	if err != nil {
		t.Fatal(err)
	}
	got, images := read(t, filepath.Join(dir, "oci"))
	if got != want || len(images) != 1 {
		t.Errorf("the layout holds %v with %d platforms, want the second one alone, %v", got, len(images), want)
	}
}

func TestBadInput(t *testing.T) {
	for name, tc := range map[string]struct {
		spoil   func(t *testing.T, b *build)
		wantErr string
	}{
		"a link among the loaders": {
			spoil: func(t *testing.T, b *build) {
				t.Helper()
				if err := os.Symlink("/etc/passwd", filepath.Join(b.tree, "link")); err != nil {
					t.Fatal(err)
				}
			},
			wantErr: "link is neither file nor folder",
		},
		"no loaders":           {spoil: func(_ *testing.T, b *build) { b.tree += "-gone" }, wantErr: "-tree: "},
		"no program":           {spoil: func(_ *testing.T, b *build) { b.programs[0].program += "-gone" }, wantErr: "image for amd64: "},
		"no licences":          {spoil: func(_ *testing.T, b *build) { b.licences += "-gone" }, wantErr: "-licences: "},
		"a version for no tag": {spoil: func(_ *testing.T, b *build) { b.release.version = "v1 2" }, wantErr: "-version=v1 2: "},
	} {
		t.Run(name, func(t *testing.T) {
			b := sample(t, t.TempDir(), 0o22)
			tc.spoil(t, &b)
			if _, err := b.write(t.TempDir()); err == nil || !strings.Contains(err.Error(), tc.wantErr) {
				t.Errorf("write() error = %v, want one with %q", err, tc.wantErr)
			}
		})
	}
}

func TestFlags(t *testing.T) {
	for name, tc := range map[string]struct {
		args    string
		wantErr string
	}{
		"none":                   {"", "is empty"},
		"no program":             {"-out o -version v1 -tree t -licences l", "want -program="},
		"a program for no Linux": {"-program windows/amd64=x", "want linux/ARCHITECTURE=FILE"},
		"a program without file": {"-program linux/amd64", "want linux/ARCHITECTURE=FILE"},
		"an argument":            {"-out o -version v1 -tree t -licences l -program linux/amd64=x y", `got ["y"]`},
	} {
		t.Run(name, func(t *testing.T) {
			if err := runImage(strings.Fields(tc.args)); err == nil || !strings.Contains(err.Error(), tc.wantErr) {
				t.Errorf("runImage(%s) error = %v, want one with %q", tc.args, err, tc.wantErr)
			}
		})
	}
}
