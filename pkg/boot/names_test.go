// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package boot

import (
	"io/fs"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/netboot-operator/netboot-operator/pkg/index"
	"github.com/netboot-operator/netboot-operator/pkg/render"
)

// The asks that most names come down to. The machine is 52:54:00:ab:cd:ef with the UUID that boot-clients were seen with.
const (
	uuid        = "a1b2c3d4-e5f6-4788-99aa-bbccddeeff00"
	uuidSwapped = "d4c3b2a1-f6e5-8847-99aa-bbccddeeff00"
)

func testMAC() index.MAC { return index.MAC{0x52, 0x54, 0x00, 0xab, 0xcd, 0xef} }

func configOf(f render.Format) ask {
	return ask{kind: askConfig, format: f, id: index.Identity{MAC: testMAC()}}
}

func configOfUUID(f render.Format, uuid string) ask {
	return ask{kind: askConfig, format: f, id: index.Identity{UUID: uuid}}
}

func bootstrapOf(f render.Format) ask { return ask{kind: askBootstrap, format: f} }

func nobody() ask { return ask{kind: askNobody} }

func nothing() ask { return ask{} }

func fileOf(path string) ask { return ask{kind: askFile, file: path} }

func machineFileOf(path string) ask {
	return ask{kind: askMachineFile, id: index.Identity{MAC: testMAC()}, file: path}
}

func (a ask) on(arch index.Arch) ask {
	a.arch = arch
	return a
}

func TestParse(t *testing.T) {
	digest := strings.Repeat("0123456789abcdef", 4)

	for name, tc := range map[string]struct {
		sent  string
		query url.Values
		want  ask
	}{
		// PXELINUX and syslinux.efi.
		"PXELINUX: itself":              {sent: "pxelinux.0", want: fileOf("pxelinux.0")},
		"PXELINUX: itself, by its path": {sent: "/bios/lpxelinux.0", want: fileOf("bios/lpxelinux.0")},
		"PXELINUX: its core":            {sent: "bios/ldlinux.c32", want: fileOf("bios/ldlinux.c32")},
		"PXELINUX: its core on UEFI":    {sent: "ldlinux.e64", want: fileOf("ldlinux.e64")},
		"PXELINUX: its core, where it is lost": {
			sent: "/boot/isolinux/ldlinux.c32", want: fileOf("boot/isolinux/ldlinux.c32"),
		},
		"PXELINUX: a module": {sent: "libcom32.c32", want: fileOf("libcom32.c32")},
		"PXELINUX: the UUID, bytes swapped": {
			sent: "pxelinux.cfg/" + uuidSwapped, want: configOfUUID(render.PXELINUX, uuidSwapped),
		},
		"PXELINUX: a bogus UUID": {
			sent: "pxelinux.cfg/ffffffff-ffff-ffff-ffff-ffffffffffff",
			want: configOfUUID(render.PXELINUX, "ffffffff-ffff-ffff-ffff-ffffffffffff"),
		},
		"PXELINUX: the MAC address": {
			sent: "pxelinux.cfg/01-52-54-00-ab-cd-ef", want: configOf(render.PXELINUX),
		},
		"PXELINUX: the MAC address, below the NBP's folder": {
			sent: "bios/pxelinux.cfg/01-52-54-00-ab-cd-ef", want: configOf(render.PXELINUX),
		},
		"PXELINUX: the MAC address, below the NBP's rooted folder": {
			sent: "/bios/pxelinux.cfg/01-52-54-00-ab-cd-ef", want: configOf(render.PXELINUX),
		},
		"PXELINUX: the MAC address, below a folder that tells the architecture": {
			sent: "/aarch64/pxelinux.cfg/01-52-54-00-ab-cd-ef", want: configOf(render.PXELINUX).on("arm64"),
		},
		"PXELINUX: an InfiniBand address":     {sent: "pxelinux.cfg/20-80-00-02-08-fe-80", want: nobody()},
		"PXELINUX: the IP address":            {sent: "pxelinux.cfg/0A4D0032", want: nobody()},
		"PXELINUX: the IP address, shorter":   {sent: "pxelinux.cfg/0A4D00", want: nobody()},
		"PXELINUX: the IP address, one digit": {sent: "pxelinux.cfg/0", want: nobody()},
		"PXELINUX: default": {
			sent: "pxelinux.cfg/default", want: bootstrapOf(render.PXELINUX),
		},
		"PXELINUX: default, below the NBP's rooted folder": {
			sent: "/bios/pxelinux.cfg/default", want: bootstrapOf(render.PXELINUX),
		},

		// U-Boot, petitboot.
		"U-Boot: the UUID as it is": {sent: "pxelinux.cfg/" + uuid, want: configOfUUID(render.PXELINUX, uuid)},
		"U-Boot: default for a board": {
			sent: "pxelinux.cfg/default-arm-sunxi-bananapi", want: bootstrapOf(render.PXELINUX),
		},
		"U-Boot: default for a SoC": {
			sent: "pxelinux.cfg/default-arm-sunxi", want: bootstrapOf(render.PXELINUX),
		},
		"U-Boot: default for an architecture": {sent: "pxelinux.cfg/default-arm", want: bootstrapOf(render.PXELINUX)},
		"U-Boot: over HTTP, below a prefix": {
			sent: "tftp/pxelinux.cfg/01-52-54-00-ab-cd-ef", want: configOf(render.PXELINUX),
		},
		"U-Boot: a boot script":  {sent: "boot.scr.uimg", want: fileOf("boot.scr.uimg")},
		"U-Boot: an EFI program": {sent: "boot/bootaa64.efi", want: fileOf("boot/bootaa64.efi")},
		"U-Boot: a folder":       {sent: "dtb/", want: nothing()},

		// GRUB 2.
		"GRUB: its commands": {
			sent: "/grub/x86_64-efi/command.lst", want: fileOf("grub/x86_64-efi/command.lst").on("amd64"),
		},
		"GRUB: a module": {
			sent: "/grub/arm64-efi/normal.mod", want: fileOf("grub/arm64-efi/normal.mod").on("arm64"),
		},
		"GRUB: a module on BIOS": {
			sent: "/grub/i386-pc/normal.mod", want: fileOf("grub/i386-pc/normal.mod"),
		},
		"GRUB: a font": {
			sent: "/grub/fonts/unicode.pf2", want: fileOf("grub/fonts/unicode.pf2"),
		},
		"GRUB: a translation": {
			sent: "/grub/locale/de.gmo", want: fileOf("grub/locale/de.gmo"),
		},
		"GRUB: the UUID": {
			sent: "/grub/grub.cfg-" + uuid, want: configOfUUID(render.GRUB, uuid),
		},
		"GRUB: the MAC address, as its code sends it": {
			sent: "/grub/grub.cfg-01-52-54-00-ab-cd-ef", want: configOf(render.GRUB),
		},
		"GRUB: the MAC address, as its manual says": {
			sent: "/grub/grub.cfg-52-54-00-ab-cd-ef", want: configOf(render.GRUB),
		},
		"GRUB: the MAC address, by $net_default_mac": {
			sent: "/grub/grub.cfg-52:54:00:ab:cd:ef", want: configOf(render.GRUB),
		},
		"GRUB: the MAC address, below Debian's prefix": {
			sent: "/debian-installer/amd64/grub/grub.cfg-52:54:00:ab:cd:ef", want: configOf(render.GRUB).on("amd64"),
		},
		"GRUB: the MAC address, below Red Hat's prefix": {
			sent: "EFI/redhat/grub.cfg-01-52-54-00-ab-cd-ef", want: configOf(render.GRUB),
		},
		"GRUB: the MAC address, as our grub.cfg asks on x86": {
			sent: "/grub/x86_64/grub.cfg-52:54:00:ab:cd:ef", want: configOf(render.GRUB).on("amd64"),
		},
		"GRUB: the MAC address, as our grub.cfg asks on arm64": {
			sent: "/grub/arm64/grub.cfg-52:54:00:ab:cd:ef", want: configOf(render.GRUB).on("arm64"),
		},
		"GRUB: the MAC address, as our grub.cfg asks on BIOS": {
			sent: "/grub/i386/grub.cfg-52:54:00:ab:cd:ef", want: configOf(render.GRUB),
		},
		"GRUB: the IPv4 address":            {sent: "/grub/grub.cfg-0A4D0032", want: nobody()},
		"GRUB: the IPv4 address, one digit": {sent: "/grub/grub.cfg-0", want: nobody()},
		"GRUB: the IPv6 address": {
			sent: "/grub/grub.cfg-fe80-0-0-0-5054-ff-fe12-3456", want: nobody(),
		},
		"GRUB: the configuration for all": {sent: "/grub/grub.cfg", want: bootstrapOf(render.GRUB)},
		"GRUB: the same without a folder": {sent: "grub.cfg", want: bootstrapOf(render.GRUB)},
		"GRUB: the same on removable media": {
			sent: "/EFI/BOOT/grub.cfg", want: bootstrapOf(render.GRUB),
		},
		"GRUB: the same for an architecture": {
			sent: "/debian-installer/arm64/grub/grub.cfg", want: bootstrapOf(render.GRUB).on("arm64"),
		},

		// shim.
		"shim: itself":           {sent: "shimx64.efi", want: fileOf("shimx64.efi")},
		"shim: its second stage": {sent: "/grubx64.efi", want: fileOf("grubx64.efi")},
		"shim: beside itself":    {sent: `boot\grubaa64.efi`, want: fileOf("boot/grubaa64.efi")},
		"shim: MokManager":       {sent: "mmx64.efi", want: fileOf("mmx64.efi")},
		"shim: revocations":      {sent: "revocations_sbat.efi", want: fileOf("revocations_sbat.efi")},
		"shim: a certificate":    {sent: "shim_certificate_0.efi", want: fileOf("shim_certificate_0.efi")},

		// iPXE.
		"iPXE: itself":                        {sent: "undionly.kpxe", want: fileOf("undionly.kpxe")},
		"iPXE: itself, for an architecture":   {sent: "arm64/snp.efi", want: fileOf("arm64/snp.efi").on("arm64")},
		"iPXE: what every EFI build asks for": {sent: "autoexec.ipxe", want: bootstrapOf(render.IPXE)},
		"iPXE: the same with a slash":         {sent: "/autoexec.ipxe", want: bootstrapOf(render.IPXE)},
		"iPXE: the same beside an arm64 build": {
			sent: "arm64/autoexec.ipxe", want: bootstrapOf(render.IPXE).on("arm64"),
		},
		"iPXE: the first script":            {sent: "boot.ipxe", want: bootstrapOf(render.IPXE)},
		"iPXE: the first script by dnsmasq": {sent: "boot.ipxe.0", want: bootstrapOf(render.IPXE)},
		"iPXE: all that it knows": {
			sent: "ipxe",
			query: url.Values{
				"mac": {
					"52-54-00-ab-cd-ef"}, "uuid": {uuid}, "serial": {"SN 1"}, "asset": {"x"}, "arch": {"x86_64"}, "platform": {"efi"},
			},
			want: ask{
				kind: askConfig, format: render.IPXE, arch: "amd64",
				id: index.Identity{MAC: testMAC(), UUID: uuid, Serial: "SN 1"},
			},
		},
		"iPXE: a 32-bit build may run on any x86": {
			sent: "ipxe", query: url.Values{"mac": {"52:54:00:ab:cd:ef"}, "arch": {"i386"}}, want: configOf(render.IPXE),
		},
		"iPXE: on arm64": {
			sent: "ipxe", query: url.Values{"mac": {"525400abcdef"}, "arch": {"arm64"}},
			want: configOf(render.IPXE).on("arm64"),
		},
		"iPXE: a MAC address that is none": {
			sent: "ipxe", query: url.Values{"mac": {"${netX/mac}"}, "uuid": {uuid}},
			want: configOfUUID(render.IPXE, uuid),
		},
		"iPXE: nothing":                     {sent: "ipxe", want: ask{kind: askConfig, format: render.IPXE}},
		"iPXE: the MAC address as a folder": {sent: "ipxe/52-54-00-ab-cd-ef/boot.ipxe", want: configOf(render.IPXE)},
		"iPXE: the same with colons":        {sent: "/ipxe/52:54:00:ab:cd:ef/boot.ipxe", want: configOf(render.IPXE)},
		"iPXE: a folder that is no address": {sent: "ipxe/node-7/boot.ipxe", want: nobody()},

		// Other projects' names.
		"netboot.xyz: the MAC address":        {sent: "MAC-52-54-00-ab-cd-ef.ipxe", want: configOf(render.IPXE)},
		"netboot.xyz: the MAC address, raw":   {sent: "MAC-525400abcdef.ipxe", want: configOf(render.IPXE)},
		"netboot.xyz: the MAC address, lower": {sent: "/mac-525400abcdef.ipxe", want: configOf(render.IPXE)},
		"netboot.xyz: the host name":          {sent: "HOSTNAME-node-01.ipxe", want: fileOf("HOSTNAME-node-01.ipxe")},
		"Foreman: iPXE by PXELINUX's name": {
			sent: "pxelinux.cfg/01-52-54-00-ab-cd-ef.ipxe", want: configOf(render.IPXE),
		},
		"Foreman: iPXE for all": {sent: "pxelinux.cfg/default.ipxe", want: bootstrapOf(render.IPXE)},
		"Foreman: GRUB 2": {
			sent: "grub2/grub.cfg-01-52-54-00-ab-cd-ef", want: configOf(render.GRUB),
		},
		"Foreman: GRUB 2 by $net_default_mac": {sent: "grub2/grub.cfg-52:54:00:ab:cd:ef", want: configOf(render.GRUB)},
		"xCAT: GRUB 2": {
			sent: "boot/grub2/grub.cfg-01-52-54-00-ab-cd-ef", want: configOf(render.GRUB),
		},
		"Cobbler: GRUB by MAC address":    {sent: "/grub/system/52:54:00:ab:cd:ef", want: configOf(render.GRUB)},
		"Cobbler: GRUB by something else": {sent: "/grub/system/default", want: nobody()},
		"MAAS: GRUB by $net_default_mac":  {sent: "/grub/grub.cfg-52:54:00:ab:cd:ef", want: configOf(render.GRUB)},
		"MAAS: GRUB for all x86": {
			sent: "/grub/grub.cfg-default-x86_64", want: bootstrapOf(render.GRUB).on("amd64"),
		},
		"MAAS: GRUB for all arm64": {
			sent: "grub.cfg-default-arm64", want: bootstrapOf(render.GRUB).on("arm64"),
		},
		"MAAS: GRUB for all 32-bit": {sent: "grub.cfg-default-i386", want: bootstrapOf(render.GRUB)},

		// UEFI HTTP Boot.
		"UEFI: an NBP": {
			sent: "uefi/x86_64/bootx64.efi", want: fileOf("uefi/x86_64/bootx64.efi").on("amd64"),
		},
		"UEFI: an NBP, as Windows does":    {sent: `C:\EFI\BOOT\BOOTX64.EFI`, want: fileOf("EFI/BOOT/BOOTX64.EFI")},
		"UEFI: an NBP on a drive, slashes": {sent: "D:/efi/boot/bootaa64.efi", want: fileOf("efi/boot/bootaa64.efi")},
		"UEFI: a disk image":               {sent: "images/installer.iso", want: fileOf("images/installer.iso")},

		// Raspberry Pi.
		"Raspberry Pi: below the MAC address": {
			sent: "52-54-00-ab-cd-ef/start4.elf", want: machineFileOf("start4.elf"),
		},
		"Raspberry Pi: an overlay": {
			sent: "52-54-00-ab-cd-ef/overlays/vc4.dtbo", want: machineFileOf("overlays/vc4.dtbo"),
		},
		"Raspberry Pi: below the serial number": {sent: "1234abcd/config.txt", want: fileOf("1234abcd/config.txt")},
		"Raspberry Pi: at the top":              {sent: "bootcode.bin", want: fileOf("bootcode.bin")},
		"Raspberry Pi: over HTTP":               {sent: "/boot.img", want: fileOf("boot.img")},

		// ONIE.
		"ONIE: below the MAC address": {
			sent: "52-54-00-ab-cd-ef/onie-installer-x86_64-acme_s1-r0",
			want: machineFileOf("onie-installer-x86_64-acme_s1-r0"),
		},
		"ONIE: below the IP address": {
			sent: "0A4D0032/onie-installer-x86_64-acme_s1-r0", want: fileOf("0A4D0032/onie-installer-x86_64-acme_s1-r0"),
		},
		"ONIE: at the top":  {sent: "onie-installer-x86_64.bin", want: fileOf("onie-installer-x86_64.bin")},
		"ONIE: the updater": {sent: "onie-updater", want: fileOf("onie-updater")},

		// ESXi and wimboot.
		"ESXi: its configuration by MAC address": {
			sent: "01-52-54-00-ab-cd-ef/boot.cfg", want: machineFileOf("boot.cfg"),
		},
		"ESXi: its configuration":              {sent: "boot.cfg", want: fileOf("boot.cfg")},
		"wimboot: the boot configuration data": {sent: "/BCD", want: fileOf("BCD")},

		// Ours.
		"an artifact": {
			sent: "/artifacts/sha256/" + digest + "/linux",
			want: ask{kind: askArtifact, digest: index.ID("sha256/" + digest)},
		},
		"an artifact without its name": {
			sent: "artifacts/sha256/" + digest, want: ask{kind: askArtifact, digest: index.ID("sha256/" + digest)},
		},
		"an artifact without a digest": {
			sent: "artifacts/unverified/" + digest + "/initrd",
			want: ask{kind: askArtifact, digest: index.ID("unverified/" + digest)},
		},
		"an artifact below a loader's prefix": {
			sent: "bios/artifacts/sha256/" + digest + "/linux",
			want: ask{kind: askArtifact, digest: index.ID("sha256/" + digest)},
		},
		"an artifact by a digest too short": {
			sent: "artifacts/sha256/" + digest[1:], want: fileOf("artifacts/sha256/" + digest[1:]),
		},
		"an artifact with more below it": {
			sent: "artifacts/sha256/" + digest + "/a/b", want: fileOf("artifacts/sha256/" + digest + "/a/b"),
		},
		"a text for the installer": {
			sent: "/m/lab/n7/kickstart", want: ask{kind: askText, object: "lab/n7", file: "kickstart"},
		},
		"a text with a token": {
			sent: "/m/lab/n7/t/TOKEN/kickstart", want: ask{kind: askText, object: "lab/n7", token: "TOKEN", file: "kickstart"},
		},
		"a text called t":    {sent: "/m/lab/n7/t", want: ask{kind: askText, object: "lab/n7", file: "t"}},
		"a text called seed": {sent: "/m/lab/n7/seed", want: ask{kind: askText, object: "lab/n7", file: "seed"}},
		"a file of a seed": {
			sent: "/m/lab/n7/seed/user-data", want: ask{kind: askSeed, object: "lab/n7", file: "user-data"},
		},
		"a file of a seed with a token": {
			sent: "/m/lab/n7/t/TOKEN/seed/user-data", want: ask{kind: askSeed, object: "lab/n7", token: "TOKEN", file: "user-data"},
		},
		"a token and no text":        {sent: "/m/lab/n7/t/TOKEN", want: ask{}},
		"a token and too much":       {sent: "/m/lab/n7/t/TOKEN/ks/more", want: ask{}},
		"a text in another's folder": {sent: "/m/lab/n7/etc/user-data", want: fileOf("m/lab/n7/etc/user-data")},
		"a profile's file":           {sent: "/lab/debian/shimx64.efi", want: fileOf("lab/debian/shimx64.efi")},

		// How names arrive: each of these is another name's spelling.
		"upper-case hex in a MAC address": {sent: "pxelinux.cfg/01-52-54-00-AB-CD-EF", want: configOf(render.PXELINUX)},
		"upper-case hex in GRUB's":        {sent: "grub.cfg-52:54:00:AB:CD:EF", want: configOf(render.GRUB)},
		"upper-case hex, raw":             {sent: "MAC-525400ABCDEF.ipxe", want: configOf(render.IPXE)},
		"upper-case hex in a folder":      {sent: "52-54-00-AB-CD-EF/start4.elf", want: machineFileOf("start4.elf")},
		"upper-case hex in a UUID": {
			sent: "pxelinux.cfg/" + strings.ToUpper(uuid), want: configOfUUID(render.PXELINUX, strings.ToUpper(uuid)),
		},
		"backslashes": {
			sent: `\bios\pxelinux.cfg\01-52-54-00-ab-cd-ef`, want: configOf(render.PXELINUX),
		},
		"backslashes and slashes": {sent: `bios\/pxelinux.cfg/default`, want: bootstrapOf(render.PXELINUX)},
		"slashes doubled": {
			sent: "//bios//pxelinux.cfg//01-52-54-00-ab-cd-ef", want: configOf(render.PXELINUX),
		},
		"a folder that is left again":     {sent: "bios/../pxelinux.cfg/default", want: bootstrapOf(render.PXELINUX)},
		"the folder itself":               {sent: "./grub/./grub.cfg", want: bootstrapOf(render.GRUB)},
		"more than the root is left":      {sent: "../../../etc/passwd", want: fileOf("etc/passwd")},
		"the same with backslashes":       {sent: `..\..\etc\passwd`, want: fileOf("etc/passwd")},
		"the same on a drive":             {sent: `C:..\..\etc\passwd`, want: fileOf("etc/passwd")},
		"the same in a machine's folder":  {sent: "52-54-00-ab-cd-ef/../../etc/passwd", want: fileOf("etc/passwd")},
		"the same in an installer's text": {sent: "m/lab/n7/..", want: fileOf("m/lab")},
		"0xFF behind it":                  {sent: "pxelinux.0\xff", want: fileOf("pxelinux.0")},
		"several 0xFF behind it":          {sent: "/grub/grub.cfg\xff\xff", want: bootstrapOf(render.GRUB)},
		"NUL behind it":                   {sent: "pxelinux.0\x00", want: fileOf("pxelinux.0")},
		"a line end behind it":            {sent: "ipxe.efi\r\n", want: fileOf("ipxe.efi")},
		"all of these behind it": {
			sent: "pxelinux.cfg/01-52-54-00-ab-cd-ef\r\n\x00\xff\xff", want: configOf(render.PXELINUX),
		},

		// Names that nothing can have.
		"empty":                           {sent: "", want: nothing()},
		"only a slash":                    {sent: "/", want: nothing()},
		"only slashes":                    {sent: `\//`, want: nothing()},
		"only dots":                       {sent: "..", want: nothing()},
		"only 0xFF":                       {sent: "\xff\xff", want: nothing()},
		"only a drive":                    {sent: "C:", want: nothing()},
		"a folder":                        {sent: "pxelinux.cfg/", want: nothing()},
		"a NUL within":                    {sent: "grub.cfg\x00.png", want: nothing()},
		"a line end within":               {sent: "grub.cfg\nset x", want: nothing()},
		"a delete character":              {sent: "grub\x7f.cfg", want: nothing()},
		"no UTF-8":                        {sent: "gr\xe4b.cfg", want: nothing()},
		"more than any loader would send": {sent: strings.Repeat("a/", maxName/2) + "a", want: nothing()},
	} {
		t.Run(name, func(t *testing.T) {
			got := parse(tc.sent, tc.query)
			if diff := cmp.Diff(tc.want, got, cmp.AllowUnexported(ask{})); diff != "" {
				t.Errorf("parse(%q) (-want +got):\n%s", tc.sent, diff)
			}
		})
	}
}

// Whatever a name holds, what is looked up by it stays inside.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"pxelinux.cfg/01-52-54-00-ab-cd-ef", "/grub/grub.cfg-52:54:00:ab:cd:ef", `C:\..\..\x`, "../m/a/../b", "m/a/b/c",
		"52-54-00-ab-cd-ef/../x", "\xff\x00\r\n", "ipxe/MAC-525400abcdef.ipxe", "artifacts/sha256/..", "a:/../b", "é/\xc3",
		"m/a/b/t/c/d", "m/a/b/t/c/seed/d", "m/a/b/seed/d", "m/a/b/t/t/t", "m/a/b/t/",
	} {
		f.Add(seed, "52-54-00-ab-cd-ef")
	}
	f.Fuzz(func(t *testing.T, raw, value string) {
		a := parse(raw, url.Values{"mac": {value}, "uuid": {value}, "serial": {value}, "arch": {value}})
		if a.file != "" && (!fs.ValidPath(a.file) || slices.Contains(strings.Split(a.file, "/"), "..")) {
			t.Errorf("parse(%q) leads to the file %q", raw, a.file)
		}
		if wantsFile := a.kind == askFile || a.kind == askMachineFile || a.kind == askText || a.kind == askSeed; wantsFile != (a.file != "") {
			t.Errorf("parse(%q) = %+v: a %s with the file %q", raw, a, a.kind, a.file)
		}
		if a.digest != "" && !fs.ValidPath(string(a.digest)) {
			t.Errorf("parse(%q) leads to the artifact %q", raw, a.digest)
		}
		if told := parse(withoutToken(raw), nil); strings.Contains(a.token, "/") || a.token != "" && told.token != "-" {
			t.Errorf("parse(%q) has the token %q, and a log %q", raw, a.token, withoutToken(raw))
		}
		if object := strings.Split(string(a.object), "/"); a.object != "" && (len(object) != 2 || slices.Contains(object, "")) {
			t.Errorf("parse(%q) leads to the machine %q", raw, a.object)
		}
	})
}

func BenchmarkParse(b *testing.B) {
	for name, sent := range map[string]string{
		"PXELINUX": "/bios/pxelinux.cfg/01-52-54-00-ab-cd-ef",
		"GRUB":     "/grub/grub.cfg-52:54:00:ab:cd:ef",
		"artifact": "/artifacts/sha256/" + strings.Repeat("0", 64) + "/linux",
		"loader":   "/grub/x86_64-efi/normal.mod",
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if parse(sent, nil).kind == "" {
					b.Fatal("asks for nothing")
				}
			}
		})
	}
}

func TestWithoutToken(t *testing.T) {
	for sent, want := range map[string]string{
		"/m/lab/n7/t/TOKEN/ks":             "m/lab/n7/t/-/ks",
		"m/lab/n7/t/TOKEN":                 "m/lab/n7/t/-",
		`\m\lab\n7\t\TOKEN\ks`:             "m/lab/n7/t/-/ks",
		"/m/lab/n7/t//./TOKEN/seed/x":      "m/lab/n7/t/-/seed/x",
		"/x/m/lab/n7/t/TOKEN/seed/x":       "x/m/lab/n7/t/-/seed/x",
		"/m/lab/n7/t/TOKEN/":               "/m/lab/n7/t/-",
		"/m/lab/n7/t/TOKEN\nks":            "/m/lab/n7/t/-",
		"/m/lab/n7/t/":                     "/m/lab/n7/t/-",
		"/m/lab/n7/kickstart":              "/m/lab/n7/kickstart",
		"/Pxelinux.cfg/01-52-54-00-AB":     "/Pxelinux.cfg/01-52-54-00-AB",
		"/debian-installer/amd64/grub.cfg": "/debian-installer/amd64/grub.cfg",
		"":                                 "",
	} {
		if got := withoutToken(sent); got != want {
			t.Errorf("withoutToken(%q) = %q, want %q", sent, got, want)
		}
	}
}
