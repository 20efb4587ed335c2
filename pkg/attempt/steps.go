// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package attempt

import (
	"slices"
	"strings"
)

// A step is a Step with what finds it again.
type step struct {
	Step
	id   uint64 // of the latest request that it stands for
	kind Kind
	part bool // of a loader: one of many files that nobody wants to read the names of
}

// exported returns the steps as others get to see them.
func exported(steps []step) []Step {
	all := make([]Step, len(steps))
	for i := range steps {
		all[i] = steps[i].Step
	}
	return all
}

// begun adds a step that runs.
func (b *boot) begun(e *Event, s Stage) {
	b.keep(step{
		Step: Step{Time: e.Time, Stage: s, Name: e.Name, Over: e.Over, Size: e.Size, Times: 1},
		id:   e.ID, kind: e.Kind, part: e.Kind == KindLoader && !isProgram(e.Name),
	})
}

// sized fills in the size of a step that runs: it was not known when the request came.
func (b *boot) sized(e *Event) {
	for i := range b.steps {
		if s := &b.steps[i]; s.id == e.ID && s.Outcome == "" {
			s.Size = e.Size
		}
	}
}

// done fills in how a step ended, and joins it with the one before if that is alike.
func (b *boot) done(e *Event, s Stage) {
	at := slices.IndexFunc(b.steps, func(s step) bool { return s.id == e.ID && s.Outcome == "" })
	if at < 0 {
		b.begun(e, s)
		at = len(b.steps) - 1
	}
	st := &b.steps[at]
	st.Outcome, st.Bytes, st.Size, st.Took, st.Retransmits = e.Outcome, e.Bytes, e.Size, e.Took, e.Retransmits
	st.Reason = e.Reason
	if e.Kind == KindLog || e.Kind == KindFailed {
		st.Reason = e.Message
	}
	if at > 0 && alike(&b.steps[at-1], st) {
		before := &b.steps[at-1]
		if before.Outcome != OutcomeProbe {
			before.Times += st.Times
			before.Bytes += st.Bytes
			before.Took += st.Took
			before.Retransmits += st.Retransmits
			before.Name, before.Reason, before.Size = st.Name, st.Reason, st.Size
			before.id = st.id
			b.steps = slices.Delete(b.steps, at, at+1)
			return
		}
		b.steps = slices.Delete(b.steps, at-1, at) // the probe goes into what it was for
	}
}

// alike says whether two steps in a row make one.
func alike(a, b *step) bool {
	switch {
	case a.Outcome == "" || a.kind != b.kind || a.Over != b.Over || a.Stage != b.Stage || a.part != b.part:
		return false
	case a.Outcome == OutcomeProbe && strings.EqualFold(a.Name, b.Name):
		return true
	case a.Outcome != b.Outcome:
		return false
	case a.part, a.Outcome == OutcomeRefused && a.kind != KindArtifact:
		return true
	}
	return a.Name == b.Name && a.kind != KindLog
}

// keep adds a step. When there are too many, the first one stays, and the oldest of the others goes.
func (b *boot) keep(s step) {
	if len(b.steps) >= MaxSteps {
		b.steps = slices.Delete(b.steps, 1, 2)
	}
	b.steps = append(b.steps, s)
}
