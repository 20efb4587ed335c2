// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package artifact

import (
	"archive/tar"
	"bufio"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"syscall"
)

const (
	folderLoading = "loading" // files that LoadBundle is writing

	maxBundleIndexBytes = 16 << 20
	maxBundlePadding    = 1 << 20 // zeros after the end
)

// errDamaged is wrapped by errors about what a bundle holds, rather than where it goes.
var errDamaged = errors.New("the bundle is damaged or was changed: get it again")

// BundleOptions say where a bundle goes.
type BundleOptions struct {
	// Dir is the folder of the cache, as in Options. A Store may be at work in it.
	Dir string
	// MaxBytes is the size, in bytes, beyond which an artifact is refused. 0: 16 GiB.
	MaxBytes int64
	// Loaded is told of each artifact when it is in the cache, and whether it was there before. Nil: nobody.
	Loaded func(b *BundledArtifact, before bool)
}

// LoadBundle puts the files of a bundle into a cache. A file shows there when its digest was verified and it is on disk,
// never before; whatever from holds, nothing else is touched. What was loaded before an error stays. Two at a time are
// refused.
func LoadBundle(ctx context.Context, from io.Reader, o BundleOptions) error {
	l := &bundleLoader{ctx: ctx, options: o, wanted: map[string]*BundledArtifact{}}
	l.options.MaxBytes = cmp.Or(o.MaxBytes, defaultMaxBytes)
	in := bufio.NewReaderSize(from, 1<<20)
	entries := tar.NewReader(in)
	if err := l.readIndex(entries); err != nil { // before anything is made
		return err
	}
	if err := l.openCache(); err != nil {
		return fmt.Errorf("prepare the cache: %w", withoutPath(err))
	}
	err := l.loadAll(entries, in)
	return errors.Join(err, l.close())
}

// A bundleLoader is one run of LoadBundle.
type bundleLoader struct {
	ctx     context.Context
	options BundleOptions
	root    *os.Root
	lock    *os.File                    // the folder of files that are being written
	wanted  map[string]*BundledArtifact // what has not come yet, by name
}

func (l *bundleLoader) readIndex(entries *tar.Reader) error {
	h, err := entries.Next()
	if err != nil || h.Name != bundleIndexName || h.Typeflag != tar.TypeReg {
		return errors.New("is not a bundle: netboot bundle save makes them")
	}
	if h.Size > maxBundleIndexBytes {
		return fmt.Errorf("%s has %d bytes, more than %d: %w", bundleIndexName, h.Size, maxBundleIndexBytes, errDamaged)
	}
	text, err := io.ReadAll(entries)
	if err != nil {
		return fmt.Errorf("%s: %w: %w", bundleIndexName, errDamaged, err)
	}
	var index bundleIndex
	if err := json.Unmarshal(text, &index); err != nil {
		return fmt.Errorf("%s: %w: %w", bundleIndexName, errDamaged, err)
	}
	if index.Version != bundleVersion {
		return fmt.Errorf("is a bundle of version %d, and this netboot reads version %d: load it with the version that saved it",
			index.Version, bundleVersion)
	}
	for i, b := range index.Artifacts {
		switch {
		case b == nil || !validID(b.ID()) || b.Size < 0 || l.wanted[string(b.ID())] != nil:
			return fmt.Errorf("%s: artifacts[%d] can't be right: %w", bundleIndexName, i, errDamaged)
		case b.Size > l.options.MaxBytes:
			return fmt.Errorf("%s has %d bytes, more than %d, the limit for an artifact", b.ID(), b.Size, l.options.MaxBytes)
		}
		l.wanted[string(b.ID())] = b
	}
	return nil
}

// openCache opens the cache for writing, and takes the lock of those who load bundles. What one left behind that was
// killed is removed.
func (l *bundleLoader) openCache() (err error) {
	if err = os.MkdirAll(l.options.Dir, 0o755); err != nil {
		return err
	}
	if l.root, err = os.OpenRoot(l.options.Dir); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, l.close())
		}
	}()
	for _, folder := range []string{kindVerified, folderLoading} {
		if err = l.root.MkdirAll(folder, 0o755); err != nil {
			return err
		}
	}
	if l.lock, err = l.root.Open(folderLoading); err != nil {
		return err
	}
	if err = syscall.Flock(int(l.lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return fmt.Errorf("another netboot bundle load is at work there: %w", err)
	}
	stale, err := l.lock.Readdirnames(-1)
	for _, name := range stale {
		err = errors.Join(err, l.root.RemoveAll(path.Join(folderLoading, name)))
	}
	return err
}

func (l *bundleLoader) close() error {
	var err error
	if l.lock != nil {
		err = l.lock.Close()
	}
	return withoutPath(errors.Join(err, l.root.Close()))
}

func (l *bundleLoader) loadAll(entries *tar.Reader, rest io.Reader) error {
	for {
		h, err := entries.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("%w: %w", errDamaged, err)
		}
		b := l.wanted[h.Name]
		if b == nil || h.Typeflag != tar.TypeReg || h.Size != b.Size {
			return fmt.Errorf("%.200q with %d bytes is not what %s lists: %w", h.Name, h.Size, bundleIndexName, errDamaged)
		}
		delete(l.wanted, h.Name)
		before, err := l.load(entries, b)
		if err != nil {
			return fmt.Errorf("%s: %w", b.ID(), err)
		}
		if l.options.Loaded != nil {
			l.options.Loaded(b, before)
		}
	}
	if len(l.wanted) > 0 {
		return fmt.Errorf("ends though %d artifacts are still to come: %w", len(l.wanted), errDamaged)
	}
	return checkPadding(rest)
}

// checkPadding reads what follows the end of a tar file, which may be zeros only.
func checkPadding(rest io.Reader) error {
	padding, err := io.ReadAll(io.LimitReader(rest, maxBundlePadding+1))
	if err != nil {
		return fmt.Errorf("read after the end: %w", err)
	}
	for _, b := range padding {
		if b != 0 || len(padding) > maxBundlePadding {
			return fmt.Errorf("something follows the end: %w", errDamaged)
		}
	}
	return nil
}

// load brings one file into the cache, and says whether it was there before.
func (l *bundleLoader) load(from io.Reader, b *BundledArtifact) (before bool, err error) {
	from = &mortalReader{l.ctx, from}
	if l.has(b) {
		return true, verify(io.Discard, from, b)
	}
	name := path.Join(folderLoading, b.SHA256)
	f, err := l.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return false, l.notWritten(err)
	}
	writer := &writer{to: f}
	if err = verify(writer, from, b); writer.err != nil {
		err = l.notWritten(writer.err)
	}
	if err != nil {
		_ = f.Close() // it goes
		return false, errors.Join(err, withoutPath(l.root.Remove(name)))
	}
	if _, err = (&disk{root: l.root}).commit(f, name, b.ID()); err != nil {
		return false, l.notWritten(err)
	}
	return false, nil
}

// notWritten says what to do about a cache that can't be written.
func (l *bundleLoader) notWritten(err error) error {
	err = withoutPath(err)
	if isFull(err) {
		return fmt.Errorf("write to the cache: %w: make room and load again; what is loaded stays", err)
	}
	return fmt.Errorf("write to the cache: %w", err)
}

// has says whether the cache has the right bytes already.
func (l *bundleLoader) has(b *BundledArtifact) bool {
	f, err := (&disk{root: l.root}).open(b.ID())
	if err != nil {
		return false
	}
	defer func() { _ = f.Close() }() // it was only read
	return f.Size() == b.Size && verify(io.Discard, &mortalReader{l.ctx, f}, b) == nil
}

// verify copies an artifact, and fails if it is not the one.
func verify(to io.Writer, from io.Reader, b *BundledArtifact) error {
	hash := sha256.New()
	n, err := io.Copy(io.MultiWriter(to, hash), from)
	switch {
	case errors.Is(err, context.Canceled):
		return err
	case err != nil:
		return fmt.Errorf("breaks off after %d of %d bytes: %w: %w", n, b.Size, errDamaged, err)
	case idOf(hash.Sum(nil)) != b.ID():
		return fmt.Errorf("the bytes have another digest: %w", errDamaged)
	}
	return nil
}

// A writer remembers why it failed: io.Copy doesn't tell who did.
type writer struct {
	to  io.Writer
	err error
}

func (w *writer) Write(b []byte) (int, error) {
	n, err := w.to.Write(b)
	w.err = err
	return n, err
}
