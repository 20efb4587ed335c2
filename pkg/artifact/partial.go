// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package artifact

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"hash"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"time"

	"github.com/netboot-operator/netboot-operator/pkg/index"
)

const (
	// worthKeeping is how much of a file must have come so that it is kept for the next try, also that of another process.
	worthKeeping = 64 << 10
	// staleAfter is how long such a part waits for the rest.
	staleAfter = 7 * 24 * time.Hour

	notesSuffix = ".json"

	roomStep = 24 // makes room each 16 MiB
)

// A download is the file of one fetch, as far as it has come. Only artifacts with a digest are gone on with from another
// URL or by another process: nothing else would tell that the parts are of one file.
type download struct {
	store    *Store
	job      *job
	id       index.ID
	artifact *index.Artifact

	file    *os.File // nil: nothing has come
	name    string   // of file
	private bool     // nobody else knows that name
	hash    hash.Hash
	size    int64 // bytes of file, all hashed
	most    int64 // the largest size of all attempts

	// What the upstream told about the file that these bytes are of.
	source    string // hash of the URL
	validator string
	total     int64

	writeError error // io.Copy doesn't tell which side failed
	full       bool  // more came than Options.MaxBytes
	noRoom     *Error
}

// A note is what is written down about a partial file, for the next process.
type note struct {
	Source    string `json:"source"`
	Validator string `json:"validator"`
	Total     int64  `json:"total"`
}

// sourceOf stands for a URL on disk: it may hold a password.
func sourceOf(from string) string {
	sum := sha256.Sum256([]byte(from))
	return hex.EncodeToString(sum[:])
}

// recall takes up what an earlier fetch left. If that turns out to be the whole file, recall commits it.
func (d *download) recall() (fs.FileInfo, *Error) {
	if d.artifact.SHA256 == "" {
		return nil, nil
	}
	root := d.store.disk.root
	name := path.Join(folderPartial, d.artifact.SHA256)
	f, err := d.store.disk.lockPartial(name, 0)
	if err != nil {
		return nil, nil //nolint:nilerr // what can't be had, or what another process is at work on, is fetched
	}
	d.file, d.name, d.hash = f, name, sha256.New()
	info, err := f.Stat()
	if err == nil && time.Since(info.ModTime()) < staleAfter && info.Size() <= d.store.options.MaxBytes {
		d.size, err = io.Copy(d.hash, &mortalReader{d.store.ctx, f})
	}
	if err != nil || d.size == 0 {
		d.discard()
		return nil, nil
	}
	d.most = d.size
	d.job.received.Store(d.size)
	if judge(d.artifact, hex.EncodeToString(d.hash.Sum(nil)), false) == nil {
		return d.commit()
	}
	var n note
	if text, err := root.ReadFile(name + notesSuffix); err == nil && json.Unmarshal(text, &n) == nil {
		d.source, d.validator, d.total = n.Source, n.Validator, n.Total
		d.job.total.Store(d.total)
	}
	return nil, nil
}

// position says where a URL shall go on.
func (d *download) position(from string) position {
	at := position{offset: d.size, total: d.total}
	if sourceOf(from) == d.source {
		at.validator = d.validator
	}
	if d.size == 0 || d.total >= 0 && d.size >= d.total || d.artifact.SHA256 == "" && at.validator == "" {
		return fromStart
	}
	return at
}

// begin prepares for the bytes of src.
func (d *download) begin(from string, src *source) *Error {
	switch {
	case src.offset == 0:
		if failed := d.startOver(); failed != nil {
			return failed
		}
	case src.offset == d.size && d.file != nil:
		d.store.metrics.resumed()
	default:
		return because(ReasonUpstreamUnavailable, "goes on at byte %d instead of %d", src.offset, d.size)
	}
	d.writeError, d.full, d.noRoom = nil, false, nil
	d.source, d.validator, d.total = sourceOf(from), src.validator, src.size
	d.job.total.Store(src.size)
	if failed := d.store.makeRoom(); failed != nil {
		d.discard()
		return failed
	}
	if d.artifact.SHA256 != "" && !d.private {
		if text, err := json.Marshal(note{d.source, d.validator, d.total}); err == nil {
			_ = d.store.disk.root.WriteFile(d.name+notesSuffix, text, 0o600) // without it the next process asks without a validator
		}
	}
	return nil
}

// startOver makes the file empty.
func (d *download) startOver() *Error {
	if d.file == nil {
		if err := d.create(); err != nil {
			return d.notWritten(err)
		}
	}
	_, err := d.file.Seek(0, io.SeekStart)
	if err = errors.Join(err, d.file.Truncate(0)); err != nil {
		return d.notWritten(err)
	}
	d.hash, d.size = sha256.New(), 0
	d.job.received.Store(0)
	return nil
}

// create opens the file that all processes go on with; or, if there is no digest or another process has that one, a file of its
// own, which nobody goes on with.
func (d *download) create() (err error) {
	disk := d.store.disk
	d.private = true
	if d.artifact.SHA256 != "" {
		d.name = path.Join(folderPartial, d.artifact.SHA256)
		if d.file, err = disk.lockPartial(d.name, os.O_CREATE); err == nil {
			d.private = false
			return nil
		}
	}
	d.name = path.Join(folderPartial, disk.name+"-"+strings.ReplaceAll(string(d.id), "/", "-"))
	d.file, err = disk.root.OpenFile(d.name, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o644)
	return err
}

// Write implements io.Writer: it appends to the file.
func (d *download) Write(b []byte) (int, error) {
	if d.size+int64(len(b)) > d.store.options.MaxBytes {
		d.full = true
		return 0, errTooLarge
	}
	// Where the upstream did not tell the size, there was nothing to make room for at the start.
	if d.total < 0 && d.size>>roomStep != (d.size+int64(len(b)))>>roomStep {
		if d.noRoom = d.store.makeRoom(); d.noRoom != nil {
			return 0, d.noRoom
		}
	}
	n, err := d.file.Write(b)
	if isFull(err) && d.store.relieve(max(d.total-d.size, worthKeeping)) {
		var m int
		m, err = d.file.Write(b[n:])
		n += m
	}
	d.hash.Write(b[:n])
	d.size += int64(n)
	d.most = max(d.most, d.size)
	d.job.received.Store(d.size)
	d.store.metrics.received(n)
	d.writeError = err
	return n, err
}

// notWritten returns the error of an operation on the file, and removes it: it may be what fills the disk.
func (d *download) notWritten(err error) *Error {
	d.discard()
	d.store.metrics.storageFailed()
	return storageFailed("write to", err)
}

// commit makes the file visible, complete and durable.
func (d *download) commit() (fs.FileInfo, *Error) {
	s := d.store
	d.removeNotes() // as long as the file is locked
	info, err := s.disk.commit(d.file, d.name, d.id)
	if err != nil {
		d.file = nil
		s.metrics.storageFailed()
		return nil, storageFailed("write to", err)
	}
	d.file = nil
	s.trust(d.id, stampOf(info))
	_ = s.makeRoom() // what came without a size told may be more than fits; the next one finds out
	return info, nil
}

// discard removes what has come.
func (d *download) discard() {
	if d.file == nil {
		return
	}
	_ = d.store.disk.root.Remove(d.name) // the next New does
	d.removeNotes()
	_ = d.file.Close() // not before: it is locked
	d.file, d.size, d.total, d.validator = nil, 0, -1, ""
	d.job.received.Store(0)
}

// removeNotes removes what is written down about the file.
func (d *download) removeNotes() {
	if !d.private {
		_ = d.store.disk.root.Remove(d.name + notesSuffix) // the next New does
	}
}

// leave ends the use of the file. What is worth it stays for the next fetch.
func (d *download) leave() {
	if d.file == nil {
		return
	}
	if d.private || d.size < worthKeeping {
		d.discard()
		return
	}
	_ = d.file.Close() // whoever goes on with it hashes it before
	d.file = nil
}

// A mortalReader ends with a context: Store.Close doesn't wait until a large file is read to its end.
type mortalReader struct {
	ctx context.Context // of the Store
	io.Reader
}

func (r *mortalReader) Read(b []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.Reader.Read(b)
}
