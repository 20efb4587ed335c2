// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"bufio"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// A content is a file that both servers serve, and what it holds.
type content struct {
	name   string
	data   []byte // the file, mapped
	sha256 string
}

// makeFile writes a file of random bytes into a folder, if none of this size is there, and maps it.
func makeFile(dir, name string, size int64) (*content, error) {
	path := filepath.Join(dir, name)
	if info, err := os.Stat(path); err != nil || info.Size() != size {
		if err := writeRandom(path, size); err != nil {
			return nil, err
		}
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // the mapping stays
	data, err := unix.Mmap(int(f.Fd()), 0, int(size), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("map %s: %w", path, err)
	}
	return &content{name: name, data: data, sha256: fmt.Sprintf("%x", sha256.Sum256(data))}, nil
}

func writeRandom(path string, size int64) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	random := rand.NewChaCha8([32]byte([]byte("the same bytes in each benchmark")))
	w := bufio.NewWriterSize(f, 1<<20)
	block := make([]byte, 1<<16)
	for left := size; left > 0 && err == nil; left -= int64(len(block)) {
		block = block[:min(left, int64(len(block)))]
		_, _ = random.Read(block) // never fails
		_, err = w.Write(block)
	}
	if err == nil {
		err = w.Flush()
	}
	if closed := f.Close(); err == nil {
		err = closed
	}
	return err
}
