// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package boot

import (
	"cmp"
	"context"
	"errors"
	"net/netip"
	"strings"
	"time"
	"unicode"

	"github.com/netboot-operator/netboot-operator/pkg/artifact"
	"github.com/netboot-operator/netboot-operator/pkg/attempt"
	"github.com/netboot-operator/netboot-operator/pkg/index"
	"github.com/netboot-operator/netboot-operator/pkg/render"
)

// Observer is told of requests: an attempt.Recorder. Its method is called from many goroutines at once and must not block.
type Observer interface{ Observe(e attempt.Event) }

// Ledger knows what became of boots, also what no Machine's status tells yet: a ledger.Ledger. Its methods are called from
// many goroutines at once; those that read do not block.
type Ledger interface {
	// Action returns what a machine shall do now, and whether it is held: that is so because too many of its boots were not completed.
	// The last of these boots goes on for as long as lasts.
	Action(m *index.Machine, lasts time.Duration) (action index.Action, held bool)
	// Completed notes that a machine says that its boot is completed. It is on disk when it returns nil.
	Completed(m *index.Machine, at time.Time) error
	// Failed is the same for one that has failed.
	Failed(m *index.Machine, message string, at time.Time) error
}

// Bounds of what is told, in bytes.
const (
	maxEventName  = 128
	maxEventAgent = 64
	maxReason     = 256
	maxMessage    = 1024
)

// An event is what there is to tell of a request.
type event struct{ attempt.Event }

// newEvent returns the event of a request that has just come.
func (h *Handler) newEvent(over render.Transport, client netip.AddrPort, name string) event {
	return event{attempt.Event{
		Time: time.Now(), ID: h.requests.Add(1), Client: netip.AddrPortFrom(client.Addr().Unmap(), client.Port()), Over: over,
		Name: oneLine(strings.TrimLeft(withoutToken(name), "/"), maxEventName), Size: -1,
	}}
}

// asked notes what a name asks for.
func (e *event) asked(a ask) {
	e.Format, e.MAC = a.format, a.id.MAC
	e.Architecture = cmp.Or(a.arch, e.Architecture)
	switch a.kind {
	case askConfig, askNobody:
		e.Kind = attempt.KindConfig
	case askBootstrap:
		e.Kind = attempt.KindBootstrap
	case askArtifact:
		e.Kind, e.Artifact = attempt.KindArtifact, a.digest
	case askText, askSeed:
		e.Kind = attempt.KindText
	case askMachineFile:
		e.Kind = attempt.KindFile
	case askFile:
		e.Kind = attempt.KindLoader
	default:
		e.Kind = attempt.KindOther
	}
	switch {
	case strings.HasPrefix(e.UserAgent, "UefiHttpBoot"):
		e.Firmware = attempt.FirmwareUEFIHTTP
	case strings.Contains(e.Name, "-efi/"):
		e.Firmware = attempt.FirmwareUEFI
	case strings.Contains(e.Name, "i386-pc/"):
		e.Firmware = attempt.FirmwareBIOS
	}
}

// machine notes whose a request is.
func (e *event) machine(m *index.Machine) { e.Machine, e.BootID = m.Key, m.BootID }

// config notes what a machine is told to do. arch is what its request tells.
func (e *event) config(m *index.Machine, held bool, arch index.Arch) {
	e.Action, e.Held, e.Once, e.CompleteOn = m.Action, held, m.Once, attempt.CompleteOn(m.CompleteOn)
	if m.Action != index.Netboot || m.Profile == nil {
		return
	}
	p := m.Profile.Platform(cmp.Or(m.Architecture, arch))
	if p == nil {
		return
	}
	add := func(role attempt.PartRole, a *index.Artifact) {
		if a != nil {
			e.Payload = append(e.Payload, attempt.Part{Role: role, ID: a.ID(), Name: a.FileName()})
		}
	}
	add(attempt.RoleKernel, p.UKI)
	add(attempt.RoleKernel, p.Kernel)
	for i := range p.Initrds {
		add(attempt.RoleInitrd, &p.Initrds[i])
	}
	add(attempt.RoleDeviceTree, p.DeviceTree)
}

// files notes that a machine boots by files of its profile, below its own path: they are its boot configuration.
func (e *event) files(m *index.Machine) {
	e.Action, e.Once, e.CompleteOn = m.Action, m.Once, attempt.CompleteOn(m.CompleteOn)
}

// program notes what a file tells of itself, if it is a boot program.
func (e *event) program(f *File) {
	if f != nil {
		e.Program = attempt.Inspect(f.Content)
	}
}

// tell hands an event to the observer.
func (h *Handler) tell(e *event) {
	if h.observer != nil {
		h.observer.Observe(e.Event)
	}
}

// begins tells that the answer to a request begins.
func (h *Handler) begins(e *event, size int64) {
	e.Size = size
	h.tell(e)
}

// ends tells that a request is over.
func (h *Handler) ends(e *event, o attempt.Outcome, reason string) {
	now := time.Now()
	e.Took = now.Sub(e.Time)
	e.Ended, e.Outcome, e.Reason, e.Time = true, o, oneLine(reason, maxReason), now
	h.tell(e)
}

// fails tells that there is no answer, and returns what the client is told: whether it is our own fault.
func (h *Handler) fails(ctx context.Context, e *event, err error) {
	fault, isArtifact := errors.AsType[*artifact.Error](err)
	refusal, refused := errors.AsType[*Refusal](err)
	switch {
	case refused:
		e.Refusal = cmp.Or(refusal.Kind, attempt.RefusedOther)
		h.ends(e, attempt.OutcomeRefused, refusal.Reason)
	case ctx.Err() != nil && e.Artifact != "":
		// It was being fetched all the while.
		e.Refusal = attempt.RefusedUpstream
		h.ends(e, attempt.OutcomeRefused, "it was still being fetched when the client gave up")
	case ctx.Err() != nil:
		h.ends(e, attempt.OutcomeCut, "the client did not wait")
	case isArtifact && fault.Reason == artifact.ReasonStorageFailed:
		e.Refusal = attempt.RefusedStorage
		h.ends(e, attempt.OutcomeRefused, "the server's cache can't be written or read")
	default:
		h.ends(e, attempt.OutcomeBroken, "internal error")
	}
}

// oneLine returns the beginning of a text as one line that can be printed, in at most so many bytes.
func oneLine(text string, most int) string {
	text = strings.Map(func(r rune) rune {
		switch {
		case r == unicode.ReplacementChar || unicode.IsPrint(r):
			return r
		case unicode.IsSpace(r):
			return ' '
		}
		return -1
	}, strings.ToValidUTF8(text, "\uFFFD"))
	text = strings.TrimSpace(text)
	if len(text) <= most {
		return text
	}
	end := 0
	for i := range text { // between two characters
		if i > most {
			break
		}
		end = i
	}
	return text[:end]
}
