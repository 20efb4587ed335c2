// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"
	"time"
)

// bootDeadline is when a boot that has not come to an end has failed. Without KVM one takes 10 to 40 seconds, where nothing
// else goes on.
const bootDeadline = 10 * time.Minute

// A firmware is what a machine starts with, as arguments for QEMU.
type firmware struct {
	args []string
	nic  string // appended to the network card
	vars string // the file to start the variables from; empty: none
}

// seaBIOS boots by the network card's own ROM, which is iPXE. It gives up, by a reset, when nothing boots.
func seaBIOS() firmware {
	return firmware{args: []string{"-machine", "q35,graphics=off", "-boot", "reboot-timeout=1000"}}
}

// ovmf is edk2's UEFI with its own network stack: an empty romfile keeps iPXE's ROM out. With http, network booting by
// TFTP is turned off, because it would be tried first.
func ovmf(http bool) firmware {
	f := firmware{
		nic:  ",romfile=",
		vars: "/usr/share/OVMF/OVMF_VARS_4M.fd",
		args: []string{
			"-machine", "q35", "-device", "virtio-rng-pci",
			"-drive", "if=pflash,unit=0,format=raw,readonly=on,file=/usr/share/OVMF/OVMF_CODE_4M.fd",
		},
	}
	if http {
		for _, stack := range []string{"IPv4PXESupport", "IPv6PXESupport"} {
			f.args = append(f.args, "-fw_cfg", "name=opt/org.tianocore/"+stack+",string=n")
		}
	}
	return f
}

// boot boots a machine from the network to its end and returns the command line that its kernel was given. The machine
// must have seen both initrds.
func (l *lab) boot(t *testing.T, f firmware) string {
	t.Helper()
	args := slices.Concat([]string{
		"qemu-system-x86_64", "-nodefaults", "-no-user-config", "-accel", "tcg", "-m", "1024", "-no-reboot",
		"-display", "none", "-vga", "none", "-serial", "stdio", "-uuid", "a1b2c3d4-e5f6-4788-99aa-bbccddeeff00",
		"-netdev", "tap,id=n0,ifname=tap0,script=no,downscript=no",
		"-device", "virtio-net-pci,netdev=n0,bootindex=1,mac=" + guestMAC + f.nic,
	}, f.args)
	if f.vars != "" {
		content, err := os.ReadFile(f.vars)
		if err != nil {
			t.Fatal(err)
		}
		vars := filepath.Join(t.TempDir(), "vars.fd")
		if err := os.WriteFile(vars, content, 0o600); err != nil {
			t.Fatal(err)
		}
		args = append(args, "-drive", "if=pflash,unit=1,format=raw,file="+vars)
	}

	ctx, cancel := context.WithTimeout(t.Context(), bootDeadline)
	defer cancel()
	started := time.Now()
	<-l.start(ctx, t, l.lan, "console", args...) // the guest powers itself off

	console, err := os.ReadFile(filepath.Join(l.logs, "console.log"))
	if err != nil {
		t.Fatal(err)
	}
	// The bracket that ends it is the line's last: the command line itself may hold some.
	line := regexp.MustCompile(`NETBOOT-CMDLINE \[(.*)\]\r?\n`).FindSubmatch(console)
	if line == nil {
		t.Fatalf("no kernel printed its command line within %v", time.Since(started).Round(time.Second))
	}
	if !bytes.Contains(console, []byte("NETBOOT-SECOND [from the second initrd]")) {
		t.Error("the kernel did not get the second initrd")
	}
	t.Logf("booted in %v: %s", time.Since(started).Round(time.Second), line[1])
	return string(line[1])
}
