// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package attempt

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/netboot-operator/netboot-operator/pkg/index"
)

const (
	// sameMoment is how much two times of one event may differ: a status tells whole seconds.
	sameMoment = time.Second
	// sameBootGap is how long after one part of a boot another one may begin while the loader runs.
	sameBootGap = 2 * time.Minute
	// sameInstallGap is the same from when the kernel was asked for.
	sameInstallGap = 24 * time.Hour
)

// SameBoot says whether two attempts of one machine, as two processes have seen them, are parts of one boot.
func SameBoot(a, b Attempt) bool {
	if a.Machine != b.Machine || a.BootID != "" && b.BootID != "" && a.BootID != b.BootID {
		return false
	}
	if b.Start.Before(a.Start) {
		a, b = b, a
	}
	if b.Start.Sub(a.Start) <= sameMoment {
		return true
	}
	first := b.Stage
	if len(b.Steps) > 0 {
		first = b.Steps[0].Stage
	}
	afterwards := b.Start.After(a.Last.Add(-sameMoment))
	switch {
	case first == StageFirmware && a.Stage.rank() >= StageConfig.rank(),
		first.rank() <= StageConfig.rank() && a.Stage.rank() >= StageKernel.rank(),
		afterwards && a.Over && a.Stage == StageDone && first.rank() < StageRunning.rank():
		return false
	}
	gap := sameBootGap
	if a.Stage.rank() >= StageKernel.rank() {
		gap = sameInstallGap
	}
	return b.Start.Sub(a.Last) <= gap
}

// Merge returns what is known of one boot that two processes have each seen a part of: the furthest stage, the first start,
// the sum of what each sent, and a cause only if neither has seen the boot go on after it. What both tell, because one has
// learned it from the other, counts once.
func Merge(a, b Attempt) Attempt {
	if a.Last.After(b.Last) {
		a, b = b, a // b is the later one
	}
	m := b
	if a.Start.Before(b.Start) {
		m.Start = a.Start
	}
	if a.Stage.rank() > b.Stage.rank() {
		m.Stage = a.Stage
	}
	m.MAC = b.MAC
	if m.MAC.IsZero() {
		m.MAC = a.MAC
	}
	if !m.Client.IsValid() {
		m.Client = a.Client
	}
	m.Machine, m.BootID = cmp.Or(b.Machine, a.Machine), cmp.Or(b.BootID, a.BootID)
	m.Action, m.CompleteOn = cmp.Or(b.Action, a.Action), cmp.Or(b.CompleteOn, a.CompleteOn)
	m.Firmware, m.Architecture, m.Loader = cmp.Or(b.Firmware, a.Firmware), cmp.Or(b.Architecture, a.Architecture), cmp.Or(b.Loader, a.Loader)
	m.Counts = a.Counts || b.Counts
	var twice int64
	m.Steps, twice = mergeSteps(a.Steps, b.Steps)
	m.Bytes = max(a.Bytes+b.Bytes-twice, a.Bytes, b.Bytes)
	if m.Stage == StageDone {
		m.Cause, m.Over = nil, true
		return m
	}
	if b.Cause == nil && b.Last.Sub(a.Last) <= sameMoment && a.Stage.rank() >= b.Stage.rank() {
		m.Cause = a.Cause // nothing came after it
		m.Over = m.Over || a.Over
	}
	if b.Action == index.BootLocal || a.Action == index.BootLocal && a.Over {
		m.Over = true
	}
	return m
}

// mergeSteps returns the steps of both in the order of their times, and how many bytes of them both tell of.
func mergeSteps(a, b []Step) (all []Step, twice int64) {
	all = slices.Clone(b)
	for _, s := range a {
		at := slices.IndexFunc(all, func(o Step) bool { return sameStep(s, o) })
		if at < 0 {
			all = append(all, s)
			continue
		}
		twice += min(s.Bytes, all[at].Bytes)
		if all[at].Outcome == "" || s.Outcome != "" && s.Times > all[at].Times {
			all[at] = s
		}
	}
	slices.SortStableFunc(all, func(x, y Step) int { return x.Time.Compare(y.Time) })
	if len(all) > MaxSteps {
		all = slices.Delete(all, 1, 1+len(all)-MaxSteps)
	}
	return all, twice
}

func sameStep(a, b Step) bool {
	d := a.Time.Sub(b.Time)
	return d < sameMoment && d > -sameMoment && a.Over == b.Over && a.Stage == b.Stage && (strings.EqualFold(a.Name, b.Name) || a.Times+b.Times > 2)
}

// Learn tells what a Machine's status says of its latest boot: another process may have served a part of it.
func (t *Tracker) Learn(a Attempt) {
	if a.Machine == "" || t.o.Index.Machine(a.Machine) == nil {
		return
	}
	o := t.owner(identity{machine: a.Machine})
	if o.learned != nil && t.learnedAt[o.learned.Client] == o {
		delete(t.learnedAt, o.learned.Client)
	}
	a.Steps = slices.Clone(a.Steps)
	o.learned = &a
	if a.Client.IsValid() && !a.Over {
		t.learnedAt[a.Client] = o
	}
	if b := o.boot; b != nil && !b.over() && SameBoot(b.value(), a) {
		t.takeFrom(b, &a)
	}
}

// takeFrom brings into a boot what another process has told of the same one.
func (t *Tracker) takeFrom(b *boot, a *Attempt) {
	b.a.Action, b.a.BootID = cmp.Or(b.a.Action, a.Action), cmp.Or(b.a.BootID, a.BootID)
	b.a.CompleteOn = cmp.Or(b.a.CompleteOn, a.CompleteOn)
	if !b.behind(a) {
		return
	}
	b.elsewhere = true
	for _, s := range a.Steps {
		if s.Outcome != OutcomeServed || s.Stage != StageKernel && s.Stage != StageInitrd {
			continue
		}
		for i := range b.parts {
			if p := &b.parts[i]; p.stage() == s.Stage && base(p.Name) == base(s.Name) {
				p.asked, p.whole = true, true
			}
		}
	}
}

// behind says whether another process has told of more of a boot than was seen here.
func (b *boot) behind(a *Attempt) bool {
	return a.Last.After(b.a.Last.Add(sameMoment)) || a.Stage.rank() > b.a.Stage.rank()
}

// goesOn says whether a request may belong to the boot that another process told of.
func (o *owner) goesOn(e *Event, opts Options) bool {
	l := o.learned
	if l == nil || o.boot != nil && !o.boot.a.Last.Before(l.Start) && o.boot.over() {
		return false
	}
	if l.Over && (!callsBack(e) || l.Stage == StageDone) {
		return false
	}
	quiet := opts.Quiet
	if l.Stage.rank() >= StageKernel.rank() {
		quiet = sameInstallGap
	}
	return e.Time.Sub(l.Last) <= quiet && !restarts(&boot{a: *l, owner: o}, e)
}
