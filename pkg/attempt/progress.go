// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package attempt

import (
	"cmp"
	"slices"
	"time"

	"github.com/netboot-operator/netboot-operator/pkg/index"
	"github.com/netboot-operator/netboot-operator/pkg/render"
)

// begin takes in that a request was made.
func (b *boot) begin(t *Tracker, e *Event) {
	if b.ended == endStopped && (!e.Ended || isGood(e)) {
		t.revive(b)
	}
	b.a.Last = later(b.a.Last, e.Time)
	b.http = b.http || e.Over == render.HTTP && fromLoader(e)
	b.a.Firmware = cmp.Or(e.Firmware, b.a.Firmware)
	switch e.Kind {
	case KindConfig, KindBootstrap:
		b.ran, b.ranAt = true, e.Time
		b.a.Architecture = cmp.Or(e.Architecture, b.a.Architecture)
		b.a.Loader = cmp.Or(loaderOf(e.Format), b.a.Loader)
		b.advance(t, StageLoader)
	case KindLoader, KindFile:
		if isProgram(e.Name) {
			if b.chains(e) {
				b.chained++
			}
			if b.firstProgram == "" {
				b.firstProgram = e.Name
			}
			if b.program.name != "" && base(b.program.name) != base(e.Name) && startsOthers(b.program.name) {
				b.ran, b.ranAt = true, e.Time
			}
		} else {
			b.ran, b.ranAt = true, e.Time
		}
	case KindArtifact:
		if p := b.part(t, e.Artifact); p != nil && (!e.Ended || e.Outcome != OutcomeProbe && e.Outcome != OutcomeRefused) {
			p.asked = true
			b.advance(t, p.stage())
		}
	}
	if !e.Ended && e.Kind != KindOther {
		b.begun(e, b.stageOf(t, e))
	}
}

// end takes in how a request ended.
func (b *boot) end(t *Tracker, e *Event) {
	stage := b.stageOf(t, e)
	b.a.Last = later(b.a.Last, e.Time)
	b.a.Bytes += e.Bytes
	if e.Over == render.TFTP && (e.Bytes > 0 || e.Outcome == OutcomeProbe || e.Outcome == OutcomeSilent) {
		b.answered = true
		if e.Bytes >= int64(e.BlockSize) {
			b.widest = max(b.widest, e.BlockSize)
		}
	}
	if e.Kind == KindArtifact {
		b.weigh(t, e)
	}
	if e.Kind != KindOther {
		b.done(e, stage)
	}
	if b.over() && b.ended != endStopped && b.ended != endReplaced {
		if e.Kind == KindComplete && e.Outcome == OutcomeServed {
			b.complete(t)
		}
		return // the last words of one that is completed or boots from its disk
	}
	if isGood(e) {
		b.good(t, e, stage)
	} else if e.Outcome != OutcomeProbe && e.Outcome != OutcomeReplaced {
		b.bad(t, e, stage)
	}
}

// good takes in that a request got what it asked for.
func (b *boot) good(t *Tracker, e *Event, stage Stage) {
	b.granted = true
	if tr := &b.trouble; tr.outcome != "" && (tr.name == e.Name && tr.kind == e.Kind && e.Outcome == OutcomeServed ||
		tr.artifact != "" && tr.artifact == e.Artifact && e.Outcome == OutcomeServed || tr.kind == e.Kind && e.Kind == KindText) {
		b.trouble = trouble{}
	}
	switch e.Kind {
	case KindLoader, KindFile:
		b.gotFile(t, e)
	case KindBootstrap:
		b.bootstrap = e.Over
	case KindConfig:
		b.gotConfig(t, e)
	case KindArtifact:
		b.gotArtifact(t, e)
	case KindText:
		// Anyone may read a text that needs no token; while the machine could not ask for it yet, it was not the machine.
		if b.a.Stage.rank() >= StageKernel.rank() {
			b.texts++
			b.advance(t, StageRunning)
		}
	case KindLog:
		b.advance(t, StageRunning)
	case KindFailed:
		if b.a.Stage != StageDone {
			b.advance(t, StageRunning)
			b.failed = true
			b.trouble = trouble{kind: KindFailed, outcome: OutcomeServed, stage: stage, name: e.Name, reason: e.Message, times: 1}
			t.finish(b, endStopped, e.Time)
		}
	case KindComplete:
		b.complete(t)
	}
}

// complete ends a boot well.
func (b *boot) complete(t *Tracker) {
	if b.a.Stage == StageDone {
		return
	}
	if b.over() {
		b.ended = ""
		t.active[b.a.Stage.rank()]++
	}
	b.trouble = trouble{}
	b.advance(t, StageDone)
	t.finish(b, endCompleted, b.a.Last)
}

func (b *boot) gotFile(t *Tracker, e *Event) {
	if base(b.missing) == base(e.Name) {
		b.missing = ""
	}
	if e.Kind == KindFile && e.Action == index.Netboot && b.config == "" && !b.over() { // these files are its configuration
		b.a.Action, b.a.BootID, b.a.CompleteOn = e.Action, cmp.Or(e.BootID, b.a.BootID), cmp.Or(e.CompleteOn, b.a.CompleteOn)
		if e.Once && !b.a.Counts {
			b.a.Counts = true
			t.change(b)
		}
		b.files = true
		b.advance(t, StageConfig)
	}
	b.files = b.files || e.Kind == KindFile && b.config != ""
	if !isProgram(e.Name) || e.Outcome != OutcomeServed {
		return
	}
	asked := e.Time.Add(-e.Took) // its end may be told after what it asked for when it ran
	if !b.missingAt.After(asked) {
		b.missing = ""
	}
	if base(b.program.name) != base(e.Name) {
		b.earlier = b.program
	}
	itself := b.chained > 0 && base(b.program.name) == base(e.Name) && !b.program.toIPXE // and so it stays
	b.program = delivered{Program: programOf(e), name: e.Name, bytes: e.Bytes, at: e.Time, toIPXE: e.ByIPXE && !itself}
	b.ran = b.ran && b.ranAt.After(asked)
	b.advance(t, StageLoader)
}

func (b *boot) gotConfig(t *Tracker, e *Event) {
	if e.Action != index.Netboot && e.Action != index.BootLocal {
		return
	}
	b.config, b.toldAt, b.unknownAny, b.missing = e.Over, e.Time, false, ""
	b.a.Action, b.a.BootID, b.a.CompleteOn = e.Action, cmp.Or(e.BootID, b.a.BootID), cmp.Or(e.CompleteOn, b.a.CompleteOn)
	if b.a.Firmware == "" {
		b.a.Firmware = b.program.Firmware // it runs
	}
	b.advance(t, StageConfig)
	if b.trouble.kind == KindConfig {
		b.trouble = trouble{}
	}
	if e.Action == index.BootLocal {
		b.held = e.Held
		t.finish(b, endLocal, e.Time)
		return
	}
	if e.Once && !b.a.Counts {
		b.a.Counts = true
		t.change(b)
	}
	if !b.samePayload(e.Payload) {
		b.parts = make([]part, len(e.Payload))
		for i, p := range e.Payload {
			b.parts[i].Part = p
		}
	}
}

func (b *boot) samePayload(payload []Part) bool {
	if len(b.parts) != len(payload) {
		return false
	}
	for i, p := range payload {
		if b.parts[i].Part != p {
			return false
		}
	}
	return true
}

func (b *boot) gotArtifact(t *Tracker, e *Event) {
	p := b.part(t, e.Artifact)
	if p == nil {
		return
	}
	p.asked = true
	p.take(e)
	if p.whole && b.trouble.artifact == e.Artifact {
		b.trouble = trouble{} // in parts, say
	}
	b.advance(t, p.stage())
	if !b.loaded() || b.config == "" && !b.elsewhere {
		return
	}
	if b.a.CompleteOn == CompleteOnPayloadServed && b.a.Action == index.Netboot && !b.shared {
		b.complete(t)
	}
}

// take notes what of a part the machine has now.
func (p *part) take(e *Event) {
	size := e.Size
	if e.FileSize > 0 {
		size = e.FileSize
	}
	if e.Outcome == OutcomeServed && e.Offset == 0 && (e.FileSize == 0 || e.FileSize == e.Size) {
		p.whole = true
	}
	if size > 0 && (e.Outcome != OutcomePart || e.FileSize > 0) {
		p.size = size
	}
	p.has = p.has.add(e.Offset, e.Offset+e.Bytes)
	if p.has.whole(p.size) {
		p.whole = true
	}
}

// weigh follows a loader that asks for an initrd's size and then does not load it.
func (b *boot) weigh(t *Tracker, e *Event) {
	w, p := &b.weighed, b.part(t, e.Artifact)
	switch {
	case p == nil:
	case p.Role == RoleKernel && e.Outcome == OutcomeServed:
		if w.name != "" {
			w.anew++
		}
	case p.Role != RoleInitrd:
	case e.Outcome == OutcomeProbe:
		w.name, w.size = e.Name, e.Size
	case e.Bytes > 0:
		*w = weighed{} // it is loaded
	}
}

func (p *part) stage() Stage {
	if p.Role == RoleInitrd {
		return StageInitrd
	}
	return StageKernel
}

// bad takes in that a request did not get what it asked for.
func (b *boot) bad(t *Tracker, e *Event, stage Stage) {
	if e.Kind == KindArtifact {
		if p := b.part(t, e.Artifact); p != nil && e.Outcome != OutcomeRefused {
			p.take(e)
			if p.whole { // the last acknowledgement was lost
				b.gotArtifact(t, e)
				return
			}
		}
	}
	if e.Outcome == OutcomeRefused {
		switch e.Refusal {
		case RefusedUnknownMachine:
			if e.Kind == KindConfig && b.config == "" {
				b.unknownAny = true
				if !e.MAC.IsZero() {
					b.unknown = e.MAC
				}
			}
			return
		case RefusedNoFile:
			if (e.Kind == KindLoader || e.Kind == KindFile) && (isProgram(e.Name) || essential(e.Name)) {
				b.missing, b.missingAt = e.Name, e.Time
			}
			b.absent = cmp.Or(b.absent, e.Name)
			return
		case RefusedLocal:
			// localBoot NotFound: that is how it is told to; and who boots by files alone.
			byFile := e.Kind == KindFile && e.Machine != "" && b.config == "" && !b.a.Counts
			if e.Kind == KindConfig || byFile {
				b.files = byFile
				b.toldAt, b.held, b.a.Action = e.Time, e.Held, index.BootLocal
				b.a.BootID = cmp.Or(e.BootID, b.a.BootID)
				b.advance(t, StageConfig)
				t.finish(b, endLocal, e.Time)
			}
			return
		case RefusedTokenMissing, RefusedTokenWrong, RefusedTokenExpired:
			if len(b.clients) > 0 && !slices.Contains(b.clients, e.Client.Addr()) {
				return // anyone may ask without a token
			}
		case RefusedMethod, RefusedOther:
			return
		}
		if e.Kind == KindOther || e.Kind == KindText && b.a.Stage.rank() < StageKernel.rank() {
			return // not of the machine: it does not run yet
		}
	}
	next := trouble{
		kind: e.Kind, stage: stage, name: e.Name, artifact: e.Artifact, over: e.Over, outcome: e.Outcome, refusal: e.Refusal,
		reason: e.Reason, bytes: e.Bytes, size: e.Size, offset: e.Offset, repeats: e.Repeats, retransmits: e.Retransmits,
		duplicates: e.Duplicates, blockSize: e.BlockSize, windowSize: e.WindowSize, took: e.Took, times: 1,
	}
	if p := b.part(t, e.Artifact); e.Artifact != "" && p != nil {
		next.role = p.Role
	}
	if was := &b.trouble; was.outcome == next.outcome && was.name == next.name && was.refusal == next.refusal {
		next.times += was.times
		next.repeats += was.repeats
		next.retransmits += was.retransmits
		next.duplicates += was.duplicates
	}
	if e.Outcome == OutcomeCut && e.Bytes > 0 {
		b.samePlace = b.owner.past.cutAgain(e)
	}
	b.trouble = next
}

// stageOf says which stage a request belongs to.
func (b *boot) stageOf(t *Tracker, e *Event) Stage {
	switch e.Kind {
	case KindLoader, KindFile:
		if isProgram(e.Name) && !b.ran {
			return StageFirmware
		}
		return StageLoader
	case KindBootstrap, KindOther:
		return StageLoader
	case KindConfig:
		return StageConfig
	case KindArtifact:
		if p := b.part(t, e.Artifact); p != nil {
			return p.stage()
		}
		return b.a.Stage
	case KindComplete:
		return StageDone
	}
	return StageRunning
}

// isGood says whether a request got what it asked for, or a part of it.
func isGood(e *Event) bool { return e.Outcome == OutcomeServed || e.Outcome == OutcomePart }

// startsOthers says whether a boot program is one that hands over to another beside it: shim.
func startsOthers(name string) bool {
	b := base(name)
	return len(b) >= 4 && (b[:4] == "shim" || b[:4] == "boot")
}

func loaderOf(f render.Format) string {
	switch f {
	case render.PXELINUX:
		return "PXELINUX"
	case render.GRUB:
		return "GRUB"
	case render.IPXE:
		return "iPXE"
	}
	return ""
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// absorb makes boot a a part of b: both were of one machine, seen at two addresses.
func (t *Tracker) absorb(b, a *boot) {
	t.due.remove(a)
	for id, since := range a.running {
		t.requests[id], b.running[id] = b, since
	}
	if a.a.Start.Before(b.a.Start) {
		b.a.Start = a.a.Start
	}
	b.a.Last = later(b.a.Last, a.a.Last)
	b.a.Bytes += a.a.Bytes
	for _, s := range a.steps {
		b.keep(s)
	}
	if b.program.name == "" {
		b.program, b.firstProgram, b.ran = a.program, a.firstProgram, true
	}
	for _, addr := range a.clients {
		t.leave(a, addr)
		t.join(b, addr)
	}
	if !a.over() {
		t.active[a.a.Stage.rank()]--
		a.ended = endReplaced
	}
	a.clients, a.gone, a.absorbed = nil, true, true
	b.advance(t, a.a.Stage)
}
