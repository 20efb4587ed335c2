// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestBundleLoadOntoAFullDisk loads into a file system of 1 MiB, which a namespace of its own lets anybody mount.
func TestBundleLoadOntoAFullDisk(t *testing.T) {
	t.Parallel()
	kernel := strings.Repeat("x", 2<<20)
	dir := manifests(t, map[string]string{"vmlinuz": kernel, "p.yaml": strings.NewReplacer(
		"UPSTREAM/vmlinuz", "file:///vmlinuz", "KERNEL", digest(kernel)).Replace(`
apiVersion: netboot.dev/v1alpha1
kind: BootProfile
metadata: {name: linux}
spec: {platforms: [{architecture: amd64, kernel: {url: "UPSTREAM/vmlinuz", sha256: KERNEL}}]}
`)})
	file := filepath.Join(t.TempDir(), "site.bundle")
	if stdout, stderr, code := netboot(t, "bundle", "save", "-f", dir, "-o", file); code != 0 {
		t.Fatalf("netboot bundle save: exit code %d, %q, %q", code, stdout, stderr)
	}
	data := t.TempDir()
	load := command(t, "bundle", "load", file, "--data-dir", data)
	small := exec.CommandContext(t.Context(), "sh", append([]string{
		"-c", `mount -t tmpfs -o size=1m tmpfs "$0" && "$@"; code=$?; find "$0" -type f; exit $code`, data,
	}, load.Args...)...)
	small.Env = load.Env
	small.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}},
	}
	var stdout, stderr strings.Builder
	small.Stdout, small.Stderr = &stdout, &stderr
	err := small.Run()
	exit, ok := errors.AsType[*exec.ExitError](err)
	const want = "write to the cache: no space left on device: make room and load again; what is loaded stays\n"
	if !ok || exit.ExitCode() != exitFailed || !strings.HasSuffix(stderr.String(), want) {
		t.Errorf("netboot bundle load: %v, %q, want %q", err, &stderr, want)
	}
	if got := stdout.String(); got != "0 artifacts loaded, 0 were there before\n" {
		t.Errorf("netboot bundle load printed and left: %q", got)
	}
}
