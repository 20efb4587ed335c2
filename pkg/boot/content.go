// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package boot

import (
	"bytes"
	"fmt"
	"os"
	"path"
	"strings"

	"github.com/netboot-operator/netboot-operator/pkg/artifact"
	"github.com/netboot-operator/netboot-operator/pkg/index"
)

// text is Content made for one request.
type text struct {
	*bytes.Reader

	bytes []byte
}

func (text) Close() error { return nil }

func newText(b []byte, contentType string) *File {
	return &File{Content: text{bytes.NewReader(b), b}, Size: int64(len(b)), ContentType: contentType}
}

// contentType tells by the name. UEFI HTTP Boot decides by it whether a download is a program or a disk image (UEFI
// 2.10, 24.7.2).
func contentType(name string) string {
	name = strings.TrimSuffix(strings.ToLower(name), ".signed")
	switch path.Ext(name) {
	case ".efi":
		return "application/efi"
	case ".iso":
		return "application/vnd.efi-iso"
	case ".img":
		return "application/vnd.efi-img"
	case ".cfg", ".ipxe", ".lst", ".txt":
		return "text/plain; charset=utf-8"
	}
	return "application/octet-stream"
}

// artifactFile is the answer that an artifact makes. A digest names it for ever, so clients may keep it; without one, the
// bytes behind its URL may change.
func artifactFile(f *artifact.File, id index.ID, name string) *File {
	etag := string(id)
	if !strings.HasPrefix(etag, "sha256/") {
		etag = fmt.Sprintf("%s-%x-%x", id, f.Size(), f.ModTime().UnixNano())
	}
	return &File{
		Content:     f,
		Size:        f.Size(),
		ModTime:     f.ModTime(),
		ContentType: contentType(name),
		ETag:        `"` + etag + `"`,
		identity:    etag,
	}
}

// loaderFile is the answer that a file of the loaders' folder makes.
func loaderFile(f *os.File) (*File, error) {
	info, err := f.Stat()
	if err != nil {
		_ = f.Close() // the error of Stat says more
		return nil, fmt.Errorf("open loader: %w", err)
	}
	return &File{
		Content: f, Size: info.Size(), ModTime: info.ModTime(), ContentType: contentType(info.Name()),
		identity: fmt.Sprintf("%s %d", f.Name(), info.ModTime().UnixNano()), // a file that was replaced is another
	}, nil
}
