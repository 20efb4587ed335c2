// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package render

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/netboot-operator/netboot-operator/pkg/index"
)

// Format is the syntax of a boot configuration.
type Format string

// The formats.
const (
	PXELINUX Format = "pxelinux" // pxelinux.0, lpxelinux.0, syslinux.efi, U-Boot's extlinux, petitboot
	GRUB     Format = "grub"     // GRUB 2
	IPXE     Format = "ipxe"     // iPXE scripts
)

// Formats returns all formats.
func Formats() []Format { return []Format{PXELINUX, GRUB, IPXE} }

// ParseFormat reads the name of a format.
func ParseFormat(name string) (Format, error) {
	if f := Format(name); slices.Contains(Formats(), f) {
		return f, nil
	}
	return "", fmt.Errorf("format %q: not one of %s, %s, %s", name, PXELINUX, GRUB, IPXE)
}

// Transport is how a loader fetched its configuration.
type Transport string

// The transports.
const (
	TFTP Transport = "TFTP"
	HTTP Transport = "HTTP"
)

// A Request is what is known about who asks, and where the servers are.
type Request struct {
	// ServerURL is http://HOST[:PORT] of the HTTP server, or https://HOST[:PORT], without a trailing slash. Empty: HTTP is
	// off.
	ServerURL string
	// TFTPServer is HOST[:PORT] of the TFTP server, an IPv6 address in brackets. Empty: TFTP is off.
	TFTPServer string
	// Over is how the loader fetched this configuration. Empty: TFTP.
	Over Transport
	// MAC is the address of the interface that boots. Zero: the machine's first.
	MAC index.MAC
	// Architecture is what the request tells. Empty: nothing. The machine's own hint beats it.
	Architecture index.Arch
	// Token makes the tokens of URLs: it returns the one that opens scope, a ConfigScope, CallbackScope or SeedScope, of a machine. Its
	// errors become those of whoever asks for such a URL. Nil: none can be made.
	Token func(m *index.Machine, scope string) (string, error)
}

// check returns an error unless the servers' addresses can stand in every format as they are.
func (r Request) check() error {
	if r.ServerURL != "" && !isHostPort(r.httpHost()) {
		return fmt.Errorf("server URL %q: not http://HOST[:PORT] or https://HOST[:PORT]", r.ServerURL)
	}
	if r.TFTPServer != "" && !isHostPort(r.TFTPServer) {
		return fmt.Errorf("TFTP server %q: not HOST[:PORT]", r.TFTPServer)
	}
	return nil
}

// httpHost returns HOST[:PORT] of the HTTP server; empty when it is off or its URL is not one.
func (r Request) httpHost() string {
	scheme, host, _ := strings.Cut(r.ServerURL, "://")
	if scheme != "http" && scheme != "https" {
		return ""
	}
	return host
}

// isHostPort says whether s holds only characters of host names, addresses and ports. None of them means anything to a
// loader.
func isHostPort(s string) bool {
	return s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.:_-[]") == ""
}

// A syntax writes one format. Implementations hold no state.
type syntax interface {
	// template returns the profile's whole-file template for this format; empty: none.
	template(t index.Templates) string
	// payload returns the name by which the loader fetches what the servers offer at path.
	payload(path string, by index.Payload, r Request) (string, error)
	// word returns a valid kernel argument as it stands in the configuration, or says why it can't.
	word(arg string, on *index.Platform) (string, error)
	// netboot returns the commands that boot b.
	netboot(b boot) (string, error)
	// local returns the commands that hand over to the machine's disk. how is not LocalNotFound.
	local(how index.LocalBoot) string
	// bootstrap returns the commands that find out who asks, else boot locally.
	bootstrap(r Request) string
}

// A boot is what a configuration says. Its names are those of the data of whole-file templates.
type boot struct {
	Kernel     string   // payload name; empty with a UKI
	Initrds    []string // payload names, in order
	UKI        string   // payload name; empty with a kernel
	DeviceTree string   // payload name; empty: none
	KernelArgs string   // in the format's syntax, separated by spaces

	architecture     index.Arch
	interfaceUnknown bool // the machine has several, and the request does not tell which boots
}

func (f Format) syntax() (syntax, error) {
	switch f {
	case PXELINUX:
		return pxelinux{}, nil
	case GRUB:
		return grub{}, nil
	case IPXE:
		return ipxe{}, nil
	}
	_, err := ParseFormat(string(f))
	return nil, err
}

// magic returns what a configuration must start with.
func (f Format) magic() string {
	if f == IPXE {
		return "#!ipxe\n"
	}
	return ""
}

// Render returns the boot configuration of a machine whose Action is Netboot or BootLocal. The error wraps
// [fs.ErrNotExist] when it shall have none, and [errors.ErrUnsupported] when no configuration of this format can boot the
// profile.
func Render(f Format, m *index.Machine, r Request) ([]byte, error) {
	s, err := f.syntax()
	if err == nil {
		err = r.check()
	}
	if err != nil {
		return nil, fmt.Errorf("machine %s: %w", m.Key, err)
	}

	var text string
	switch {
	case m.Action == index.BootLocal && m.LocalBoot == index.LocalNotFound:
		return nil, &classified{fmt.Sprintf("machine %s boots locally: localBoot is %s", m.Key, m.LocalBoot), fs.ErrNotExist}
	case m.Action == index.BootLocal:
		text = s.local(m.LocalBoot)
	case m.Action == index.Netboot && m.Profile != nil:
		if text, err = netboot(s, m, r); err != nil {
			return nil, fmt.Errorf("machine %s: %s: %w", m.Key, f, err)
		}
		if s.template(m.Profile.Templates) != "" {
			return []byte(text), nil
		}
	default:
		return nil, fmt.Errorf("machine %s: no boot configuration for action %q: %s", m.Key, m.Action, m.Refusal)
	}

	// DNS names both, so that nothing in this line can end it.
	about := fmt.Sprintf("# machine %s, no profile\n", m.Key)
	if m.Profile != nil {
		about = fmt.Sprintf("# machine %s, profile %s\n", m.Key, m.Profile.Key)
	}
	return []byte(f.magic() + about + text), nil
}

// netboot returns the profile's own configuration, or the commands that boot it.
func netboot(s syntax, m *index.Machine, r Request) (string, error) {
	platform, err := platformOf(m, r)
	if err != nil {
		return "", err
	}
	d := newData(m, r)
	b := boot{architecture: platform.Architecture, interfaceUnknown: d.mac.IsZero()}
	if b.KernelArgs, err = words(s, d, platform); err != nil {
		return "", err
	}
	if err = b.name(s, m.Profile, platform, r); err != nil {
		return "", fmt.Errorf("profile %s: %w", m.Profile.Key, err)
	}

	if source := s.template(m.Profile.Templates); source != "" {
		text, err := execute("template", source, struct {
			*data
			boot
		}{d, b}, maxText)
		if err != nil {
			return "", fmt.Errorf("profile %s: %w", m.Profile.Key, err)
		}
		return text, nil
	}

	if platform.Kernel == nil && platform.UKI == nil {
		return "", fmt.Errorf("profile %s: platform %s has neither kernel nor uki", m.Profile.Key, platform.Architecture)
	}
	text, err := s.netboot(b)
	if err != nil {
		return "", fmt.Errorf("profile %s: %w", m.Profile.Key, err)
	}
	return text, nil
}

// platformOf returns what the machine's profile boots on it.
func platformOf(m *index.Machine, r Request) (*index.Platform, error) {
	arch := cmp.Or(m.Architecture, r.Architecture)
	if platform := m.Profile.Platform(arch); platform != nil {
		return platform, nil
	}
	var has []string
	for _, platform := range m.Profile.Platforms {
		has = append(has, string(platform.Architecture))
	}
	return nil, unsupported(fmt.Sprintf("profile %s has no platform for architecture %s; it has %s", m.Profile.Key, arch,
		strings.Join(has, ", ")))
}

// words returns the machine's kernel arguments in the format's syntax.
func words(s syntax, d *data, on *index.Platform) (string, error) {
	args, err := kernelArgs(d)
	if err != nil {
		return "", err
	}
	words := make([]string, 0, len(args))
	for _, arg := range args {
		word, err := s.word(arg.text, on)
		if err != nil {
			return "", fmt.Errorf("kernel argument %q: %w", arg.source, err)
		}
		words = append(words, word)
	}
	return strings.Join(words, " "), nil
}

// name fills in the names of the payloads.
func (b *boot) name(s syntax, p *index.Profile, on *index.Platform, r Request) error {
	by := cmp.Or(p.Payload, index.PayloadAuto)
	for _, part := range []struct {
		artifact *index.Artifact
		name     *string
	}{{on.Kernel, &b.Kernel}, {on.UKI, &b.UKI}, {on.DeviceTree, &b.DeviceTree}} {
		if part.artifact == nil {
			continue
		}
		var err error
		if *part.name, err = s.payload(part.artifact.Path(), by, r); err != nil {
			return err
		}
	}
	for i := range on.Initrds {
		name, err := s.payload(on.Initrds[i].Path(), by, r)
		if err != nil {
			return err
		}
		b.Initrds = append(b.Initrds, name)
	}
	return nil
}

// Bootstrap returns the configuration for names that tell nothing about who asks (grub.cfg, boot.ipxe, autoexec.ipxe,
// pxelinux.cfg/default): it finds that out and goes on, else it boots the machine's disk. It also boots the disk if r
// names no server, or names one wrongly.
func Bootstrap(f Format, r Request) []byte {
	s, err := f.syntax()
	if err != nil {
		return nil
	}
	if r.check() != nil {
		r = Request{}
	}
	return []byte(f.magic() + s.bootstrap(r))
}

// A classified error has a text of its own, and is another error to errors.Is.
type classified struct {
	text  string
	class error
}

func (e *classified) Error() string { return e.text }
func (e *classified) Unwrap() error { return e.class }

// unsupported returns an error that says what this loader, unlike others, can't do.
func unsupported(text string) error { return &classified{text, errors.ErrUnsupported} }

// errHTTPOff and errTFTPOff say why a URL can't be given.
func errHTTPOff() error {
	return unsupported("HTTP is off: set --http-bind-address, or don't ask for it")
}
func errTFTPOff() error {
	return unsupported("TFTP is off: set --tftp-bind-address, or don't ask for it")
}
