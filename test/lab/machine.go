// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package lab

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// A Firmware is what a machine starts with, as arguments for QEMU.
type Firmware struct {
	args []string
	nic  string // appended to the network card
	vars string // the file to start the variables from; empty: none
}

// SeaBIOS boots by the network card's own ROM, which is iPXE. It gives up, by a reset, when nothing boots.
func SeaBIOS() Firmware {
	return Firmware{args: []string{"-machine", "q35,graphics=off", "-boot", "reboot-timeout=1000"}}
}

// OVMF is edk2's UEFI with its own network stack: an empty romfile keeps iPXE's ROM out. With http, network booting by
// TFTP is turned off, because it would be tried first.
func OVMF(http bool) Firmware {
	f := Firmware{
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

// SecureOVMF is OVMF with Secure Boot on, and Microsoft's keys: it starts what they have signed, and nothing else.
func SecureOVMF() Firmware {
	return Firmware{
		nic:  ",romfile=",
		vars: "/usr/share/OVMF/OVMF_VARS_4M.ms.fd",
		args: []string{
			"-machine", "q35,smm=on", "-device", "virtio-rng-pci",
			"-global", "driver=cfi.pflash01,property=secure,value=on",
			"-drive", "if=pflash,unit=0,format=raw,readonly=on,file=/usr/share/OVMF/OVMF_CODE_4M.secboot.fd",
		},
	}
}

// Boot starts a machine that boots from the network, with further arguments for QEMU, such as its memory. Its console is
// console.log. The channel is closed when the machine is off.
func (l *Lab) Boot(ctx context.Context, t *testing.T, f Firmware, args ...string) (off <-chan struct{}) {
	t.Helper()
	args = slices.Concat([]string{
		"qemu-system-x86_64", "-nodefaults", "-no-user-config", "-accel", "tcg", "-m", "1024",
		"-display", "none", "-vga", "none", "-serial", "stdio", "-uuid", "a1b2c3d4-e5f6-4788-99aa-bbccddeeff00",
		"-netdev", "tap,id=n0,ifname=tap0,script=no,downscript=no",
		"-device", "virtio-net-pci,netdev=n0,bootindex=1,mac=" + GuestMAC + f.nic,
	}, f.args, args)
	if f.vars != "" {
		content, err := os.ReadFile(f.vars)
		if err != nil {
			t.Fatal(err)
		}
		vars := filepath.Join(t.TempDir(), "vars.fd")
		if err := os.WriteFile(vars, content, 0o600); err != nil {
			t.Fatal(err)
		}
		args = append(args, "-drive", "if=pflash,unit=1,format=raw,file="+strings.ReplaceAll(vars, ",", ",,"))
	}
	return l.Start(ctx, t, l.LAN, "console", args...)
}

// Console returns what the machine has printed.
func (l *Lab) Console(t *testing.T) string {
	t.Helper()
	console, err := os.ReadFile(filepath.Join(l.Logs, "console.log"))
	if err != nil {
		t.Fatal(err)
	}
	return string(console)
}
