// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package attempt

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/netboot-operator/netboot-operator/pkg/index"
	"github.com/netboot-operator/netboot-operator/pkg/render"
)

// The machine of most tests, and what it boots.
const (
	node1     = index.Key("lab/node-01")
	kernelID  = index.ID("sha256/aa")
	initrdID  = index.ID("sha256/bb")
	kernelLen = 10_000_000
	initrdLen = 30_000_000
)

func mac1() index.MAC { return index.MAC{0x52, 0x54, 0, 0xaa, 0xbb, 1} }

// start is when all tests begin.
func start() time.Time { return time.Date(2026, 11, 23, 3, 0, 0, 0, time.UTC) }

// lab is an index with lab/node-01 and lab/node-02.
func lab() *index.Index {
	x := index.New()
	profile := &index.Profile{Key: "lab/debian", Platforms: []index.Platform{{
		Architecture: "amd64", Kernel: &index.Artifact{URLs: []string{"http://mirror/linux"}, SHA256: "aa"},
		Initrds: []index.Artifact{{URLs: []string{"http://mirror/initrd.gz"}, SHA256: "bb"}},
	}}}
	for n, name := range []string{"node-01", "node-02"} {
		mac := mac1()
		mac[5] = byte(n + 1)
		x.Put(&index.Machine{
			Key: index.Key("lab/" + name), Name: name, Namespace: "lab", MACs: []index.MAC{mac}, BootID: "1", Once: true, Action: index.Netboot,
			Configs: []index.Config{{Name: "ks"}}, Profile: profile,
		})
	}
	return x
}

// A scene is one machine's requests, as a Tracker gets them.
type scene struct {
	t       *testing.T
	tracker *Tracker
	now     time.Time
	client  netip.AddrPort
	key     index.Key
	mac     index.MAC
	changes []Attempt
	ids     uint64
}

func newScene(t *testing.T) *scene {
	t.Helper()
	tracker, err := NewTracker(Options{Index: lab()})
	if err != nil {
		t.Fatal(err)
	}
	return &scene{t: t, tracker: tracker, now: start(), client: netip.MustParseAddrPort("10.0.0.1:2070"), key: node1, mac: mac1()}
}

// wait lets time go by.
func (s *scene) wait(d time.Duration) {
	for end := s.now.Add(d); ; {
		next := s.tracker.Next()
		if next.IsZero() || next.After(end) {
			s.now = end
			return
		}
		s.now = next
		s.changes = append(s.changes, s.tracker.Advance(next)...)
	}
}

// tell hands an event on, a moment after the one before.
func (s *scene) tell(e Event) {
	s.now = s.now.Add(10 * time.Millisecond)
	e.Time = s.now
	s.changes = append(s.changes, s.tracker.Observe(e)...)
}

// ask is a request from its begin to its end.
func (s *scene) ask(e Event) {
	s.ids++
	e.ID = s.ids
	if !e.Client.IsValid() {
		e.Client = s.client
	}
	if e.Over == "" {
		e.Over = render.TFTP
	}
	if e.Outcome == "" {
		e.Outcome = OutcomeServed
	}
	if e.Outcome == OutcomeServed && e.Bytes == 0 {
		e.Bytes = e.Size
	}
	if e.Over == render.TFTP && e.BlockSize == 0 && e.Outcome != OutcomeRefused {
		e.BlockSize, e.WindowSize = 1432, 1
	}
	if e.Outcome != OutcomeRefused {
		begin := e
		begin.Outcome, begin.Bytes, begin.Reason = "", 0, ""
		s.tell(begin)
	}
	e.Ended = true
	s.tell(e)
}

// loader fetches a boot program, or a part of one.
func (s *scene) loader(name string, edits ...func(*Event)) {
	e := Event{Kind: KindLoader, Name: name, Size: 100_000}
	s.ask(edited(e, edits))
}

// config asks for the machine's boot configuration.
func (s *scene) config(format render.Format, edits ...func(*Event)) {
	e := Event{
		Kind: KindConfig, Format: format, Name: "config", Machine: s.key, MAC: s.mac, Size: 300, Action: index.Netboot, BootID: "1",
		Once: true, CompleteOn: CompleteOnCallback,
		Payload: []Part{{RoleKernel, kernelID, "linux"}, {RoleInitrd, initrdID, "initrd.gz"}},
	}
	s.ask(edited(e, edits))
}

func (s *scene) kernel(edits ...func(*Event)) {
	s.ask(edited(Event{Kind: KindArtifact, Name: "linux", Artifact: kernelID, Size: kernelLen}, edits))
}

func (s *scene) initrd(edits ...func(*Event)) {
	s.ask(edited(Event{Kind: KindArtifact, Name: "initrd.gz", Artifact: initrdID, Size: initrdLen}, edits))
}

// text fetches a config of the installer.
func (s *scene) text(edits ...func(*Event)) {
	s.ask(edited(Event{Kind: KindText, Name: "m/lab/node-01/t/-/ks", Machine: s.key, BootID: "1", Over: render.HTTP, Size: 500}, edits))
}

// call calls back.
func (s *scene) call(kind Kind, edits ...func(*Event)) {
	s.ask(edited(Event{Kind: kind, Name: "m/lab/node-01/t/-/" + string(kind), Machine: s.key, BootID: "1", Over: render.HTTP}, edits))
}

func edited(e Event, edits []func(*Event)) Event {
	for _, edit := range edits {
		edit(&e)
	}
	return e
}

// Edits of events.

func byHTTP(e *Event)     { e.Over = render.HTTP }
func byIPXE(e *Event)     { e.ByIPXE = true }
func onPayload(e *Event)  { e.CompleteOn = CompleteOnPayloadServed }
func continuous(e *Event) { e.Once = false }
func asProbe(e *Event)    { e.Outcome, e.Bytes = OutcomeProbe, 0 }

func refusedAs(kind RefusalKind, reason string) func(*Event) {
	return func(e *Event) { e.Outcome, e.Refusal, e.Reason, e.Action = OutcomeRefused, kind, reason, "" }
}

func ended(o Outcome, bytes int64, reason string) func(*Event) {
	return func(e *Event) { e.Outcome, e.Bytes, e.Reason = o, bytes, reason }
}

func sentAgain(repeats, retransmits int64) func(*Event) {
	return func(e *Event) { e.Repeats, e.Retransmits = repeats, retransmits }
}

func program(p Program) func(*Event) { return func(e *Event) { e.Program = p } }

func toDisk(held bool) func(*Event) {
	return func(e *Event) { e.Action, e.Held, e.Payload = index.BootLocal, held, nil }
}

func nobody(e *Event) {
	refusedAs(RefusedUnknownMachine, "no Machine has this MAC address")(e)
	e.Machine, e.MAC = "", index.MAC{0x52, 0x54, 0, 0xaa, 0xbc, 1}
}

// The ways of loaders to the kernel.

func (s *scene) pxelinux() {
	s.loader("pxelinux.0")
	s.loader("ldlinux.c32")
	s.config(render.PXELINUX)
	s.kernel()
	s.initrd()
}

func (s *scene) grub(edits ...func(*Event)) {
	s.loader("grubnetx64.efi.signed", asProbe)
	s.loader("grubnetx64.efi.signed")
	s.ask(Event{Kind: KindLoader, Name: "grub/x86_64-efi/command.lst", Firmware: FirmwareUEFI, Outcome: OutcomeRefused, Refusal: RefusedNoFile})
	s.config(render.GRUB, edits...)
	s.kernel()
	s.initrd()
}

func (s *scene) shim(edits ...func(*Event)) {
	s.loader("shimx64.efi", asProbe)
	s.loader("shimx64.efi")
	s.loader("revocations.efi", refusedAs(RefusedNoFile, "no such file"))
	s.loader("grubx64.efi")
	s.config(render.GRUB, edits...)
	s.kernel()
	s.initrd()
}

func (s *scene) ipxe(edits ...func(*Event)) {
	s.loader("ipxe.efi", asProbe)
	s.loader("ipxe.efi")
	s.ask(Event{Kind: KindBootstrap, Format: render.IPXE, Name: "boot.ipxe", Size: 200})
	s.config(render.IPXE, append([]func(*Event){byHTTP}, edits...)...)
	s.kernel(byHTTP)
	s.initrd(byHTTP)
}

// pi is a Raspberry Pi's boot, by files of its profile alone.
func (s *scene) pi() {
	for _, name := range []string{"start4.elf", "config.txt", "initramfs8", "kernel8.img", "cmdline.txt"} {
		s.file(name)
	}
}

// file asks for a file of the profile below the machine's own path.
func (s *scene) file(name string, edits ...func(*Event)) {
	e := Event{
		Kind: KindFile, Name: mac1().Hyphens() + "/" + name, Machine: s.key, MAC: s.mac, Size: 5_000_000, Artifact: index.ID("sha256/" + name),
		Action: index.Netboot, BootID: "1", Once: true, CompleteOn: CompleteOnCallback,
	}
	s.ask(edited(e, edits))
}

// latest returns the latest boot of the machine.
func (s *scene) latest() Attempt {
	s.t.Helper()
	var found *Attempt
	for _, a := range s.tracker.Attempts() {
		if a.Machine == s.key || found == nil {
			found = &a
		}
	}
	if found == nil {
		s.t.Fatal("there is no boot")
	}
	return *found
}

// story returns the stages and causes that were told of, in order.
func (s *scene) story() string {
	var all []string
	for _, a := range s.changes {
		text := string(a.Stage)
		if a.Cause != nil {
			text += ":" + string(a.Cause.ID)
		}
		if a.Over {
			text += "."
		}
		if len(all) == 0 || all[len(all)-1] != text {
			all = append(all, text)
		}
	}
	return strings.Join(all, " ")
}
