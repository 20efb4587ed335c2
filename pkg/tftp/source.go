// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package tftp

import (
	"errors"
	"fmt"
	"io"

	"github.com/pin/tftp/v3/netascii"
)

// A source fills p with the given block, counted from 1 and len(p) bytes long, and returns how many bytes it has. Only
// the last block is shorter than p.
type source func(p []byte, block int64) (int, error)

// newSource returns the blocks of a file of the given size in the form that mode asks for. A block may be read again as
// long as it is less than a window behind the furthest one that was read.
func newSource(f io.ReaderAt, size int64, mode Mode, window int) source {
	if mode == NetASCII {
		return textBlocks(f, size, window)
	}
	return fileBlocks(f, size)
}

func fileBlocks(f io.ReaderAt, size int64) source {
	return func(p []byte, block int64) (int, error) {
		at := (block - 1) * int64(len(p))
		want := int(min(int64(len(p)), size-at))
		if want == 0 {
			return 0, nil
		}
		if n, err := f.ReadAt(p[:want], at); n < want {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return 0, fmt.Errorf("read %d bytes at %d of %d: %w", want, at, size, err)
		}
		return want, nil
	}
}

// textBlocks converts a file to netascii as it goes. Where a block begins in the file depends on all before it, so that
// it can't go back in the file; it keeps a window of converted blocks instead.
func textBlocks(f io.ReaderAt, size int64, window int) source {
	text := netascii.ToReader(io.NewSectionReader(f, 0, size))
	kept := make([][]byte, window)
	next := int64(1)
	return func(p []byte, block int64) (int, error) {
		slot := &kept[block%int64(window)]
		if block == next {
			n, err := io.ReadFull(text, p)
			if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
				return 0, fmt.Errorf("convert to netascii: %w", err)
			}
			*slot = append((*slot)[:0], p[:n]...)
			next++
		}
		return copy(p, *slot), nil
	}
}
