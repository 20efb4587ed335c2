// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package faults

import (
	"slices"
	"time"

	"github.com/netboot-operator/netboot-operator/pkg/attempt"
)

// is is short for a row's causes.
func is(causes ...attempt.CauseID) []attempt.CauseID { return causes }

// simulated are the rows with simulated machines.
func simulated() []row {
	return slices.Concat(networkFaults(), loaderFaults(), machineFaults(), profileFaults(), installerFaults(), healthy())
}

// networkFaults are between the machine and the server.
func networkFaults() []row {
	return []row{
		{
			name: "every OACK is lost", with: "BIOS, iPXE ROM",
			boot: chain(biosPXELINUX).loads(noOACK), wantErr: "no answer", want: is(attempt.CauseAnswersLost),
		},
		{
			name: "a firewall drops all but the first packet", with: "UEFI PXE",
			boot: chain(uefiGRUB).loads(onlyFirst), wantErr: "no answer", want: is(attempt.CauseAnswersLost), vague: true,
		},
		{
			name: "packets over 1300 bytes are lost (MTU)", with: "UEFI PXE",
			boot: chain(uefiGRUB).loads(narrow), wantErr: "no answer", want: is(attempt.CausePathMTU),
		},
		{
			name: "packets over 1300 bytes are lost (MTU)", with: "BIOS, iPXE ROM",
			boot: chain(biosPXELINUX).loads(narrow), wantErr: "no answer", want: is(attempt.CausePathMTU),
		},
		{
			name: "NAT knows the server's first port only", with: "BIOS, iPXE ROM; --tftp-ports=ephemeral", server: ephemeral,
			boot: chain(biosPXELINUX).loads(onlyKnownPort), wantErr: "no answer", want: is(attempt.CauseAnswersLost),
		},
		{
			name: "the cable is pulled while the kernel comes", with: "PXELINUX", profile: "payload",
			boot: chain(biosPXELINUX).loads(deafAfter(200)), wantErr: "no answer", want: is(attempt.CauseTransferBrokeOff),
		},
	}
}

// loaderFaults are about network boot programs.
func loaderFaults() []row {
	return []row{
		{
			name: "loader for another architecture", with: "UEFI PXE; GRUB for arm64",
			boot: starts("grubnetaa64.efi.signed"), want: is(attempt.CauseLoaderSilent),
		},
		{
			name: "loader without a signature, Secure Boot", with: "UEFI PXE; iPXE",
			boot: starts("ipxe.efi"), want: is(attempt.CauseLoaderSilent),
		},
		{
			name: "DHCP names a file that is not there", with: "UEFI PXE",
			boot: starts("grubx65.efi"), wantErr: "ERROR 1", want: is(attempt.CauseLoaderMissing),
		},
		{
			name: "ldlinux.c32 is not there", with: "PXELINUX", server: bare,
			boot: chain(biosPXELINUX).loads(), wantErr: "ERROR 1", want: is(attempt.CauseLoaderMissing),
		},
		{
			name: "DHCP names a loader for BIOS", with: "UEFI HTTP Boot; PXELINUX",
			boot: startsByHTTP("pxelinux.0"), want: is(attempt.CauseWrongFirmware),
		},
		{
			name: "DHCP tells iPXE to load iPXE", with: "UEFI PXE; iPXE",
			boot: loadsItself("ipxe.efi", 3), want: is(attempt.CauseChainLoad),
		},
	}
}

// machineFaults are about who boots, and with what.
func machineFaults() []row {
	return []row{
		{
			name: "MAC address of the Machine differs in one digit", with: "PXELINUX", profile: "payload",
			boot: chain(biosPXELINUX).loads(oneDigit), wantErr: "boots its own disk", want: is(attempt.CauseUnknownMachine),
			wantText: theOtherMAC,
		},
		{
			name: "MAC address of the Machine differs in one digit", with: "signed GRUB", profile: "payload",
			boot: chain(uefiGRUB).loads(oneDigit), wantErr: "ERROR 1", want: is(attempt.CauseUnknownMachine), wantText: theOtherMAC,
		},
		{
			name: "MAC address of the Machine differs in one digit", with: "iPXE", profile: "payload",
			boot: chain(uefiIPXE).loads(oneDigit), wantErr: "404", want: is(attempt.CauseUnknownMachine), wantText: theOtherMAC,
		},
		{
			name: "no Machine, and none with a near address", with: "PXELINUX",
			boot: chain(biosPXELINUX).loads(), wantErr: "boots its own disk", want: is(attempt.CauseUnknownMachine),
		},
		{
			name: "no room for the initrd: the loader ends it, twice", with: "PXELINUX", profile: "big",
			boot: twice(chain(biosPXELINUX).loads(cutInitrd)), wantErr: "cut after", want: is(attempt.CauseOutOfMemory),
		},
		{
			name: "no room for the initrd: the loader ends it, twice", with: "iPXE", profile: "big",
			boot: twice(chain(uefiIPXE).loads(cutInitrd)), wantErr: "cut after", want: is(attempt.CauseOutOfMemory),
		},
		{
			name: "silence in the middle of the initrd", with: "GRUB", profile: "big",
			boot: chain(uefiGRUB).loads(func(m *machine) { m.vanish = 2_000_000 }), wantErr: "vanished", want: is(attempt.CauseTransferBrokeOff),
		},
		{
			name: "silence in the middle of the initrd, behind a NAT", with: "GRUB, while another machine boots", profile: "big",
			boot:    behindOneNAT(chain(uefiGRUB).loads(func(m *machine) { m.vanish = 2_000_000 })),
			wantErr: "vanished", want: is(attempt.CauseTransferBrokeOff), vague: true,
		},
		{
			name: "kernel came whole, the initrd is not asked for", with: "GRUB", profile: "payload",
			boot: chain(uefiGRUB).loads(func(m *machine) { m.noInitrd = true }), wantErr: "does not ask", want: is(attempt.CausePayloadIncomplete),
		},
		{
			name: "the machine starts again after each initrd", with: "PXELINUX, Continuous", profile: "install",
			boot: chain(biosPXELINUX).times(3, time.Second), want: is(attempt.CauseLoop, attempt.CauseConfigNeverFetched),
		},
		{
			name: "held after three boots without completion", with: "PXELINUX, Once", profile: "install", policy: "Once",
			boot: chain(biosPXELINUX).times(4, 6*time.Second), wantErr: "boots its own disk", want: is(attempt.CauseHeld, attempt.CauseLoop),
		},
	}
}

// profileFaults are about what objects say, and where artifacts come from.
func profileFaults() []row {
	refused := func(name, with, profile string, c chain, wantErr string, want attempt.CauseID) row {
		return row{name: name, with: with, profile: profile, boot: c.loads(), wantErr: wantErr, want: is(want)}
	}
	return []row{
		refused("the Machine's profile does not exist", "PXELINUX", "nothing", biosPXELINUX, "no configuration file", attempt.CauseProfileNotUsable),
		refused("the profile has no platform for the machine", "GRUB for amd64", "arm64", uefiGRUB, "ERROR 1", attempt.CauseProfileArchitecture),
		refused("the profile's template does not render", "PXELINUX", "template", biosPXELINUX, "no configuration file", attempt.CauseRender),
		refused("the kernel is another one than sha256 says", "iPXE", "digest", uefiIPXE, "502", attempt.CauseDigest),
		refused("the kernel is another one than sha256 says", "PXELINUX", "digest", biosPXELINUX, "ERROR 0", attempt.CauseDigest),
		refused("nobody listens where the kernel comes from", "GRUB", "down", uefiGRUB, "ERROR 0", attempt.CauseUpstream),
		refused("the upstream has no such file", "iPXE", "absent", uefiIPXE, "502", attempt.CauseUpstream),
		{
			name: "the upstream sends a byte in five seconds", with: "iPXE, switched off after 20 s", profile: "trickle",
			boot: impatient(chain(uefiIPXE).loads(), 20*time.Second), wantErr: "switched off", want: is(attempt.CauseUpstream),
		},
		{
			name: "the server's disk is full", with: "iPXE", server: full, profile: "payload",
			boot: chain(uefiIPXE).loads(), wantErr: "50", want: is(attempt.CauseStorage),
		},
	}
}

// installerFaults come after the loader.
func installerFaults() []row {
	return []row{
		{
			name: "the config is never fetched", with: "PXELINUX", profile: "install",
			boot: chain(biosPXELINUX).loads(), want: is(attempt.CauseConfigNeverFetched),
		},
		{
			name: "the config is never fetched", with: "iPXE", profile: "install",
			boot: chain(uefiIPXE).loads(), want: is(attempt.CauseConfigNeverFetched),
		},
		{
			name: "the config's token is wrong", with: "iPXE", profile: "install",
			boot: chain(uefiIPXE).installs(wrongToken), wantErr: "403", want: is(attempt.CauseTokenWrong),
		},
		{
			name: "the config is asked for without its token", with: "PXELINUX", profile: "install",
			boot: chain(biosPXELINUX).installs(noToken), wantErr: "403", want: is(attempt.CauseTokenMissing),
		},
		{
			name: "the config's token has expired", with: "iPXE; --config-token-ttl=1m", profile: "install", server: brief,
			boot: chain(uefiIPXE).late(66 * time.Second), wantErr: "403", want: is(attempt.CauseTokenExpired),
		},
		{
			name: "the installer says that it failed", with: "PXELINUX", profile: "install",
			boot: chain(biosPXELINUX).fails("no disk was found"), want: is(attempt.CauseInstallerFailed),
			wantText: func(*machine) string { return "no disk was found" },
		},
	}
}

// healthy are boots that have no cause, though some look odd.
func healthy() []row {
	disabled := row{
		name: "none: the machine's policy is Disabled", with: "PXELINUX", profile: "payload", policy: "Disabled",
		boot: chain(biosPXELINUX).loads(), wantErr: "boots its own disk",
	}
	return []row{
		{name: "none", with: "PXELINUX", profile: "payload", boot: chain(biosPXELINUX).loads()},
		{name: "none: the first boot asks for the size first", with: "UEFI, signed GRUB", profile: "payload", boot: chain(uefiGRUB).loads()},
		{name: "none: shim finds no revocations", with: "UEFI, shim, GRUB", profile: "payload", boot: chain(uefiShimGRUB).loads()},
		{name: "none", with: "UEFI, iPXE", profile: "payload", boot: chain(uefiIPXE).loads()},
		{name: "none", with: "UEFI HTTP Boot, iPXE", profile: "payload", boot: chain(uefiHTTPIPXE).loads()},
		{name: "none", with: "U-Boot", profile: "payload", boot: chain(ubootPXE).loads()},
		{name: "none: by files alone", with: "Raspberry Pi", profile: "pi", boot: raspberryPi},
		{name: "none: the kernel is checked by shim", with: "UEFI, iPXE", profile: "payload", boot: chain(uefiIPXE).loads(withShim)},
		{name: "none: each request comes twice", with: "PXELINUX", profile: "payload", boot: chain(biosPXELINUX).loads(repeatEarly)},
		{name: "none: every last ACK is lost", with: "signed GRUB", profile: "payload", boot: chain(uefiGRUB).loads(keepLast)},
		{name: "none: one packet of twenty is lost", with: "PXELINUX", profile: "payload", boot: chain(biosPXELINUX).loads(lossy)},
		{name: "none: one packet of twenty is lost", with: "UEFI, signed GRUB", profile: "payload", boot: chain(uefiGRUB).loads(lossy)},
		{name: "none: config and callback", with: "PXELINUX, Once", profile: "install", policy: "Once", boot: chain(biosPXELINUX).installs(nil)},
		{
			name: "none: the installer takes its time", with: "iPXE, Once", profile: "install", policy: "Once",
			boot: chain(uefiIPXE).late(bootQuiet + time.Second),
		},
		disabled,
	}
}

// theOtherMAC is the Machine's address, where the machine's own is another one.
func theOtherMAC(m *machine) string {
	other := *m
	oneDigit(&other)
	return other.colons()
}

func cutInitrd(m *machine)   { m.cutInitrd = 4_000_000 }
func repeatEarly(m *machine) { m.repeatEarly = true }
func keepLast(m *machine)    { m.keepLast = true }
func withShim(m *machine)    { m.withShim = true }
