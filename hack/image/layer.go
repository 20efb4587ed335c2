// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"archive/tar"
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// capNetBindService is the number of CAP_NET_BIND_SERVICE (linux/capability.h): ports below 1024.
const capNetBindService = 10

// A file goes into a layer. Folders above it are made.
type file struct {
	name       string // without a leading slash; with one at the end it is a folder
	mode       int64
	owner      int // user and group
	modified   time.Time
	content    []byte
	capability uint // the number of a capability that the program gets when it is started by anybody; 0: none
}

// fileCapability returns the extended attribute security.capability that permits one capability and makes it effective: the
// kernel's struct vfs_cap_data of revision 2, which is little-endian everywhere.
func fileCapability(number uint) string {
	const revision2, effective = 0x02000000, 1
	value := make([]byte, 20)
	binary.LittleEndian.PutUint32(value[0:], revision2|effective)
	binary.LittleEndian.PutUint32(value[4:], uint32(uint64(1)<<number))      // permitted, 0 to 31; inheritable follows
	binary.LittleEndian.PutUint32(value[12:], uint32(uint64(1)<<number>>32)) // permitted, 32 to 63; inheritable follows
	return string(value)
}

// tree returns the files below a folder of this machine. Their times are kept, since HTTP clients see those of loaders;
// modes and owners are the image's.
func tree(dir string) ([]file, error) {
	var files []file
	err := filepath.WalkDir(dir, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		if !entry.Type().IsRegular() {
			return fmt.Errorf("%s is neither file nor folder: the image's loaders are served from within one folder", name)
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		content, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		below, err := filepath.Rel(dir, name)
		if err != nil {
			return err
		}
		files = append(files, file{name: filepath.ToSlash(below), mode: 0o644, modified: info.ModTime(), content: content})
		return nil
	})
	return files, err
}

// withFolders returns files and the folders above them, sorted by name.
func withFolders(files []file) []file {
	known := map[string]bool{".": true}
	for _, f := range files {
		known[strings.TrimSuffix(f.name, "/")] = true
	}
	all := slices.Clone(files)
	for _, f := range files {
		for above := path.Dir(strings.TrimSuffix(f.name, "/")); !known[above]; above = path.Dir(above) {
			known[above] = true
			all = append(all, file{name: above + "/", mode: 0o755, modified: time.Unix(0, 0)})
		}
	}
	slices.SortFunc(all, func(a, b file) int { return cmp.Compare(a.name, b.name) })
	return all
}

// layer packs files.
func layer(files []file) (v1.Layer, error) {
	var packed bytes.Buffer
	w := tar.NewWriter(&packed)
	for _, f := range withFolders(files) {
		header := &tar.Header{
			Format: tar.FormatPAX, Typeflag: tar.TypeReg, Name: f.name, Mode: f.mode, Uid: f.owner, Gid: f.owner,
			Size: int64(len(f.content)), ModTime: f.modified.Truncate(time.Second),
		}
		if strings.HasSuffix(f.name, "/") {
			header.Typeflag = tar.TypeDir
		}
		if f.capability != 0 {
			header.PAXRecords = map[string]string{"SCHILY.xattr.security.capability": fileCapability(f.capability)}
		}
		if err := w.WriteHeader(header); err != nil {
			return nil, fmt.Errorf("pack %s: %w", f.name, err)
		}
		if _, err := w.Write(f.content); err != nil {
			return nil, fmt.Errorf("pack %s: %w", f.name, err)
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	open := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(packed.Bytes())), nil }
	return tarball.LayerFromOpener(open, tarball.WithMediaType(types.OCILayer), tarball.WithCompressedCaching)
}
