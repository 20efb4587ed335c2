// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package attempt

import (
	"net/netip"
	"testing"
	"time"

	"github.com/netboot-operator/netboot-operator/pkg/index"
	"github.com/netboot-operator/netboot-operator/pkg/render"
)

// Boots that nothing is wrong with, each from the first request to the last.
func TestBoots(t *testing.T) {
	for name, tc := range map[string]struct {
		boot       func(s *scene)
		wantStory  string
		wantLoader string
		wantCounts bool
		wantBytes  int64
	}{
		"PXELINUX, which calls back": {
			boot: func(s *scene) {
				s.pxelinux()
				s.wait(2 * time.Minute) // the kernel starts
				s.text()
				s.wait(time.Hour) // and installs
				s.call(KindComplete)
			},
			wantStory:  "Firmware Loader Config Kernel Initrd Running Done.",
			wantLoader: "PXELINUX", wantCounts: true, wantBytes: 2*100_000 + 300 + kernelLen + initrdLen + 500,
		},
		"signed GRUB, completed by its payload": {
			boot:       func(s *scene) { s.grub(onPayload) },
			wantStory:  "Firmware Loader Config Kernel Initrd Done.",
			wantLoader: "GRUB", wantCounts: true, wantBytes: 100_000 + 300 + kernelLen + initrdLen,
		},
		"shim and GRUB": {
			boot:       func(s *scene) { s.shim(onPayload) },
			wantStory:  "Firmware Loader Config Kernel Initrd Done.",
			wantLoader: "GRUB", wantCounts: true, wantBytes: 200_000 + 300 + kernelLen + initrdLen,
		},
		"iPXE, by HTTP": {
			boot:       func(s *scene) { s.ipxe(onPayload) },
			wantStory:  "Firmware Loader Config Kernel Initrd Done.",
			wantLoader: "iPXE", wantCounts: true, wantBytes: 100_000 + 200 + 300 + kernelLen + initrdLen,
		},
		"UEFI HTTP Boot": {
			boot: func(s *scene) {
				s.loader("snponly.efi", byHTTP, func(e *Event) { e.UserAgent, e.Firmware = "UefiHttpBoot/1.0", FirmwareUEFIHTTP }, asProbe)
				s.loader("snponly.efi", byHTTP, func(e *Event) { e.UserAgent, e.Firmware = "UefiHttpBoot/1.0", FirmwareUEFIHTTP })
				s.config(render.IPXE, byHTTP, onPayload)
				s.kernel(byHTTP)
				s.initrd(byHTTP)
			},
			wantStory:  "Firmware Loader Config Kernel Initrd Done.",
			wantLoader: "iPXE", wantCounts: true, wantBytes: 100_000 + 300 + kernelLen + initrdLen,
		},
		"the initrd in two ranges": {
			boot: func(s *scene) {
				s.config(render.IPXE, byHTTP, onPayload)
				s.kernel(byHTTP)
				half := func(from int64) func(*Event) {
					return func(e *Event) {
						e.Over, e.Outcome, e.Offset, e.Size, e.FileSize, e.Bytes = render.HTTP, OutcomePart, from, initrdLen/2, initrdLen, initrdLen/2
					}
				}
				s.initrd(half(initrdLen / 2))
				s.initrd(half(0))
			},
			wantStory:  "Loader Config Kernel Initrd Done.",
			wantLoader: "iPXE", wantCounts: true, wantBytes: 300 + kernelLen + initrdLen,
		},
		"sent to its disk": {
			boot: func(s *scene) {
				s.loader("pxelinux.0")
				s.config(render.PXELINUX, toDisk(false))
			},
			wantStory:  "Firmware Loader Config.",
			wantLoader: "PXELINUX", wantBytes: 100_300,
		},
		"told to boot its disk by having nothing": {
			boot:      func(s *scene) { s.config(render.IPXE, refusedAs(RefusedLocal, "boots from its own disk")) },
			wantStory: "Config.", wantLoader: "iPXE",
		},
		"continuous": {
			boot:      func(s *scene) { s.grub(onPayload, continuous) },
			wantStory: "Firmware Loader Config Kernel Initrd Done.", wantLoader: "GRUB", wantBytes: 100_300 + kernelLen + initrdLen,
		},
		"a callback long after all was silent": {
			boot: func(s *scene) {
				s.pxelinux()
				s.wait(3 * time.Hour)
				s.call(KindComplete)
			},
			wantStory:  "Firmware Loader Config Kernel Initrd Initrd:InstallerSilent. Initrd Done.",
			wantLoader: "PXELINUX", wantCounts: true, wantBytes: 2*100_000 + 300 + kernelLen + initrdLen,
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t)
			tc.boot(s)
			s.wait(24 * time.Hour)
			a := s.latest()
			if got := s.story(); got != tc.wantStory {
				t.Errorf("story: %s\nwant:  %s", got, tc.wantStory)
			}
			if a.Loader != tc.wantLoader || a.Counts != tc.wantCounts || a.Bytes != tc.wantBytes || !a.Over || a.Machine != node1 {
				t.Errorf("loader %q, counts %v, %d bytes, over %v, machine %q; want %q, %v, %d, over, %s",
					a.Loader, a.Counts, a.Bytes, a.Over, a.Machine, tc.wantLoader, tc.wantCounts, tc.wantBytes, node1)
			}
			if len(a.Steps) == 0 || len(a.Steps) > MaxSteps {
				t.Errorf("%d steps", len(a.Steps))
			}
			if total := s.tracker.active; total != [stageCount]int{} {
				t.Errorf("%v boots are still active", total)
			}
		})
	}
}

// Two machines behind one address: what tells no identity is nobody's, and nothing is completed by it.
func TestSharedAddress(t *testing.T) {
	s := newScene(t)
	s.config(render.IPXE, byHTTP, onPayload)
	other := *s
	other.key, other.mac[5] = "lab/node-02", 2
	other.config(render.IPXE, byHTTP, onPayload)
	s.now = other.now
	s.kernel(byHTTP)
	s.initrd(byHTTP)
	s.wait(time.Hour)
	for _, a := range s.tracker.Attempts() {
		if a.Stage != StageConfig || a.Cause == nil || a.Cause.ID != CauseUnknown {
			t.Errorf("%s: stage %s, cause %+v; want Config and Unknown", a.Machine, a.Stage, a.Cause)
		}
	}
}

// A boot that began at one pod goes on at another, which knows of it what the status tells.
func TestTwoPods(t *testing.T) {
	one, other := newScene(t), newScene(t)
	one.loader("pxelinux.0")
	one.config(render.PXELINUX, onPayload)
	one.kernel()
	told := one.latest()

	other.now = one.now
	other.tracker.Learn(told)
	other.initrd()
	seen := other.latest()
	if !SameBoot(told, seen) || seen.BootID != "1" || seen.Stage != StageInitrd || !seen.Start.Equal(told.Start) {
		t.Errorf("the other pod's part is %+v, of %+v", seen, told)
	}
	all := Merge(told, seen)
	if all.Stage != StageInitrd || all.Bytes != 100_300+kernelLen+initrdLen || !all.Counts || len(all.Steps) != 4 {
		t.Errorf("together: stage %s, %d bytes, counts %v, %d steps; want Initrd, %d, true, 4", all.Stage, all.Bytes, all.Counts, len(all.Steps),
			100_300+kernelLen+initrdLen)
	}

	// The first pod hears nothing more. It must not say that the boot has stopped, when the other tells that it goes on.
	one.tracker.Learn(seen)
	one.changes = nil
	one.wait(5 * time.Minute)
	for _, a := range one.changes {
		if a.Over && a.Cause != nil {
			t.Errorf("the first pod says %s: %s", a.Cause.ID, a.Cause.Message)
		}
	}
	again := newScene(t)
	again.wait(time.Hour)
	again.pxelinux()
	if SameBoot(all, again.latest()) {
		t.Error("a boot of an hour later is the same one")
	}
}

// Clients that make up addresses cost a bounded memory, and take nothing from machines that are known.
func TestBounded(t *testing.T) {
	tracker, err := NewTracker(Options{Index: lab(), MaxAttempts: 100})
	if err != nil {
		t.Fatal(err)
	}
	s := &scene{t: t, tracker: tracker, now: start(), client: netip.MustParseAddrPort("10.0.0.1:2070"), key: node1, mac: mac1()}
	s.loader("pxelinux.0")
	s.config(render.PXELINUX)
	for n := range 5000 {
		client := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 1, byte(n >> 8), byte(n)}), 2070)
		s.loader("pxelinux.0", func(e *Event) { e.Client = client })
		s.ask(Event{Kind: KindConfig, Client: client, MAC: index.MAC{2, 0, 0, 1, byte(n >> 8), byte(n)}, Outcome: OutcomeRefused, Refusal: RefusedUnknownMachine})
	}
	if n := len(tracker.owners); n > 100 || n < 10 {
		t.Errorf("%d are remembered, want at most 100", n)
	}
	if n := len(tracker.atClient); n > 400 {
		t.Errorf("%d addresses are remembered", n)
	}
	if a := s.latest(); a.Machine != node1 || a.Stage != StageConfig {
		t.Errorf("the machine that is known was forgotten: %+v", a)
	}
	if n := len(tracker.due.queue); n > 200 {
		t.Errorf("%d deadlines", n)
	}
}

func TestOptions(t *testing.T) {
	for name, tc := range map[string]struct {
		o    Options
		want string // empty: none
	}{
		"no index":          {Options{}, "index is required"},
		"defaults":          {Options{Index: lab()}, ""},
		"too quiet":         {Options{Index: lab(), Quiet: 2 * time.Hour}, "option Quiet: 2h0m0s is not between 1s and 1h"},
		"installs too long": {Options{Index: lab(), InstallQuiet: time.Millisecond}, "option InstallQuiet: 1ms is not between 1s and 24h"},
		"too few":           {Options{Index: lab(), MaxAttempts: 3}, "option MaxAttempts: 3 is not between 4 and 10000000"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := NewTracker(tc.o)
			if got := ""; err != nil {
				if got = err.Error(); tc.want == "" || got != "options of the tracker of boots: "+tc.want {
					t.Errorf("error %q, want %q", got, tc.want)
				}
			} else if tc.want != "" {
				t.Errorf("no error, want %q", tc.want)
			}
		})
	}
}
