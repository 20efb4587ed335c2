// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package index

import (
	"crypto/sha256"
	"encoding/hex"
	"path"
	"strings"
	"time"
)

// Key names an object: "NAMESPACE/NAME".
type Key string

// Arch is a CPU architecture in Go's names: amd64, arm64, 386, arm, riscv64. Empty: not known.
type Arch string

// A Machine is all that the servers need to know to answer one machine. It is never changed after Put.
type Machine struct {
	Key     Key
	Created time.Time // decides who keeps an identity that two machines claim
	// Discovered: it was made of an unknown machine that asked, and nobody has enrolled it. It gives way to every other.
	Discovered bool

	MACs         []MAC  // at least one, without duplicates
	SystemUUID   string // lower case with dashes; empty: none
	SerialNumber string // empty: none

	Name, Namespace string
	Hostname        string // never empty
	Architecture    Arch   // the spec's hint; empty: ask the request, else the profile's first platform
	Variables       map[string]string

	// BootID names the boot under the policy Once.
	BootID string
	// Once says that the policy is Once: what pkg/ledger knows of the BootID counts, beside Action.
	Once bool
	// Boots is how many boots of the BootID the Machine's status counts that were not completed.
	Boots int
	// CompleteOn says what completes a boot: Callback or PayloadServed.
	CompleteOn string

	// Action is what the machine gets when it asks for a boot configuration.
	Action Action
	// Refusal says for Action Refuse, in words for the person at the console, why.
	Refusal string
	// RefusalReason is the same as the reason of a condition: ProfileNotFound, ArchitectureNotInProfile, ...
	RefusalReason string

	// Profile is what to boot. It is nil when the machine names no profile or the profile can't be used.
	Profile *Profile
	// KernelArgs are the profile's and the machine's arguments merged, in order, as templates.
	KernelArgs []string
	// Configs are the profile's and the machine's texts merged, by name.
	Configs []Config
	// LocalBoot is how the machine goes on to its own disk.
	LocalBoot LocalBoot
}

// Action is what a machine gets when it asks for a boot configuration.
type Action string

// The actions. There is no useful zero value: an entry always says what to do.
const (
	Netboot   Action = "Netboot"   // boot the profile
	BootLocal Action = "BootLocal" // boot the machine's own disk: done, disabled or without a profile
	Refuse    Action = "Refuse"    // no answer can be given; Machine.Refusal says why
)

// LocalBoot is how a loader hands over to the machine's own disk. The zero value means LocalExit.
type LocalBoot string

// The ways to boot locally; the API's names.
const (
	LocalExit         LocalBoot = "Exit"
	LocalSanBoot      LocalBoot = "SanBoot"
	LocalNotFound     LocalBoot = "NotFound"
	LocalChainloadESP LocalBoot = "ChainloadESP"
)

// Payload is the protocol by which a loader shall fetch kernel and initrds. The zero value means PayloadAuto.
type Payload string

// The payload protocols; the API's names.
const (
	PayloadAuto Payload = "Auto"
	PayloadHTTP Payload = "HTTP"
	PayloadTFTP Payload = "TFTP"
)

// A Profile is a BootProfile as the servers need it. It is never changed after Put.
type Profile struct {
	Key             Key
	Name, Namespace string
	Platforms       []Platform // at least one; each architecture once
	// Files are all files with a path of their own: spec.files and the loaders' files. Paths are clean and unique.
	Files     []File
	Templates Templates
	Payload   Payload
	// KernelArgs and LocalBoot are what a machine gets that is in no Machine.
	KernelArgs []string
	LocalBoot  LocalBoot
}

// Platform returns the platform for arch, or the first one when arch is empty. It returns nil when the profile has none.
func (p *Profile) Platform(arch Arch) *Platform {
	for i := range p.Platforms {
		if arch == "" || p.Platforms[i].Architecture == arch {
			return &p.Platforms[i]
		}
	}
	return nil
}

// A Platform is what to boot on one architecture: Kernel and Initrds, or UKI.
type Platform struct {
	Architecture Arch
	Kernel       *Artifact
	Initrds      []Artifact
	UKI          *Artifact
	DeviceTree   *Artifact
	// LoaderBIOS and LoaderUEFI are the names of the network boot programs that the machines start with, among the
	// profile's files or in the folder of loaders. Empty: not told.
	LoaderBIOS, LoaderUEFI string
}

// A File is an artifact with a path.
type File struct {
	Path     string // relative, clean: "overlays/vc4.dtbo"
	Artifact Artifact
}

// Templates are whole configurations that replace the generated ones. Empty: generate.
type Templates struct {
	PXELINUX, GRUB, IPXE string
}

// A Config is a text for the installer.
type Config struct {
	Name        string
	ContentType string // empty: text/plain; charset=utf-8
	Template    string
	// Token says that only a URL with a token gets it.
	Token bool
	// Secret says that the text comes from a Secret: nothing of it may stand in a message.
	Secret bool
	// Source names, for messages, where the text comes from: `Secret "keys" key "ks"`. Empty: the object's own spec.
	Source string
	// Unavailable says, when not empty, why this config can't be had; whoever refers to it gets this as an error.
	Unavailable string
}

// An Artifact is a file by its content: where to fetch it, and the digest that it must have.
type Artifact struct {
	// Field says which field of which object it stands in, for messages:
	// `BootProfile "lab/debian" spec.platforms[0].kernel`.
	Field string
	// URLs are tried in order; at least one.
	URLs []string
	// SHA256 is the digest, 64 lower-case hex digits. Empty: unknown, whatever comes is served.
	SHA256 string
	// Credentials are for those who serve the URLs. Nil: none.
	Credentials *Credentials
}

// ID names an artifact in paths: "sha256/HEX", or for one without a digest "unverified/HEX" with the SHA-256 of its URL.
type ID string

// ID returns the artifact's id.
func (a *Artifact) ID() ID {
	if a.SHA256 != "" {
		return ID("sha256/" + a.SHA256)
	}
	sum := sha256.Sum256([]byte(a.URLs[0]))
	return ID("unverified/" + hex.EncodeToString(sum[:]))
}

// FileName returns the last part of the artifact's URL, reduced to characters that no loader gives a meaning: letters,
// digits, ".", "_", "+" and "-", at most 64 of them; "." and "-" not at the start. It is for people who read logs;
// "artifact" when nothing is left.
func (a *Artifact) FileName() string {
	url, _, _ := strings.Cut(a.URLs[0], "?")
	url, _, _ = strings.Cut(url, "#")
	clean := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '.', r == '_', r == '+', r == '-':
			return r
		}
		return -1
	}, path.Base(url))
	if len(clean) > 64 {
		clean = clean[len(clean)-64:]
	}
	clean = strings.TrimLeft(clean, ".-")
	if clean == "" {
		return "artifact"
	}
	return clean
}

// Path returns the path, with a leading slash, below which both servers offer the artifact.
func (a *Artifact) Path() string {
	return "/artifacts/" + string(a.ID()) + "/" + a.FileName()
}
