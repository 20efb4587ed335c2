// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/netboot-operator/netboot-operator/examples/exampletest"
)

func TestDirectory(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("secret", "not for you")
	write("tftp/boot/grub.cfg", "exit\n")
	write("tftp/big", strings.Repeat("0123456789", 20_000))
	if err := os.Symlink(filepath.Join(dir, "secret"), filepath.Join(dir, "tftp", "link")); err != nil {
		t.Fatal(err)
	}
	root, err := os.OpenRoot(filepath.Join(dir, "tftp"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = root.Close() })
	server := exampletest.Start(t, &directory{root})

	for name, want := range map[string]string{
		"boot/grub.cfg":         "exit\n",
		"/boot/grub.cfg":        "exit\n",
		`\boot\grub.cfg`:        "exit\n",
		"boot//x/../grub.cfg":   "exit\n",
		"../../boot/grub.cfg":   "exit\n",
		"big":                   strings.Repeat("0123456789", 20_000),
		"boot":                  "ERROR 1",
		"../secret":             "ERROR 1",
		"link":                  "ERROR",
		"no such file":          "ERROR 1",
		"":                      "ERROR 1",
		"boot/grub.cfg\xff\xff": "ERROR 1",
	} {
		if got := server.Fetch(t, name); got != want && (!strings.HasPrefix(want, "ERROR") || !strings.HasPrefix(got, want)) {
			t.Errorf("%q: got %d bytes, %.40q; want %d, %.40q", name, len(got), got, len(want), want)
		}
	}

	write("tftp/boot/grub.cfg", "reboot\n") // is served when what the server has is not fresh any more
	for deadline := time.Now().Add(time.Minute); ; {
		got := server.Fetch(t, "boot/grub.cfg")
		if got == "reboot\n" {
			break
		}
		if got != "exit\n" || time.Now().After(deadline) {
			t.Fatalf("after a change: %q", got)
		}
	}
}
