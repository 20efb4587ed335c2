// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package boot

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/netboot-operator/netboot-operator/pkg/index"
)

// loadersWith returns a folder of loaders in which each file holds its own path.
func loadersWith(t *testing.T, paths ...string) (l *Loaders, dir string) {
	t.Helper()
	dir = t.TempDir()
	for _, path := range paths {
		name := filepath.Join(dir, path)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(path), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	l, err := OpenLoaders(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l, dir
}

func TestOpenLoader(t *testing.T) {
	for name, tc := range map[string]struct {
		has  []string
		ask  string
		arch index.Arch
		want string // the path of the file that is opened; empty: there is none
	}{
		"by its name": {has: []string{"pxelinux.0"}, ask: "pxelinux.0", want: "pxelinux.0"},
		"by its path": {
			has: []string{"bios/pxelinux.0", "pxelinux.0"}, ask: "bios/pxelinux.0", want: "bios/pxelinux.0",
		},
		"by the end of a longer path": {
			has: []string{"grub/x86_64-efi/normal.mod"}, ask: "debian-installer/amd64/grub/x86_64-efi/normal.mod",
			want: "grub/x86_64-efi/normal.mod",
		},
		"by the longest end that is there": {has: []string{"c", "b/c"}, ask: "a/b/c", want: "b/c"},
		"in any case": {
			has: []string{"shimx64.efi"}, ask: "EFI/BOOT/SHIMX64.EFI", want: "shimx64.efi",
		},
		"with its own case first": {
			has: []string{"BOOTX64.EFI", "bootx64.efi"}, ask: "EFI/BOOT/BOOTX64.EFI", want: "BOOTX64.EFI",
		},
		"past a folder of that name": {
			has: []string{"grub/ipxe.efi/x", "ipxe.efi"}, ask: "grub/ipxe.efi", want: "ipxe.efi",
		},
		"past a file where a folder is meant": {has: []string{"ipxe.efi"}, ask: "ipxe.efi/ipxe.efi", want: "ipxe.efi"},

		"in an architecture's folder": {
			has: []string{"arm64/snp.efi"}, ask: "snp.efi", want: "arm64/snp.efi",
		},
		"in the BIOS folder": {
			has: []string{"bios/ldlinux.c32"}, ask: "ldlinux.c32", want: "bios/ldlinux.c32",
		},
		"in the folder of the architecture asked": {
			has: []string{"amd64/ipxe.efi", "arm64/ipxe.efi"}, ask: "aarch64/ipxe.efi", arch: "arm64",
			want: "arm64/ipxe.efi",
		},
		"not in another architecture's folder": {
			has: []string{"amd64/ipxe.efi"}, ask: "aarch64/ipxe.efi", arch: "arm64",
		},
		"in a BIOS folder when x86 is asked": {
			has: []string{"bios/undionly.kpxe"}, ask: "amd64/undionly.kpxe", arch: "amd64", want: "bios/undionly.kpxe",
		},
		"beside the folder that is asked": {
			has: []string{"ipxe-arm64.efi"}, ask: "arm64/ipxe-arm64.efi", arch: "arm64", want: "ipxe-arm64.efi",
		},

		"shim's second stage as Debian packs it": {
			has: []string{"grubnetx64.efi.signed"}, ask: "boot/grubx64.efi", want: "grubnetx64.efi.signed",
		},
		"shim's second stage as it is": {
			has: []string{"grubnetx64.efi.signed", "grubx64.efi"}, ask: "grubx64.efi", want: "grubx64.efi",
		},
		"shim's second stage in a folder": {
			has: []string{"amd64/grubnetx64.efi.signed"}, ask: "grubx64.efi", want: "amd64/grubnetx64.efi.signed",
		},
		"shim's second stage on arm64": {
			has: []string{"arm64/grubnetaa64.efi.signed"}, ask: "grubaa64.efi", want: "arm64/grubnetaa64.efi.signed",
		},
		"shim as Debian packs it": {
			has: []string{"shimx64.efi.signed"}, ask: "shimx64.efi", want: "shimx64.efi.signed",
		},
		"MokManager as Debian packs it": {
			has: []string{"mmx64.efi.signed"}, ask: "mmx64.efi", want: "mmx64.efi.signed",
		},
		"the firmware's default is shim, if there": {
			has: []string{"ipxe.efi", "shimx64.efi"}, ask: "EFI/BOOT/BOOTX64.EFI", want: "shimx64.efi",
		},
		"the firmware's default is iPXE, else": {has: []string{"ipxe.efi"}, ask: "bootx64.efi", want: "ipxe.efi"},
		"the firmware's default on arm64 is GRUB": {
			has: []string{"grubnetaa64.efi.signed"}, ask: "bootaa64.efi", want: "grubnetaa64.efi.signed",
		},
		"an alias is no other architecture's loader": {has: []string{"grubnetx64.efi.signed"}, ask: "grubaa64.efi"},

		"not there":             {has: []string{"pxelinux.0"}, ask: "lpxelinux.0"},
		"the start of a name":   {has: []string{"pxelinux.0"}, ask: "pxelinux"},
		"a folder":              {has: []string{"grub/normal.mod"}, ask: "grub"},
		"a part is too long":    {has: []string{"a"}, ask: strings.Repeat("x", 300) + "/b"},
		"a file in a file":      {has: []string{"pxelinux.0"}, ask: "pxelinux.0/x"},
		"nothing in the folder": {ask: "pxelinux.0"},
	} {
		t.Run(name, func(t *testing.T) {
			l, _ := loadersWith(t, tc.has...)
			f, err := l.open(tc.ask, tc.arch)
			if tc.want == "" {
				if !errors.Is(err, fs.ErrNotExist) {
					t.Errorf("open(%q) = %v, %v, want fs.ErrNotExist", tc.ask, f, err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = f.Close() }()
			if got, err := io.ReadAll(f); string(got) != tc.want || err != nil {
				t.Errorf("open(%q) opened %q, %v, want %q", tc.ask, got, err, tc.want)
			}
		})
	}
}

// What leads out of the folder is refused, and the error does not tell where to.
func TestLoadersDoNotLeadOut(t *testing.T) {
	outside := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(outside, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	l, dir := loadersWith(t, "pxelinux.0", "sub/ipxe.efi")
	for link, target := range map[string]string{
		"absolute.efi": outside, "relative.efi": "../../../../../../etc/passwd", "sub/up.efi": "../../secret",
		"folder": filepath.Dir(outside), "inside.efi": "sub/ipxe.efi",
	} {
		if err := os.Symlink(target, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}

	for name, ask := range map[string]string{
		"an absolute link":         "absolute.efi",
		"a relative link":          "relative.efi",
		"a link in a folder":       "sub/up.efi",
		"below a link to a folder": "folder/secret",
		"two dots":                 "../secret",
		"two dots within":          "sub/../../secret",
	} {
		t.Run(name, func(t *testing.T) {
			f, err := l.open(ask, "")
			if err == nil {
				_ = f.Close()
				t.Fatalf("open(%q) opened it", ask)
			}
			for _, local := range []string{dir, filepath.Dir(outside), "etc/passwd"} {
				if strings.Contains(err.Error(), local) {
					t.Errorf("open(%q) error = %q: tells %q", ask, err, local)
				}
			}
		})
	}
	t.Run("a link within is followed", func(t *testing.T) {
		f, err := l.open("inside.efi", "")
		if err != nil {
			t.Fatal(err)
		}
		_ = f.Close()
	})
}

// A named pipe would block whoever opens it until someone writes.
func TestLoadersAreRegularFiles(t *testing.T) {
	l, dir := loadersWith(t)
	if err := syscall.Mkfifo(filepath.Join(dir, "pipe.efi"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := l.open("pipe.efi", ""); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("open() of a named pipe: error = %v, want fs.ErrNotExist", err)
	}
}

func TestOpenLoadersNeedsAFolder(t *testing.T) {
	if _, err := OpenLoaders(filepath.Join(t.TempDir(), "missing")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("OpenLoaders() error = %v, want fs.ErrNotExist", err)
	}
}
