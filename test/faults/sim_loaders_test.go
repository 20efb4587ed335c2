// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package faults

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"
)

// A machine is a simulated one. Its boot is a chain of the steps below, each of which speaks as the real program was seen
// to speak in captures (firmware and loaders of Debian 12 in QEMU).
type machine struct {
	address netip.Addr // its own
	mac     [6]byte
	uuid    string // as dmidecode shows it

	tftp netip.AddrPort // the server's
	http string         // the server's, HOST:PORT
	wire wire           // nil: nothing gets lost
	port uint16         // of the firmware's latest TFTP request

	// What goes wrong in the machine itself; the zero value: nothing.
	cutInitrd     int64    // the initrd does not fit: bytes after which the loader gives up
	vanish        int64    // in the initrd
	noInitrd      bool     // it does not even ask for it
	withShim      bool     // iPXE gets a shim after the kernel, by its command of this name
	keepLast      bool     // the last ACK of each file gets lost
	repeatEarly   bool     // PXELINUX: each request is sent once more before the server could answer
	configs       []string // names of configuration files that were asked for, in order
	configRefused error    // what the server said to the one with the machine's own address
}

// errLocal is how a boot ends that goes on from the machine's disk.
var errLocal = errors.New("boots its own disk")

func (m *machine) colons() string { return strings.ReplaceAll(m.dashes(), "-", ":") }

func (m *machine) dashes() string {
	return fmt.Sprintf("%02x-%02x-%02x-%02x-%02x-%02x", m.mac[0], m.mac[1], m.mac[2], m.mac[3], m.mac[4], m.mac[5])
}

// swappedUUID is how PXELINUX writes the UUID: the first three fields in the other byte order.
func (m *machine) swappedUUID() string {
	u := strings.ReplaceAll(m.uuid, "-", "")
	return u[6:8] + u[4:6] + u[2:4] + u[0:2] + "-" + u[10:12] + u[8:10] + "-" + u[14:16] + u[12:14] + "-" + u[16:20] + "-" + u[20:]
}

func (m *machine) fetch(ctx context.Context, q rrq) ([]byte, error) {
	q.keepLast = q.keepLast || m.keepLast
	return read(ctx, m.address, m.tftp, m.wire, q)
}

// rom is a BIOS with iPXE as its network card's ROM: it fetches a network boot program in one go, from a random port.
func (m *machine) rom(ctx context.Context, name string) ([]byte, error) {
	waits := []time.Duration{250 * time.Millisecond, 550 * time.Millisecond, time.Second, 2100 * time.Millisecond, 4 * time.Second}
	return m.fetch(ctx, rrq{
		name: name, port: uint16(1024 + rand.IntN(30000)), options: []string{"blksize", "1432", "tsize", "0"},
		repeat: waits, repeatACK: waits,
	})
}

// uefi is edk2's PXE: it asks for the size, ends that with ERROR 8, and then asks for the file.
func (m *machine) uefi(ctx context.Context, name string) error {
	probe := m.edk2(name, "tsize", "0", "blksize", "1468", "windowsize", "4")
	probe.probe = true
	if _, err := m.fetch(ctx, probe); err != nil {
		return err
	}
	_, err := m.fetch(ctx, m.edk2(name, "blksize", "1468", "windowsize", "4"))
	return err
}

// edk2 is a request of edk2's TFTP client, which counts its ports up.
func (m *machine) edk2(name string, options ...string) rrq {
	if m.port == 0 {
		m.port = uint16(1100 + rand.IntN(500))
	}
	m.port++
	return rrq{
		name: name, port: m.port, options: options,
		repeat: every(4100*time.Millisecond, 6), repeatACK: every(4*time.Second, 5),
	}
}

// uefiHTTP is edk2's HTTP boot: HEAD, then GET on the same connection.
func (m *machine) uefiHTTP(ctx context.Context, name string) error {
	b := newBrowser(m.address, agentUEFI)
	defer b.close()
	target := "http://" + m.http + "/" + name
	if _, err := b.do(ctx, http.MethodHead, target, nil, 0); err != nil {
		return err
	}
	_, err := b.get(ctx, target)
	return err
}

// pxelinuxPorts begin at 49152 at each boot.
type pxelinux struct {
	m    *machine
	next uint16
}

func (p *pxelinux) fetch(ctx context.Context, name string) ([]byte, error) {
	q := rrq{
		name: name, port: 49152 + p.next, options: []string{"tsize", "0", "blksize", "1408"},
		repeat: growing(), repeatACK: growing(),
	}
	if p.m.repeatEarly {
		q.repeat = append([]time.Duration{time.Nanosecond}, q.repeat...)
	}
	p.next++
	return p.m.fetch(ctx, q)
}

// pxelinux is PXELINUX: its core, then names for its configuration, from the most to the least particular, then what the
// configuration says. It leaves for the disk with errLocal.
func (m *machine) pxelinux(ctx context.Context) (plan, error) {
	l := &pxelinux{m: m}
	if _, err := l.fetch(ctx, "ldlinux.c32"); err != nil {
		for _, folder := range []string{"boot/isolinux", "isolinux", "boot/syslinux", "syslinux", ""} {
			if _, err := l.fetch(ctx, "/"+folder+"/ldlinux.c32"); err == nil {
				break
			}
		}
		return plan{}, err
	}
	text, err := m.waterfall(ctx, l.fetch, m.swappedUUID(), "default")
	if err != nil {
		return plan{}, err
	}
	p := readPXELINUX(string(text))
	if p.local {
		return p, errLocal
	}
	return p, m.payload(ctx, p, l.fetch, l.initrd)
}

// waterfall asks for pxelinux.cfg/ and a UUID, the MAC address, the IP address in hex, shorter and shorter, and the rest.
func (m *machine) waterfall(ctx context.Context, fetch fetcher, uuid string, last ...string) ([]byte, error) {
	ip := m.address.As4()
	hex := fmt.Sprintf("%02X%02X%02X%02X", ip[0], ip[1], ip[2], ip[3])
	names := []string{uuid, "01-" + m.dashes()}
	for n := len(hex); n > 0; n-- {
		names = append(names, hex[:n])
	}
	for _, name := range append(names, last...) {
		m.configs = append(m.configs, name)
		text, err := fetch(ctx, "pxelinux.cfg/"+name)
		var refused *tftpError
		switch {
		case err == nil:
			return text, nil
		case errors.As(err, &refused) && strings.HasPrefix(name, "01-"):
			m.configRefused = refused
		case !errors.As(err, &refused):
			return nil, err
		}
	}
	return nil, errors.New("no configuration file")
}

// A fetcher fetches a file by the name that a loader has for it.
type fetcher func(ctx context.Context, name string) ([]byte, error)

// payload fetches kernel and initrds.
func (m *machine) payload(ctx context.Context, p plan, kernel, initrd fetcher) error {
	if _, err := kernel(ctx, p.kernel); err != nil {
		return err
	}
	for _, name := range p.initrds {
		if m.noInitrd {
			return errors.New("does not ask for its initrd")
		}
		if _, err := initrd(ctx, name); err != nil {
			return err
		}
	}
	return nil
}

// initrd is the same as fetch, with what can go wrong: PXELINUX does not tell when it has no room, and says nothing more.
func (p *pxelinux) initrd(ctx context.Context, name string) ([]byte, error) {
	q := rrq{
		name: name, port: 49152 + p.next, options: []string{"tsize", "0", "blksize", "1408"},
		repeat: growing(), repeatACK: growing(),
		vanish: p.m.vanish, cut: p.m.cutInitrd, cutText: "No error, file close",
	}
	p.next++
	return p.m.fetch(ctx, q)
}

// shim fetches what it may have beside itself, and then GRUB, in small blocks.
func (m *machine) shim(ctx context.Context) error {
	ask := func(name string) ([]byte, error) {
		return m.fetch(ctx, m.edk2(name, "blksize", "512", "windowsize", "4"))
	}
	for _, name := range []string{"revocations_sku.efi", "revocations_sbat.efi", "shim_certificate_0.efi"} {
		var refused *tftpError
		if _, err := ask(name); !errors.As(err, &refused) {
			return fmt.Errorf("%s is there, or nobody answers: %w", name, err)
		}
	}
	_, err := ask("grubx64.efi")
	return err
}

// grub is GRUB as Debian signs it: it knows no name but /grub/grub.cfg. Its ports begin at 25300 at each boot, it never
// repeats an ACK, and says ERROR 0 after 35 seconds of silence, or where it has no room.
func (m *machine) grub(ctx context.Context) (plan, error) {
	next := uint16(25300)
	request := func(name string) rrq {
		q := rrq{
			name: name, port: next, options: []string{"blksize", "1024", "tsize", "0"},
			repeat: every(450*time.Millisecond, 77), closes: 35 * time.Second,
		}
		next++
		return q
	}
	fetch := func(ctx context.Context, name string) ([]byte, error) { return m.fetch(ctx, request(name)) }
	initrd := func(ctx context.Context, name string) ([]byte, error) {
		q := request(name)
		q.cut, q.cutText, q.vanish = m.cutInitrd, "closed", m.vanish
		return m.fetch(ctx, q)
	}

	for _, name := range []string{"command", "fs", "crypto", "terminal"} {
		var refused *tftpError
		if _, err := fetch(ctx, "/grub/x86_64-efi/"+name+".lst"); !errors.As(err, &refused) {
			return plan{}, fmt.Errorf("%s.lst is there, or nobody answers: %w", name, err)
		}
	}
	text, err := fetch(ctx, "/grub/grub.cfg")
	if err != nil {
		return plan{}, err
	}
	p := readGRUB(string(text), m.colons())
	for p.script != "" {
		m.configs = append(m.configs, p.script)
		if text, err = fetch(ctx, p.script); err != nil {
			m.configRefused = err
			return plan{}, err
		}
		p = readGRUB(string(text), m.colons())
	}
	if p.local {
		return p, errLocal
	}
	return p, m.payload(ctx, p, fetch, initrd)
}

// ipxe is iPXE after it was started: DHCP names its script, which chains to the machine's own.
func (m *machine) ipxe(ctx context.Context) (plan, error) {
	b := newBrowser(m.address, agentIPXE)
	defer b.close()
	initrd := func(ctx context.Context, target string) ([]byte, error) {
		return b.do(ctx, http.MethodGet, target, nil, m.cutInitrd)
	}

	p := plan{script: "http://" + m.http + "/boot.ipxe"}
	for p.script != "" {
		m.configs = append(m.configs, p.script)
		text, err := b.get(ctx, p.script)
		if err != nil {
			m.configRefused = err
			return plan{}, err
		}
		p = readIPXE(string(text), m)
	}
	if p.local {
		return p, errLocal
	}
	kernel := func(ctx context.Context, target string) ([]byte, error) {
		content, err := b.get(ctx, target)
		if err == nil && m.withShim {
			_, err = b.get(ctx, "http://"+m.http+"/shimx64.efi")
		}
		return content, err
	}
	return p, m.payload(ctx, p, kernel, initrd)
}

// uboot is U-Boot's "pxe get; pxe boot": no tsize, the initrd before the kernel, ports by the clock.
func (m *machine) uboot(ctx context.Context) (plan, error) {
	fetch := func(ctx context.Context, name string) ([]byte, error) {
		return m.fetch(ctx, rrq{
			name: name, port: uint16(1024 + rand.IntN(3072)), options: []string{"timeout", "5", "blksize", "1468"},
			repeat: every(5*time.Second, 10), repeatACK: every(5*time.Second, 10),
		})
	}
	text, err := m.waterfall(ctx, fetch, m.uuid, "default-arm", "default")
	if err != nil {
		return plan{}, err
	}
	p := readPXELINUX(string(text))
	if p.local {
		return p, errLocal
	}
	for _, name := range append(p.initrds, p.kernel) {
		if _, err := fetch(ctx, name); err != nil {
			return plan{}, err
		}
	}
	return p, nil
}

// installer is what the kernel starts: it fetches the config that the argument "ks" names, and calls back by "done".
func (m *machine) installer(ctx context.Context, p plan) error {
	b := newBrowser(m.address, agentAnaconda)
	defer b.close()
	if target := p.arg("ks"); target != "" {
		if _, err := b.get(ctx, target); err != nil {
			return err
		}
	}
	return m.call(ctx, p.arg("done"), nil)
}

// call is a callback; an empty target: there is none.
func (m *machine) call(ctx context.Context, target string, form url.Values) error {
	if target == "" {
		return nil
	}
	b := newBrowser(m.address, agentBusybox)
	defer b.close()
	_, err := b.do(ctx, http.MethodPost, target, form, 0)
	return err
}
