// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/netboot-operator/netboot-operator/pkg/artifact"
	"github.com/netboot-operator/netboot-operator/pkg/index"
)

const bundleYAML = `
apiVersion: netboot.dev/v1alpha1
kind: BootProfile
metadata: {name: linux}
spec:
  platforms:
  - architecture: amd64
    kernel: {url: "UPSTREAM/vmlinuz", sha256: KERNEL}
    initrds:
    - {url: "UPSTREAM/initrd", sha256: INITRD}
    - {url: "file:///microcode", sha256: MICROCODE}
---
apiVersion: netboot.dev/v1alpha1
kind: BootProfile
metadata: {name: rescue}
spec:
  platforms:
  - architecture: amd64
    kernel: {url: "UPSTREAM/gone", sha256: KERNEL}
`

// mirror serves files by path, until it is closed, and counts.
type mirror struct {
	*httptest.Server

	mu    sync.Mutex
	files map[string]string
	asked map[string]int
}

func newMirror(t *testing.T, files map[string]string) *mirror {
	t.Helper()
	m := &mirror{files: files, asked: map[string]int{}}
	m.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		m.mu.Lock()
		content, ok := m.files[r.URL.Path]
		m.asked[r.URL.Path]++
		m.mu.Unlock()
		if !ok {
			http.NotFound(w, r)
			return
		}
		contents(content)(w, r)
	}))
	t.Cleanup(m.Close)
	return m
}

func (m *mirror) put(path, content string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.files[path] = content
}

func (m *mirror) count(path string) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.asked[path]
}

func bundleManifests(t *testing.T, upstream string) string {
	t.Helper()
	return manifests(t, map[string]string{
		"profiles.yaml": strings.NewReplacer("UPSTREAM", upstream, "KERNEL", digest("kernel"), "INITRD", digest("initrd"),
			"MICROCODE", digest("microcode")).Replace(bundleYAML),
		"machine.yaml": machineYAML, "microcode": "microcode",
	})
}

// TestBundleCarriesArtifacts saves where the upstream is, loads where it is not while the server runs, and boots.
func TestBundleCarriesArtifacts(t *testing.T) {
	t.Parallel()
	m := newMirror(t, map[string]string{"/vmlinuz": "kernel", "/initrd": "initrd"})
	dir := bundleManifests(t, m.URL)
	file := filepath.Join(t.TempDir(), "site.bundle")
	stdout, stderr, code := netboot(t, "bundle", "save", "-f", dir, "-o", file)
	if code != 0 || !strings.Contains(stdout, "site.bundle: 3 artifacts, ") {
		t.Fatalf("netboot bundle save: exit code %d, %q, %q", code, stdout, stderr)
	}
	for _, want := range []string{"3/3  ", "sha256/" + digest("kernel") + "  6 bytes  ", `BootProfile "default/linux" spec.platforms[0].initrds[1]`} {
		if !strings.Contains(stderr, want) {
			t.Errorf("netboot bundle save says %q, want %q in it", stderr, want)
		}
	}
	if left, err := os.ReadDir(filepath.Dir(file)); err != nil || len(left) != 1 {
		t.Errorf("beside the bundle: %v, %v", left, err)
	}
	m.Close()

	data := t.TempDir()
	if err := os.Remove(filepath.Join(dir, "microcode")); err != nil {
		t.Fatal(err)
	}
	s := start(t, "--manifests="+dir, "--data-dir="+data)
	path := "/artifacts/sha256/" + digest("initrd") + "/initrd"
	if status, body := s.getHTTP(s.http, path); status != http.StatusBadGateway {
		t.Fatalf("before the bundle is loaded: %d %s", status, body)
	}
	for _, want := range []string{"3 artifacts loaded, 0 were there before\n", "0 artifacts loaded, 3 were there before\n"} {
		stdout, stderr, code = netboot(t, "bundle", "load", file, "--data-dir", data)
		if code != 0 || stderr != "" || !strings.HasSuffix(stdout, want) {
			t.Fatalf("netboot bundle load: exit code %d, %q, %q", code, stdout, stderr)
		}
	}
	for _, content := range []string{"kernel", "initrd", "microcode"} {
		path := "/artifacts/sha256/" + digest(content) + "/x"
		eventually(t, func() string { // the server waits a little before it looks again for what failed
			if status, body := s.getHTTP(s.http, path); status != http.StatusOK || body != content {
				return fmt.Sprintf("GET %s: %d %q", path, status, body)
			}
			return ""
		})
		if got, err := s.getTFTP(path); err != nil || got != content {
			t.Errorf("TFTP %s: %q, %v", path, got, err)
		}
	}
}

// TestBundleSaveGoesOn interrupts a save by an upstream that lacks a file: the next one fetches only that.
func TestBundleSaveGoesOn(t *testing.T) {
	t.Parallel()
	m := newMirror(t, map[string]string{"/vmlinuz": "kernel"})
	dir := bundleManifests(t, m.URL)
	file := filepath.Join(t.TempDir(), "site.bundle")
	writeFile(t, file, "the bundle of yesterday")
	stdout, stderr, code := netboot(t, "bundle", "save", "-f", dir, "-o", file)
	want := fmt.Sprintf(`failed: fetch BootProfile "default/linux" spec.platforms[0].initrds[0] from %s/initrd: `, m.URL)
	if code != exitFailed || stdout != "" || !strings.Contains(stderr, want) {
		t.Fatalf("netboot bundle save: exit code %d, %q, %q", code, stdout, stderr)
	}
	if content, err := os.ReadFile(file); err != nil || string(content) != "the bundle of yesterday" {
		t.Errorf("the bundle is %q, %v after a save that failed", content, err)
	}

	m.put("/initrd", "initrd")
	if stdout, stderr, code = netboot(t, "bundle", "save", "-f", dir, "-o", file); code != 0 {
		t.Fatalf("netboot bundle save: exit code %d, %q, %q", code, stdout, stderr)
	}
	if got := m.count("/vmlinuz"); got != 1 {
		t.Errorf("the kernel was fetched %d times", got)
	}
	again := filepath.Join(t.TempDir(), "again.bundle")
	if stdout, stderr, code = netboot(t, "bundle", "save", "-f", dir, "-o", again, "--data-dir", t.TempDir()); code != 0 {
		t.Fatalf("netboot bundle save: exit code %d, %q, %q", code, stdout, stderr)
	}
	first, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	second, err := os.ReadFile(again)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(first), string(second)); diff != "" {
		t.Errorf("two bundles of the same manifests differ:\n%s", diff)
	}
}

// TestBundleSaveTellsHowFarItIs holds an upstream back in the middle.
func TestBundleSaveTellsHowFarItIs(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	half, whole := strings.Repeat("x", 1<<20), strings.Repeat("x", 2<<20)
	url := upstream(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", strconv.Itoa(len(whole)))
		_, _ = io.WriteString(w, half)
		_ = http.NewResponseController(w).Flush()
		<-release
		_, _ = io.WriteString(w, half)
	})
	store, err := artifact.New(artifact.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	a := &index.Artifact{Field: "a kernel", URLs: []string{url}, SHA256: digest(whole)}
	bundle := artifact.Bundle([]*index.Artifact{a})
	var said strings.Builder
	f := &bundleFetch{store: store, said: &said, total: 1}
	fetched := make(chan struct{})
	go func() {
		defer close(fetched)
		f.fetch(t.Context(), []*index.Artifact{a})
	}()
	want := "...  sha256/" + digest(whole) + "  1024.0 KiB of 2048.0 KiB  a kernel\n"
	eventually(t, func() string {
		if f.progress(bundle); !strings.HasSuffix(said.String(), want) {
			return fmt.Sprintf("said %q, want %q", said.String(), want)
		}
		return ""
	})
	close(release)
	<-fetched
	if got := said.String(); !strings.HasSuffix(got, "1/1  sha256/"+digest(whole)+"  2048.0 KiB  a kernel\n") {
		t.Errorf("at the end: %q", got)
	}
	if err := store.Close(); err != nil {
		t.Error(err)
	}
}

// TestBundleSaveShowsCredentials saves from an upstream that wants them: they come from a Secret of the folder.
func TestBundleSaveShowsCredentials(t *testing.T) {
	t.Parallel()
	const password = "correct-horse-battery"
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if user, given, _ := r.BasicAuth(); user != "robot" || given != password {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		contents("kernel")(w, r)
	}))
	t.Cleanup(upstream.Close)
	files := map[string]string{"p.yaml": strings.NewReplacer("UPSTREAM", upstream.URL, "KERNEL", digest("kernel")).Replace(`
apiVersion: netboot.dev/v1alpha1
kind: BootProfile
metadata: {name: linux}
spec: {platforms: [{architecture: amd64, kernel: {url: "UPSTREAM/vmlinuz", sha256: KERNEL, secretRef: {name: mirror}}}]}
`), "s.yaml": `
apiVersion: v1
kind: Secret
metadata: {name: mirror}
stringData: {username: robot, password: ` + password + `}
`}
	file := filepath.Join(t.TempDir(), "site.bundle")
	stdout, stderr, code := netboot(t, "bundle", "save", "-f", manifests(t, files), "-o", file)
	if code != 0 || strings.Contains(stdout+stderr, password) {
		t.Fatalf("netboot bundle save: exit code %d, %q, %q", code, stdout, stderr)
	}
	if bundle, err := os.ReadFile(file); err != nil || strings.Contains(string(bundle), password) {
		t.Errorf("the bundle holds the password, or %v", err)
	}

	files["s.yaml"] = strings.ReplaceAll(files["s.yaml"], password, "wrong-"+password)
	stdout, stderr, code = netboot(t, "bundle", "save", "-f", manifests(t, files), "-o", file+"2")
	if code != exitFailed || !strings.Contains(stderr, "answered 401 Unauthorized") || strings.Contains(stdout+stderr, password) {
		t.Errorf("netboot bundle save with a wrong password: exit code %d, %q, %q", code, stdout, stderr)
	}
}

func TestBundleThatCannotBe(t *testing.T) {
	t.Parallel()
	m := newMirror(t, map[string]string{"/vmlinuz": "kernel", "/initrd": "initrd"})
	good := bundleManifests(t, m.URL)
	unverified := manifests(t, map[string]string{"p.yaml": strings.NewReplacer("KERNEL", digest("kernel"), "INITRD", digest("first"),
		"file:///boot/vmlinuz", m.URL+"/vmlinuz", "file:///boot/initrd-1", m.URL+"/initrd").Replace(profileYAML)})
	broken := manifests(t, map[string]string{"p.yaml": strings.Replace(bundleYAML, "spec:", "spek:", 1)})
	empty := manifests(t, map[string]string{"m.yaml": machineYAML})
	file := filepath.Join(t.TempDir(), "x.bundle")
	tampered := filepath.Join(t.TempDir(), "tampered.bundle")
	writeFile(t, tampered, "not a bundle")
	data := t.TempDir()
	for name, tc := range map[string]struct {
		args     []string
		wantCode int
		want     []string // on standard error
	}{
		"nothing to do":            {[]string{"bundle", "sve"}, exitUsage, []string{`"sve"`, "save and load"}},
		"no manifests":             {[]string{"bundle", "save", "-o", file}, exitUsage, []string{"--filename is not set"}},
		"no output":                {[]string{"bundle", "save", "-f", good}, exitUsage, []string{"--output is not set"}},
		"manifests that are not":   {[]string{"bundle", "save", "-f", good + "/none", "-o", file}, exitUsage, []string{"--filename=" + good + "/none"}},
		"output is a folder":       {[]string{"bundle", "save", "-f", good, "-o", data}, exitUsage, []string{"--output=" + data}},
		"output in no folder":      {[]string{"bundle", "save", "-f", good, "-o", data + "/none/x"}, exitUsage, []string{"--output=" + data + "/none"}},
		"argument":                 {[]string{"bundle", "save", "-f", good, "-o", file, "x"}, exitUsage, []string{`"x"`, "takes no argument"}},
		"an artifact of no digest": {[]string{"bundle", "save", "-f", unverified, "-o", file}, exitFailed, []string{`BootProfile "default/linux" spec.platforms[0].initrds[1] has no sha256`, "--skip-unverified"}},
		"manifests with problems":  {[]string{"bundle", "save", "-f", broken, "-o", file}, exitFailed, []string{"p.yaml:5:1", "spek"}},
		"no profiles":              {[]string{"bundle", "save", "-f", empty, "-o", file}, exitFailed, []string{"--filename=" + empty, "nothing to save"}},
		"wrong digest":             {[]string{"bundle", "save", "-f", unverified, "-o", file, "--skip-unverified"}, exitFailed, []string{"left out: ", "spec.platforms[0].initrds[0]", "sha256 is " + digest("initrd")}},

		"no bundle":                {[]string{"bundle", "load", "--data-dir", data}, exitUsage, []string{"takes one argument", "but got 0"}},
		"a bundle that is missing": {[]string{"bundle", "load", file, "--data-dir", data}, exitUsage, []string{file, "no such file"}},
		"no data-dir":              {[]string{"bundle", "load", tampered, "--data-dir="}, exitUsage, []string{"--data-dir is empty"}},
		"something else":           {[]string{"bundle", "load", tampered, "--data-dir", data}, exitFailed, []string{"load " + tampered + " into --data-dir=" + data, "is not a bundle"}},
		"data-dir is a file":       {[]string{"bundle", "load", tampered, "--data-dir", tampered}, exitFailed, []string{"is not a bundle"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, stderr, code := netboot(t, tc.args...)
			if code != tc.wantCode {
				t.Errorf("exit code %d, want %d", code, tc.wantCode)
			}
			for _, want := range tc.want {
				if !strings.Contains(stderr, want) {
					t.Errorf("standard error is %q, want %q in it", stderr, want)
				}
			}
			if _, err := os.Stat(file); err == nil {
				t.Error("there is a bundle")
			}
		})
	}
}
