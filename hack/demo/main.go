// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Command demo prepares a folder to try the server on: OUT/files, OUT/loaders and OUT/manifests, for the flags
// --files-dir, --loaders-dir and --manifests of "netboot serve".
//
// Kernel, initrd and loaders come from the folder that hack/assets.sh made. Where there is none, short texts stand in for
// them, so that everything but the boot itself can be tried offline, with curl. The manifests are those of
// config/samples, with the digests of the files that are really there.
//
// Usage, in the top folder: go run ./hack/demo [-out build/demo] [-assets build/assets]
package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// The stand-ins. The samples name the digests of the first two.
const (
	standInKernel = "netboot-operator stand-in kernel: make demo fetches a real one\n"
	standInInitrd = "netboot-operator stand-in initrd: make demo fetches a real one\n"
	standInLoader = "netboot-operator stand-in loader: make demo fetches a real one\n"
)

// standIns are the stand-ins by their path in the assets' folder.
func standIns() map[string]string {
	files := map[string]string{"files/vmlinuz": standInKernel, "files/initrd.img": standInInitrd}
	for _, name := range []string{
		"pxelinux.0", "ldlinux.c32", "undionly.kpxe", "ipxe.efi", "snponly.efi", "grubnetx64.efi.signed", "shimx64.efi",
	} {
		files["loaders/"+name] = standInLoader
	}
	return files
}

func main() {
	out := flag.String("out", "build/demo", "folder to prepare: its files, loaders and manifests are replaced")
	assets := flag.String("assets", "build/assets", "folder made by hack/assets.sh; stand-ins where it does not exist")
	samples := flag.String("samples", "config/samples", "folder of the manifests")
	flag.Parse()
	found, err := prepare(*out, *assets, *samples)
	if err != nil {
		fmt.Fprintf(os.Stderr, "demo: %v\n", err)
		os.Exit(1)
	}
	if !found {
		fmt.Printf("demo: kernel, initrd and loaders in %s are stand-ins of one line: make demo fetches real ones\n", *out)
	}
}

// prepare fills the folder out anew and says whether it found the folder assets.
func prepare(out, assets, samples string) (found bool, err error) {
	for _, folder := range []string{"files", "loaders", "manifests"} {
		if err := os.RemoveAll(filepath.Join(out, folder)); err != nil {
			return false, err
		}
		if err := os.MkdirAll(filepath.Join(out, folder), 0o755); err != nil {
			return false, err
		}
	}
	_, err = os.Stat(assets)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		for path, content := range standIns() {
			if err := os.WriteFile(filepath.Join(out, path), []byte(content), 0o644); err != nil {
				return false, err
			}
		}
	case err != nil:
		return false, err
	default:
		found = true
		for _, folder := range []string{"files", "loaders"} {
			if err := copyFiles(filepath.Join(out, folder), filepath.Join(assets, folder, "*"), nil); err != nil {
				return false, err
			}
		}
	}
	digests := map[string]string{}
	for path, content := range map[string]string{"files/vmlinuz": standInKernel, "files/initrd.img": standInInitrd} {
		there, err := os.ReadFile(filepath.Join(out, path))
		if err != nil {
			return false, err
		}
		digests[digest([]byte(content))] = digest(there)
	}
	return found, copyFiles(filepath.Join(out, "manifests"), filepath.Join(samples, "*.yaml"), digests)
}

// copyFiles copies the files that match pattern into a folder, with the keys of replace replaced by their values.
func copyFiles(folder, pattern string, replace map[string]string) error {
	files, err := filepath.Glob(pattern)
	if err != nil {
		return err
	}
	if len(files) == 0 {
		return fmt.Errorf("no file %s", pattern)
	}
	for _, file := range files {
		if filepath.Base(file) == "kustomization.yaml" { // a list of manifests, not one
			continue
		}
		content, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		for before, after := range replace {
			content = bytes.ReplaceAll(content, []byte(before), []byte(after))
		}
		if err := os.WriteFile(filepath.Join(folder, filepath.Base(file)), content, 0o644); err != nil {
			return err
		}
	}
	return nil
}

func digest(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}
