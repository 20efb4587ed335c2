// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestPrepare(t *testing.T) {
	for name, tc := range map[string]struct {
		assets     map[string]string // empty: the folder does not exist
		wantFound  bool
		wantKernel string
	}{
		"without assets, stand-ins take their place": {wantKernel: standInKernel},
		"assets are copied, and their digests are in the manifests": {
			assets:     map[string]string{"files/vmlinuz": "a kernel", "files/initrd.img": "an initrd", "loaders/pxelinux.0": "a loader"},
			wantFound:  true,
			wantKernel: "a kernel",
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for path, content := range tc.assets {
				write(t, filepath.Join(dir, "assets", path), content)
			}
			write(t, filepath.Join(dir, "samples/profile.yaml"), "sha256: "+digest([]byte(standInKernel))+"\n")
			write(t, filepath.Join(dir, "samples/kustomization.yaml"), "resources: [profile.yaml]\n")
			write(t, filepath.Join(dir, "out/manifests/old.yaml"), "of an earlier run")

			found, err := prepare(filepath.Join(dir, "out"), filepath.Join(dir, "assets"), filepath.Join(dir, "samples"))

			if err != nil || found != tc.wantFound {
				t.Errorf("prepare() = %v, %v, want %v and no error", found, err, tc.wantFound)
			}
			if got := read(t, filepath.Join(dir, "out/files/vmlinuz")); got != tc.wantKernel {
				t.Errorf("vmlinuz is %q, want %q", got, tc.wantKernel)
			}
			read(t, filepath.Join(dir, "out/loaders/pxelinux.0"))
			manifests, err := filepath.Glob(filepath.Join(dir, "out/manifests/*"))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]string{filepath.Join(dir, "out/manifests/profile.yaml")}, manifests); diff != "" {
				t.Errorf("manifests (-want +got):\n%s", diff)
			}
			want := "sha256: " + digest([]byte(tc.wantKernel)) + "\n"
			if diff := cmp.Diff(want, read(t, filepath.Join(dir, "out/manifests/profile.yaml"))); diff != "" {
				t.Errorf("profile.yaml (-want +got):\n%s", diff)
			}
		})
	}
}

func TestPrepareNamesTheMissingFile(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "assets/files/vmlinuz"), "a kernel, and nothing else")

	_, err := prepare(filepath.Join(dir, "out"), filepath.Join(dir, "assets"), filepath.Join(dir, "samples"))

	if err == nil || !strings.Contains(err.Error(), "loaders") {
		t.Errorf("prepare() error = %v, want one about the loaders", err)
	}
}

func write(t *testing.T, file, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, file string) string {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}
