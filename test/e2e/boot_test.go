// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/netboot-operator/netboot-operator/test/lab"
)

// How the server is asked by those who do not go through DHCP.
const (
	tftpServer = "tftp://" + lab.ServerAddress + "/"
	httpServer = "http://" + lab.ServerAddress + ":8080/"
)

// wantArgs are the kernel's arguments of testdata/objects.yaml: the profile's, with the machine's name, address and
// variables in them; the machine's "loglevel" instead of the profile's; what only the machine has; and the interface
// that it booted from, which the server adds.
func wantArgs() []string {
	return []string{
		"console=ttyS0,115200", "panic=-1", "hostname=node-01.e2e.example.com", "mac=52:54:00:aa:bb:01", "rack=r12",
		"title=made of debian", "loglevel=3", "boot=1", "BOOTIF=01-52-54-00-aa-bb-01",
	}
}

func TestBIOSPXELINUX(t *testing.T) {
	t.Parallel()
	l := newSite(t)
	l.serveCluster(t)
	l.DHCP(t, "pxelinux.0", "pxelinux.0") // the ROM is iPXE, and chains to PXELINUX
	l.checkBootPXELINUX(t)
}

// Nothing is in the cache when the machine asks for its kernel: the upstream answers no earlier.
func TestStandaloneBIOSPXELINUXColdCache(t *testing.T) {
	t.Parallel()
	l := newSite(t)
	l.hold = make(chan struct{})
	l.serveStandalone(t)
	l.DHCP(t, "pxelinux.0", "pxelinux.0")
	const config = "pxelinux.cfg/01-52-54-00-aa-bb-01"
	go l.WhenServed(t, config, func() {
		if n := l.fetched.Load(); n != 0 {
			t.Errorf("the upstream has answered %d requests before the machine had its configuration", n)
		}
		close(l.hold)
	})
	line := l.boot(t, lab.SeaBIOS())
	checkCommandLine(t, line, commandLinePXELINUX(l.read(t, tftpServer+config, readPXELINUX)))
	if n := l.fetched.Load(); n != 3 {
		t.Errorf("the upstream has answered %d requests, want one for each of 3 files", n)
	}
}

func TestUEFISignedGRUB(t *testing.T) {
	t.Parallel()
	l := newSite(t)
	l.serveCluster(t)
	l.DHCP(t, "grubnetx64.efi.signed", "grubnetx64.efi.signed")
	// This GRUB asks for /grub/grub.cfg; what it gets there leads it to its own file.
	h := l.read(t, tftpServer+"grub/grub.cfg-01-52-54-00-aa-bb-01", readGRUB)
	checkCommandLine(t, l.boot(t, lab.OVMF(false)), commandLineGRUB(h))
}

// All that the machine needs is in the cache, and the upstream is gone.
func TestUEFIiPXEWithoutUpstream(t *testing.T) {
	t.Parallel()
	l := newSite(t)
	kubectl := l.serveCluster(t)
	kubectl("wait", "--for=condition=ArtifactsReady", "--timeout=180s", "bootprofile/debian")
	l.upstream.CloseClientConnections()
	l.upstream.Close()
	l.DHCP(t, "ipxe.efi", httpServer+"boot.ipxe")
	l.checkBootIPXE(t, lab.OVMF(false))
	// It starts the kernel without a word on the last bytes of the initrd, and has got all of it.
	kubectl("wait", "--for=jsonpath={.status.lastBoot.stage}=Done", "--timeout=60s", "machine/node-01")
}

func TestUEFIHTTPBoot(t *testing.T) {
	t.Parallel()
	l := newSite(t)
	l.serveCluster(t)
	l.DHCP(t, httpServer+"snponly.efi", httpServer+"boot.ipxe")
	l.checkBootIPXE(t, lab.OVMF(true))
}

func (l *site) checkBootPXELINUX(t *testing.T) {
	t.Helper()
	h := l.read(t, tftpServer+"pxelinux.cfg/01-52-54-00-aa-bb-01", readPXELINUX)
	checkCommandLine(t, l.boot(t, lab.SeaBIOS()), commandLinePXELINUX(h))
}

func (l *site) checkBootIPXE(t *testing.T, f lab.Firmware) {
	t.Helper()
	h := l.read(t, httpServer+"ipxe?mac=52-54-00-aa-bb-01&arch=x86_64&platform=efi", readIPXE)
	checkCommandLine(t, l.boot(t, f), commandLineIPXE(h))
}

// read asks the server for a boot configuration, by the name that the machine will use.
func (l *site) read(t *testing.T, url string, read func(string) (handover, error)) handover {
	t.Helper()
	h, err := read(l.Get(t, url))
	if err != nil {
		t.Fatalf("%s: %v", url, err)
	}
	return h
}

// checkCommandLine compares the guest's command line with the one that the rendered configuration leads to, and what
// the kernel understands of it with what the objects ask for.
func checkCommandLine(t *testing.T, got, want string) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("command line of the guest (-rendered +got):\n%s", diff)
	}
	args := splitArguments(got)
	for i := range args {
		args[i] = strings.ReplaceAll(args[i], `"`, "") // the kernel takes the quotes away
	}
	args = slices.DeleteFunc(args, func(arg string) bool { // what loaders add: BOOT_IMAGE=…, initrd=…, a bare image name
		return strings.HasPrefix(arg, "BOOT_IMAGE=") || strings.HasPrefix(arg, "initrd=") || !strings.Contains(arg, "=")
	})
	if diff := cmp.Diff(wantArgs(), args); diff != "" {
		t.Errorf("arguments of the guest's kernel (-want +got):\n%s", diff)
	}
}
