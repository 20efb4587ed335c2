// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/sys/unix"
)

const (
	fileName = "boots"      // the records, a line each
	lockName = "boots.lock" // locked by each process that has the file open
	newName  = "boots.new"  // becomes the file when it is whole

	// compactAt is from which size on the file is made anew, in bytes, and keepsFor how many times larger than what is of use
	// it must then be: else it would be made anew again and again.
	compactAt = 4 << 20
	keepsFor  = 4
)

// A file is the records on disk. Each process that has it open only appends, a batch with one write, so that two may have it
// open at once; who is alone may replace it.
type file struct {
	dir  string
	lock *os.File

	batchMu sync.Mutex
	batch   *batch     // that the next records go into
	writing sync.Mutex // held while one is put on disk

	mu      sync.RWMutex // never held while something waits for a disk
	log     *os.File
	offset  int64 // up to which it was read
	damaged int
	useful  int64 // its size when it was made anew
}

// A batch is records that are put on disk together: many machines begin at once, and a disk takes its time for each sync.
type batch struct {
	content []byte
	done    bool
	err     error
}

// openFile opens the file in dir, which it makes if need be.
func openFile(dir string) (*file, error) {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, err
	}
	lock, err := os.OpenFile(filepath.Join(dir, lockName), os.O_CREATE|os.O_RDWR|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, err
	}
	f := &file{dir: dir, lock: lock}
	if err = unix.Flock(int(lock.Fd()), unix.LOCK_SH); err == nil { // who replaces the file does so in a moment
		f.log, err = f.openLog()
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", lockName, err), lock.Close())
	}
	return f, nil
}

func (f *file) openLog() (*os.File, error) {
	log, err := os.OpenFile(filepath.Join(f.dir, fileName), os.O_CREATE|os.O_RDWR|os.O_APPEND|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, err
	}
	return log, syncDir(f.dir) // else a file that is new may not be there after a power failure
}

func (f *file) close() error { return errors.Join(f.log.Close(), f.lock.Close()) }

// left returns how many lines were left out.
func (f *file) left() int {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.damaged
}

// add puts a record on disk, with those that others add meanwhile.
func (f *file) add(r record) error {
	f.batchMu.Lock()
	if f.batch == nil {
		f.batch = &batch{content: []byte("\n")} // ends what a process that was killed may have begun
	}
	b := f.batch
	content, err := appendLine(b.content, r)
	if err != nil {
		f.batchMu.Unlock()
		return err
	}
	b.content = content
	f.batchMu.Unlock()

	f.writing.Lock()
	defer f.writing.Unlock()
	if b.done { // by another one who had added to it
		return b.err
	}
	f.batchMu.Lock()
	f.batch = nil
	f.batchMu.Unlock()
	b.done, b.err = true, f.write(b.content)
	return b.err
}

func (f *file) write(content []byte) error {
	f.mu.RLock()
	log := f.log // it is only replaced by who holds f.writing
	f.mu.RUnlock()
	if _, err := log.Write(content); err != nil {
		return err
	}
	return log.Sync()
}

// grown says whether there is something to read.
func (f *file) grown() bool {
	f.mu.RLock()
	defer f.mu.RUnlock()
	info, err := f.log.Stat()
	return err == nil && info.Size() > f.offset
}

// read reads what is new. clear is called before if it reads from the start.
func (f *file) read(clear func(), take func(record)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.offset == 0 {
		clear()
	}
	content, err := io.ReadAll(io.NewSectionReader(f.log, f.offset, 1<<62))
	if err != nil {
		return // what comes next is looked at again
	}
	end := bytes.LastIndexByte(content, '\n') + 1 // another process may be writing the rest
	f.offset += int64(end)
	for line := range bytes.Lines(content[:end]) {
		line = bytes.TrimSuffix(line, []byte("\n"))
		if len(line) == 0 {
			continue
		}
		r, err := parseLine(line)
		if err != nil {
			f.damaged++
			continue
		}
		take(r)
	}
}

// mayCompact says whether the file is large enough to be made anew.
func (f *file) mayCompact(size int64) bool {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.offset > 0 && f.offset >= max(size, keepsFor*f.useful)
}

// compact replaces the file by one with the records that current returns, if no other process has it open. What goes wrong
// leaves it as it is.
func (f *file) compact(current func() []record) {
	f.writing.Lock()
	defer f.writing.Unlock()
	lock := int(f.lock.Fd())
	alone := unix.Flock(lock, unix.LOCK_EX|unix.LOCK_NB) == nil
	if alone {
		f.replace(current())
	}
	// A lock that could not be had is lost, and that may be the moment in which another process replaces the file.
	_ = unix.Flock(lock, unix.LOCK_SH) // without it the file may be replaced once more, which is looked at then
	f.reopen()
}

// replace writes a new file beside the old one, and puts it in its place.
func (f *file) replace(records []record) {
	var content []byte
	for _, r := range records {
		var err error
		if content, err = appendLine(content, r); err != nil {
			return
		}
	}
	name := filepath.Join(f.dir, newName)
	if err := writeSynced(name, content); err != nil {
		_ = os.Remove(name) // of no use, and at worst it is overwritten
		return
	}
	if os.Rename(name, filepath.Join(f.dir, fileName)) == nil {
		_ = syncDir(f.dir) // without it the old file may be back after a power failure: it tells the same
		f.useful = int64(len(content))
	}
}

// reopen opens the file anew if it was replaced; it is then read from the start.
func (f *file) reopen() {
	now, err := os.Stat(filepath.Join(f.dir, fileName))
	if err != nil {
		return
	}
	if was, err := f.log.Stat(); err == nil && os.SameFile(was, now) {
		return
	}
	log, err := f.openLog()
	if err != nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	_ = f.log.Close() // all of it is synced
	f.log, f.offset = log, 0
}

func writeSynced(name string, content []byte) error {
	out, err := os.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_TRUNC|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	_, err = out.Write(content)
	if err == nil {
		err = out.Sync()
	}
	return errors.Join(err, out.Close())
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
