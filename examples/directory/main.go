// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Directory serves the files of a folder, and nothing outside it.
//
//	go run ./examples/directory -address 127.0.0.1:6969 -dir /srv/tftp
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"path"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/netboot-operator/netboot-operator/pkg/tftp"
)

func main() {
	address := flag.String("address", ":69", "`ADDR:PORT` to serve at")
	dir := flag.String("dir", ".", "the `FOLDER` whose files are served")
	transfers := flag.Int("max-transfers", 0, "how many transfers may run at once; 0: the library's default")
	flag.Parse()
	if err := serve(*address, *dir, tftp.Options{MaxTransfers: *transfers}); err != nil {
		log.Fatal(err)
	}
}

func serve(address, dir string, o tftp.Options) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer func() { _ = root.Close() }() // it was only read
	return tftp.ListenAndServe(ctx, address, &directory{root}, o)
}

// A directory opens files below a folder. No name and no symbolic link leads out of it.
type directory struct{ root *os.Root }

// ServeTFTP implements tftp.Handler.
func (d *directory) ServeTFTP(_ context.Context, r *tftp.Request) (*tftp.Body, error) {
	name := "." + path.Clean("/"+strings.ReplaceAll(r.Name, `\`, "/"))
	info, err := d.root.Stat(name)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%q is not a file: %w", name, os.ErrNotExist)
	}
	f := &file{root: d.root, name: name, info: info}
	return &tftp.Body{
		File: f, Size: info.Size(), Closer: f, Name: name,
		Identity: name + " " + info.ModTime().String(), // when it is changed, it is another file
		FreshFor: time.Second,                          // so much later a change may be seen
	}, nil
}

// A file is opened when it is read, which it is not if the server has it in memory.
type file struct {
	root *os.Root
	name string
	info os.FileInfo

	mu   sync.Mutex
	open *os.File
}

// ReadAt implements io.ReaderAt. It fails when the file has become another since its size was told.
func (f *file) ReadAt(p []byte, at int64) (int, error) {
	opened, err := f.opened()
	if err != nil {
		return 0, err
	}
	return opened.ReadAt(p, at)
}

func (f *file) opened() (*os.File, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.open != nil {
		return f.open, nil
	}
	opened, err := f.root.Open(f.name)
	if err != nil {
		return nil, err
	}
	info, err := opened.Stat()
	if err == nil && (!os.SameFile(info, f.info) || info.ModTime() != f.info.ModTime()) {
		err = fmt.Errorf("%s was changed", f.name)
	}
	if err != nil {
		_ = opened.Close() // it was not read
		return nil, err
	}
	f.open = opened
	return opened, nil
}

// Close implements io.Closer.
func (f *file) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.open == nil {
		return nil
	}
	return f.open.Close()
}
