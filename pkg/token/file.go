// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package token

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// LoadFile reads the key in a file. When there is no file, it makes one with a new key, as a whole or not at all, which
// only its owner can read; if another process does the same just then, both get the same key.
func LoadFile(path string) (Key, error) {
	for {
		text, err := os.ReadFile(path)
		if err == nil {
			k, err := ParseKey(text)
			if err != nil {
				return Key{}, fmt.Errorf("read the key in %s: %w; or remove the file: the next start makes another", path, err)
			}
			return k, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return Key{}, fmt.Errorf("read the key of tokens: %w", err)
		}
		if err := writeFile(path, append(NewKey().Text(), '\n')); err != nil && !errors.Is(err, fs.ErrExist) {
			return Key{}, fmt.Errorf("write the key of tokens: %w", err)
		}
	}
}

// writeFile makes a file with all of its content. The error is fs.ErrExist if there is one already.
func writeFile(path string, content []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".new-*") // mode 0600
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(f.Name()) }() // at worst it stays, unused
	_, err = f.Write(content)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Link(f.Name(), path) // unlike a rename it replaces nothing
}
