// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package attempt

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/netboot-operator/netboot-operator/pkg/index"
	"github.com/netboot-operator/netboot-operator/pkg/render"
)

// find returns the boot that a request belongs to, which it may begin, or nil when it belongs to nobody.
func (t *Tracker) find(e *Event) *boot {
	addr := e.Client.Addr()
	if id, told := t.identify(e); told {
		return t.findTold(e, id, addr)
	}
	t.forgetClient(addr, e.Time)
	live := t.liveAt(addr)
	if len(live) > 1 {
		// A boot program that is asked for from where a machine is known to boot begins a boot of whoever will tell: that
		// machine was switched off and on, most likely, so what follows is this boot's.
		if last := live[len(live)-1]; last.owner.client.IsValid() && !restarts(last, e) {
			return last
		}
		return nil // several machines behind one address: it may be of any
	}
	var late *boot // ended, and this may be its last words
	if len(live) == 1 {
		if !restarts(live[0], e) {
			return live[0]
		}
	} else if late = t.lateAt(addr); late != nil && !restarts(late, e) {
		return late
	}
	if o := t.learnedAt[addr]; o != nil && len(live) == 0 && late == nil && o.goesOn(e, t.o) {
		return t.continued(o, e)
	}
	if m := t.neighbour(addr); m != nil {
		o := t.owner(identity{machine: m.Key})
		if o.boot != nil && !restarts(o.boot, e) {
			t.join(o.boot, addr)
			return o.boot
		}
		if isProgramRequest(e) { // what else an address asks for may be of a system that runs there
			return t.begin(o, e)
		}
	}
	if !begins(e) || !addr.IsValid() {
		return nil
	}
	return t.begin(t.owner(identity{client: addr}), e)
}

// identify returns who a request says that it is from.
func (t *Tracker) identify(e *Event) (identity, bool) {
	if e.Machine != "" {
		return identity{machine: e.Machine}, true
	}
	if e.MAC.IsZero() {
		return identity{}, false
	}
	if m := t.o.Index.Lookup(index.Identity{MAC: e.MAC}); m != nil {
		return identity{machine: m.Key}, true
	}
	return identity{mac: e.MAC}, true
}

// neighbour returns the Machine that the neighbour table tells the client to be, or nil.
func (t *Tracker) neighbour(addr netip.Addr) *index.Machine {
	if t.o.Neighbour == nil || !addr.IsValid() {
		return nil
	}
	mac := t.o.Neighbour(addr)
	if mac.IsZero() {
		return nil
	}
	return t.o.Index.Lookup(index.Identity{MAC: mac})
}

// findTold returns the boot of a request that tells who asks.
func (t *Tracker) findTold(e *Event, id identity, addr netip.Addr) *boot {
	o := t.owner(id)
	b := o.boot
	switch {
	case b != nil && !restarts(b, e):
	case !begins(e) && !callsBack(e):
		if o.learned == nil || !o.goesOn(e, t.o) {
			return nil // someone reads a machine's texts
		}
		b = t.continued(o, e)
	default:
		b = nil
	}
	if fromLoader(e) {
		b = t.adopt(o, b, e, addr)
	}
	switch {
	case b != nil:
	case o.goesOn(e, t.o):
		b = t.continued(o, e)
	default:
		b = t.begin(o, e)
	}
	if fromLoader(e) || len(b.clients) == 0 {
		t.share(b, addr, e.Time)
		t.join(b, addr)
	}
	if !e.MAC.IsZero() {
		b.a.MAC = e.MAC
	}
	return b
}

// adopt gives a machine the boot that began without an identity at the same address, or as that of its MAC address before
// there was the Machine. b is the machine's own boot that the request belongs to, or nil. It returns the boot that the request
// belongs to now, or nil.
func (t *Tracker) adopt(o *owner, b *boot, e *Event, addr netip.Addr) *boot {
	ids := []identity{{client: addr}}
	if o.machine != "" && !e.MAC.IsZero() {
		ids = append(ids, identity{mac: e.MAC})
	}
	for _, id := range ids {
		nameless := t.owners[id]
		if nameless == nil || nameless == o || nameless.boot == nil {
			continue
		}
		a := nameless.boot
		if a.over() || e.Time.Sub(a.a.Last) > t.o.Quiet && len(a.running) == 0 {
			continue
		}
		nameless.boot = nil
		t.forget(nameless)
		if b != nil && !beginsAnew(b, a) {
			t.absorb(b, a)
			continue
		}
		if o.boot != nil {
			t.finish(o.boot, endReplaced, a.a.Start)
		}
		a.owner, o.boot, b = o, a, a
		a.a.Machine, a.loop = o.machine, o.past.loop()
		t.change(a)
	}
	return b
}

// beginsAnew says whether a nameless boot a is not a part of b: a machine that boots asks for its boot program once.
func beginsAnew(b, a *boot) bool {
	return b.over() || b.a.Stage.rank() >= StageConfig.rank() || b.program.name != "" && a.firstProgram != ""
}

// begin makes the boot of an owner that a request begins.
func (t *Tracker) begin(o *owner, e *Event) *boot {
	if o.boot != nil {
		t.finish(o.boot, endReplaced, e.Time)
	}
	b := &boot{owner: o, running: map[uint64]time.Time{}}
	b.a = Attempt{Machine: o.machine, MAC: o.mac, Start: e.Time, Last: e.Time, Stage: StageFirmware}
	b.loop = o.past.loop()
	o.boot = b
	t.active[b.a.Stage.rank()]++
	t.join(b, e.Client.Addr())
	t.change(b)
	return b
}

// continued makes this process's part of the boot that another one has told of.
func (t *Tracker) continued(o *owner, e *Event) *boot {
	b := t.begin(o, e)
	l := o.learned
	b.a.Start, b.a.MAC, b.a.BootID, b.a.Action = l.Start, l.MAC, l.BootID, l.Action
	b.a.CompleteOn, b.a.Firmware, b.a.Architecture, b.a.Loader = l.CompleteOn, l.Firmware, l.Architecture, l.Loader
	b.elsewhere = true
	t.active[b.a.Stage.rank()]--
	b.a.Stage = l.Stage
	t.active[b.a.Stage.rank()]++
	return b
}

// share notes when a boot has its address in common with another machine's that boots at the same time: there is a NAT
// between, and what tells no identity can be of either.
func (t *Tracker) share(b *boot, addr netip.Addr, now time.Time) {
	for _, other := range t.atClient[addr] {
		if other.owner != b.owner && !other.over() && !other.owner.client.IsValid() &&
			(len(other.running) > 0 || now.Sub(other.a.Last) < t.o.Quiet) {
			b.shared, other.shared = true, true
		}
	}
}

// liveAt returns the boots that go on at an address.
func (t *Tracker) liveAt(addr netip.Addr) []*boot {
	all := t.atClient[addr]
	if len(all) == 1 && !all[0].over() {
		return all
	}
	return slices.DeleteFunc(slices.Clone(all), func(b *boot) bool { return b.over() })
}

// lateAt returns the boot that ended last at an address, or nil.
func (t *Tracker) lateAt(addr netip.Addr) *boot {
	all := t.atClient[addr]
	if len(all) == 0 {
		return nil
	}
	return all[len(all)-1]
}

// forgetClient takes the boots that ended a while ago from an address.
func (t *Tracker) forgetClient(addr netip.Addr, now time.Time) {
	all := t.atClient[addr]
	if !slices.ContainsFunc(all, func(b *boot) bool { return b.over() }) {
		return
	}
	for _, b := range slices.Clone(all) {
		if b.over() && now.Sub(b.a.Last) > t.o.Quiet {
			t.leave(b, addr)
			b.clients = slices.DeleteFunc(b.clients, func(c netip.Addr) bool { return c == addr })
		}
	}
}

// begins says whether a request can be the first of a boot.
func begins(e *Event) bool {
	switch e.Kind {
	case KindConfig, KindBootstrap:
		return e.Over == render.TFTP || e.Outcome != OutcomeProbe
	case KindLoader, KindFile:
		// What else asks by HTTP for some file may be anyone.
		return e.Over == render.TFTP || isProgram(e.Name) || strings.HasPrefix(e.UserAgent, "UefiHttpBoot")
	}
	return false
}

// callsBack says whether a request is a machine's word on the end of its boot.
func callsBack(e *Event) bool {
	return (e.Kind == KindComplete || e.Kind == KindFailed) && e.Outcome == OutcomeServed
}

// fromLoader says whether a request comes from a firmware or a loader, whose address is that of the boot. An installer may
// have another one, and anybody can ask for its texts.
func fromLoader(e *Event) bool {
	switch e.Kind {
	case KindLoader, KindFile, KindBootstrap, KindConfig, KindArtifact:
		return true
	}
	return false
}
