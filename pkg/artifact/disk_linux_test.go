// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package artifact_test

import (
	"errors"
	"io/fs"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"testing"

	"github.com/netboot-operator/netboot-operator/pkg/artifact"
)

// A limit on the size of files stands in for a full disk: for the one that writes, both are a write that fails in the
// middle. The limit is the whole process's, so this test must not be parallel to others.
func TestDiskThatFillsUp(t *testing.T) {
	content := strings.Repeat("x", 1<<20)
	u := newUpstream(t, answering(content))
	dir, told := t.TempDir(), &notebook{}
	s := newStore(t, artifact.Options{Dir: dir, Observer: told})
	spare := newUpstream(t, answering(content))

	signal.Ignore(syscall.SIGXFSZ)
	defer signal.Reset(syscall.SIGXFSZ)
	var before syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &before); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: 512 << 10, Max: before.Max}); err != nil {
		t.Fatal(err)
	}
	f, err := s.Open(t.Context(), verified(content, u.URL, spare.URL))
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &before); err != nil {
		t.Fatal(err)
	}

	wantError(t, f, err, artifact.ReasonStorageFailed, " from "+u.URL+": write to the artifact cache: file too large")
	wantFiles(t, dir)
	told.want(t, "failed with StorageFailed")
	if got := spare.requests.Load(); got != 0 {
		t.Errorf("the mirror was asked %d times, though it can't help", got)
	}
}

func TestCacheFolderThatWentAway(t *testing.T) {
	u := newUpstream(t, answering(kernel))
	dir := t.TempDir()
	s := newStore(t, artifact.Options{Dir: dir})
	if err := os.RemoveAll(dir + "/partial"); err != nil {
		t.Fatal(err)
	}
	f, err := s.Open(t.Context(), verified(kernel, u.URL))
	wantError(t, f, err, artifact.ReasonStorageFailed,
		" from "+u.URL+": write to the artifact cache: no such file or directory")
}

func TestCacheEntryThatIsNoFile(t *testing.T) {
	dir, a := t.TempDir(), verified(kernel, "http://mirror/vmlinuz")
	write(t, "in the way", dir, string(a.ID()), "file")
	s := newStore(t, artifact.Options{Dir: dir})
	f, err := s.Open(t.Context(), a)
	wantError(t, f, err, artifact.ReasonStorageFailed,
		" from http://mirror/vmlinuz: read the artifact cache: invalid argument")
	if !errors.Is(err, fs.ErrInvalid) {
		t.Errorf("Open() error = %v, want it to wrap %v", err, fs.ErrInvalid)
	}
}
