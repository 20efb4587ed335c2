// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package attempt

import (
	"cmp"
	"container/list"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/netboot-operator/netboot-operator/pkg/index"
)

// Options of a Tracker and a Recorder.
type Options struct {
	// Index tells which Machines there are: for the nearest known MAC address, and whose a MAC address is. Required.
	Index *index.Index
	// Neighbour tells the MAC address that an address of the same network has, zero if that is not known. It is asked about
	// those who begin a boot and do not tell who they are, as firmware does; what a request tells beats it. Nil: nobody knows.
	Neighbour func(netip.Addr) index.MAC
	// Quiet is for how long a boot that should go on may be silent before it is called stopped. Default 1 minute;
	// 1 second to 1 hour.
	Quiet time.Duration
	// InstallQuiet is the same from when kernel and initrds are there until the machine fetches a config or calls back:
	// it starts a kernel meanwhile. Default 10 minutes; 1 second to 24 hours.
	InstallQuiet time.Duration
	// MaxAttempts bounds the attempts that are remembered; the oldest go first, and of clients that are no known machine
	// those beyond a quarter of it before all others. Default 20 000; 4 to 10 million.
	MaxAttempts int
}

const (
	defaultQuiet        = time.Minute
	defaultInstallQuiet = 10 * time.Minute
	defaultMaxAttempts  = 20_000
	// longestRequest is for how long a request of which no end is told keeps its attempt alive: the end may be lost.
	longestRequest = 2 * time.Hour
)

// withDefaults returns the options with what is not set, or an error that names the one that is out of its bounds.
func (o Options) withDefaults() (Options, error) {
	if o.Index == nil {
		return o, errors.New("index is required")
	}
	o.Quiet = cmp.Or(o.Quiet, defaultQuiet)
	o.InstallQuiet = cmp.Or(o.InstallQuiet, defaultInstallQuiet)
	o.MaxAttempts = cmp.Or(o.MaxAttempts, defaultMaxAttempts)
	switch {
	case o.Quiet < time.Second || o.Quiet > time.Hour:
		return o, fmt.Errorf("option Quiet: %v is not between 1s and 1h", o.Quiet)
	case o.InstallQuiet < time.Second || o.InstallQuiet > 24*time.Hour:
		return o, fmt.Errorf("option InstallQuiet: %v is not between 1s and 24h", o.InstallQuiet)
	case o.MaxAttempts < 4 || o.MaxAttempts > 10_000_000:
		return o, fmt.Errorf("option MaxAttempts: %d is not between 4 and 10000000", o.MaxAttempts)
	}
	return o, nil
}

// Tracker groups requests into attempts. It is not safe for concurrent use.
type Tracker struct {
	o Options

	owners    map[identity]*owner
	atClient  map[netip.Addr][]*boot // that were seen there, the latest last; those that are over for a while, too
	learnedAt map[netip.Addr]*owner  // where other processes have seen boots
	requests  map[uint64]*boot       // under way
	due       deadlines
	known     *list.List // of *owner with a Machine, the one that was seen last at the end
	strangers *list.List // the others
	macs      addresses

	changed []*boot // by the call that runs
	ends    []end   // for the metrics, until taken
	active  [stageCount]int
}

// An identity names who boots: a Machine, else a MAC address, else a client's address.
type identity struct {
	machine index.Key
	mac     index.MAC
	client  netip.Addr
}

// An owner is who boots.
type owner struct {
	identity

	boot    *boot    // the latest; nil: only another process saw one
	learned *Attempt // what another process told of the latest; nil: nothing
	seen    *list.Element
	in      *list.List
	past    history
}

// NewTracker returns a Tracker that knows no attempts. The error names the option.
func NewTracker(o Options) (*Tracker, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("options of the tracker of boots: %w", err)
	}
	return &Tracker{
		o: o, owners: map[identity]*owner{}, atClient: map[netip.Addr][]*boot{}, learnedAt: map[netip.Addr]*owner{},
		requests: map[uint64]*boot{}, known: list.New(), strangers: list.New(),
	}, nil
}

// Observe takes one more event, and returns the attempts whose stage, cause or end has changed. Events come in the order of
// their times, but for a little.
func (t *Tracker) Observe(e Event) []Attempt {
	t.changed = t.changed[:0]
	t.observe(&e)
	return t.report()
}

func (t *Tracker) observe(e *Event) {
	if e.Outcome == OutcomeRefused && e.Refusal == RefusedMethod {
		return // no loader does so
	}
	b, begun := t.requests[e.ID]
	if !begun {
		if b = t.find(e); b == nil {
			return
		}
		t.touch(b.owner)
		b.begin(t, e)
		if !e.Ended {
			t.requests[e.ID] = b
			b.running[e.ID] = e.Time
		}
	}
	if begun && !e.Ended {
		b.sized(e)
	}
	if e.Ended {
		delete(t.requests, e.ID)
		delete(b.running, e.ID)
		b.end(t, e)
	}
	if b.owner.boot == b { // else another one took its place
		b.settle(t, e.Time)
	}
}

// Advance tells what the time is, and returns the attempts that changed by it: those that have been silent for too long.
func (t *Tracker) Advance(now time.Time) []Attempt {
	t.changed = t.changed[:0]
	for {
		b := t.due.pop(now)
		if b == nil {
			return t.report()
		}
		for id, since := range b.running {
			if now.Sub(since) >= longestRequest {
				delete(b.running, id)
				delete(t.requests, id)
			}
		}
		at := b.deadline(t.o)
		switch {
		case b.over() || at.IsZero():
		case at.After(now):
			t.due.push(b, at)
		default:
			t.quiet(b, now)
		}
	}
}

// Next returns when Advance has something to do; the zero time: only after another event.
func (t *Tracker) Next() time.Time { return t.due.next() }

// Attempts returns the latest attempt of each machine, and of each client that is no known machine.
func (t *Tracker) Attempts() []Attempt {
	all := make([]Attempt, 0, len(t.owners))
	for _, l := range []*list.List{t.known, t.strangers} {
		for at := l.Front(); at != nil; at = at.Next() {
			if b := at.Value.(*owner).boot; b != nil {
				all = append(all, b.value())
			}
		}
	}
	return all
}

// report returns what has changed, each attempt once.
func (t *Tracker) report() []Attempt {
	if len(t.changed) == 0 {
		return nil
	}
	all := make([]Attempt, 0, len(t.changed))
	for i, b := range t.changed {
		if !slices.Contains(t.changed[:i], b) && !b.absorbed {
			all = append(all, b.value())
		}
	}
	return all
}

// change notes that a boot is to be reported.
func (t *Tracker) change(b *boot) { t.changed = append(t.changed, b) }

// owner returns who has an identity, and makes room for it if need be.
func (t *Tracker) owner(id identity) *owner {
	o := t.owners[id]
	if o != nil {
		return o
	}
	for len(t.owners) >= t.o.MaxAttempts {
		from := t.known
		if t.strangers.Len() > t.o.MaxAttempts/4 || from.Len() == 0 {
			from = t.strangers
		}
		t.forget(from.Front().Value.(*owner))
	}
	o = &owner{identity: id, in: t.known}
	if id.machine == "" {
		o.in = t.strangers
	}
	o.seen = o.in.PushBack(o)
	t.owners[id] = o
	return o
}

// touch notes that an owner was seen.
func (t *Tracker) touch(o *owner) { o.in.MoveToBack(o.seen) }

// forget drops all that is known of an owner.
func (t *Tracker) forget(o *owner) {
	o.in.Remove(o.seen)
	delete(t.owners, o.identity)
	if o.learned != nil && t.learnedAt[o.learned.Client] == o {
		delete(t.learnedAt, o.learned.Client)
	}
	if o.boot != nil {
		t.drop(o.boot)
	}
}

// drop takes a boot out of all tables; its owner may still show it.
func (t *Tracker) drop(b *boot) {
	if !b.over() {
		t.active[b.a.Stage.rank()]--
	}
	for id := range b.running {
		delete(t.requests, id)
	}
	t.due.remove(b)
	for _, addr := range b.clients {
		t.leave(b, addr)
	}
	b.clients = nil
	b.gone = true
}

// join notes that a boot was seen at an address.
func (t *Tracker) join(b *boot, addr netip.Addr) {
	if !addr.IsValid() || b.gone {
		return
	}
	b.a.Client = addr
	if slices.Contains(b.clients, addr) {
		return
	}
	if len(b.clients) == maxClients {
		t.leave(b, b.clients[0])
		b.clients = slices.Delete(b.clients, 0, 1)
	}
	b.clients = append(b.clients, addr)
	t.atClient[addr] = append(t.atClient[addr], b)
}

func (t *Tracker) leave(b *boot, addr netip.Addr) {
	left := slices.DeleteFunc(t.atClient[addr], func(other *boot) bool { return other == b })
	if len(left) == 0 {
		delete(t.atClient, addr)
		return
	}
	t.atClient[addr] = left
}

// maxClients bounds the addresses that a boot is looked for at: firmware, loader and installer may each get another one.
const maxClients = 4

// An end is how an attempt ended, for the metrics.
type end struct {
	outcome  ending
	known    bool // it was of a Machine
	stage    Stage
	cause    CauseID // empty: none
	duration time.Duration
}

// maxEnds bounds the ends that wait to be taken: a Tracker may have nobody who counts them.
const maxEnds = 4096

// takeEnds returns how attempts have ended since the last call.
func (t *Tracker) takeEnds() []end {
	taken := t.ends
	t.ends = nil
	return taken
}
