// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package artifact_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/netboot-operator/netboot-operator/pkg/artifact"
	"github.com/netboot-operator/netboot-operator/pkg/index"
)

// childEnv names the process that a copy of the test binary shall be, and its arguments, separated by blanks.
const childEnv = "NETBOOT_ARTIFACT_TEST_CHILD"

func TestMain(m *testing.M) {
	name, arguments, _ := strings.Cut(os.Getenv(childEnv), " ")
	var err error
	switch name {
	case "":
		os.Exit(m.Run())
	case "download":
		err = childDownload(strings.Fields(arguments))
	case "full-disk":
		err = childFullDisk(arguments)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// child returns a copy of this process that does something else.
func child(t *testing.T, arguments ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self)
	cmd.Env = append(os.Environ(), childEnv+"="+strings.Join(arguments, " "))
	return cmd
}

// childDownload fetches an artifact: dir, URL, digest.
func childDownload(arguments []string) error {
	s, err := artifact.New(artifact.Options{Dir: arguments[0]})
	if err != nil {
		return err
	}
	_, err = s.Open(context.Background(), &index.Artifact{Field: field, URLs: arguments[1:2], SHA256: arguments[2]})
	return err
}

// TestKillInMidDownload kills a process without a warning. The next one goes on where it was.
func TestKillInMidDownload(t *testing.T) {
	file, half := noise(8<<20, 1), 4<<20
	var asked []string
	u := newUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.Header.Get("Range"))
		if r.Header.Get("Range") != "" {
			w.Header().Set("ETag", `"v1"`)
			http.ServeContent(w, r, "", time.Time{}, strings.NewReader(file))
			return
		}
		w.Header().Set("Content-Length", strconv.Itoa(len(file)))
		w.Header().Set("ETag", `"v1"`)
		_, _ = io.WriteString(w, file[:half])
		flush(w)
		<-r.Context().Done() // the rest would come, but the process is killed
	})
	dir, a := t.TempDir(), verified(file, u.URL)
	cmd := child(t, "download", dir, u.URL, a.SHA256)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	partial := filepath.Join(dir, "partial", a.SHA256)
	eventually(t, "half of the file is there", func() bool {
		info, err := os.Stat(partial)
		return err == nil && info.Size() == int64(half)
	})
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err == nil || !strings.Contains(err.Error(), "killed") {
		t.Fatalf("the process ended by itself: %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, string(a.ID()))); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("half of the file can be served: %v", err)
	}

	s := newStore(t, artifact.Options{Dir: dir})
	if s.State(a.ID()).Cached {
		t.Error("half of the file counts as cached")
	}
	f, err := s.Open(t.Context(), a)
	wantBytes(t, f, err, file)
	if diff := cmp.Diff([]string{"", fmt.Sprintf("bytes=%d-%d", half, len(file)-1)}, asked); diff != "" {
		t.Errorf("the upstream was asked (-want +got):\n%s", diff)
	}
	wantFiles(t, dir, string(a.ID()))
}

// TestDiskThatIsFull runs in a process that may mount a small file system for itself: root needs not ask for that, and others
// get it by a user namespace.
func TestDiskThatIsFull(t *testing.T) {
	cmd := child(t, "full-disk", t.TempDir())
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}
	if uid := os.Getuid(); uid != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: uid, Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	if said, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v:\n%s", err, said)
	}
}

// childFullDisk fills a disk of 4 MiB.
func childFullDisk(dir string) error {
	if err := syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("leave the mounts of others alone: %w", err)
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=4m"); err != nil {
		return fmt.Errorf("mount tmpfs: %w", err)
	}
	small, medium, large, other := noise(1<<20, 1), noise(5<<19, 2), noise(8<<20, 3), noise(2<<20, 4)
	u := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		content := map[string]string{"/small": small, "/medium": medium, "/large": large, "/other": other}[r.URL.Path]
		http.ServeContent(w, r, "", time.Time{}, strings.NewReader(content))
	}))
	defer u.Close()
	told := &notebook{}
	s, err := artifact.New(artifact.Options{Dir: dir, Observer: told})
	if err != nil {
		return err
	}
	open := func(content, path, wantText string) error {
		f, err := s.Open(context.Background(), verified(content, u.URL+path))
		if wantText != "" {
			failed, ok := errors.AsType[*artifact.Error](err)
			if !ok || failed.Reason != artifact.ReasonStorageFailed || failed.Err.Error() != wantText {
				return fmt.Errorf("open %s: error = %w, want %q", path, err, wantText)
			}
			return nil
		}
		if err != nil {
			return fmt.Errorf("open %s: %w", path, err)
		}
		got, err := io.ReadAll(f)
		if !bytes.Equal(got, []byte(content)) {
			return fmt.Errorf("open %s: %d other bytes came: %w", path, len(got), err)
		}
		return f.Close()
	}
	const full = "write to the artifact cache: no space left on device: make room on its file system, or lower --cache-max-bytes"
	s.Keep(owner, []*index.Artifact{verified(small, u.URL+"/small")})
	for _, step := range []func() error{
		func() error { return open(small, "/small", "") },
		func() error { return open(large, "/large", full) },
		func() error { return open(small, "/small", "") }, // serving goes on
		func() error { return open(medium, "/medium", "") },
		func() error { return open(large, "/large", full) }, // RetryAfter has not passed
		s.Close,
		// A disk that is full to the last byte keeps nobody from serving what is there.
		func() error {
			filler, err := os.Create(filepath.Join(dir, "filler"))
			if err != nil {
				return err
			}
			if _, err := io.Copy(filler, strings.NewReader(large)); !errors.Is(err, syscall.ENOSPC) {
				return fmt.Errorf("fill the disk: %w", err)
			}
			if err := filler.Close(); err != nil {
				return err
			}
			s, err = artifact.New(artifact.Options{Dir: dir})
			return err
		},
		func() error { return open(small, "/small", "") },
		// And medium, which nobody keeps, gives its room to what is asked for.
		func() error { return open(other, "/other", "") },
		func() error { return open(small, "/small", "") },
		func() error {
			if s.State(verified(medium).ID()).Cached {
				return errors.New("medium is still there")
			}
			return nil
		},
	} {
		if err := step(); err != nil {
			return err
		}
	}
	return s.Close()
}
