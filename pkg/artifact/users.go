// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package artifact

import (
	"crypto/rand"
	"errors"
	"io/fs"
	"os"
	"path"
	"strings"
	"syscall"
)

// folderUsers holds a file for each Store that has the folder open, locked by it: when a pod is replaced, the new process begins
// while the old one still drains. The lock ends with the process, however that ends.
const folderUsers = "users"

// users is how a Store finds out whether it is alone. Only then may it remove what another may need.
type users struct {
	root *os.Root
	name string   // of this Store, and part of the names of what it alone writes
	file *os.File // locked; nil: this Store can't be seen by others
}

// join makes this Store known. A full disk is no reason not to serve.
func (u *users) join() error {
	u.name = rand.Text()
	if err := u.root.MkdirAll(folderUsers, 0o755); err != nil && !isFull(err) {
		return err
	}
	// It gets its name when it is locked: without a lock it would be taken for that of a dead process.
	hidden := path.Join(folderUsers, ".new-"+u.name)
	f, err := u.root.OpenFile(hidden, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o644)
	if isFull(err) {
		return nil
	}
	if err != nil {
		return err
	}
	if err = lock(f); err == nil {
		err = u.root.Rename(hidden, path.Join(folderUsers, u.name))
	}
	if err != nil {
		return errors.Join(err, f.Close())
	}
	u.file = f
	return nil
}

// leave makes this Store unknown.
func (u *users) leave() error {
	if u.file == nil {
		return nil
	}
	_ = u.root.Remove(path.Join(folderUsers, u.name)) // whoever finds it sees that it is not locked
	return u.file.Close()
}

// alone says whether no other Store has the folder open. It removes what dead processes left.
func (u *users) alone() bool {
	entries, err := fs.ReadDir(u.root.FS(), folderUsers)
	if err != nil {
		return false
	}
	for _, e := range entries {
		if e.Name() == u.name || strings.HasPrefix(e.Name(), ".new-") {
			continue // one that has no name yet has no file yet that it relies on
		}
		name := path.Join(folderUsers, e.Name())
		f, err := u.root.Open(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue // it has just left
		}
		if err != nil {
			return false
		}
		err = lock(f)
		if err == nil {
			_ = u.root.Remove(name) // at worst it is found again
		}
		_ = f.Close() // nothing was written
		if err != nil {
			return false
		}
	}
	return true
}

// lock locks a file, or fails at once if somebody else has it locked. It is unlocked when the file is closed.
func lock(f *os.File) error { return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) }

// lockPartial opens the file of that name and locks it; flags may hold os.O_CREATE. It fails if another Store has it: that one
// writes, and may give it its final name at any time.
func (d *disk) lockPartial(name string, flags int) (*os.File, error) {
	f, err := d.root.OpenFile(name, flags|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	err = lock(f)
	if err == nil { // it may have been renamed or removed before the lock was had
		var mine, there fs.FileInfo
		mine, err = f.Stat()
		if err == nil {
			there, err = d.root.Stat(name)
		}
		if err == nil && !os.SameFile(mine, there) {
			err = fs.ErrNotExist
		}
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}
