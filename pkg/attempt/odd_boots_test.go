// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package attempt

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/netboot-operator/netboot-operator/pkg/render"
)

// A causeCase is a boot that goes wrong, or only seems to.
type causeCase struct {
	boot func(s *scene)
	want CauseID // empty: none
	text string  // in the message or the evidence
}

func (tc causeCase) run(t *testing.T) {
	s := newScene(t)
	tc.boot(s)
	if tc.want == CauseNeverCompleted { // it is told of the boot before
		for _, a := range s.changes {
			if a.Over && a.Cause != nil && a.Cause.ID == tc.want {
				return
			}
		}
		t.Fatalf("nothing says %s: %s", tc.want, s.story())
	}
	s.wait(24 * time.Hour)
	a := s.latest()
	var got CauseID
	text := ""
	if a.Cause != nil {
		got, text = a.Cause.ID, a.Cause.Message+" "+strings.Join(a.Cause.Evidence, "; ")
	}
	if got != tc.want || !strings.Contains(strings.ToLower(text), strings.ToLower(tc.text)) {
		t.Errorf("%q: %s\nwant %q, and %q in it; story: %s", got, text, tc.want, tc.text, s.story())
	}
}

// Boots that are not made of a loader, its configuration, a kernel and initrds, in this order.
func TestOddBoots(t *testing.T) {
	for name, tc := range map[string]causeCase{
		"a Raspberry Pi, again and again": {
			boot: func(s *scene) {
				for range 5 {
					s.pi()
					s.wait(24 * time.Hour)
				}
			},
			want: "",
		},
		"a Raspberry Pi that is held, and looks elsewhere then": {
			boot: func(s *scene) {
				held := func(e *Event) { refusedAs(RefusedLocal, "it boots from its own disk")(e); e.Held = true }
				s.file("start4.elf", held)
				s.file("config.txt", held)
				s.loader("start4.elf", refusedAs(RefusedNoFile, "no such file"))
				s.loader("config.txt", refusedAs(RefusedNoFile, "no such file"))
			},
			want: CauseHeld, text: "three boots",
		},
		"a Raspberry Pi that boots its own disk, each time": {
			boot: func(s *scene) {
				for range 4 {
					s.file("start4.elf", refusedAs(RefusedLocal, "it boots from its own disk"))
					s.loader("start4.elf", refusedAs(RefusedNoFile, "no such file"))
					s.wait(time.Hour)
				}
			},
			want: "",
		},
		"a Raspberry Pi that gets a part of its kernel": {
			boot: func(s *scene) {
				s.pi()
				s.file("kernel8.img", ended(OutcomeSilent, 1_000_000, ""), sentAgain(0, 5))
			},
			want: CauseTransferBrokeOff, text: "kernel8.img",
		},
		"iPXE that DHCP tells to load iPXE": {
			boot: func(s *scene) {
				s.loader("ipxe.efi", asProbe)
				s.loader("ipxe.efi")
				for range 3 {
					s.wait(14 * time.Second)
					s.loader("ipxe.efi", byIPXE)
				}
			},
			want: CauseChainLoad, text: "3 times",
		},
		"iPXE that DHCP tells to load iPXE, and the machine is reset": {
			boot: func(s *scene) {
				s.loader("undionly.kpxe")
				s.wait(5 * time.Second)
				s.loader("undionly.kpxe", byIPXE)
				s.wait(30 * time.Second)
			},
			want: CauseChainLoad, text: "once",
		},
		"an installer that says nothing for a day": {
			boot: func(s *scene) {
				s.pxelinux()
				s.text()
				s.wait(25 * time.Hour)
			},
			want: CauseNeverCompleted,
		},
		"large blocks get lost, by IPv6": {
			boot: func(s *scene) {
				s.client = netip.MustParseAddrPort("[2001:db8::7]:2070")
				s.loader("pxelinux.0", ended(OutcomeSilent, 0, ""), sentAgain(0, 8))
			},
			want: CausePathMTU, text: "1484 bytes",
		},
		"twice at the beginning": {
			boot: func(s *scene) {
				for range 2 {
					s.config(render.IPXE)
					s.kernel(byHTTP)
					s.initrd(byHTTP, ended(OutcomeCut, 3_000_000, "the connection was closed"))
					s.wait(20 * time.Minute)
				}
			},
			want: CauseUnknown,
		},
		"iPXE in the firmware loads iPXE, or restarts": {
			boot: func(s *scene) {
				for range 2 {
					s.loader("undionly.kpxe", byIPXE)
					s.wait(14 * time.Second)
				}
			},
			want: CauseLoaderSilent, text: "undionly.kpxe", // of the second, after which nothing came; the first is Unknown
		},
		"iPXE whose script loads a shim to check the kernel": {
			boot: func(s *scene) {
				s.loader("ipxe.efi")
				s.ask(Event{Kind: KindBootstrap, Format: render.IPXE, Name: "boot.ipxe", Size: 200, ByIPXE: true})
				s.config(render.IPXE, byHTTP, byIPXE)
				s.kernel(byHTTP, byIPXE)
				s.loader("shimx64.efi", byHTTP, byIPXE)
				s.initrd(byHTTP, byIPXE)
				s.text()
				s.call(KindComplete)
			},
			want: "",
		},
	} {
		t.Run(name, tc.run)
	}
}

// TestBootsByFilesCount: each boot by files alone is one, also of those who ask for one file only.
func TestBootsByFilesCount(t *testing.T) {
	for name, boot := range map[string]func(s *scene){
		"Raspberry Pi": (*scene).pi,
		"ONIE":         func(s *scene) { s.file("onie-installer-x86_64"); s.file("onie-installer-x86_64") },
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t)
			for range 3 {
				boot(s)
				s.wait(10 * time.Minute)
			}
			began := map[time.Time]bool{}
			for _, a := range s.changes {
				if a.Counts && a.BootID == "1" {
					began[a.Start] = true
				}
			}
			if len(began) != 3 {
				t.Errorf("%d boots count, want 3: %s", len(began), s.story())
			}
		})
	}
}
