// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package artifact_test

import (
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/netboot-operator/netboot-operator/pkg/artifact"
	"github.com/netboot-operator/netboot-operator/pkg/index"
)

// newFilesDir makes a files folder with all that may be in one, beside a secret.
func newFilesDir(t *testing.T) string {
	t.Helper()
	top := t.TempDir()
	dir := filepath.Join(top, "files")
	write(t, "secret", top, "secret")
	write(t, kernel, dir, "debian 12", "vmlinuz")
	write(t, "something else", dir, "other")
	links := map[string]string{"current": "debian 12", "out": "../secret", "far": "/etc/passwd", "ring": "ring"}
	for from, to := range links {
		if err := os.Symlink(to, filepath.Join(dir, from)); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestFileURLs(t *testing.T) {
	filesDir := newFilesDir(t)
	const noEscape = "not a file of the files folder: write file:///NAME, without a host and without .."
	for url, tc := range map[string]struct {
		wantReason artifact.Reason // empty: the kernel comes
		wantText   string
	}{
		"file:///debian%2012/vmlinuz":  {},
		"file:////debian%2012/vmlinuz": {},
		"file:///current/vmlinuz":      {},

		"file:///missing": {
			artifact.ReasonUpstreamUnavailable, `no file "missing" in the files folder: put it there, or correct the URL`,
		},
		"file:///ring": {
			artifact.ReasonUpstreamUnavailable, `open "ring" in the files folder: too many levels of symbolic links`,
		},
		"file:///":                {artifact.ReasonSourceNotAllowed, noEscape},
		"file:///../secret":       {artifact.ReasonSourceNotAllowed, noEscape},
		"file:///%2e%2e%2fsecret": {artifact.ReasonSourceNotAllowed, noEscape},
		"file:///other/../../x":   {artifact.ReasonSourceNotAllowed, noEscape},
		"file://localhost/other":  {artifact.ReasonSourceNotAllowed, noEscape},
		"file:other":              {artifact.ReasonSourceNotAllowed, noEscape},
		"file:///out":             {artifact.ReasonSourceNotAllowed, `"out" leads out of the files folder`},
		"file:///far":             {artifact.ReasonSourceNotAllowed, `"far" leads out of the files folder`},
		"file:///current":         {artifact.ReasonSourceNotAllowed, `"current" in the files folder is not a regular file`},
		"file:///pipe":            {artifact.ReasonSourceNotAllowed, `"pipe" in the files folder is not a regular file`},
	} {
		for kind, a := range map[string]*index.Artifact{"verified": verified(kernel, url), "unverified": unverified(url)} {
			t.Run(kind+" "+url, func(t *testing.T) {
				dir := t.TempDir()
				s := newStore(t, artifact.Options{Dir: dir, FilesDir: filesDir})
				f, err := s.Open(t.Context(), a)
				if tc.wantReason != "" {
					wantError(t, f, err, tc.wantReason, " from "+url+": "+tc.wantText)
					wantFiles(t, dir)
					return
				}
				wantContent(t, f, err, kernel)
				if got, want := s.State(a.ID()), (artifact.State{Cached: true, Bytes: 19}); got != want {
					t.Errorf("State() = %v, want %v", got, want)
				}
			})
		}
	}
}

func TestFileURLWithWrongDigest(t *testing.T) {
	dir := t.TempDir()
	s := newStore(t, artifact.Options{Dir: dir, FilesDir: newFilesDir(t)})
	f, err := s.Open(t.Context(), verified(kernel, "file:///other"))
	wantError(t, f, err, artifact.ReasonDigestMismatch, " from file:///other: sha256 is "+digest("something else")+
		", want "+digest(kernel)+": the file has changed or is not the one that is meant; correct sha256 or the URL")
	wantFiles(t, dir)
}

func TestEditedFile(t *testing.T) {
	filesDir, dir, told := newFilesDir(t), t.TempDir(), &notebook{}
	s := newStore(t, artifact.Options{Dir: dir, FilesDir: filesDir, Observer: told})
	const url = "file:///current/vmlinuz"
	for range 2 {
		f, err := s.Open(t.Context(), verified(kernel, url))
		wantContent(t, f, err, kernel)
		f, err = s.Open(t.Context(), unverified(url))
		wantContent(t, f, err, kernel)
	}
	write(t, "edited", filesDir, "debian 12", "vmlinuz")

	f, err := s.Open(t.Context(), verified(kernel, url)) // what was verified stays
	wantContent(t, f, err, kernel)
	f, err = s.Open(t.Context(), unverified(url)) // what was not is read anew
	wantContent(t, f, err, "edited")
	wantFiles(t, dir, string(verified(kernel).ID()))
	told.want(t, "fetched 19 bytes", "fetched 19 bytes", "fetched 6 bytes")
}

func TestUnverifiedFileFallsBackToItsMirror(t *testing.T) {
	u, told := newUpstream(t, answering(kernel)), &notebook{}
	s := newStore(t, artifact.Options{FilesDir: newFilesDir(t), Observer: told, MaxBytes: 32})
	f, err := s.Open(t.Context(), unverified("file:///missing", u.URL))
	wantContent(t, f, err, kernel)

	gone := newUpstream(t, status(http.StatusGone))
	f, err = s.Open(t.Context(), unverified(gone.URL, "file:///other"))
	wantContent(t, f, err, "something else")
	told.want(t, "fetched 19 bytes", "fetched 14 bytes")
}

func TestUnverifiedFileThatIsTooLarge(t *testing.T) {
	s := newStore(t, artifact.Options{FilesDir: newFilesDir(t), MaxBytes: 5})
	f, err := s.Open(t.Context(), unverified("file:///other"))
	wantError(t, f, err, artifact.ReasonUnexpectedContent,
		" from file:///other: larger than 5 bytes, the limit for an artifact: correct the URL, or raise the limit")
}
