// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

const (
	maxFileBytes = 3 << 20 // twice what the API server takes for one object, for files with many
	maxFiles     = 10_000
)

// A file is a manifest as read.
type file struct {
	name  string // relative to the folder, with slashes
	text  []byte
	fault string // why text could not be read; empty: it could
}

// readFiles reads the manifests below dir, in the order of their names. It calls visit with each folder before it looks
// into it. The error is about dir itself; what can't be read below is a file with a fault.
func readFiles(dir string, visit func(folder string)) ([]file, error) {
	root, err := filepath.EvalSymlinks(dir) // WalkDir does not enter a link
	if err != nil {
		return nil, err
	}
	var files []file
	err = filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		rel, _ := filepath.Rel(root, path) // can't fail below root
		name := filepath.ToSlash(rel)
		switch {
		case err != nil && path == root:
			return err
		case err != nil:
			files = append(files, file{name: name, fault: cause(err)})
			return nil
		case path != root && strings.HasPrefix(entry.Name(), "."):
			if entry.IsDir() {
				return fs.SkipDir
			}
			return nil
		case entry.IsDir():
			visit(path)
			return nil
		case !isManifest(entry.Name()):
			return nil
		case len(files) == maxFiles:
			fault := fmt.Sprintf("not read, nor what comes after: more than %d files", maxFiles)
			files = append(files, file{name: name, fault: fault})
			return fs.SkipAll
		}
		files = append(files, readFile(path, name)...)
		return nil
	})
	return files, err
}

func isManifest(name string) bool {
	return slices.Contains([]string{".yaml", ".yml", ".json"}, filepath.Ext(name)) &&
		name != "kustomization.yaml" && name != "kustomization.yml" // may lack a kind
}

// readFile returns the file, or nothing when path is not one: a folder, a pipe, or gone since it was listed.
func readFile(path, name string) []file {
	info, err := os.Stat(path)
	if err == nil && !info.Mode().IsRegular() {
		return nil
	}
	var text []byte
	if err == nil {
		text, err = readBounded(path)
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if _, err := os.Lstat(path); err != nil {
			return nil
		}
		return []file{{name: name, fault: "a link to a file that does not exist"}}
	case err != nil:
		return []file{{name: name, fault: cause(err)}}
	}
	return []file{{name: name, text: text}}
}

func readBounded(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	text, err := io.ReadAll(io.LimitReader(f, maxFileBytes+1))
	if err == nil && len(text) > maxFileBytes {
		err = fmt.Errorf("larger than %d bytes: split it", maxFileBytes)
	}
	return text, err
}

// cause returns an error's text without the path: that stands in the Problem, relative to the folder.
func cause(err error) string {
	if pathErr, ok := errors.AsType[*fs.PathError](err); ok {
		err = pathErr.Err
	}
	return err.Error()
}

// A digest tells the state of a folder.
type digest [sha256.Size]byte

func digestOf(files []file) digest {
	h := sha256.New()
	for _, f := range files {
		for _, part := range []string{f.name, string(f.text), f.fault} {
			_ = binary.Write(h, binary.BigEndian, int64(len(part))) // a hash takes everything
			_, _ = io.WriteString(h, part)
		}
	}
	return digest(h.Sum(nil))
}
