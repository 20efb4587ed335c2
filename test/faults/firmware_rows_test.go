// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package faults

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/netboot-operator/netboot-operator/pkg/attempt"
	"github.com/netboot-operator/netboot-operator/test/lab"
)

// What machines boot, of firmwareFiles. The kernel's digest is filled in.
const (
	wholeKernel = `{url: "file:///vmlinuz", sha256: KERNEL}`
	arguments   = `  kernelArgs: ["console=ttyS0,115200", panic=-1, address=10.77.0.50/24`
)

func spec(architecture, kernel, initrd, words string) string {
	return platform(architecture, kernel, `{url: "file:///`+initrd+`", insecureSkipVerify: true}`) + arguments + words + "]\n"
}

// firmwareRows are the rows with real firmware.
func firmwareRows(t *testing.T) []firmwareRow {
	t.Helper()
	kernel, err := os.ReadFile(filepath.Join(assets(t), "files", "vmlinuz"))
	if err != nil {
		t.Fatal(err)
	}
	const (
		bios   = "pxelinux.0"
		signed = "grubnetx64.efi.signed"
		config = "http://" + lab.ServerAddress + ":8080/boot.ipxe"
	)
	payload, large := spec("amd64", wholeKernel, "initrd.img", ""), spec("amd64", wholeKernel, "large.img", "")
	small := func() []string { return []string{"-m", "256"} }
	install := func(words string) string {
		return spec("amd64", wholeKernel, "installer.img", `, 'done={{ .CompleteURL }}'`+words) + "  configs: [{name: kickstart, template: \"reboot\\n\"}]\n"
	}
	otherMAC := func(*machine) string { return "52:54:00:aa:bb:07" }
	uefi := lab.OVMF(false)
	rows := []firmwareRow{
		{row: row{name: "none", with: "BIOS, PXELINUX", profile: "payload"}, firmware: lab.SeaBIOS(), file: bios, spec: payload},
		{row: row{name: "none", with: "UEFI, signed GRUB", profile: "payload"}, firmware: uefi, file: signed, spec: payload},
		{row: row{name: "none", with: "UEFI, Secure Boot, shim, GRUB", profile: "payload"}, firmware: lab.SecureOVMF(), file: "shimx64.efi", spec: payload},
		{row: row{name: "none", with: "UEFI, iPXE by HTTP", profile: "payload"}, firmware: uefi, file: "ipxe.efi", ipxeFile: config, spec: payload},
		{
			row:      row{name: "none: an installer that calls back", with: "BIOS, PXELINUX, Once", profile: "install", policy: "Once"},
			firmware: lab.SeaBIOS(), file: bios, spec: install(`, 'get={{ .ConfigURL "kickstart" }}', "post={{ .CompleteURL }}", then=poweroff`),
		},
		{
			row:      row{name: "every OACK is lost", with: "BIOS, iPXE ROM", profile: "payload", want: is(attempt.CauseAnswersLost)},
			firmware: lab.SeaBIOS(), file: bios, spec: payload, rules: "udp sport 69 @th,64,16 6 drop",
		},
		{
			row:      row{name: "every OACK is lost", with: "UEFI PXE", profile: "payload", want: is(attempt.CauseAnswersLost)},
			firmware: uefi, file: signed, spec: payload, rules: "udp sport 69 @th,64,16 6 drop",
		},
		{
			row: row{
				name: "NAT knows the server's first port only", with: "UEFI PXE; --tftp-ports=ephemeral", profile: "payload",
				want: is(attempt.CauseAnswersLost),
			},
			firmware: uefi, file: signed, spec: payload, rules: "udp sport 1024-65535 drop", flags: []string{"--tftp-ports", "ephemeral"},
		},
		{
			row:      row{name: "packets over 1300 bytes are lost (MTU)", with: "UEFI PXE", profile: "payload", want: is(attempt.CausePathMTU)},
			firmware: uefi, file: signed, spec: payload, rules: "ip length gt 1300 drop",
		},
		{
			row:      row{name: "packets over 1300 bytes are lost (MTU)", with: "BIOS, iPXE ROM", profile: "payload", want: is(attempt.CausePathMTU)},
			firmware: lab.SeaBIOS(), file: bios, spec: payload, rules: "ip length gt 1300 drop",
		},
		{
			row: row{
				name: "loader for another architecture", with: "UEFI amd64, GRUB for arm64", profile: "payload", want: is(attempt.CauseLoaderSilent),
			},
			firmware: uefi, file: "grubnetaa64.efi.signed", spec: payload,
		},
		{
			row: row{
				name: "loader for another architecture", with: "UEFI, GRUB for arm64; the Machine says amd64", profile: "payload",
				want: is(attempt.CauseWrongArchitecture),
			},
			firmware: uefi, file: "grubnetaa64.efi.signed", arch: "amd64", spec: payload,
		},
		{
			row:      row{name: "DHCP tells iPXE to load iPXE", with: "UEFI PXE", profile: "payload", want: is(attempt.CauseChainLoad), endless: true},
			firmware: uefi, file: "ipxe.efi", ipxeFile: "ipxe.efi", spec: payload,
		},
		{
			row: row{
				name: "loader without a signature, Secure Boot", with: "UEFI, iPXE", profile: "payload", want: is(attempt.CauseLoaderSilent),
			},
			firmware: lab.SecureOVMF(), file: "ipxe.efi", spec: payload,
		},
		{
			row: row{
				name: "DHCP names a file that is not there", with: "UEFI PXE", profile: "payload", want: is(attempt.CauseLoaderMissing),
			},
			firmware: uefi, file: "grubx65.efi", spec: payload,
		},
		{
			row: row{
				name: "DHCP names a file that is not there", with: "BIOS, iPXE ROM", profile: "payload", want: is(attempt.CauseLoaderMissing),
			},
			firmware: lab.SeaBIOS(), file: "pxelinux.1", spec: payload,
		},
		{
			row: row{
				name: "MAC address of the Machine differs in one digit", with: "BIOS, PXELINUX", profile: "payload",
				want: is(attempt.CauseUnknownMachine), wantText: otherMAC,
			},
			firmware: lab.SeaBIOS(), file: bios, mac: otherMAC(nil), spec: payload,
		},
		{
			row: row{
				name: "MAC address of the Machine differs in one digit", with: "UEFI, signed GRUB", profile: "payload",
				want: is(attempt.CauseUnknownMachine), wantText: otherMAC,
			},
			firmware: uefi, file: signed, mac: otherMAC(nil), spec: payload,
		},
		{
			row: row{
				name: "MAC address of the Machine differs in one digit", with: "UEFI, iPXE", profile: "payload",
				want: is(attempt.CauseUnknownMachine), wantText: otherMAC,
			},
			firmware: uefi, file: "ipxe.efi", ipxeFile: config, mac: otherMAC(nil), spec: payload,
		},
		{
			row:      row{name: "the Machine's profile does not exist", with: "BIOS, PXELINUX", profile: "nothing", want: is(attempt.CauseProfileNotUsable)},
			firmware: lab.SeaBIOS(), file: bios,
		},
		{
			row: row{
				name: "the profile has no platform for the machine", with: "UEFI amd64, signed GRUB", profile: "arm64",
				want: is(attempt.CauseProfileArchitecture),
			},
			firmware: uefi, file: signed, spec: spec("arm64", wholeKernel, "initrd.img", ""),
		},
		{
			row: row{
				name: "the kernel is another one than sha256 says", with: "BIOS, PXELINUX", profile: "digest", want: is(attempt.CauseDigest),
				endless: true, // ten times a second
			},
			firmware: lab.SeaBIOS(), file: bios,
			spec: spec("amd64", `{url: "file:///vmlinuz", sha256: `+digest([]byte("expected"))+`}`, "initrd.img", ""),
		},
		{
			row:      row{name: "nobody listens where the kernel comes from", with: "UEFI, signed GRUB", profile: "down", want: is(attempt.CauseUpstream)},
			firmware: uefi, file: signed, spec: spec("amd64", `{url: "http://127.0.0.1:9/vmlinuz", sha256: KERNEL}`, "initrd.img", ""),
		},
		{
			row:      row{name: "nobody listens where the kernel comes from", with: "UEFI, iPXE", profile: "down", want: is(attempt.CauseUpstream)},
			firmware: uefi, file: "ipxe.efi", ipxeFile: config,
			spec: spec("amd64", `{url: "http://127.0.0.1:9/vmlinuz", sha256: KERNEL}`, "initrd.img", ""),
		},
		{
			row: row{
				name: "an initrd of 400 MiB for 256 MiB of memory", with: "BIOS, PXELINUX", profile: "large", want: is(attempt.CauseOutOfMemory),
				endless: true, // it begins anew every four seconds
			},
			firmware: lab.SeaBIOS(), args: small(), file: bios, spec: large,
		},
		{
			row: row{
				name: "an initrd of 400 MiB for 256 MiB of memory", with: "UEFI, signed GRUB", profile: "large", want: is(attempt.CauseOutOfMemory),
				vague: true, also: is(attempt.CauseTransferBrokeOff, attempt.CausePayloadIncomplete),
			},
			firmware: uefi, args: small(), file: signed, spec: large,
		},
		{ // iPXE stops reading, and says nothing
			row: row{
				name: "an initrd of 400 MiB for 256 MiB of memory", with: "UEFI, iPXE", profile: "large", want: is(attempt.CauseOutOfMemory),
				vague: true, also: is(attempt.CauseTransferBrokeOff),
			},
			firmware: uefi, args: small(), file: "ipxe.efi", ipxeFile: config, spec: large,
		},
		{
			row: row{
				name: "an initrd of 400 MiB for 256 MiB of memory", with: "BIOS, iPXE ROM, which boots again", profile: "large",
				want: is(attempt.CauseOutOfMemory), vague: true, also: is(attempt.CauseTransferBrokeOff, attempt.CauseLoop), endless: true,
			},
			firmware: lab.SeaBIOS(), args: small(), file: bios, ipxeFile: config, again: true, spec: large,
		},
		{
			row:      row{name: "the config is never fetched", with: "BIOS, PXELINUX", profile: "install", want: is(attempt.CauseConfigNeverFetched)},
			firmware: lab.SeaBIOS(), file: bios, spec: install(`, 'ks={{ .ConfigURL "kickstart" }}', then=wait`),
		},
		{
			row:      row{name: "the config's token is wrong", with: "UEFI, signed GRUB", profile: "install", want: is(attempt.CauseTokenWrong)},
			firmware: uefi, file: signed,
			spec: install(`, 'get={{ lower (.ConfigURL "kickstart") }}', then=wait`), // a token has capital letters
		},
		{
			row: row{
				name: "the installer says that it failed", with: "BIOS, PXELINUX", profile: "install", want: is(attempt.CauseInstallerFailed),
				wantText: func(*machine) string { return "no disk was found" },
			},
			firmware: lab.SeaBIOS(), file: bios, spec: install(`, 'get={{ .ConfigURL "kickstart" }}', "post={{ .FailedURL }}", then=wait`),
		},
		{
			row: row{
				name: "the installer starts again, and never calls back", with: "BIOS, PXELINUX, Once", profile: "install", policy: "Once",
				want: is(attempt.CauseHeld),
			},
			firmware: lab.SeaBIOS(), file: bios, again: true,
			args: []string{"-drive", "if=none,id=disk,format=raw,file.locking=off,file=" + lab.Disk(t), "-device", "virtio-blk-pci,drive=disk,bootindex=2"},
			spec: install(", then=reboot"),
		},
	}
	for i := range rows {
		rows[i].spec = strings.ReplaceAll(rows[i].spec, "KERNEL", digest(kernel))
	}
	return rows
}
