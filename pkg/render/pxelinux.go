// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package render

import (
	"errors"
	"path"
	"strings"

	"github.com/netboot-operator/netboot-operator/pkg/index"
)

// pxelinux writes the syntax of SYSLINUX: one directive a line, literal up to its end. U-Boot and petitboot read it too.
// Sources: Syslinux 6.04 doc/syslinux.txt, com32/elflink/ldlinux/readconfig.c; U-Boot boot/pxe_utils.c.
type pxelinux struct{}

func (pxelinux) template(t index.Templates) string { return t.PXELINUX }

// payload returns a plain path over TFTP, as pxelinux.0 has no HTTP; lpxelinux.0 and U-Boot read URLs, and whoever got
// the configuration by HTTP resolves nothing against a TFTP server.
func (pxelinux) payload(path string, by index.Payload, r Request) (string, error) {
	if by != index.PayloadHTTP && r.Over != HTTP {
		return path, nil
	}
	if r.ServerURL == "" {
		return "", errHTTPOff()
	}
	return r.ServerURL + path, nil
}

func (pxelinux) word(arg string, on *index.Platform) (string, error) {
	switch {
	case arg == "-":
		return "", errors.New(`PXELINUX takes "-" for "no arguments at all"; remove it`)
	case strings.HasPrefix(arg, "#"):
		return "", errors.New("U-Boot takes a line that starts with # for a comment; remove it")
	case strings.Contains(arg, "${"):
		return "", errors.New("U-Boot expands ${; write the value itself")
	case onlyUBoot(on.Architecture) && strings.ContainsAny(arg, `\'$`):
		return "", errors.New(`U-Boot removes or expands \, ' and $; write it without them`)
	}
	return arg, nil
}

// onlyUBoot says whether, of those who read this syntax, only U-Boot runs on arch: SYSLINUX is for x86.
func onlyUBoot(arch index.Arch) bool { return arch == "arm64" || arch == "arm" || arch == "riscv64" }

func (pxelinux) netboot(b boot) (string, error) {
	if b.UKI != "" {
		return "", unsupported(
			"PXELINUX can't boot a unified kernel image; use a UEFI loader (GRUB, iPXE) or set kernel and initrds")
	}
	if onlyUBoot(b.architecture) && len(b.Initrds) > 1 {
		return "", unsupported("U-Boot loads one initrd only; join them (cat A B), or use a UEFI loader (GRUB, iPXE)")
	}
	directive := "KERNEL"
	switch path.Ext(b.Kernel) {
	case ".0", ".bin", ".bs", ".bss", ".c32", ".img":
		directive = "LINUX" // KERNEL would take these for boot sectors, disk images or modules
	}
	lines := []string{"DEFAULT netboot", "PROMPT 0", "TIMEOUT 1", "LABEL netboot", "  " + directive + " " + b.Kernel}
	if len(b.Initrds) > 0 {
		lines = append(lines, "  INITRD "+strings.Join(b.Initrds, ","))
	}
	if b.DeviceTree != "" {
		lines = append(lines, "  FDT "+b.DeviceTree)
	}
	if b.KernelArgs != "" {
		lines = append(lines, "  APPEND "+b.KernelArgs)
	}
	if b.interfaceUnknown {
		lines = append(lines, "  IPAPPEND 2") // it asked by UUID, before it asks by MAC address: it adds BOOTIF itself
	}
	return strings.Join(lines, "\n") + "\n", nil
}

// local leaves by LOCALBOOT for ChainloadESP too: what runs PXELINUX is a BIOS, and that has no EFI system partition.
func (pxelinux) local(how index.LocalBoot) string {
	const head = "DEFAULT local\nPROMPT 0\nTIMEOUT 1\nLABEL local\n"
	if how == index.LocalSanBoot {
		return head + "  KERNEL chain.c32\n  APPEND hd0\n"
	}
	return head + "  LOCALBOOT -1\n"
}

// bootstrap boots locally: pxelinux.cfg/default is asked for last, after all the names that tell who asks.
func (s pxelinux) bootstrap(Request) string { return s.local(index.LocalExit) }
