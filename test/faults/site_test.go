// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package faults

import (
	"encoding/binary"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// namespace is that of all objects.
const namespace = "faults"

// The servers that rows need.
const (
	plain     = "plain"
	ephemeral = "ephemeral" // each transfer comes from a port of its own
	bare      = "bare"      // its folder of loaders lacks ldlinux.c32
	brief     = "brief"     // its tokens last a minute
	full      = "full"      // its disk is full
)

// startServers starts all of them, each with the Machines of its rows.
func startServers(t *testing.T, rows []row, runs int) map[string]*server {
	t.Helper()
	upstream := newUpstream(t)
	loaders := loaderFolder(t, "")
	servers := map[string]*server{}
	for name, flags := range map[string][]string{
		plain:     {"--loaders-dir", loaders},
		ephemeral: {"--loaders-dir", loaders, "--tftp-ports", "ephemeral"},
		bare:      {"--loaders-dir", loaderFolder(t, "ldlinux.c32")},
		brief:     {"--loaders-dir", loaders, "--config-token-ttl", "1m", "--install-quiet", "70s"},
		full:      {"--loaders-dir", loaders, "--data-dir", smallDisk(t)},
	} {
		var text strings.Builder
		text.WriteString(profiles(t, upstream))
		for nth := range rows {
			if server := rows[nth].server; server == name || server == "" && name == plain {
				for run := range runs {
					text.WriteString(rows[nth].manifest(nth, run))
				}
			}
		}
		folder := t.TempDir()
		if err := os.WriteFile(filepath.Join(folder, "all.yaml"), []byte(text.String()), 0o600); err != nil {
			t.Fatal(err)
		}
		servers[name] = startServer(t, name, folder, flags...)
	}
	servers[""] = servers[plain]
	return servers
}

// loaderFolder makes a folder of real loaders, but for one.
func loaderFolder(t *testing.T, but string) string {
	t.Helper()
	from, folder := filepath.Join(assets(t), "loaders"), t.TempDir()
	for _, name := range []string{
		"pxelinux.0", "ldlinux.c32", "shimx64.efi", "grubx64.efi", "grubnetx64.efi", "grubnetx64.efi.signed", "ipxe.efi", "snponly.efi",
	} {
		if name == but {
			continue
		}
		content, err := os.ReadFile(filepath.Join(from, name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(folder, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	otherArchitecture(t, filepath.Join(from, "grubnetx64.efi.signed"), filepath.Join(folder, "grubnetaa64.efi.signed"))
	return folder
}

// otherArchitecture makes a loader for arm64 of one for amd64, as far as firmware looks before it refuses to start it: at
// the field Machine of the PE header (UEFI 2.10, 2.1.1).
func otherArchitecture(t *testing.T, from, to string) {
	t.Helper()
	content, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	header := binary.LittleEndian.Uint32(content[0x3c:])
	binary.LittleEndian.PutUint16(content[header+4:], 0xaa64)
	if err := os.WriteFile(to, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

// assets returns the folder that hack/assets.sh fills.
func assets(t *testing.T) string {
	t.Helper()
	folder, err := filepath.Abs("../../build/assets")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(folder, "files/vmlinuz")); err != nil {
		t.Fatalf("%v: run hack/assets.sh", err)
	}
	return folder
}

// smallDisk mounts a disk that has room for a kernel, and not for an initrd.
func smallDisk(t *testing.T) string {
	t.Helper()
	folder := t.TempDir()
	if err := unix.Mount("netboot-faults", folder, "tmpfs", 0, "size=1200k"); err != nil {
		t.Fatalf("mount a small disk: %v (run as root, or with sudo -E)", err)
	}
	t.Cleanup(func() { _ = unix.Unmount(folder, unix.MNT_DETACH) })
	return folder
}

// profiles are the BootProfiles of all rows.
func profiles(t *testing.T, upstream string) string {
	t.Helper()
	kernel, initrd := artifact{"vmlinuz", kernelSize}, artifact{"initrd.img", initrdSize}
	good := platform("amd64", kernel.spec(upstream), initrd.spec(upstream))
	otherDigest := fmt.Sprintf(`{url: "%s%s", sha256: %s}`, upstream, artifact{"other", kernelSize}.path(), digest([]byte("expected")))
	nobody := closedPort(t)
	gone := artifact{"gone", kernelSize}
	absent := fmt.Sprintf(`{url: "%s/there/is/no/such/file", sha256: %s}`, upstream, digest([]byte("absent")))

	var text strings.Builder
	for _, p := range []struct{ name, spec string }{
		{"payload", good},
		{"big", platform("amd64", kernel.spec(upstream), artifact{"big.img", 6_000_000}.spec(upstream))},
		{"install", good + install},
		{"digest", platform("amd64", otherDigest, initrd.spec(upstream))},
		{"down", platform("amd64", gone.spec("http://"+nobody), initrd.spec(upstream))},
		{"absent", platform("amd64", absent, initrd.spec(upstream))},
		{"trickle", platform("amd64", artifact{"trickle", kernelSize}.spec(upstream), initrd.spec(upstream))},
		{"arm64", platform("arm64", kernel.spec(upstream), initrd.spec(upstream))},
		{"pi", good + "  files:\n" + files(upstream, "start4.elf", "config.txt", "cmdline.txt", "kernel8.img")},
		{"template", good + "  templates: {pxelinux: \"{{ .Machine.Variables.rack }}\\n\"}\n"},
	} {
		fmt.Fprintf(&text, "---\napiVersion: netboot.dev/v1alpha1\nkind: BootProfile\nmetadata: {name: %s, namespace: %s}\nspec:\n%s",
			p.name, namespace, p.spec)
	}
	return text.String()
}

func platform(architecture, kernel, initrd string) string {
	return fmt.Sprintf("  platforms:\n  - architecture: %s\n    kernel: %s\n    initrds: [%s]\n", architecture, kernel, initrd)
}

// files are those of a profile.
func files(upstream string, names ...string) string {
	var text strings.Builder
	for _, name := range names {
		fmt.Fprintf(&text, "  - {path: %s, url: \"%s%s\", insecureSkipVerify: true}\n", name, upstream, artifact{name, loaderSize}.path())
	}
	return text.String()
}

// install makes an installer of a profile: it fetches a config, and calls back.
const install = `  kernelArgs:
  - ks={{ .ConfigURL "kickstart" }}
  - done={{ .CompleteURL }}
  - failed={{ .FailedURL }}
  configs: [{name: kickstart, template: "reboot\n"}]
`

// closedPort returns an address where nobody listens.
func closedPort(t *testing.T) string {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.77.1:0") // where no other test listens
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }() // it was never used
	return l.Addr().String()
}
