// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package boot

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"
	"syscall"

	"github.com/netboot-operator/netboot-operator/pkg/index"
)

// Loaders is a folder of network boot programs and their modules, served by name.
type Loaders struct {
	root *os.Root
}

// OpenLoaders opens the folder. Nothing outside of it is ever served, symbolic links to the outside included.
func OpenLoaders(dir string) (*Loaders, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("open folder of loaders: %w", err)
	}
	return &Loaders{root: root}, nil
}

// Close closes the folder. Files that are open stay so.
func (l *Loaders) Close() error { return l.root.Close() }

// architectureFolders returns the sub-folders in which a loader for arch may lie although the name asked for does not say
// so; all of them when arch is empty.
func architectureFolders(arch index.Arch) []string {
	x86 := []string{"amd64", "x86_64", "bios", "efi64", "386", "i386"} // BIOS loaders are 32-bit programs
	switch arch {
	case "amd64":
		return x86
	case "arm64":
		return []string{"arm64", "aarch64"}
	case "":
		return append(x86, "arm64", "aarch64", "arm", "riscv64")
	}
	return []string{string(arch)}
}

// aliases returns further names of the loader called base, in order of preference: firmware and shim ask for fixed
// names, and distributions pack the files under others.
func aliases(base string) []string {
	switch base {
	case "bootx64.efi":
		return []string{"shimx64.efi", "shimx64.efi.signed", "ipxe.efi", "snponly.efi"}
	case "bootaa64.efi":
		return []string{"shimaa64.efi", "shimaa64.efi.signed", "grubnetaa64.efi.signed"}
	case "grubx64.efi": // what shim starts (DEFAULT_LOADER), from its own folder
		return []string{"grubnetx64.efi.signed", "grubnetx64.efi", "grubx64.efi.signed"}
	case "grubaa64.efi":
		return []string{"grubnetaa64.efi.signed", "grubnetaa64.efi", "grubaa64.efi.signed"}
	case "mmx64.efi", "mmaa64.efi", "shimx64.efi", "shimaa64.efi", "grubnetx64.efi", "grubnetaa64.efi":
		return []string{base + ".signed"}
	}
	return nil
}

// open opens the loader that name, a clean relative path, means: the file of that path, else of a shorter end of it,
// else an alias, else a file of that name in a folder of the architecture. It wraps fs.ErrNotExist when there is none.
func (l *Loaders) open(name string, arch index.Arch) (*os.File, error) {
	for rest, more := name, true; more; _, rest, more = strings.Cut(rest, "/") {
		f, err := l.openFile(rest)
		if !errors.Is(err, fs.ErrNotExist) {
			return f, err
		}
	}
	base := strings.ToLower(path.Base(name))
	candidates := append([]string{base}, aliases(base)...)
	for _, candidate := range candidates {
		for _, folder := range append([]string{"."}, architectureFolders(arch)...) {
			f, err := l.openFile(path.Join(folder, candidate))
			if !errors.Is(err, fs.ErrNotExist) {
				return f, err
			}
		}
	}
	return nil, fmt.Errorf("loader %q: %w", name, fs.ErrNotExist)
}

// openFile opens one path if it is a regular file; anything else does not exist.
func (l *Loaders) openFile(name string) (*os.File, error) {
	// A named pipe would block until someone writes into it.
	f, err := l.root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		// Part of the path is a file (ENOTDIR), or a part is too long for the file system: no such file.
		if isNoSuchPath(err) {
			return nil, fs.ErrNotExist
		}
		return nil, err
	}
	info, err := f.Stat()
	if err != nil {
		_ = f.Close() // the error of Stat says more
		return nil, err
	}
	if !info.Mode().IsRegular() {
		_ = f.Close() // nothing was written
		return nil, fs.ErrNotExist
	}
	return f, nil
}

func isNoSuchPath(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) || errors.Is(err, syscall.ENAMETOOLONG)
}
