// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package faults

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/url"
	"strings"
	"sync/atomic"
	"time"
)

// A boot is a chain of steps of a machine; the simulated loaders are the links.
type boot func(ctx context.Context, m *machine) error

// The chains that real machines have, to the end of the loader. They return the plan that the kernel was started with.
type chain func(ctx context.Context, m *machine) (plan, error)

func biosPXELINUX(ctx context.Context, m *machine) (plan, error) {
	if _, err := m.rom(ctx, "pxelinux.0"); err != nil {
		return plan{}, err
	}
	return m.pxelinux(ctx)
}

func uefiGRUB(ctx context.Context, m *machine) (plan, error) {
	if err := m.uefi(ctx, "grubnetx64.efi.signed"); err != nil {
		return plan{}, err
	}
	return m.grub(ctx)
}

func uefiShimGRUB(ctx context.Context, m *machine) (plan, error) {
	if err := m.uefi(ctx, "shimx64.efi"); err != nil {
		return plan{}, err
	}
	if err := m.shim(ctx); err != nil {
		return plan{}, err
	}
	return m.grub(ctx)
}

func uefiIPXE(ctx context.Context, m *machine) (plan, error) {
	if err := m.uefi(ctx, "ipxe.efi"); err != nil {
		return plan{}, err
	}
	return m.ipxe(ctx)
}

func uefiHTTPIPXE(ctx context.Context, m *machine) (plan, error) {
	if err := m.uefiHTTP(ctx, "snponly.efi"); err != nil {
		return plan{}, err
	}
	return m.ipxe(ctx)
}

func ubootPXE(ctx context.Context, m *machine) (plan, error) { return m.uboot(ctx) }

// loads is a boot that ends with the loader's work: nothing tells of the kernel.
func (c chain) loads(set ...func(*machine)) boot {
	return func(ctx context.Context, m *machine) error {
		for _, f := range set {
			f(m)
		}
		_, err := c(ctx, m)
		return err
	}
}

// installs goes on with the installer, which may come to know other arguments than the loader was told.
func (c chain) installs(garble func(plan) plan) boot {
	return func(ctx context.Context, m *machine) error {
		p, err := c(ctx, m)
		if err != nil {
			return err
		}
		if garble != nil {
			p = garble(p)
		}
		return m.installer(ctx, p)
	}
}

// fails has the installer say that it failed.
func (c chain) fails(message string) boot {
	return func(ctx context.Context, m *machine) error {
		p, err := c(ctx, m)
		if err != nil {
			return err
		}
		return m.call(ctx, p.arg("failed"), url.Values{"message": {message}})
	}
}

// times boots n times, one after the other, with a kernel's start in between.
func (c chain) times(n int, pause time.Duration) boot {
	return func(ctx context.Context, m *machine) error {
		for range n {
			if _, err := c(ctx, m); err != nil {
				return err
			}
			if err := wait(ctx, pause); err != nil {
				return err
			}
		}
		return nil
	}
}

// twice boots again after a boot that went wrong, as machines do.
func twice(b boot) boot {
	return func(ctx context.Context, m *machine) error {
		if err := b(ctx, m); err == nil {
			return errors.New("the first boot went well")
		}
		if err := wait(ctx, time.Second); err != nil {
			return err
		}
		return b(ctx, m)
	}
}

// wait lets time go by that a real machine spends on something else: a test of the server's own clocks has to.
func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// starts fetches network boot programs, one after the other, as OVMF does; the last of them does not start.
func starts(names ...string) boot {
	return func(ctx context.Context, m *machine) error {
		for _, name := range names {
			if err := m.uefi(ctx, name); err != nil {
				return err
			}
		}
		return nil
	}
}

// startsByHTTP is the same with UEFI HTTP Boot.
func startsByHTTP(name string) boot {
	return func(ctx context.Context, m *machine) error { return m.uefiHTTP(ctx, name) }
}

// loadsItself has iPXE, whenever it has started, ask for itself again.
func loadsItself(name string, times int) boot {
	return func(ctx context.Context, m *machine) error {
		if err := m.uefi(ctx, name); err != nil {
			return err
		}
		for range times {
			if err := wait(ctx, time.Second); err != nil {
				return err
			}
			if _, err := m.rom(ctx, name); err != nil {
				return err
			}
		}
		return nil
	}
}

// raspberryPi has no loader of ours and no configuration: it looks for files below its own path, some of which are not there.
func raspberryPi(ctx context.Context, m *machine) error {
	for _, name := range []string{"start4.elf", "config.txt", "recovery.elf", "dt-blob.bin", "cmdline.txt", "kernel8.img"} {
		_, err := m.fetch(ctx, rrq{
			name: m.dashes() + "/" + name, port: uint16(1024 + rand.IntN(30000)), options: []string{"tsize", "0", "blksize", "1024"},
			repeat: every(time.Second, 5), repeatACK: every(time.Second, 5),
		})
		var refused *tftpError
		if err != nil && !errors.As(err, &refused) {
			return err
		}
	}
	return nil
}

// behindOneNAT boots while another machine does, of which nobody knows anything, from the same address.
func behindOneNAT(b boot) boot {
	return func(ctx context.Context, m *machine) error {
		other := *m
		other.mac[3] ^= 0x55
		if _, err := other.rom(ctx, "pxelinux.cfg/01-"+other.dashes()); err == nil {
			return errors.New("the other machine is known")
		}
		return b(ctx, m)
	}
}

// The wires that lose packets.

// noOACK loses every OACK.
func noOACK(m *machine) { m.wire = func(p packet) bool { return p.inbound && p.op() == opOACK } }

// onlyFirst lets nothing pass but the machine's first packet: a firewall that knows no answers.
func onlyFirst(m *machine) {
	first := true
	m.wire = func(packet) bool {
		lost := !first
		first = false
		return lost
	}
}

// narrow loses packets of more than 1300 bytes, without a word.
func narrow(m *machine) { m.wire = func(p packet) bool { return p.length() > 1300 } }

// onlyKnownPort loses what comes from, or goes to, another port than the server's: a NAT that knows of no other.
func onlyKnownPort(m *machine) {
	known := m.tftp.Port()
	m.wire = func(p packet) bool { return p.port != known }
}

// lossy loses one packet of twenty.
func lossy(m *machine) { m.wire = func(packet) bool { return rand.IntN(20) == 0 } }

// deafAfter loses all that comes after n packets of data: a cable that is pulled.
func deafAfter(n int64) func(*machine) {
	return func(m *machine) {
		var seen atomic.Int64
		m.wire = func(p packet) bool {
			if p.inbound && p.op() == opData {
				seen.Add(1)
			}
			return seen.Load() > n
		}
	}
}

// oneDigit changes a digit of the machine's MAC address: it is another one than its object says.
func oneDigit(m *machine) { m.mac[4] ^= 0x10 }

// wrongToken changes the token in the config's URL.
func wrongToken(p plan) plan {
	for i, a := range p.args {
		if before, after, ok := strings.Cut(a, "/t/"); ok && strings.HasPrefix(a, "ks=") {
			token, name, _ := strings.Cut(after, "/")
			p.args[i] = before + "/t/" + swapCase(token) + "/" + name
		}
	}
	return p
}

// swapCase changes each letter, so that the result has the form of a token.
func swapCase(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z':
			return r - 'a' + 'A'
		case r >= 'A' && r <= 'Z':
			return r - 'A' + 'a'
		}
		return r
	}, s)
}

// noToken leaves the token out.
func noToken(p plan) plan {
	for i, a := range p.args {
		if before, after, ok := strings.Cut(a, "/t/"); ok && strings.HasPrefix(a, "ks=") {
			_, name, _ := strings.Cut(after, "/")
			p.args[i] = before + "/" + name
		}
	}
	return p
}

// impatient gives up after a while, as a person does, or a watchdog.
func impatient(b boot, d time.Duration) boot {
	return func(ctx context.Context, m *machine) error {
		ctx, cancel := context.WithTimeoutCause(ctx, d, errors.New("the machine was switched off"))
		defer cancel()
		if err := b(ctx, m); err != nil && ctx.Err() != nil {
			return fmt.Errorf("%w (%w)", context.Cause(ctx), err)
		} else if err != nil {
			return err
		}
		return nil
	}
}

// late fetches the config only after a while.
func (c chain) late(d time.Duration) boot {
	return func(ctx context.Context, m *machine) error {
		p, err := c(ctx, m)
		if err != nil {
			return err
		}
		if err := wait(ctx, d); err != nil {
			return err
		}
		return m.installer(ctx, p)
	}
}
