// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package artifact_test

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"
)

// TestLoadBundleThatIsCut cuts a bundle at every byte.
func TestLoadBundleThatIsCut(t *testing.T) {
	bundle := bundled(t, kernel)
	end := len(bytes.TrimRight(bundle, "\x00")) // what follows are zeros: the last file is complete
	for length := range end {
		dir := t.TempDir()
		if _, err := load(t, bundle[:length], dir); err == nil {
			t.Fatalf("LoadBundle() of the first %d of %d bytes succeeded", length, len(bundle))
		}
		wantRight(t, dir)
	}
}

// TestLoadBundleWithAFlippedByte damages a bundle all over: it must fail, or not matter.
func TestLoadBundleWithAFlippedByte(t *testing.T) {
	bundle := bundled(t, kernel)
	for at := 0; at < len(bundle); at += 9 {
		damaged, dir := bytes.Clone(bundle), t.TempDir()
		damaged[at] ^= 0x55
		told, err := load(t, damaged, dir)
		if err == nil && len(told) != 1 {
			t.Fatalf("LoadBundle() succeeded with byte %d flipped, and told %q", at, told)
		}
		wantRight(t, dir)
	}
}

func FuzzLoad(f *testing.F) {
	id := "sha256/" + digest(kernel)
	text := fmt.Sprintf(`{"version":1,"artifacts":[{"sha256":%q,"size":%d}]}`, digest(kernel), len(kernel))
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, p := range []part{{tar.Header{Name: "netboot-bundle.json"}, text}, {tar.Header{Name: id}, kernel}} {
		p.header.Size = int64(len(p.content))
		if err := w.WriteHeader(&p.header); err != nil {
			f.Fatal(err)
		}
		if _, err := io.WriteString(w, p.content); err != nil {
			f.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	f.Add(bytes.ReplaceAll(b.Bytes(), []byte("sha256"), []byte("../../")))
	f.Fuzz(func(t *testing.T, bundle []byte) {
		top := t.TempDir()
		dir := filepath.Join(top, "cache")
		_, _ = load(t, bundle, dir)
		wantRight(t, dir)
		found, err := os.ReadDir(top)
		if err != nil || len(found) > 1 {
			t.Errorf("beside the cache: %v, %v", found, err)
		}
	})
}
