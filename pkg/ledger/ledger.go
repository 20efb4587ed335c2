// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"cmp"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/netboot-operator/netboot-operator/pkg/index"
)

// MaxBoots is how many boots of one bootID may go uncompleted, under the policy Once, before the machine is held: it then
// boots from its own disk until it gets another bootID.
const MaxBoots = 3

const (
	// maxSettled bounds the boots that are remembered although the status tells all of them. Of others there are at most
	// as many as Machines and bootIDs that have not been written.
	maxSettled = 100_000
	// sameMoment is how much two times of one beginning may differ: a status tells whole seconds.
	sameMoment = time.Second
	// maxBegun bounds the beginnings of one boot that are told apart.
	maxBegun = 16
)

// A Boot names what a Machine boots under the policy Once.
type Boot struct {
	Machine index.Key
	BootID  string
}

// An Entry is what is known of a Boot and may not stand in the Machine's status yet.
type Entry struct {
	Boot
	Boots     int         // begun and not completed: those that the status counts, as far as known here, and the others
	Unwritten int         // how many of them the status does not count yet
	Begun     []time.Time // when those began, the latest last, at most the latest 16
	Completed time.Time   // zero: not
	By        string      // what completed it: Callback or PayloadServed
	Failed    time.Time   // zero: no callback said so
	Message   string      // of the failure
}

// Ledger is safe for concurrent use. Reading it never waits for a disk.
type Ledger struct {
	file *file // nil: in memory only

	mu       sync.RWMutex
	machines map[index.Key][]*state // those of a bootID of before only until the status tells what became of them
	count    int                    // of states
	turn     int64                  // grows with each change, so that the oldest can be found
}

// A state is what is known of a boot.
type state struct {
	Entry

	begun   []time.Time // the latest, at most maxBegun
	arrived time.Time   // when the latest of them was told of; zero: a status tells of it
	pending bool        // the status does not tell all of it
	turn    int64
}

// Open reads the ledger in dir, and makes one if there is none. An empty dir keeps it in memory only. What is damaged is
// left out and told in the error beside a usable Ledger; a Ledger of nil comes with an error of the dir itself. Two processes
// may have the same dir open: each sees what the other one adds.
func Open(dir string) (*Ledger, error) {
	l := &Ledger{}
	l.clear()
	if dir == "" {
		return l, nil
	}
	f, err := openFile(dir)
	if err != nil {
		return nil, fmt.Errorf("open the ledger of boots: %w", err)
	}
	l.file = f
	l.refresh()
	l.compact(0)
	if n := f.left(); n > 0 {
		return l, fmt.Errorf("the ledger of boots, %s: %d records are damaged and left out; what the Machines' status tells is not touched", fileName, n)
	}
	return l, nil
}

// Close closes the file. Nothing may be added afterwards.
func (l *Ledger) Close() error {
	if l.file == nil {
		return nil
	}
	return l.file.close()
}

// Begin counts one more boot, which began at the given time: the same boot of the same time is counted once. It is on disk
// when Begin returns.
func (l *Ledger) Begin(b Boot, at time.Time) error {
	l.refresh()
	l.mu.RLock()
	s := l.find(b)
	known := s != nil && s.knows(at)
	l.mu.RUnlock()
	if known {
		return nil
	}
	return l.add(record{Kind: kindBegun, Boot: b, Time: at, Arrived: time.Now()})
}

// Complete says that a boot is completed. It is on disk when Complete returns; to say it twice does no harm.
func (l *Ledger) Complete(b Boot, by string, at time.Time) error {
	l.refresh()
	l.mu.RLock()
	s := l.find(b)
	known := s != nil && !s.Completed.IsZero()
	l.mu.RUnlock()
	if known {
		return nil
	}
	return l.add(record{Kind: kindCompleted, Boot: b, Time: at, By: by})
}

// Fail says that a machine reported that its boot has failed. It is on disk when Fail returns.
func (l *Ledger) Fail(b Boot, message string, at time.Time) error {
	return l.add(record{Kind: kindFailed, Boot: b, Time: at, Message: message})
}

// Entry returns what is known of a boot.
func (l *Ledger) Entry(b Boot) Entry {
	l.refresh()
	l.mu.RLock()
	defer l.mu.RUnlock()
	if s := l.find(b); s != nil {
		return s.entry()
	}
	return Entry{Boot: b}
}

// Pending returns the boots of which something is not in a status yet, in the order of their last change.
func (l *Ledger) Pending() []Entry {
	l.refresh()
	l.mu.RLock()
	defer l.mu.RUnlock()
	var found []*state
	for _, boots := range l.machines {
		for _, s := range boots {
			if s.pending {
				found = append(found, s)
			}
		}
	}
	slices.SortFunc(found, func(a, b *state) int { return cmp.Compare(a.turn, b.turn) })
	var all []Entry
	for _, s := range found {
		all = append(all, s.entry())
	}
	return all
}

// Written says that the status of the Machine now tells what e does. Entries of another bootID of the Machine are dropped.
// What can't be put on disk is only written into the status once more.
func (l *Ledger) Written(e Entry) {
	l.mu.RLock()
	s, boots := l.find(e.Boot), len(l.machines[e.Machine])
	news := s != nil && (s.pending || boots > 1) || s == nil && boots > 0
	l.mu.RUnlock()
	if news {
		_ = l.add(record{Kind: kindWritten, Boot: e.Boot, Boots: e.Boots, Unwritten: e.Unwritten, Completed: e.Completed, Failed: e.Failed})
	}
}

// Forget drops what is known of a Machine: it was deleted.
func (l *Ledger) Forget(m index.Key) {
	l.mu.RLock()
	known := len(l.machines[m]) > 0
	l.mu.RUnlock()
	if known {
		_ = l.add(record{Kind: kindForgotten, Boot: Boot{Machine: m}}) // else it is dropped for its age
	}
}

// Action returns what a machine shall do now: what its entry in the index says, but for what has happened since. held: it is sent to
// its own disk because too many of its boots were not completed. One of which the last boot was told of less than lasts ago is
// still in that boot.
func (l *Ledger) Action(m *index.Machine, lasts time.Duration) (action index.Action, held bool) {
	if m.Action != index.Netboot || !m.Once {
		return m.Action, false
	}
	l.refresh()
	l.mu.RLock()
	defer l.mu.RUnlock()
	e, arrived := Entry{}, time.Time{}
	if s := l.find(Boot{m.Key, m.BootID}); s != nil {
		e, arrived = s.Entry, s.arrived
	}
	count := e.count(m.Boots)
	switch {
	case !e.Completed.IsZero():
		return index.BootLocal, false
	case count < MaxBoots, count == MaxBoots && time.Since(arrived) < lasts:
		return m.Action, false
	}
	return index.BootLocal, true
}

// Completed is Complete for a machine that called back.
func (l *Ledger) Completed(m *index.Machine, at time.Time) error {
	return l.Complete(Boot{m.Key, m.BootID}, "Callback", at)
}

// Failed is Fail for a machine.
func (l *Ledger) Failed(m *index.Machine, message string, at time.Time) error {
	return l.Fail(Boot{m.Key, m.BootID}, message, at)
}

// count returns how many boots were not completed, of which the status counts some: what was written and what was read of the
// status may each be behind the other.
func (e *Entry) count(counted int) int { return max(counted, e.Boots-e.Unwritten) + e.Unwritten }

// add takes in a record, and puts it on disk.
func (l *Ledger) add(r record) error {
	if l.file == nil {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.take(r)
		return nil
	}
	if err := l.file.add(r); err != nil {
		return fmt.Errorf("write the ledger of boots: %w", err)
	}
	l.refresh()
	l.compact(compactAt)
	return nil
}

// refresh takes in what was added to the file, by this process or another one. It reads from memory: what the kernel has not
// written to the disk yet is there, too.
func (l *Ledger) refresh() {
	if l.file == nil || !l.file.grown() {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.file.read(l.clear, l.take)
}

// compact replaces the file by one that has only what is still of use, if it has at least the given size and no other process
// has it open. It is as good without.
func (l *Ledger) compact(size int64) {
	if !l.file.mayCompact(size) {
		return
	}
	l.file.compact(func() []record {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.file.read(l.clear, l.take) // nothing may be lost that came in between
		all := make([]record, 0, l.count)
		for _, boots := range l.machines {
			for _, s := range boots {
				all = append(all, s.record())
			}
		}
		slices.SortFunc(all, func(a, b record) int { return cmp.Compare(a.turn, b.turn) })
		return all
	})
}

func (l *Ledger) clear() { l.machines, l.count = map[index.Key][]*state{}, 0 }

// find returns what is known of a boot, or nil.
func (l *Ledger) find(b Boot) *state {
	for _, s := range l.machines[b.Machine] {
		if s.BootID == b.BootID {
			return s
		}
	}
	return nil
}

// drop drops what is known of a Machine, but for one boot.
func (l *Ledger) drop(m index.Key, but *state) {
	l.count -= len(l.machines[m])
	delete(l.machines, m)
	if but != nil {
		l.machines[m], l.count = []*state{but}, l.count+1
	}
}

// take takes in a record.
func (l *Ledger) take(r record) {
	l.turn++
	if r.Kind == kindForgotten {
		l.drop(r.Machine, nil)
		return
	}
	s := l.find(r.Boot)
	if s == nil {
		s = &state{Entry: Entry{Boot: r.Boot}}
		l.machines[r.Machine] = append(l.machines[r.Machine], s)
		l.count++
		l.limit()
	}
	s.turn = l.turn
	switch r.Kind {
	case kindBegun:
		if !s.knows(r.Time) {
			s.begun = append(s.begun, r.Time)
			s.begun = s.begun[max(0, len(s.begun)-maxBegun):]
			s.Boots++
			s.Unwritten++
			s.arrived = r.Arrived
		}
	case kindCompleted:
		if s.Completed.IsZero() {
			s.Completed, s.By = r.Time, r.By
		}
	case kindFailed:
		s.Failed, s.Message = r.Time, r.Message
	case kindWritten:
		s.Boots = max(r.Boots, s.Boots)
		s.Unwritten = max(0, s.Unwritten-r.Unwritten)
		s.pending = s.Unwritten > 0 || !s.Completed.Equal(r.Completed) || !s.Failed.Equal(r.Failed)
		l.drop(r.Machine, s)
		return
	case kindState:
		s.Boots, s.Unwritten, s.begun, s.arrived = r.Boots, r.Unwritten, r.Begun, r.Arrived
		s.Completed, s.By, s.Failed, s.Message = r.Completed, r.By, r.Failed, r.Message
		s.pending = r.Pending
		return
	}
	s.pending = true
}

// entry returns what others get to see.
func (s *state) entry() Entry {
	e := s.Entry
	e.Begun = append([]time.Time(nil), s.begun[max(0, len(s.begun)-s.Unwritten):]...)
	return e
}

// knows says whether a beginning of the given time is counted already.
func (s *state) knows(at time.Time) bool {
	return slices.ContainsFunc(s.begun, func(t time.Time) bool { return t.Sub(at).Abs() <= sameMoment })
}

// record is what stands for a state in a file that was made anew.
func (s *state) record() record {
	return record{
		Kind: kindState, Boot: s.Boot, Boots: s.Boots, Unwritten: s.Unwritten, Begun: s.begun, Arrived: s.arrived, Completed: s.Completed, By: s.By,
		Failed: s.Failed, Message: s.Message, Pending: s.pending, turn: s.turn,
	}
}

// limit drops the oldest of the boots that the status tells of, a part of them at once.
func (l *Ledger) limit() {
	if l.count <= maxSettled {
		return
	}
	var settled []*state
	for _, boots := range l.machines {
		if len(boots) == 1 && !boots[0].pending && boots[0].turn > 0 { // else it is just being made
			settled = append(settled, boots[0])
		}
	}
	slices.SortFunc(settled, func(a, b *state) int { return cmp.Compare(a.turn, b.turn) })
	for _, s := range settled[:len(settled)/8] {
		l.drop(s.Machine, nil)
	}
}
