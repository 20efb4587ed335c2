// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package artifact

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
)

// Bounds of the search for a file in layers.
const (
	maxLayerEntries = 1 << 21
	maxLayerLinks   = 16 // followed on the way to a file
	// maxLayerRatio is how much larger than the largest artifact the layers of an image may be in all, unpacked.
	maxLayerRatio = 4

	whiteoutPrefix = ".wh."
	whiteoutOpaque = ".wh..wh..opq"
)

// A layerOpener opens the layer with that number, the lowest being 0, as it is stored.
type layerOpener func(number int) (io.ReadCloser, error)

// A layerFile is a file in a layer.
type layerFile struct {
	io.Reader       // its bytes
	size      int64 // how many these are
	layer     io.ReadCloser
}

// errNoFile is the error of a search that found nothing.
var errNoFile = errors.New("no such file")

// A layerSearch looks for a file in layers as if they were put on each other: what is higher hides what is below.
type layerSearch struct {
	ctx     context.Context
	open    layerOpener
	count   int   // of layers
	bytes   int64 // unpacked, that may still be read
	entries int   // that may still be read
	whole   bool  // layers are read to their end, where their digest shows
}

// find returns the file at a clean path. The caller closes its layer.
func (s *layerSearch) find(asked string) (*layerFile, error) {
	want := asked
	number, folders := s.count-1, map[string]bool{}
	for links := 0; number >= 0; {
		step, err := s.scan(number, want, folders)
		if err != nil {
			return nil, fmt.Errorf("layer %d: %w", number+1, err)
		}
		switch {
		case step.file != nil:
			return step.file, nil
		case step.link != "":
			if links++; links > maxLayerLinks {
				return nil, fmt.Errorf("%q: more than %d links", asked, maxLayerLinks)
			}
			want, folders = step.link, map[string]bool{}
			if !step.hard {
				number = s.count - 1
			}
		case step.hidden:
			return nil, fmt.Errorf("%q: %w, layer %d removed it", want, errNoFile, number+1)
		default:
			number--
		}
	}
	return nil, fmt.Errorf("%q: %w", want, errNoFile)
}

// A layerStep is what one layer says about a path. The zero value: nothing.
type layerStep struct {
	file   *layerFile
	link   string // the file is there instead
	hard   bool   // link is a hard one: to the same layer
	hidden bool   // what is below doesn't count
}

// scan reads one layer. folders are the folders above want that a higher layer has, to which scan adds.
func (s *layerSearch) scan(number int, want string, folders map[string]bool) (step layerStep, err error) {
	stored, err := s.open(number)
	if err != nil {
		return step, err
	}
	defer func() {
		if step.file != nil {
			return
		}
		if s.whole && err == nil {
			_, err = io.Copy(io.Discard, stored)
		}
		_ = stored.Close() // it was only read
	}()
	plain, err := unpack(stored)
	if err != nil {
		return step, err
	}
	var above []string // folders of this layer
	for entries := tar.NewReader(&layerReader{s, plain}); ; {
		h, err := entries.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return step, fmt.Errorf("is not a tar file that can be read: %w", err)
		}
		if s.entries--; s.entries < 0 {
			return step, fmt.Errorf("more than %d files in all layers", maxLayerEntries)
		}
		name := clean(h.Name)
		switch {
		case hides(name, want):
			step.hidden = true
		case name == want:
			return s.arrive(h, entries, stored, name)
		case !strings.HasPrefix(want, name+"/"):
		case h.Typeflag == tar.TypeDir:
			above = append(above, name)
		case h.Typeflag == tar.TypeSymlink && !folders[name]:
			return layerStep{link: clean(path.Join(target(name, h.Linkname), strings.TrimPrefix(want, name)))}, nil
		default: // something that is no folder hides what is below it
			step.hidden = true
		}
	}
	for _, name := range above {
		folders[name] = true
	}
	return step, nil
}

// arrive says what the entry at the path itself is.
func (s *layerSearch) arrive(h *tar.Header, entries *tar.Reader, stored io.ReadCloser, name string) (layerStep, error) {
	switch h.Typeflag {
	case tar.TypeReg:
		return layerStep{file: &layerFile{Reader: entries, size: h.Size, layer: stored}}, nil
	case tar.TypeLink:
		if to := clean(h.Linkname); to != name {
			return layerStep{link: to, hard: true}, nil
		}
	case tar.TypeSymlink:
		return layerStep{link: target(name, h.Linkname)}, nil
	}
	return layerStep{}, fmt.Errorf("%q is not a regular file", name)
}

// hides says whether an entry is a whiteout of what is below, at want or above it.
func hides(name, want string) bool {
	dir, base := path.Split(name)
	if base == whiteoutOpaque {
		return strings.HasPrefix(want, dir)
	}
	gone, ok := strings.CutPrefix(base, whiteoutPrefix)
	return ok && gone != "" && (want == dir+gone || strings.HasPrefix(want, dir+gone+"/"))
}

// clean returns the path of an entry from the top, without ".." and slashes around it.
func clean(name string) string { return strings.TrimPrefix(path.Clean("/"+name), "/") }

// target returns where a symbolic link leads. No link leads out of the layers.
func target(name, to string) string {
	if path.IsAbs(to) {
		return clean(to)
	}
	return clean(path.Join("/", path.Dir(name), to))
}

// unpack returns the tar file of a layer. What it is packed with shows in its first bytes: media types may say otherwise.
func unpack(stored io.Reader) (io.Reader, error) {
	r := bufio.NewReaderSize(stored, 64<<10)
	magic, err := r.Peek(4)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	switch {
	case bytes.HasPrefix(magic, []byte{0x1f, 0x8b}):
		return gzip.NewReader(r)
	case bytes.Equal(magic, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		return nil, errors.New("is packed with zstd, which is not read by this version: push the image with gzip")
	}
	return r, nil
}

// A layerReader counts what is read of all layers, and ends with the context of the search.
type layerReader struct {
	search *layerSearch
	from   io.Reader
}

func (r *layerReader) Read(b []byte) (int, error) {
	s := r.search
	if err := s.ctx.Err(); err != nil {
		return 0, context.Cause(s.ctx)
	}
	if s.bytes <= 0 {
		return 0, errors.New("the layers are too large, unpacked")
	}
	n, err := r.from.Read(b[:min(int64(len(b)), s.bytes)])
	s.bytes -= int64(n)
	return n, err
}
