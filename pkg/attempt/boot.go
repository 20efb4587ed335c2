// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package attempt

import (
	"net/netip"
	"time"

	"github.com/netboot-operator/netboot-operator/pkg/index"
	"github.com/netboot-operator/netboot-operator/pkg/render"
)

// ending is how an attempt ended, in the words of the metrics.
type ending string

const (
	endCompleted ending = "completed" // it reached Done
	endLocal     ending = "local"     // it was told to boot from its disk
	endStopped   ending = "stopped"   // it went silent, or said that it has failed
	endReplaced  ending = "replaced"  // the machine began another one
	endFiles     ending = "files"     // it got all files of its profile that it asked for, and nothing tells whether they were all
)

// endings returns all of them.
func endings() []ending { return []ending{endCompleted, endLocal, endStopped, endReplaced, endFiles} }

// A boot is an attempt while it goes on, with the facts that its cause is told from.
type boot struct {
	owner *owner
	a     Attempt // but for its Steps
	steps []step
	ended ending // empty: it goes on

	running   map[uint64]time.Time // requests under way, and since when
	clients   []netip.Addr         // where it was seen, the latest last
	gone      bool                 // it is in no table any more
	absorbed  bool                 // it was a part of another boot
	elsewhere bool                 // another process has served the beginning
	shared    bool                 // another machine boots from the same address at the same time

	at  int       // its place among the deadlines, from 1; 0: it has none
	due time.Time // when to look at it

	facts
}

// facts are what the cause of a boot's end is told from: see diagnose.go.
type facts struct {
	firstProgram string    // that was asked for
	program      delivered // the latest that was served whole
	earlier      delivered // the one before
	ran          bool      // since then something was asked for that only a program which runs asks for
	files        bool      // it got files of its profile after its configuration, or instead of one
	chained      int       // how often iPXE asked for the program that had just started it
	granted      bool      // something that it asked for it has got
	absent       string    // what it asked for first, and there is not
	ranAt        time.Time // when that was asked for
	missing      string    // a program or an essential part that there is none of; empty: none, or it was found elsewhere
	missingAt    time.Time

	answered bool // the client has acknowledged something by TFTP
	widest   int  // the largest TFTP block that it has acknowledged, in bytes
	http     bool // something of it came by HTTP

	bootstrap   render.Transport // by which it got a configuration that tells it to ask for its own; empty: none
	config      render.Transport // by which it got its own; empty: none
	unknown     index.MAC        // by which it asked for a configuration in vain
	unknownAny  bool             // it did so, by whatever identity
	toldAt      time.Time        // when it got its configuration
	parts       []part
	held        bool
	failed      bool // an installer said so
	trouble     trouble
	restartedIn time.Duration // at its end, when the machine began anew: after so long a silence
	loop        *Finding      // what the boots before it ended by, if they all ended alike
	nearest     *nearest
	searched    bool
	texts       int // that it fetched
	samePlace   bool
	weighed     weighed
}

// weighed is an initrd of which only the size was asked for, as PXELINUX does of each file before it loads it.
type weighed struct {
	name string // empty: there is none
	size int64
	anew int // how often the kernel was fetched anew then, instead of the initrd
}

// delivered is a boot program that was served whole.
type delivered struct {
	Program
	name   string
	bytes  int64
	at     time.Time
	toIPXE bool // iPXE asked for it
}

// A trouble is what went wrong with a request and was not made good by a later one.
type trouble struct {
	kind        Kind
	role        PartRole
	stage       Stage
	name        string
	artifact    index.ID
	over        render.Transport
	outcome     Outcome // empty: there is no trouble
	refusal     RefusalKind
	reason      string
	bytes, size int64
	offset      int64
	repeats     int64
	retransmits int64
	duplicates  int64
	blockSize   int
	windowSize  int
	took        time.Duration
	times       int
}

// A part is a Part with what the machine has of it.
type part struct {
	Part
	asked, whole bool
	size         int64
	has          ranges
}

func (b *boot) over() bool { return b.ended != "" }

// deliveredAt says when a boot program of the same name was served whole.
func (b *boot) deliveredAt(name string) (time.Time, bool) {
	for _, d := range []delivered{b.program, b.earlier} {
		if d.name != "" && base(d.name) == base(name) {
			return d.at, true
		}
	}
	return time.Time{}, false
}

// value returns what others get to see.
func (b *boot) value() Attempt {
	a := b.a
	a.Over = b.over()
	a.Steps = exported(b.steps)
	return a
}

// advance brings a boot to a stage, unless it is further already.
func (b *boot) advance(t *Tracker, s Stage) {
	if b.over() && s != StageDone || s.rank() <= b.a.Stage.rank() {
		return
	}
	if !b.over() {
		t.active[b.a.Stage.rank()]--
		t.active[s.rank()]++
	}
	b.a.Stage = s
	kernelLacks := b.trouble.kind == KindArtifact && s == StageInitrd // the initrd makes no kernel good
	if b.trouble.outcome != "" && b.trouble.stage.rank() < s.rank() && b.trouble.kind != KindComplete && !kernelLacks {
		b.trouble = trouble{}
	}
	t.change(b)
}

// loaded says whether the machine has all that its boot configuration names.
func (b *boot) loaded() bool {
	for _, p := range b.parts {
		if !p.whole && p.Role != RoleDeviceTree { // which older loaders leave out
			return false
		}
	}
	return len(b.parts) > 0
}

// part returns the part of the payload that an artifact is. Where another process served the configuration, the machine's
// profile tells the payload.
func (b *boot) part(t *Tracker, id index.ID) *part {
	if len(b.parts) == 0 && b.owner.machine != "" && b.config == "" {
		if m := t.o.Index.Machine(b.owner.machine); m != nil && m.Profile != nil {
			b.parts = partsOf(m, b.a.Architecture)
		}
	}
	for i := range b.parts {
		if b.parts[i].ID == id {
			return &b.parts[i]
		}
	}
	return nil
}

func partsOf(m *index.Machine, arch index.Arch) []part {
	if m.Architecture != "" {
		arch = m.Architecture
	}
	p := m.Profile.Platform(arch)
	if p == nil {
		return nil
	}
	var parts []part
	add := func(role PartRole, a *index.Artifact) {
		if a != nil {
			parts = append(parts, part{Part: Part{Role: role, ID: a.ID(), Name: a.FileName()}})
		}
	}
	add(RoleKernel, p.UKI)
	add(RoleKernel, p.Kernel)
	for i := range p.Initrds {
		add(RoleInitrd, &p.Initrds[i])
	}
	return parts
}

// deadline returns when a boot is called stopped if nothing more is heard of it; the zero time: never.
func (b *boot) deadline(o Options) time.Time {
	if len(b.running) > 0 {
		first := b.a.Last
		for _, since := range b.running {
			if since.Before(first) {
				first = since
			}
		}
		return first.Add(longestRequest)
	}
	switch {
	case b.a.Stage == StageRunning:
		return b.a.Last.Add(sameInstallGap) // an installer takes what time it needs
	case b.loaded(), b.a.Stage.rank() >= StageKernel.rank() && len(b.parts) == 0:
		return b.a.Last.Add(o.InstallQuiet)
	}
	return b.a.Last.Add(o.Quiet)
}

// settle works out what the latest event means for the cause, and when to look again.
func (b *boot) settle(t *Tracker, _ time.Time) {
	if b.over() {
		return
	}
	b.conclude(t, b.diagnose(t, false))
	if at := b.deadline(t.o); !at.IsZero() {
		t.due.push(b, at)
	}
}

// conclude notes a cause, or that there is none.
func (b *boot) conclude(t *Tracker, f *Finding) {
	before := CauseID("")
	if b.a.Cause != nil {
		before = b.a.Cause.ID
	}
	after := CauseID("")
	if f != nil {
		after = f.ID
	}
	b.a.Cause = f
	if before != after {
		t.change(b)
	}
}

// quiet ends a boot that has been silent for too long, unless another process knows better.
func (t *Tracker) quiet(b *boot, now time.Time) {
	if l := b.owner.learned; l != nil && b.behind(l) {
		switch {
		case !SameBoot(b.value(), *l):
			if l.Start.After(b.a.Last) {
				t.finish(b, endReplaced, l.Start)
				return
			}
		case l.Over:
			t.finish(b, endReplaced, now) // the other process has told how it ended
			return
		case l.Stage == StageRunning, l.Stage == StageDone:
			return
		default:
			quiet := t.o.Quiet
			if l.Stage.rank() >= StageKernel.rank() {
				quiet = t.o.InstallQuiet
			}
			if at := l.Last.Add(2 * quiet); at.After(now) { // it will tell that, unless it has ended
				t.due.push(b, at)
				return
			}
		}
	}
	t.finish(b, endStopped, now)
}

// finish ends a boot. at is when it was found to have ended; for one that was replaced, when the next one began.
func (t *Tracker) finish(b *boot, how ending, at time.Time) {
	if b.over() {
		if how == endReplaced {
			t.retire(b)
		}
		return
	}
	if how == endReplaced && at.After(b.a.Last) {
		b.restartedIn = at.Sub(b.a.Last)
	}
	var f *Finding
	switch how {
	case endCompleted:
	case endLocal:
		if b.held {
			f = b.heldFinding(t)
		}
	default:
		if how == endReplaced && b.elsewhereKnown() {
			break // what is known here is a part only
		}
		if f = b.diagnose(t, true); f == nil && !b.byFiles() {
			f = &Finding{ID: CauseUnknown, Message: "The boot stopped, and nothing that was seen tells why.", Evidence: b.lastSeen()}
		}
	}
	t.active[b.a.Stage.rank()]--
	b.ended = how
	b.a.Cause = b.owner.past.add(b, how, f)
	b.loop = nil
	t.change(b)
	e := end{outcome: how, known: b.owner.machine != "", stage: b.a.Stage, duration: b.a.Last.Sub(b.a.Start)}
	switch {
	case b.a.Cause != nil:
		e.cause = b.a.Cause.ID
	case how == endStopped:
		e.outcome = endFiles
	}
	if len(t.ends) < maxEnds {
		t.ends = append(t.ends, e)
	}
	if len(b.running) > 0 {
		t.due.push(b, at.Add(longestRequest)) // to forget those of which no end is ever told
	}
	if how == endReplaced {
		t.retire(b)
	}
}

// byFiles says whether a boot was one by files of its profile, all of which came: nobody can tell whether there is one more.
func (b *boot) byFiles() bool {
	return b.files && b.trouble.outcome == "" && b.missing == "" && len(b.running) == 0
}

// elsewhereKnown says whether another process has told of a later part of the boot.
func (b *boot) elsewhereKnown() bool {
	l := b.owner.learned
	return l != nil && b.behind(l) && SameBoot(b.value(), *l)
}

// retire takes a boot that another one has replaced from where it could be found. Requests of it may still end.
func (t *Tracker) retire(b *boot) {
	for _, addr := range b.clients {
		t.leave(b, addr)
	}
	b.clients, b.gone = nil, true
}

// revive takes back that a boot stopped: it goes on.
func (t *Tracker) revive(b *boot) {
	if b.ended != endStopped {
		return
	}
	b.ended, b.failed = "", false
	b.owner.past.takeBack()
	t.active[b.a.Stage.rank()]++
	t.change(b)
}
