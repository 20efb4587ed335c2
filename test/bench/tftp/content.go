// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
)

// A content is a file that the servers serve, and what it holds.
type content struct {
	Name string
	Data []byte
}

// The files of the benchmark, by name.
const (
	file2K  = "f2k"  // a configuration
	file4K  = "f4k"  // a larger one
	file64K = "f64k" // a splash screen
	file256 = "f256k"
	fileEFI = "loader.efi" // the request for it has a usual length
	file1M  = "f1m"        // a loader
	file4M  = "f4m"        // a kernel for small machines
	file8M  = "f8m"        // a kernel
	file64M = "f64m"       // an initrd
)

func fileSizes() map[string]int {
	const kib, mib = 1 << 10, 1 << 20
	return map[string]int{
		file2K: 2 * kib, file4K: 4 * kib, file64K: 64 * kib, fileEFI: 64 * kib, file256: 256 * kib,
		file1M: mib, file4M: 4 * mib, file8M: 8 * mib, file64M: 64 * mib,
	}
}

// makeFile writes a file into a folder, if it is not there, and returns it. No eight bytes at a multiple of eight occur twice
// in it, so that a block in the wrong place shows.
func makeFile(dir, name string) (*content, error) {
	size, ok := fileSizes()[name]
	if !ok {
		return nil, fmt.Errorf("no file %q in the benchmark", name)
	}
	c := &content{Name: name, Data: make([]byte, 0, size)}
	for i := uint64(0); len(c.Data) < size; i++ {
		c.Data = binary.LittleEndian.AppendUint64(c.Data, scatter(i))
	}
	path := filepath.Join(dir, name)
	if there, err := os.ReadFile(path); err == nil && bytes.Equal(there, c.Data) {
		return c, nil
	}
	if err := os.WriteFile(path, c.Data, 0o644); err != nil {
		return nil, fmt.Errorf("write %s of %s bytes: %w", name, strconv.Itoa(size), err)
	}
	return c, nil
}

// scatter is a permutation of the numbers of 64 bits, without pattern: odd multipliers and shifts can be undone.
func scatter(x uint64) uint64 {
	x = (x + 1) * 0x9E3779B97F4A7C15
	x ^= x >> 29
	x *= 0xD1B54A32D192ED03
	return x ^ x>>32
}

// fullyCompared is the size up to which each byte is compared. Beyond it each sixteenth block is, and of the others the
// edges: comparing all of a large file costs the generator as much as receiving it.
const fullyCompared = 64 << 10

// differs says whether got is not what the file holds from an offset on; block counts from 1.
func (c *content) differs(got []byte, offset, block int64) bool {
	const edge = 32
	want := c.Data[offset : offset+int64(len(got))]
	if len(c.Data) <= fullyCompared || block%16 == 0 || len(got) <= 2*edge {
		return !bytes.Equal(got, want)
	}
	tail := len(got) - edge
	return !bytes.Equal(got[:edge], want[:edge]) || !bytes.Equal(got[tail:], want[tail:])
}
