// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package attempt

import (
	"encoding/binary"
	"io"
	"path"
	"strings"

	"github.com/netboot-operator/netboot-operator/pkg/index"
)

// A Program is what the file of a network boot program tells of itself. Empty fields are not known.
type Program struct {
	Firmware     Firmware   // that can start it: BIOS or UEFI
	Architecture index.Arch // of the machines that can start it; for BIOS empty
	Signature    Signature
}

// Signature says whether a program is signed, by whomever.
type Signature string

// The signatures.
const (
	Signed   Signature = "signed"
	Unsigned Signature = "unsigned"
)

// maxHeader is how far into a file its headers are looked for, in bytes.
const maxHeader = 4096

// Inspect reads what a program's file tells of itself: the headers of a PE image, which is what UEFI starts (UEFI 2.10,
// 2.1.1; Microsoft's PE format for the fields). A file that is none tells nothing.
func Inspect(file io.ReaderAt) Program {
	head := make([]byte, maxHeader)
	n, _ := file.ReadAt(head, 0) // a short file is no program, and an unreadable one tells nothing
	head = head[:n]
	if len(head) < 0x40 || head[0] != 'M' || head[1] != 'Z' {
		return Program{}
	}
	at := int64(binary.LittleEndian.Uint32(head[0x3c:]))
	// The signature and the COFF header are 24 bytes; the optional one of PE32+ has its fifth data directory at 144.
	if at+24+152 > int64(len(head)) || string(head[at:at+4]) != "PE\x00\x00" {
		return Program{}
	}
	p := Program{Firmware: FirmwareUEFI, Signature: Unsigned}
	switch binary.LittleEndian.Uint16(head[at+4:]) {
	case 0x8664:
		p.Architecture = "amd64"
	case 0xaa64:
		p.Architecture = "arm64"
	case 0x014c:
		p.Architecture = "386"
	case 0x01c0, 0x01c2, 0x01c4:
		p.Architecture = "arm"
	case 0x5064:
		p.Architecture = "riscv64"
	}
	directories, security := at+24+108, at+24+144 // PE32+
	switch binary.LittleEndian.Uint16(head[at+24:]) {
	case 0x20b:
	case 0x10b: // PE32
		directories, security = at+24+92, at+24+128
	default:
		return Program{}
	}
	if binary.LittleEndian.Uint32(head[directories:]) > 4 && binary.LittleEndian.Uint32(head[security+4:]) > 0 {
		p.Signature = Signed
	}
	return p
}

// programOf says what a network boot program is, from its file as far as that tells, else from its name.
func programOf(e *Event) Program {
	p := e.Program
	if p.Firmware == "" {
		p.Firmware = firmwareOfName(e.Name)
	}
	if p.Firmware == FirmwareUEFI && p.Architecture == "" {
		p.Architecture = archOfName(e.Name)
	}
	return p
}

// base returns the last part of a name in lower case.
func base(name string) string {
	return strings.ToLower(path.Base(strings.ReplaceAll(name, `\`, "/")))
}

// isProgram says whether a firmware, or a loader that hands over to another, asks for such a name to start it. What a
// running loader fetches for itself, such as modules, is none; nor is what shim looks for beside itself and can do without.
func isProgram(name string) bool {
	b := base(name)
	switch {
	case strings.HasPrefix(b, "revocations"), strings.HasPrefix(b, "shim_certificate"), strings.HasPrefix(b, "mm"),
		strings.HasPrefix(b, "fb"):
		return false
	}
	return firmwareOfName(name) != "" || b == "start4.elf" || b == "bootcode.bin"
}

// firmwareOfName returns which firmware starts a program of the given name.
func firmwareOfName(name string) Firmware {
	b := strings.TrimSuffix(base(name), ".signed")
	switch path.Ext(b) {
	case ".efi":
		return FirmwareUEFI
	case ".0", ".kpxe", ".kkpxe", ".kkkpxe", ".pxe", ".bios":
		if b != "boot.ipxe.0" {
			return FirmwareBIOS
		}
	}
	return ""
}

// isIPXE says whether a program is iPXE, by its name.
func isIPXE(name string) bool {
	b := base(name)
	return strings.Contains(b, "ipxe") || strings.HasPrefix(b, "undionly") || strings.HasPrefix(b, "snponly")
}

// archOfName returns the architecture that the last part of a UEFI program's name, or a folder in it, tells.
func archOfName(name string) index.Arch {
	parts := strings.Split(strings.ReplaceAll(strings.ToLower(name), `\`, "/"), "/")
	b := strings.TrimSuffix(strings.TrimSuffix(parts[len(parts)-1], ".signed"), ".efi")
	for suffix, arch := range map[string]index.Arch{
		"x64": "amd64", "x86_64": "amd64", "amd64": "amd64", "aa64": "arm64", "arm64": "arm64", "aarch64": "arm64",
		"ia32": "386", "riscv64": "riscv64",
	} {
		if strings.HasSuffix(b, suffix) {
			return arch
		}
	}
	for _, folder := range parts[:len(parts)-1] {
		switch strings.TrimSuffix(folder, "-efi") {
		case "x86_64", "amd64", "x64":
			return "amd64"
		case "arm64", "aarch64", "aa64":
			return "arm64"
		case "riscv64":
			return "riscv64"
		}
	}
	return ""
}

// essential are the files without which a loader that asks for them goes no further.
func essential(name string) bool {
	switch base(name) {
	case "ldlinux.c32", "ldlinux.e32", "ldlinux.e64", "normal.mod":
		return true
	}
	return false
}
