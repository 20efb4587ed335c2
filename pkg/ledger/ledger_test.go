// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/netboot-operator/netboot-operator/pkg/index"
)

const node1 = index.Key("lab/node-01")

// at returns a time so many minutes after some day's begin.
func at(minutes int) time.Time {
	return time.Date(2026, 11, 23, 0, minutes, 0, 0, time.UTC)
}

func open(t *testing.T, dir string) *Ledger {
	t.Helper()
	l, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() }) // a second time after that of a test, maybe
	return l
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestAction(t *testing.T) {
	once := func(boots int) index.Machine {
		return index.Machine{Key: node1, BootID: "1", Once: true, Boots: boots, Action: index.Netboot}
	}
	boot := Boot{node1, "1"}
	begin := func(l *Ledger, times ...int) {
		for _, n := range times {
			_ = l.Begin(boot, at(n)) // in memory
		}
	}
	for name, tc := range map[string]struct {
		machine  index.Machine
		happened func(l *Ledger)
		want     index.Action
		wantHeld bool
	}{
		"nothing happened":             {machine: once(0), want: index.Netboot},
		"one boot":                     {machine: once(0), happened: func(l *Ledger) { begin(l, 1) }, want: index.Netboot},
		"two boots":                    {machine: once(0), happened: func(l *Ledger) { begin(l, 1, 2) }, want: index.Netboot},
		"three boots":                  {machine: once(0), happened: func(l *Ledger) { begin(l, 1, 2, 3) }, want: index.BootLocal, wantHeld: true},
		"one boot told three times":    {machine: once(0), happened: func(l *Ledger) { begin(l, 1, 1, 1) }, want: index.Netboot},
		"three that the status counts": {machine: once(3), want: index.BootLocal, wantHeld: true},
		"two that the status counts, and one": {
			machine: once(2), happened: func(l *Ledger) { begin(l, 1) }, want: index.BootLocal, wantHeld: true,
		},
		"two that the status counts, one of them from here": {
			machine: once(2),
			happened: func(l *Ledger) {
				begin(l, 1)
				l.Written(Entry{Boot: boot, Boots: 2, Unwritten: 1})
			},
			want: index.Netboot,
		},
		"three, of which the status was not read yet": {
			machine: once(0),
			happened: func(l *Ledger) {
				begin(l, 1, 2, 3)
				l.Written(l.Entry(boot))
			},
			want: index.BootLocal, wantHeld: true,
		},
		"completed": {
			machine:  once(0),
			happened: func(l *Ledger) { _ = l.Complete(boot, "Callback", at(1)) },
			want:     index.BootLocal,
		},
		"completed at the third": {
			machine: once(0),
			happened: func(l *Ledger) {
				begin(l, 1, 2, 3)
				_ = l.Complete(boot, "Callback", at(4))
			},
			want: index.BootLocal,
		},
		"failed": {
			machine:  once(0),
			happened: func(l *Ledger) { _ = l.Fail(boot, "no disk", at(1)) },
			want:     index.Netboot,
		},
		"another bootID": {
			machine: once(0),
			happened: func(l *Ledger) {
				_ = l.Complete(Boot{node1, "0"}, "Callback", at(1))
			},
			want: index.Netboot,
		},
		"another machine": {
			machine: once(0),
			happened: func(l *Ledger) {
				_ = l.Complete(Boot{"lab/node-02", "1"}, "Callback", at(1))
			},
			want: index.Netboot,
		},
		"deleted meanwhile": {
			machine: once(0),
			happened: func(l *Ledger) {
				_ = l.Complete(boot, "Callback", at(1))
				l.Forget(node1)
			},
			want: index.Netboot,
		},
		"continuous": {
			machine:  index.Machine{Key: node1, BootID: "1", Action: index.Netboot, Boots: 7},
			happened: func(l *Ledger) { _ = l.Complete(boot, "Callback", at(1)) },
			want:     index.Netboot,
		},
		"disabled": {machine: index.Machine{Key: node1, BootID: "1", Action: index.BootLocal, Boots: 7}, want: index.BootLocal},
		"refused":  {machine: index.Machine{Key: node1, BootID: "1", Once: true, Action: index.Refuse, Boots: 7}, want: index.Refuse},
	} {
		t.Run(name, func(t *testing.T) {
			for where, dir := range map[string]string{"memory": "", "disk": t.TempDir()} {
				l := open(t, dir)
				if tc.happened != nil {
					tc.happened(l)
				}
				if got, held := l.Action(&tc.machine, 0); got != tc.want || held != tc.wantHeld {
					t.Errorf("in %s: %s, held %v; want %s, held %v", where, got, held, tc.want, tc.wantHeld)
				}
			}
		})
	}
}

// TestLastBootGoesOn: whoever reads its configuration twice in the last of its boots gets it twice, and no more than that, also
// when the process is another one.
func TestLastBootGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir, last := t.TempDir(), Boot{node1, "1"}
		m := index.Machine{Key: node1, BootID: "1", Once: true, Action: index.Netboot}
		l := open(t, dir)
		want := func(when string, lasts time.Duration, want index.Action) {
			t.Helper()
			if got, held := l.Action(&m, lasts); got != want || held != (want == index.BootLocal) {
				t.Errorf("%s: %s, held %v; want %s", when, got, held, want)
			}
		}
		for i := range MaxBoots {
			must(t, l.Begin(last, time.Now().Add(-time.Duration(MaxBoots-i)*time.Minute))) // told of late
		}
		want("at once", 5*time.Second, index.Netboot)
		want("at once, and boots last no time", 0, index.BootLocal)
		l.Written(l.Entry(last))
		m.Boots = MaxBoots // the status says so meanwhile
		l.compact(0)
		must(t, l.Close())
		l = open(t, dir)
		time.Sleep(4 * time.Second) //nolint:forbidigo // virtual time
		want("four seconds later, by another process", 5*time.Second, index.Netboot)
		time.Sleep(time.Second) //nolint:forbidigo // virtual time
		want("then", 5*time.Second, index.BootLocal)
		must(t, l.Begin(last, time.Now()))
		want("at one more boot, which another pod served", 5*time.Second, index.BootLocal)
		must(t, l.Close())
	})
}

func TestEntries(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir)
	one, two, three := Boot{node1, "1"}, Boot{node1, "2"}, Boot{"lab/node-02", "1"}
	must(t, l.Begin(one, at(1)))
	must(t, l.Begin(one, at(2)))
	must(t, l.Fail(one, "no disk\nwas found", at(3)))
	must(t, l.Begin(two, at(4)))
	must(t, l.Complete(two, "Callback", at(5)))
	must(t, l.Complete(two, "PayloadServed", at(6)))
	must(t, l.Begin(three, at(7)))
	must(t, l.Complete(three, "PayloadServed", at(8)))
	begun := func(minutes ...int) (all []time.Time) {
		for _, n := range minutes {
			all = append(all, at(n))
		}
		return all
	}
	first := Entry{Boot: one, Boots: 2, Unwritten: 2, Begun: begun(1, 2), Failed: at(3), Message: "no disk\nwas found"}
	second := Entry{Boot: two, Boots: 1, Unwritten: 1, Begun: begun(4), Completed: at(5), By: "Callback"}
	third := Entry{Boot: three, Boots: 1, Unwritten: 1, Begun: begun(7), Completed: at(8), By: "PayloadServed"}
	check := func(when string, want ...Entry) {
		t.Helper()
		if diff := cmp.Diff(want, l.Pending()); diff != "" {
			t.Errorf("%s: what no status tells yet (-want +got):\n%s", when, diff)
		}
	}
	again := func() {
		t.Helper()
		must(t, l.Close())
		l = open(t, dir)
	}
	check("at first", first, second, third)
	again()
	check("read again", first, second, third)

	must(t, l.Begin(three, at(9)))
	l.Written(third) // as it was when the status was written
	check("one is written, and went on meanwhile", first, second, Entry{Boot: three, Boots: 2, Unwritten: 1, Begun: begun(9), Completed: at(8), By: "PayloadServed"})
	l.Written(second)
	check("that of another bootID is dropped", Entry{Boot: three, Boots: 2, Unwritten: 1, Begun: begun(9), Completed: at(8), By: "PayloadServed"})
	again()
	check("read again", Entry{Boot: three, Boots: 2, Unwritten: 1, Begun: begun(9), Completed: at(8), By: "PayloadServed"})
	if diff := cmp.Diff(Entry{Boot: two, Boots: 1, Completed: at(5), By: "Callback"}, l.Entry(two)); diff != "" {
		t.Errorf("what the status tells stays (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(Entry{Boot: one}, l.Entry(one)); diff != "" {
		t.Errorf("what nobody asks for any more goes (-want +got):\n%s", diff)
	}
	l.Forget(three.Machine)
	again()
	check("forgotten")
}

// Many at once cost few syncs, and none is lost.
func TestManyAtOnce(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir)
	const machines = 2000
	var all sync.WaitGroup
	for n := range machines {
		all.Go(func() {
			b := Boot{index.Key(fmt.Sprintf("lab/node-%04d", n)), "1"}
			if err := l.Begin(b, at(n)); err != nil {
				t.Error(err)
			}
			if e := l.Entry(b); e.Boots != 1 {
				t.Errorf("Entry() = %+v right after Begin()", e)
			}
		})
	}
	all.Wait()
	must(t, l.Close())
	if got := len(open(t, dir).Pending()); got != machines {
		t.Errorf("%d entries, want %d", got, machines)
	}
}

// The old and the new process of an upgrade see what the other one adds; neither takes anything away from the other.
func TestTwoProcesses(t *testing.T) {
	dir := t.TempDir()
	one, other := open(t, dir), open(t, dir)
	m := index.Machine{Key: node1, BootID: "1", Once: true, Action: index.Netboot}
	must(t, one.Begin(Boot{node1, "1"}, at(1)))
	must(t, other.Begin(Boot{node1, "1"}, at(1)))
	must(t, other.Begin(Boot{node1, "1"}, at(2)))
	if got := one.Entry(Boot{node1, "1"}).Boots; got != 2 {
		t.Errorf("%d boots, want 2", got)
	}
	must(t, other.Complete(Boot{node1, "1"}, "Callback", at(3)))
	if got, _ := one.Action(&m, 0); got != index.BootLocal {
		t.Errorf("Action() = %s after the other process saw the completion", got)
	}
	before, err := os.Stat(filepath.Join(dir, fileName))
	must(t, err)
	one.compact(0)
	after, err := os.Stat(filepath.Join(dir, fileName))
	must(t, err)
	if !os.SameFile(before, after) {
		t.Error("the file was replaced while another process has it open")
	}

	// The old one ends; the new one may tidy up, and a third one that comes reads what it left.
	must(t, one.Close())
	other.compact(0)
	if now, err := os.Stat(filepath.Join(dir, fileName)); err != nil || os.SameFile(before, now) {
		t.Errorf("the file was not replaced: %v", err)
	}
	must(t, other.Begin(Boot{"lab/node-02", "1"}, at(4)))
	for name, l := range map[string]*Ledger{"the same": other, "a third": open(t, dir)} {
		got, _ := l.Action(&m, 0)
		if pending := len(l.Pending()); got != index.BootLocal || pending != 2 {
			t.Errorf("%s: Action() = %s, %d entries; want BootLocal, 2", name, got, pending)
		}
	}
}

// A file that grows is replaced by a small one from time to time, and tells the same.
func TestGrows(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir)
	message := strings.Repeat("x", 1024)
	b := Boot{node1, "1"}
	must(t, l.Begin(b, at(1)))
	for n := range 2 * compactAt / len(message) {
		l.file.batchMu.Lock()
		l.file.batch = &batch{} // so that one sync is enough for many
		for range 64 {
			content, err := appendLine(l.file.batch.content, record{Kind: kindFailed, Boot: b, Time: at(n), Message: message})
			must(t, err)
			l.file.batch.content = content
		}
		l.file.batchMu.Unlock()
		must(t, l.Fail(b, message, at(n)))
		if info, err := os.Stat(filepath.Join(dir, fileName)); err != nil || info.Size() > compactAt+200<<10 {
			t.Fatalf("%d bytes on disk, %v", info.Size(), err)
		}
		if n > 128 {
			break
		}
	}
	if got := l.Entry(b); got.Boots != 1 || got.Message != message {
		t.Errorf("Entry() = %d boots, message of %d bytes", got.Boots, len(got.Message))
	}
}

// What the status tells is remembered for many machines, not for all that there ever were.
func TestSettledAreLimited(t *testing.T) {
	l := open(t, "")
	must(t, l.Begin(Boot{"lab/first", "1"}, at(1)))
	for n := range maxSettled + 1000 {
		b := Boot{index.Key(fmt.Sprintf("lab/node-%06d", n)), "1"}
		must(t, l.Begin(b, at(1)))
		l.Written(l.Entry(b))
	}
	if l.count > maxSettled || l.count < maxSettled/2 {
		t.Errorf("%d boots are remembered, want at most %d and not few", l.count, maxSettled)
	}
	if got := l.Entry(Boot{"lab/first", "1"}).Unwritten; got != 1 {
		t.Errorf("the oldest, which no status tells: %d, want 1", got)
	}
}
