// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package attempt

import (
	"fmt"
	"time"

	"github.com/netboot-operator/netboot-operator/pkg/index"
	"github.com/netboot-operator/netboot-operator/pkg/render"
)

// loopLength is how many boots in a row have to end alike to be called a loop.
const loopLength = 3

// history is what is remembered of a machine's earlier boots.
type history struct {
	stage Stage   // at which the latest ones ended, all the same
	cause CauseID // of the latest ones, as far as it is the same; empty: it differs, or none is known
	times int     // how many in a row
	since time.Time
	undo  *history // before the latest

	arch index.Arch // that the machine was seen to have: a loader of it ran

	cut   index.ID // that the machine last ended the transfer of on its own accord
	cutAt int64    // after so many bytes
}

// add takes in how a boot ended, and returns the cause with what the earlier ones add to it.
func (h *history) add(b *boot, how ending, f *Finding) *Finding {
	if b.a.Architecture != "" && b.config != "" {
		h.arch = b.a.Architecture
	}
	before := *h
	before.undo = nil
	if f == nil {
		h.stage, h.cause, h.times, h.undo = "", "", 0, &before
		return nil
	}
	if f.ID == CauseHeld {
		return f
	}
	if h.times == 0 || h.stage != b.a.Stage {
		h.stage, h.cause, h.times, h.since = b.a.Stage, f.ID, 1, b.a.Start
		h.undo = &before
		return f
	}
	h.times++
	if h.cause != f.ID {
		h.cause = ""
	}
	h.undo = &before
	if h.times < loopLength || how == endLocal {
		return f
	}
	if h.cause != "" && h.cause != CauseUnknown && h.cause != CauseLoop {
		g := *f
		g.Message += fmt.Sprintf(" It is the same for %d boots in a row.", h.times)
		return &g
	}
	return h.loopFinding()
}

// takeBack forgets the latest end: that boot goes on.
func (h *history) takeBack() {
	if h.undo != nil {
		arch, cut, at := h.arch, h.cut, h.cutAt
		*h = *h.undo
		h.arch, h.cut, h.cutAt = arch, cut, at
	}
}

// loop returns the finding for a boot that begins, if the ones before have all ended alike, and nothing better is known.
func (h *history) loop() *Finding {
	if h.times < loopLength {
		return nil
	}
	return h.loopFinding()
}

func (h *history) loopFinding() *Finding {
	return &Finding{
		ID:      CauseLoop,
		Message: fmt.Sprintf("The machine goes round in circles: %d boots in a row ended at stage %s.", h.times, h.stage),
		Evidence: []string{
			fmt.Sprintf("%d boots since %s ended at stage %s", h.times, h.since.UTC().Format(time.RFC3339), h.stage),
		},
	}
}

// cutAgain notes where a machine ended a transfer on its own accord, and says whether it did so at the same place before.
func (h *history) cutAgain(e *Event) bool {
	if e.Kind != KindArtifact {
		return false
	}
	at := e.Offset + e.Bytes
	if at < max(e.Size, e.FileSize)/farIn {
		return false // at the beginning all places are near each other
	}
	same := h.cut == e.Artifact && max(at-h.cutAt, h.cutAt-at) <= spread(e)
	h.cut, h.cutAt = e.Artifact, at
	return same
}

// farIn is which part of a file a machine must have before the place where it stopped tells something.
const farIn = 4

// spread is within how many bytes two places count as the same. By HTTP nobody knows what the client has read of what the kernels
// of both sides held: with iPXE in QEMU, which has no room at the same byte each time, it was seen to differ by 14 MB of 400.
func spread(e *Event) int64 {
	if e.Over == render.HTTP {
		return max(4<<20, e.Size/16)
	}
	return max(1<<20, e.Size/32)
}
