// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package lab

import (
	"os"
	"path/filepath"
	"testing"
)

// DiskBoots is what a Disk prints.
const DiskBoots = "NETBOOT-DISK"

// Disk makes a disk whose boot sector prints a line on the serial port and turns the machine off.
func Disk(t *testing.T) (file string) {
	t.Helper()
	const origin, text = 0x7c00, 41 // where the BIOS loads it, and where in it the text begins
	sector := append([]byte{
		0x31, 0xc0, // xor ax, ax
		0x8e, 0xd8, // mov ds, ax
		0xfc,                                               // cld
		0xbe, (origin + text) & 0xff, (origin + text) >> 8, // mov si, text
		0xac,       // next: lodsb
		0x84, 0xc0, // test al, al
		0x74, 0x12, // jz off
		0x88, 0xc3, // mov bl, al
		0xba, 0xfd, 0x03, // mov dx, the serial port's status
		0xec,       // busy: in al, dx
		0xa8, 0x20, // test al, 0x20
		0x74, 0xfb, // jz busy
		0xba, 0xf8, 0x03, // mov dx, the serial port
		0x88, 0xd8, // mov al, bl
		0xee,       // out dx, al
		0xeb, 0xe9, // jmp next
		0xba, 0x04, 0x06, // off: mov dx, q35's PM1 control register
		0xb8, 0x00, 0x20, // mov ax, soft off
		0xef,       // out dx, ax
		0xf4,       // halt: hlt
		0xeb, 0xfd, // jmp halt
	}, "\r\n"+DiskBoots+"\r\n\x00"...)
	content := make([]byte, 1<<20)
	copy(content, sector)
	content[510], content[511] = 0x55, 0xaa
	file = filepath.Join(t.TempDir(), "disk.img")
	if err := os.WriteFile(file, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}
