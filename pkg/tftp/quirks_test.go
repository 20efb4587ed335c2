// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package tftp

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// What clients send, byte by byte, what they are answered, whether they will have it, and how the transfer then goes with
// their habits on a network that loses a packet now and then.
func TestQuirks(t *testing.T) {
	const name = "a/file"
	for client, tc := range map[string]struct {
		rrq     string // after the opcode
		name    string // as parsed; default: that above
		size    int    // default: 100 000 bytes
		empty   bool   // the size is 0
		unsized bool
		most    limits // zero: 1468 bytes, 64 blocks
		oack    string // after the opcode; empty: none is sent
		accepts func(asked, got []Option) error
		loader  loader
		want    Outcome // default: complete
	}{
		"EDK2 PXE, to learn the size": {
			rrq:  "a/file\x00octet\x00tsize\x000\x00blksize\x001468\x00windowsize\x004\x00",
			oack: "tsize\x00100000\x00blksize\x001468\x00windowsize\x004\x00", accepts: acceptsStrictly,
			loader: aborts(edk2(), 1, CodeOptionRefused), want: OutcomeProbe,
		},
		"EDK2 PXE, to read": {
			rrq:  "a/file\x00octet\x00blksize\x001468\x00windowsize\x004\x00",
			oack: "blksize\x001468\x00windowsize\x004\x00", accepts: acceptsStrictly, loader: edk2(),
		},
		"EDK2 PXE, windows refused by the operator": {
			rrq:  "a/file\x00octet\x00blksize\x001468\x00windowsize\x004\x00",
			most: limits{blockSize: 1468, window: 1},
			oack: "blksize\x001468\x00windowsize\x001\x00", accepts: acceptsStrictly, loader: edk2(),
		},
		"EDK2 PXE over IPv6": {
			rrq:  "a/file\x00octet\x00tsize\x000\x00blksize\x001228\x00",
			oack: "tsize\x00100000\x00blksize\x001228\x00", accepts: acceptsStrictly, loader: edk2(),
		},
		"EDK2 before 2018, without windows": {
			rrq: "a/file\x00octet\x00blksize\x001468\x00", oack: "blksize\x001468\x00", accepts: acceptsStrictly, loader: edk2(),
		},
		"EDK2, early, with blocks that must be fragments": {
			rrq: "a/file\x00octet\x00blksize\x0065464\x00", oack: "blksize\x001468\x00", accepts: acceptsStrictly, loader: edk2(),
		},
		"EDK2 that asks for a timeout": {
			rrq:  "a/file\x00octet\x00timeout\x003\x00blksize\x001468\x00",
			oack: "timeout\x003\x00blksize\x001468\x00", accepts: acceptsStrictly, loader: edk2(),
		},
		"shim": {
			rrq: "/EFI/grubx64.efi\x00octet\x00blksize\x00512\x00windowsize\x004\x00", name: "/EFI/grubx64.efi",
			oack: "blksize\x00512\x00windowsize\x004\x00", accepts: acceptsStrictly, loader: edk2(),
		},
		"shim, whose buffer is too small: it will ask again": {
			rrq: "/EFI/grubx64.efi\x00octet\x00blksize\x00512\x00windowsize\x004\x00", name: "/EFI/grubx64.efi",
			oack: "blksize\x00512\x00windowsize\x004\x00", accepts: acceptsStrictly,
			loader: aborts(edk2(), 100, CodeDiskFull), want: OutcomeClientError,
		},
		"GRUB, which reads no packets while its menu waits": {
			rrq: "/grub/grub.cfg\x00octet\x00blksize\x001024\x00tsize\x000\x00", name: "/grub/grub.cfg",
			oack: "blksize\x001024\x00tsize\x00100000\x00", accepts: acceptsGRUB, loader: grub(),
		},
		"GRUB, small file": {
			rrq: "/grub/grub.cfg\x00octet\x00blksize\x001024\x00tsize\x000\x00", name: "/grub/grub.cfg", size: 700,
			oack: "blksize\x001024\x00tsize\x00700\x00", accepts: acceptsGRUB, loader: grub(),
		},
		"GRUB, empty file": {
			rrq: "/grub/grub.cfg\x00octet\x00blksize\x001024\x00tsize\x000\x00", name: "/grub/grub.cfg", empty: true,
			oack: "blksize\x001024\x00tsize\x000\x00", accepts: acceptsGRUB, loader: grub(),
		},
		"GRUB that closes the file early": {
			rrq: "/x.mod\x00octet\x00blksize\x001024\x00tsize\x000\x00", name: "/x.mod",
			oack: "blksize\x001024\x00tsize\x00100000\x00", accepts: acceptsGRUB,
			loader: aborts(grub(), 20, CodeUndefined), want: OutcomeClientError,
		},
		"PXELINUX": {
			rrq:  "a/file\x00octet\x00tsize\x000\x00blksize\x001408\x00",
			oack: "tsize\x00100000\x00blksize\x001408\x00", accepts: acceptsPXELINUX, loader: pxelinux(),
		},
		"PXELINUX, to see whether a file is there": {
			rrq:  "a/file\x00octet\x00tsize\x000\x00blksize\x001408\x00",
			oack: "tsize\x00100000\x00blksize\x001408\x00", accepts: acceptsPXELINUX,
			loader: aborts(pxelinux(), 1, CodeUndefined), want: OutcomeProbe,
		},
		"iPXE": {
			rrq:  "a/file\x00octet\x00blksize\x001432\x00tsize\x000\x00",
			oack: "blksize\x001432\x00tsize\x00100000\x00", accepts: acceptsAsked, loader: ipxe(),
		},
		"iPXE, tftm": {
			rrq:  "a/file\x00octet\x00blksize\x001432\x00tsize\x000\x00multicast\x00\x00",
			oack: "blksize\x001432\x00tsize\x00100000\x00", accepts: acceptsAsked, loader: ipxe(),
		},
		"iPXE, made on the fly": {
			rrq: "a/file\x00octet\x00blksize\x001432\x00tsize\x000\x00", unsized: true,
			oack: "blksize\x001432\x00", accepts: acceptsAsked, loader: ipxe(),
		},
		"U-Boot": {
			rrq:  "a/file\x00octet\x00timeout\x005\x00blksize\x001468\x00",
			oack: "timeout\x005\x00blksize\x001468\x00", accepts: acceptsStrictly, loader: uboot(),
		},
		"U-Boot with IP_DEFRAG, tsize and tftpwindowsize 16": {
			rrq:  "a/file\x00octet\x00timeout\x005\x00tsize\x000\x00blksize\x0016352\x00windowsize\x0016\x00",
			oack: "timeout\x005\x00tsize\x00100000\x00blksize\x001468\x00windowsize\x0016\x00", accepts: acceptsStrictly, loader: uboot(),
		},
		"U-Boot with lwIP": {
			rrq:  "a/file\x00octet\x00blksize\x001468\x00timeout\x0010\x00",
			oack: "blksize\x001468\x00timeout\x0010\x00", accepts: acceptsStrictly, loader: uroot(),
		},
		"Raspberry Pi": {
			rrq: "1a2b3c4d/start4.elf\x00octet\x00tsize\x000\x00blksize\x001024\x00", name: "1a2b3c4d/start4.elf",
			oack: "tsize\x00100000\x00blksize\x001024\x00", accepts: acceptsAsked, loader: loader{asks: 400 * ms},
		},
		"Raspberry Pi, older": {
			rrq: "bootcode.bin\x00octet\x00tsize\x000\x00blksize\x00512\x00", name: "bootcode.bin",
			oack: "tsize\x00100000\x00blksize\x00512\x00", accepts: acceptsAsked,
			loader: aborts(loader{}, 1, CodeUndefined), want: OutcomeProbe,
		},
		"Windows, whose own option is left out": {
			rrq:  "\\Boot\\x64\\WDSNBP.com\x00octet\x00tsize\x000\x00blksize\x0016384\x00windowsize\x004\x00msftwindow\x0031416\x00",
			name: "\\Boot\\x64\\WDSNBP.com", accepts: acceptsAsked, loader: uroot(),
			oack: "tsize\x00100000\x00blksize\x001468\x00windowsize\x004\x00",
		},
		"Intel ROM, size first": {
			rrq: "a/file\x00octet\x00tsize\x000\x00", oack: "tsize\x00100000\x00", accepts: acceptsAsked,
			loader: aborts(loader{}, 1, CodeUndefined), want: OutcomeProbe,
		},
		"Intel ROM, which can't put fragments together": {
			rrq: "a/file\x00octet\x00blksize\x001456\x00", oack: "blksize\x001456\x00", accepts: acceptsAsked,
			loader: loader{repeats: time.Second, patience: 5},
		},
		"ROM from before RFC 2347": {rrq: "a/file\x00octet\x00", loader: loader{repeats: time.Second, patience: 5}},
		"ROM in capitals":          {rrq: "a/file\x00OCTET\x00", loader: loader{repeats: time.Second, patience: 5}},
		"Cisco IOS, big blocks allowed": {
			rrq: "a/file\x00octet\x00blksize\x008192\x00", most: limits{blockSize: 65464, window: 64},
			oack: "blksize\x008192\x00", accepts: acceptsAsked, loader: loader{repeats: 5 * time.Second, patience: 5},
		},
		"switch that writes to flash in between": {
			rrq: "a/file\x00octet\x00blksize\x008192\x00", size: 1 << 20,
			oack: "blksize\x001468\x00", accepts: acceptsAsked,
			loader: loader{hold: 600, holdFor: 20 * time.Second, repeats: 5 * time.Second, patience: 10, lingers: true},
		},
		"loader that is away for longer than any patience": {
			rrq: "a/file\x00octet\x00blksize\x001024\x00", oack: "blksize\x001024\x00", accepts: acceptsAsked,
			loader: loader{hold: 50, holdFor: 40 * time.Second}, want: OutcomeTimeout,
		},
		"u-root": {
			rrq:  "a/file\x00octet\x00blksize\x001450\x00windowsize\x0064\x00",
			oack: "blksize\x001450\x00windowsize\x0064\x00", accepts: acceptsAsked, loader: uroot(),
		},
		"name without a NUL in DHCP, garbage after it": {
			rrq: "a/file\xff\xff\x00octet\x00blksize\x001468\x00", name: "a/file\xff\xff",
			oack: "blksize\x001468\x00", accepts: acceptsStrictly, loader: edk2(),
		},
		"name with a NUL more": {
			rrq: "a/file\x00\x00octet\x00blksize\x001468\x00", oack: "blksize\x001468\x00", accepts: acceptsStrictly, loader: edk2(),
		},
		"name without its NUL": {
			rrq: "a/fileoctet\x00blksize\x001468\x00", oack: "blksize\x001468\x00", accepts: acceptsStrictly, loader: edk2(),
		},
		"trailing garbage": {
			rrq:  "a/file\x00octet\x00blksize\x001432\x00tsize\x000\x00\xde\xad\xbe\xef",
			oack: "blksize\x001432\x00tsize\x00100000\x00", accepts: acceptsAsked, loader: ipxe(),
		},
	} {
		t.Run(client, func(t *testing.T) {
			t.Parallel()
			if tc.name == "" {
				tc.name = name
			}
			if tc.size == 0 && !tc.empty {
				tc.size = 100_000
			}
			if tc.most == (limits{}) {
				tc.most = limits{blockSize: 1468, window: 64}
			}
			if tc.want == "" {
				tc.want = OutcomeComplete
			}
			file := contents(tc.size)
			size := int64(len(file))
			if tc.unsized {
				size = UnknownSize
			}

			r, ok := parseRequest([]byte("\x00\x01" + tc.rrq))
			if !ok || r.opcode != opRead || r.mode != Octet || r.name != tc.name {
				t.Fatalf("parsed as %+v, %v", r, ok)
			}
			agreed := negotiate(r.options, tc.most, size)
			checkTerms(t, r.options, tc.most, size, agreed)
			var oack string
			if len(agreed.accepted) > 0 {
				oack = string(newOACK(agreed.accepted)[2:])
			}
			if diff := cmp.Diff(tc.oack, oack); diff != "" {
				t.Errorf("OACK (-want +got):\n%s", diff)
			}
			if tc.accepts != nil {
				if err := tc.accepts(r.options, agreed.accepted); err != nil {
					t.Errorf("the client refuses %q: %v", oack, err)
				}
			}
			w := patient()
			if agreed.timeout > 0 {
				w.most = agreed.timeout
			}
			for seed := range uint64(5) {
				way := link{delay: 200 * us, spacing: 12 * us, loss: 0.005}
				n, err := scene{
					terms: agreed, timing: w, file: file, unsized: tc.unsized, down: way, up: way, loader: tc.loader, seed: seed,
				}.play()
				if err != nil {
					t.Fatalf("seed %d: %v", seed, err)
				}
				got := n.server.outcome
				if got == OutcomeLastACKLost {
					got = OutcomeComplete
				}
				if got != tc.want || (tc.want == OutcomeComplete) != bytes.Equal(n.loader.got, file) {
					t.Errorf("seed %d: %q, %d bytes of %d, want %q", seed, n.server.outcome, len(n.loader.got), len(file), tc.want)
				}
			}
		})
	}
}

// aborts returns a loader that ends with ERROR on the packet so numbered.
func aborts(l loader, packet int, code ErrorCode) loader {
	l.abort = map[int]ErrorCode{packet: code}
	return l
}

// value returns an option's value.
func value(options []Option, name string) (int, bool) {
	for _, o := range options {
		if strings.EqualFold(o.Name, name) {
			n, err := strconv.Atoi(o.Value)
			return n, err == nil
		}
	}
	return 0, false
}

// acceptsAsked refuses what was not asked for and what is more, as RFC 2347 and those after it tell a client to do.
func acceptsAsked(asked, got []Option) error {
	for _, o := range got {
		is, _ := value(got, o.Name)
		was, ok := value(asked, o.Name)
		if !ok || (is > was && o.Name != "tsize") {
			return fmt.Errorf("%v, asked for %v", o, asked)
		}
	}
	return nil
}

// acceptsStrictly does that and refuses another timeout than its own, as EDK2 and U-Boot do.
func acceptsStrictly(asked, got []Option) error {
	is, ok := value(got, "timeout")
	if was, _ := value(asked, "timeout"); ok && is != was {
		return fmt.Errorf("timeout %d, not %d", is, was)
	}
	return acceptsAsked(asked, got)
}

// acceptsGRUB needs an OACK and knows lower case names only. A file whose size it is not told is empty.
func acceptsGRUB(asked, got []Option) error {
	if len(got) == 0 || got[0] != (Option{"blksize", "1024"}) {
		return fmt.Errorf("no blksize in %v", got)
	}
	if _, ok := value(got, "tsize"); !ok {
		return fmt.Errorf("no tsize in %v", got)
	}
	return acceptsAsked(asked, got)
}

// acceptsPXELINUX refuses blocks of less than 64 bytes and of more than 2048, and takes a file of size 0 for none.
func acceptsPXELINUX(asked, got []Option) error {
	if size, ok := value(got, "tsize"); !ok || size == 0 {
		return fmt.Errorf("no size in %v", got)
	}
	if n, ok := value(got, "blksize"); !ok || n < 64 || n > 2048 {
		return fmt.Errorf("no good blksize in %v", got)
	}
	return acceptsAsked(asked, got)
}
