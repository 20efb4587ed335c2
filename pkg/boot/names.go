// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package boot

import (
	"io/fs"
	"net/url"
	"path"
	"regexp"
	"strings"

	"github.com/netboot-operator/netboot-operator/pkg/index"
	"github.com/netboot-operator/netboot-operator/pkg/render"
)

// An ask is what a name asks for. The zero value asks for nothing that could exist.
type ask struct {
	kind   askKind
	format render.Format  // askConfig, askBootstrap
	id     index.Identity // askConfig, askMachineFile, as far as the name tells
	arch   index.Arch     // as far as the name tells
	object index.Key      // askText, askSeed: the machine's
	token  string         // askText, askSeed: as it was sent; empty: none
	file   string         // askText, askSeed: the text's name; askMachineFile, askFile: a clean relative path
	digest index.ID       // askArtifact
}

type askKind string

const (
	askConfig      askKind = "config"       // a boot configuration, by an identity
	askBootstrap   askKind = "bootstrap"    // a boot configuration, by a name that tells no identity
	askNobody      askKind = "nobody"       // a configuration by a name that is no identity to us: an IP address in hex
	askArtifact    askKind = "artifact"     // by digest
	askText        askKind = "text"         // a configuration for the installer
	askSeed        askKind = "seed"         // a file of a seed for cloud-init
	askMachineFile askKind = "machine file" // below a MAC address
	askFile        askKind = "file"         // a profile's file or a loader
)

// The shapes of the last parts of a name. What stands before them is the loader's idea of a prefix: signed GRUBs have
// one compiled in, PXELINUX takes the folder of the NBP, so names are matched by their end.
var (
	reArtifact  = regexp.MustCompile(`(?:^|/)artifacts/((?:sha256|unverified)/[0-9a-fA-F]{64})(?:/[^/]*)?$`)
	rePXELINUX  = regexp.MustCompile(`(?:^|/)pxelinux\.cfg/([^/]+)$`)
	reGRUB      = regexp.MustCompile(`(?:^|/)grub\.cfg(?:-([^/]+))?$`)
	reCobbler   = regexp.MustCompile(`(?:^|/)grub/system/([^/]+)$`)
	reIPXEMac   = regexp.MustCompile(`(?:^|/)ipxe/([^/]+)/boot\.ipxe$`)
	reIPXEStart = regexp.MustCompile(`(?:^|/)(?:autoexec\.ipxe|boot\.ipxe(?:\.0)?)$`)
	reIPXEName  = regexp.MustCompile(`(?:^|/)(?:MAC-|mac-)?([0-9A-Fa-f:-]{12,17})\.ipxe$`)
	reText      = regexp.MustCompile(`^m/([^/]+)/([^/]+)/(?:t/([^/]+)/)?(seed/)?([^/]+)$`)
	reTextToken = regexp.MustCompile(`^m/[^/]+/[^/]+/t/`)
	reUUID      = regexp.MustCompile(`^[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$`)
)

// maxName bounds the names that are looked at, in bytes. The longest that a loader was seen to send is 131; a TFTP
// request holds at most 512 (RFC 2347).
const maxName = 1024

// parse works out what a name asks for. query is nil for TFTP.
func parse(raw string, query url.Values) ask {
	name, ok := clean(raw)
	if !ok {
		return ask{}
	}
	arch := archOfPath(name)

	if name == "ipxe" {
		return ask{kind: askConfig, format: render.IPXE, id: identityOfQuery(query), arch: archOfName(query.Get("arch"))}
	}
	if m := reArtifact.FindStringSubmatch(name); m != nil {
		return ask{kind: askArtifact, digest: index.ID(strings.ToLower(m[1]))}
	}
	if m := reText.FindStringSubmatch(name); m != nil {
		a := ask{kind: askText, object: index.Key(m[1] + "/" + m[2]), token: m[3], file: m[5]}
		if m[4] != "" {
			a.kind = askSeed
		}
		return a
	}
	if reTextToken.MatchString(name) {
		return ask{} // and no file: what was refused as one would be told by its name, which may be a token
	}
	if m := rePXELINUX.FindStringSubmatch(name); m != nil {
		return parsePXELINUX(m[1], arch)
	}
	if m := reGRUB.FindStringSubmatch(name); m != nil {
		return parseGRUB(m[1], arch)
	}
	if m := reCobbler.FindStringSubmatch(name); m != nil {
		return parseGRUB(m[1], arch)
	}
	if m := reIPXEMac.FindStringSubmatch(name); m != nil {
		return byMAC(render.IPXE, m[1], arch)
	}
	if reIPXEStart.MatchString(name) {
		return ask{kind: askBootstrap, format: render.IPXE, arch: arch}
	}
	if m := reIPXEName.FindStringSubmatch(name); m != nil {
		return byMAC(render.IPXE, m[1], arch)
	}
	// Raspberry Pi (TFTP_PREFIX=2) and ONIE ask below the interface's MAC address, ESXi below 01-MAC.
	if dir, rest, found := strings.Cut(name, "/"); found {
		if mac, err := index.ParseMAC(strings.TrimPrefix(dir, "01-")); err == nil {
			return ask{kind: askMachineFile, id: index.Identity{MAC: mac}, file: rest, arch: arch}
		}
	}
	return ask{kind: askFile, file: name, arch: arch}
}

// parsePXELINUX reads the part after pxelinux.cfg/: a UUID, 01-MAC, an IPv4 address in hex that gets shorter, default,
// and U-Boot's default-ARCH-SOC-BOARD; Foreman's 01-MAC.ipxe is for iPXE.
func parsePXELINUX(last string, arch index.Arch) ask {
	format := render.PXELINUX
	if script, ok := strings.CutSuffix(last, ".ipxe"); ok {
		last, format = script, render.IPXE
	}
	if reUUID.MatchString(last) {
		return ask{kind: askConfig, format: format, id: index.Identity{UUID: last}, arch: arch}
	}
	if last == "default" || strings.HasPrefix(last, "default-") {
		return ask{kind: askBootstrap, format: format, arch: arch}
	}
	if mac, ok := strings.CutPrefix(last, "01-"); ok {
		return byMAC(format, mac, arch)
	}
	return ask{kind: askNobody}
}

// parseGRUB reads the part after grub.cfg-: 01-MAC as the code of GRUB sends it, MAC as its manual says and as scripts
// write it with $net_default_mac, a UUID, an IP address, default-CPU. An empty part is grub.cfg itself.
func parseGRUB(last string, arch index.Arch) ask {
	if last == "" {
		return ask{kind: askBootstrap, format: render.GRUB, arch: arch}
	}
	if cpu, ok := strings.CutPrefix(last, "default-"); ok {
		return ask{kind: askBootstrap, format: render.GRUB, arch: archOfName(cpu)}
	}
	if reUUID.MatchString(last) {
		return ask{kind: askConfig, format: render.GRUB, id: index.Identity{UUID: last}, arch: arch}
	}
	return byMAC(render.GRUB, strings.TrimPrefix(last, "01-"), arch)
}

func byMAC(format render.Format, text string, arch index.Arch) ask {
	mac, err := index.ParseMAC(text)
	if err != nil {
		return ask{kind: askNobody}
	}
	return ask{kind: askConfig, format: format, id: index.Identity{MAC: mac}, arch: arch}
}

// identityOfQuery reads the query that our iPXE bootstrap script sends. A parameter that can't be an identity is left out.
func identityOfQuery(query url.Values) index.Identity {
	id := index.Identity{UUID: query.Get("uuid"), Serial: query.Get("serial")}
	if mac, err := index.ParseMAC(query.Get("mac")); err == nil {
		id.MAC = mac
	}
	return id
}

// clean brings a name into the form that the shapes above match: "/" between parts, none at the start, no empty, "." or
// ".." parts, UTF-8. ok is false for names that nothing can be found by.
func clean(raw string) (name string, ok bool) {
	name = trimGarbage(raw)
	if len(name) > maxName {
		return "", false
	}
	for _, c := range []byte(name) {
		if c < ' ' || c == 0x7f {
			return "", false
		}
	}
	name = strings.ReplaceAll(name, `\`, "/")
	if len(name) >= 2 && name[1] == ':' { // a drive: C:\boot\x64
		name = name[2:]
	}
	if name == "" || strings.HasSuffix(name, "/") { // U-Boot asks for the folder dtb/
		return "", false
	}
	name = path.Clean("/" + name)[1:] // rooted first: ".." can't lead out
	return name, fs.ValidPath(name)
}

// trimGarbage removes what firmware that misses the end of DHCP option 67 sends behind the name: a zero byte, 0xFF
// (netboot.xyz#1198), a line end (wentasah/novaboot#9).
func trimGarbage(name string) string {
	for end := len(name); end > 0; end-- {
		switch name[end-1] {
		case 0x00, 0xff, '\r', '\n':
		default:
			return name[:end]
		}
	}
	return ""
}

// archOfPath returns the architecture that a folder in the name tells, such as grub/x86_64-efi/normal.mod.
func archOfPath(name string) index.Arch {
	for part := range strings.SplitSeq(path.Dir(name), "/") {
		if arch := archOfName(part); arch != "" {
			return arch
		}
	}
	return ""
}

// archOfName translates GRUB's, iPXE's and the kernel's names of architectures. i386 tells nothing: BIOS loaders are
// 32-bit programs on 64-bit machines.
func archOfName(name string) index.Arch {
	switch strings.TrimSuffix(strings.TrimSuffix(name, "-efi"), "-pc") {
	case "x86_64", "amd64", "x64":
		return "amd64"
	case "arm64", "aarch64", "aa64":
		return "arm64"
	case "arm", "arm32":
		return "arm"
	case "riscv64":
		return "riscv64"
	}
	return ""
}
