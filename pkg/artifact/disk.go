// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package artifact

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"
	"syscall"
	"time"

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
	users
}

// openDisk makes the folder ready for use: it removes unverified artifacts and what can't be gone on with, unless another Store
// is at work there, and proves that files can be made.
func openDisk(dir string) (*disk, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	d := &disk{root, users{root: root}}
	if err := d.prepare(); err != nil {
		return nil, errors.Join(err, d.close())
	}
	return d, nil
}

func (d *disk) prepare() error {
	if err := d.join(); err != nil {
		return err
	}
	alone := d.alone()
	if alone {
		if err := d.root.RemoveAll(kindUnverified); err != nil {
			return err
		}
	}
	for _, folder := range []string{kindVerified, kindUnverified, folderPartial} {
		if err := d.root.MkdirAll(folder, 0o755); err != nil {
			return err
		}
	}
	if alone {
		if err := d.removeStale(); err != nil {
			return err
		}
	}
	probe := path.Join(folderPartial, "probe-"+d.name)
	f, err := d.root.OpenFile(probe, os.O_WRONLY|os.O_CREATE, 0o644)
	if isFull(err) {
		return nil // what is there can be served
	}
	if err != nil {
		return err
	}
	return errors.Join(f.Close(), d.root.Remove(probe))
}

// removeStale removes partial files, but for those that a fetch may go on with.
func (d *disk) removeStale() error {
	entries, err := fs.ReadDir(d.root.FS(), folderPartial)
	if err != nil {
		return err
	}
	for _, e := range entries {
		info, err := e.Info()
		digest := strings.TrimSuffix(e.Name(), notesSuffix)
		if err == nil && info.Mode().IsRegular() && validID(index.ID(kindVerified+"/"+digest)) && time.Since(info.ModTime()) < staleAfter {
			if digest == e.Name() {
				continue
			}
			if _, err := d.root.Stat(path.Join(folderPartial, digest)); err == nil {
				continue
			}
		}
		if err := d.root.RemoveAll(path.Join(folderPartial, e.Name())); err != nil {
			return err
		}
	}
	return nil
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

// commit makes a partial file visible under id, complete and durable, and returns what it then looks like. When it fails, no
// partial file is left. The file is closed.
func (d *disk) commit(f *os.File, name string, id index.ID) (fs.FileInfo, error) {
	err := f.Sync() // a full disk may show here for the first time
	if err == nil {
		err = d.root.Rename(name, string(id))
	}
	if err != nil {
		err = errors.Join(err, d.root.Remove(name))
	}
	if err = errors.Join(err, f.Close()); err != nil { // not before: it is locked
		return nil, err
	}
	if err := d.sync(path.Dir(string(id))); err != nil {
		return nil, err
	}
	return d.stat(id) // not before: some file systems store times less exactly than they keep them in memory
}

// sync makes a rename into a folder durable.
func (d *disk) sync(folder string) error {
	f, err := d.root.Open(folder)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// trash is where a file goes that is to be removed.
func (d *disk) trash(id index.ID) string {
	return path.Join(folderPartial, "trash-"+d.name+"-"+strings.ReplaceAll(string(id), "/", "-"))
}

// hide takes what is stored under id away, so that nobody opens it any more. It is quick; drop or shred do the rest.
func (d *disk) hide(id index.ID) error { return d.root.Rename(string(id), d.trash(id)) }

// drop removes what hide took away. Those who have it open can read on.
func (d *disk) drop(id index.ID) error { return d.root.RemoveAll(d.trash(id)) }

// shred removes what hide took away because it is damaged. Those who have it open find its end, rather than wrong bytes.
func (d *disk) shred(id index.ID) error {
	f, err := d.root.OpenFile(d.trash(id), os.O_WRONLY|os.O_TRUNC, 0)
	if err == nil {
		err = f.Close()
	}
	return errors.Join(err, d.drop(id))
}

// close ends the use of the folder; files that are open stay so.
func (d *disk) close() error {
	if err := errors.Join(d.leave(), d.root.Close()); err != nil {
		return fmt.Errorf("close the artifact cache: %w", withoutPath(err))
	}
	return nil
}

// isFull says whether an error is that of a disk, or of a quota, that is used up.
func isFull(err error) bool { return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) }
