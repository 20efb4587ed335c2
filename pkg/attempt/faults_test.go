// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package attempt

import (
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/netboot-operator/netboot-operator/pkg/index"
	"github.com/netboot-operator/netboot-operator/pkg/render"
)

// Boots that go wrong, and what is named then. Where what is seen leaves several causes, that must be Unknown.
func TestCauses(t *testing.T) {
	for name, tc := range map[string]causeCase{
		"nothing is ever acknowledged": {
			boot: func(s *scene) { s.loader("pxelinux.0", ended(OutcomeNeverAcknowledged, 0, ""), sentAgain(4, 6)) },
			want: CauseAnswersLost, text: "4 times",
		},
		"one packet of anybody": {
			boot: func(s *scene) { s.loader("pxelinux.0", ended(OutcomeNeverAcknowledged, 0, ""), sentAgain(0, 6)) },
			want: CauseUnknown,
		},
		"the first large block is never acknowledged": {
			boot: func(s *scene) { s.loader("pxelinux.0", ended(OutcomeSilent, 0, ""), sentAgain(0, 8)) },
			want: CausePathMTU, text: "1464 bytes",
		},
		"the first small block is never acknowledged": {
			boot: func(s *scene) {
				s.loader("pxelinux.0", ended(OutcomeSilent, 0, ""), sentAgain(0, 8), func(e *Event) { e.BlockSize = 512 })
			},
			want: CauseUnknown,
		},
		"blocks of this size got through before": {
			boot: func(s *scene) {
				s.loader("pxelinux.0")
				s.loader("ldlinux.c32", ended(OutcomeSilent, 0, ""), sentAgain(0, 8))
			},
			want: CauseUnknown,
		},
		"a transfer stops in the middle": {
			boot: func(s *scene) {
				s.config(render.PXELINUX)
				s.kernel(ended(OutcomeSilent, 5_000_000, ""), sentAgain(0, 5))
			},
			want: CauseTransferBrokeOff, text: "5.0 MB of 10.0 MB",
		},
		"the initrd comes, and the kernel was refused": {
			boot: func(s *scene) {
				s.config(render.IPXE)
				s.kernel(byHTTP, refusedAs(RefusedDigest, "DigestMismatch"))
				s.initrd(byHTTP)
			},
			want: CauseDigest, text: "DigestMismatch",
		},
		"the first file has another name than boot programs have": {
			boot: func(s *scene) { s.loader("pxelinux.1", refusedAs(RefusedNoFile, "no such file")) },
			want: CauseLoaderMissing, text: "pxelinux.1",
		},
		"a file of any name is missing, and others came": {
			boot: func(s *scene) {
				s.loader("grub/x86_64-efi/command.lst")
				s.loader("grub/fonts/unicode.pf2", refusedAs(RefusedNoFile, "no such file"))
			},
			want: CauseUnknown,
		},
		"an unsigned program for the right architecture, and silence": {
			boot: func(s *scene) {
				m := *s.tracker.o.Index.Machine(node1)
				m.Architecture = "amd64"
				s.tracker.o.Index.Put(&m)
				s.tracker.o.Neighbour = func(netip.Addr) index.MAC { return mac1() }
				s.loader("ipxe.efi", program(Program{Firmware: FirmwareUEFI, Architecture: "amd64", Signature: Unsigned}))
			},
			want: CauseLoaderSilent, text: "or the machine was switched off",
		},
		"a profile that boots by its files": { // wimboot
			boot: func(s *scene) {
				s.config(render.IPXE)
				s.ask(Event{Kind: KindFile, Name: "lab/win/boot.wim", Over: render.HTTP, Size: 500_000_000})
			},
			want: "",
		},
		"a kernel that comes in a second try, as a range": {
			boot: func(s *scene) {
				s.config(render.GRUB)
				s.kernel(byHTTP, ended(OutcomeCut, 40_000, "Out of memory"))
				s.kernel(byHTTP, func(e *Event) { e.Outcome, e.FileSize, e.Bytes = OutcomePart, kernelLen, kernelLen })
				s.initrd(byHTTP)
			},
			want: CauseConfigNeverFetched,
		},
		"someone else calls back without a token": {
			boot: func(s *scene) {
				s.config(render.PXELINUX)
				s.kernel()
				s.initrd()
				s.text()
				s.call(KindComplete, refusedAs(RefusedTokenMissing, "no token"), func(e *Event) { e.Client = netip.MustParseAddrPort("192.0.2.66:999") })
				s.call(KindComplete)
			},
		},
		"someone else calls back without a token, and no more is heard": {
			boot: func(s *scene) {
				s.config(render.PXELINUX)
				s.kernel()
				s.initrd()
				s.call(KindComplete, refusedAs(RefusedTokenMissing, "no token"), func(e *Event) { e.Client = netip.MustParseAddrPort("192.0.2.66:999") })
			},
			want: CauseConfigNeverFetched,
		},
		"what a program needs is missing, and its own end is told later": { // as the TFTP server tells ends, a moment later
			boot: func(s *scene) {
				program := Event{
					ID: 1000, Client: s.client, Over: render.TFTP, Kind: KindLoader, Name: "pxelinux.0", Size: 42_000, BlockSize: 1432, WindowSize: 1,
				}
				s.tell(program)
				s.loader("ldlinux.c32", refusedAs(RefusedNoFile, "no such file"))
				program.Ended, program.Outcome, program.Bytes, program.Took = true, OutcomeServed, 42_000, 20*time.Millisecond
				s.tell(program)
			},
			want: CauseLoaderMissing, text: "ldlinux.c32",
		},
		"a client of HTTP takes no more, and stays": { // iPXE without room, seen in QEMU
			boot: func(s *scene) {
				s.config(render.IPXE)
				s.kernel(byHTTP)
				s.initrd(byHTTP, ended(OutcomeSilent, 21_000_000, "the client took nothing more"))
			},
			want: CauseTransferBrokeOff, text: "21.0 MB of 30.0 MB: the machine took nothing more",
		},
		"the loader says that it has no room": {
			boot: func(s *scene) {
				s.config(render.IPXE)
				s.kernel()
				s.initrd(ended(OutcomeCut, 20_000_000, "Out of memory"))
			},
			want: CauseOutOfMemory, text: "Out of memory",
		},
		"the size of the initrd is too much for the loader, again and again": { // PXELINUX, seen in QEMU
			boot: func(s *scene) {
				s.config(render.PXELINUX)
				for range 3 {
					s.kernel(asProbe)
					s.kernel()
					s.initrd(asProbe)
				}
			},
			want: CauseOutOfMemory, text: "the kernel was fetched anew twice",
		},
		"the size of the initrd, and no more": {
			boot: func(s *scene) {
				s.config(render.PXELINUX)
				for range 2 {
					s.kernel()
					s.initrd(asProbe)
				}
			},
			want: CauseUnknown,
		},
		"the size of the initrd, and then it breaks off": {
			boot: func(s *scene) {
				s.config(render.PXELINUX)
				for range 3 {
					s.kernel()
					s.initrd(asProbe)
					s.initrd(ended(OutcomeSilent, 5_000_000, ""), sentAgain(0, 5))
				}
			},
			want: CauseTransferBrokeOff,
		},
		"the loader ends it without a word": {
			boot: func(s *scene) {
				s.config(render.IPXE)
				s.kernel()
				s.initrd(ended(OutcomeCut, 20_000_000, "closed"))
			},
			want: CauseUnknown,
		},
		"the loader ends it at the same place twice": {
			boot: func(s *scene) {
				for range 2 {
					s.loader("pxelinux.0")
					s.config(render.PXELINUX)
					s.kernel()
					s.initrd(ended(OutcomeCut, 20_000_000, "closed"))
					s.wait(30 * time.Second)
				}
			},
			want: CauseOutOfMemory, text: "same place",
		},
		"there is no such program": {
			boot: func(s *scene) { s.loader("grubx65.efi", refusedAs(RefusedNoFile, "no such file")) },
			want: CauseLoaderMissing, text: "grubx65.efi",
		},
		"a program of BIOS for a machine with UEFI": {
			boot: func(s *scene) {
				s.loader("undionly.kpxe", func(e *Event) { e.Firmware = FirmwareUEFIHTTP; e.Over = render.HTTP })
			},
			want: CauseWrongFirmware, text: "undionly.kpxe is a program for BIOS",
		},
		"a program that stays silent": {
			boot: func(s *scene) {
				s.loader("grubnetaa64.efi.signed", program(Program{Firmware: FirmwareUEFI, Architecture: "arm64", Signature: Signed}))
			},
			want: CauseLoaderSilent, text: "either it is for another architecture",
		},
		"nobody knows the machine": {
			boot: func(s *scene) {
				s.loader("pxelinux.0")
				s.config(render.PXELINUX, nobody)
			},
			want: CauseUnknownMachine, text: "differs in one digit",
		},
		"the profile is missing": {
			boot: func(s *scene) {
				s.config(render.PXELINUX, refusedAs(RefusedProfile, "BootProfile \"x\" does not exist"))
			},
			want: CauseProfileNotUsable, text: "does not exist",
		},
		"the profile has another architecture": {
			boot: func(s *scene) { s.config(render.GRUB, refusedAs(RefusedArchitecture, "it has arm64")) },
			want: CauseProfileArchitecture,
		},
		"a template has an error": {
			boot: func(s *scene) { s.config(render.GRUB, refusedAs(RefusedRender, "does not render")) },
			want: CauseRender,
		},
		"the kernel can't be fetched": {
			boot: func(s *scene) {
				s.config(render.IPXE)
				s.kernel(refusedAs(RefusedUpstream, "UpstreamUnavailable"))
			},
			want: CauseUpstream,
		},
		"the kernel is another": {
			boot: func(s *scene) {
				s.config(render.IPXE)
				s.kernel(refusedAs(RefusedDigest, "DigestMismatch"))
			},
			want: CauseDigest,
		},
		"the disk is full": {
			boot: func(s *scene) {
				s.config(render.IPXE)
				s.kernel(refusedAs(RefusedStorage, "the cache can't be written"))
			},
			want: CauseStorage,
		},
		"the kernel comes at the second try": {
			boot: func(s *scene) {
				s.config(render.IPXE, onPayload)
				s.kernel(refusedAs(RefusedUpstream, "UpstreamUnavailable"))
				s.kernel()
				s.initrd()
			},
		},
		"the kernel is never asked for": {
			boot: func(s *scene) { s.config(render.PXELINUX) },
			want: CauseKernelNeverAsked,
		},
		"the initrd is never asked for": {
			boot: func(s *scene) {
				s.config(render.GRUB)
				s.kernel()
			},
			want: CausePayloadIncomplete, text: "initrd.gz",
		},
		"the config is never asked for": {
			boot: func(s *scene) { s.pxelinux() },
			want: CauseConfigNeverFetched,
		},
		"the installer never says that it is done": {
			boot: func(s *scene) {
				s.pxelinux()
				s.text()
				s.wait(time.Hour)
				first := s.latest()
				s.pxelinux()
				if first.Over {
					s.t.Errorf("an installer that takes an hour has stopped: %+v", first.Cause)
				}
				s.wait(-1)
			},
			want: CauseNeverCompleted,
		},
		"the installer says that it has failed": {
			boot: func(s *scene) {
				s.pxelinux()
				s.text()
				s.call(KindFailed, func(e *Event) { e.Message = "no disk" })
			},
			want: CauseInstallerFailed, text: "no disk",
		},
		"no token": {
			boot: func(s *scene) {
				s.pxelinux()
				s.text(refusedAs(RefusedTokenMissing, "no token"))
			},
			want: CauseTokenMissing,
		},
		"a wrong token": {
			boot: func(s *scene) {
				s.pxelinux()
				s.text(refusedAs(RefusedTokenWrong, "of another machine"))
			},
			want: CauseTokenWrong,
		},
		"an expired token": {
			boot: func(s *scene) {
				s.pxelinux()
				s.text(refusedAs(RefusedTokenExpired, "has expired"))
			},
			want: CauseTokenExpired,
		},
		"the server is not ready": {
			boot: func(s *scene) { s.config(render.PXELINUX, refusedAs(RefusedNotYet, "no key")) },
			want: CauseServerNotReady,
		},
		"the server stops": {
			boot: func(s *scene) {
				s.config(render.PXELINUX)
				s.kernel(ended(OutcomeStopped, 1000, "server stops"))
			},
			want: CauseServerStopped,
		},
		"our own fault": {
			boot: func(s *scene) { s.loader("pxelinux.0", ended(OutcomeBroken, 0, "internal error")) },
			want: CauseServerFault,
		},
		"held": {
			boot: func(s *scene) { s.config(render.PXELINUX, toDisk(true)) },
			want: CauseHeld, text: "three boots",
		},
		"round in circles": {
			boot: func(s *scene) {
				for range 4 {
					s.loader("pxelinux.0")
					s.loader("ldlinux.c32")
					s.wait(90 * time.Second)
				}
			},
			want: CauseLoop, text: "boots in a row",
		},
	} {
		t.Run(name, tc.run)
	}
}

// Whatever comes in whatever order does no harm: no panic, no stage that goes back, nothing without bounds.
func TestAnyOrder(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for round := range 300 {
		s := newScene(t)
		for range 60 {
			ways := []func(){
				func() { s.loader("pxelinux.0") },
				func() { s.loader("ldlinux.c32", refusedAs(RefusedNoFile, "none")) },
				func() { s.config(render.PXELINUX) },
				func() { s.config(render.GRUB, nobody) },
				func() { s.config(render.IPXE, toDisk(random.IntN(2) == 0)) },
				func() { s.kernel() },
				func() { s.kernel(ended(OutcomeSilent, 100, ""), sentAgain(1, 5)) },
				func() { s.initrd(byHTTP) },
				func() { s.text() },
				func() { s.call(KindComplete) },
				func() { s.call(KindFailed) },
				func() { s.call(KindLog) },
				func() { s.wait(time.Duration(random.IntN(1000)) * time.Second) },
				func() { s.client = netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(random.IntN(3))}), 2070) },
				func() {
				},
				func() {
					s.key, s.mac[5] = index.Key("lab/node-0"+string(rune('1'+random.IntN(2)))), byte(1+random.IntN(2))
				},
			}
			ways[random.IntN(len(ways))]()
		}
		s.wait(48 * time.Hour)
		type boot struct {
			machine index.Key
			start   time.Time
		}
		reached := map[boot]Stage{}
		for _, a := range s.changes {
			id := boot{a.Machine, a.Start}
			if a.Machine != "" && a.Stage.rank() < reached[id].rank() {
				t.Fatalf("round %d: the boot of %s at %v goes from %s back to %s: %s", round, a.Machine, a.Start, reached[id], a.Stage, s.story())
			}
			reached[id] = a.Stage
			if len(a.Steps) > MaxSteps {
				t.Fatalf("round %d: %d steps", round, len(a.Steps))
			}
		}
		for stage, n := range s.tracker.active {
			if n < 0 {
				t.Fatalf("round %d: %d boots at stage %d", round, n, stage)
			}
		}
	}
}
