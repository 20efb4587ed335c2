// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package artifact

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"

	"github.com/netboot-operator/netboot-operator/pkg/index"
)

// The folders of the cache. The first two are also the first part of an index.ID.
const (
	kindVerified   = "sha256"
	kindUnverified = "unverified"
	folderPartial  = "partial"
)

// disk is the cache folder: complete files by id, and partial ones that nobody else sees.
type disk struct {
	root *os.Root
}

// openDisk makes the folder ready for use: it removes what interrupted downloads and unverified artifacts left, and
// proves that files can be made.
func openDisk(dir string) (*disk, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	d := &disk{root}
	if err := d.prepare(); err != nil {
		return nil, errors.Join(err, root.Close())
	}
	return d, nil
}

func (d *disk) prepare() error {
	for _, stale := range []string{folderPartial, kindUnverified} {
		if err := d.root.RemoveAll(stale); err != nil {
			return err
		}
	}
	for _, folder := range []string{kindVerified, kindUnverified, folderPartial} {
		if err := d.root.MkdirAll(folder, 0o755); err != nil {
			return err
		}
	}
	p, err := d.create()
	if err != nil {
		return err
	}
	return p.discard()
}

// open opens what is stored under id, which must be valid, whether or not it is what id says.
func (d *disk) open(id index.ID) (*File, error) {
	f, err := d.root.Open(string(id))
	if err != nil {
		return nil, err
	}
	return newFile(f)
}

// stat describes what is stored under id, which must be valid.
func (d *disk) stat(id index.ID) (fs.FileInfo, error) { return d.root.Stat(string(id)) }

// remove deletes what is stored under id, which must be valid.
func (d *disk) remove(id index.ID) error { return d.root.Remove(string(id)) }

// A partial is a file that is being written. It must be committed or discarded.
type partial struct {
	*os.File

	disk *disk
	name string
}

// create makes an empty partial file.
func (d *disk) create() (*partial, error) {
	name := path.Join(folderPartial, rand.Text())
	f, err := d.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return nil, err
	}
	return &partial{File: f, disk: d, name: name}, nil
}

// discard removes the file.
func (p *partial) discard() error {
	return errors.Join(p.Close(), p.disk.root.Remove(p.name))
}

// commit makes the file visible under id, complete and durable, and returns what it then looks like. When it fails, no
// partial file is left.
func (p *partial) commit(id index.ID) (fs.FileInfo, error) {
	err := errors.Join(p.Sync(), p.Close()) // a full disk may show here for the first time
	if err == nil {
		err = p.disk.root.Rename(p.name, string(id))
	}
	if err != nil {
		return nil, errors.Join(err, p.disk.root.Remove(p.name))
	}
	if err := p.disk.sync(path.Dir(string(id))); err != nil {
		return nil, err
	}
	return p.disk.stat(id) // not before: some file systems store times less exactly than they keep them in memory
}

// sync makes a rename into a folder durable.
func (d *disk) sync(folder string) error {
	f, err := d.root.Open(folder)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// close ends the use of the folder; files that are open stay so.
func (d *disk) close() error {
	if err := d.root.Close(); err != nil {
		return fmt.Errorf("close the artifact cache: %w", withoutPath(err))
	}
	return nil
}
