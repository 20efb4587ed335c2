// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package artifact

import (
	"io/fs"
	"os"
	"time"
)

// A File is an artifact's bytes, open for reading at any offset. It stays readable when the artifact is fetched again
// or removed meanwhile; when the bytes turn out to be damaged, it ends. Whoever opened it closes it. It can be given to
// http.ServeContent, which then uses sendfile.
type File struct {
	*os.File

	info    fs.FileInfo
	release func() // tells the Store that the file is not in use any more; nil: nobody wants to know
}

// newFile takes f over: it is closed when there is an error.
func newFile(f *os.File) (*File, error) {
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = &fs.PathError{Op: "open", Path: info.Name(), Err: fs.ErrInvalid}
	}
	if err != nil {
		_ = f.Close() // nothing was written
		return nil, err
	}
	return &File{File: f, info: info}, nil
}

// Close ends the use of the file.
func (f *File) Close() error {
	if f.release != nil {
		f.release()
	}
	return f.File.Close()
}

// Size returns the number of bytes.
func (f *File) Size() int64 { return f.info.Size() }

// ModTime returns when the bytes were written: for what is cached, when it was fetched.
func (f *File) ModTime() time.Time { return f.info.ModTime() }

// A stamp tells whether a file is still the one that was hashed.
type stamp struct {
	size    int64
	modTime int64 // ns since 1970
}

func stampOf(info fs.FileInfo) stamp { return stamp{info.Size(), info.ModTime().UnixNano()} }
