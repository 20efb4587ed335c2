// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/netboot-operator/netboot-operator/api/v1alpha1"
	"github.com/netboot-operator/netboot-operator/pkg/attempt"
	"github.com/netboot-operator/netboot-operator/pkg/index"
	"github.com/netboot-operator/netboot-operator/pkg/ledger"
	"github.com/netboot-operator/netboot-operator/test/controlplane"
)

// storeStatus has the API server judge a Machine's status.
func storeStatus(t *testing.T, m *v1alpha1.Machine) {
	t.Helper()
	c := controlplane.Client(t, server.Config(t))
	status := m.Status
	m.Namespace, m.ResourceVersion, m.Generation = controlplane.Namespace(t, c), "", 0
	if err := c.Create(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	m.Status = status
	if err := c.Status().Update(t.Context(), m); err != nil {
		t.Errorf("the API server refuses the status: %v", err)
	}
}

// A notepad is a bootLearner.
type notepad struct {
	mu   sync.Mutex
	last map[index.Key]attempt.Attempt
}

func (n *notepad) Learn(a attempt.Attempt) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.last == nil {
		n.last = map[index.Key]attempt.Attempt{}
	}
	n.last[a.Machine] = a
}

func (n *notepad) learned(machine index.Key) attempt.Attempt {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.last[machine]
}

// A bootPod is a pod that reports boots.
type bootPod struct {
	*BootReporter
	learned notepad
	index   *index.Index
	pod     *pod
}

// boots starts a pod that reports boots with a ledger in a folder.
func (l *lab) boots(name, dir string) *bootPod {
	l.t.Helper()
	book, err := ledger.Open(dir)
	if err != nil {
		l.t.Fatal(err)
	}
	p := &bootPod{BootReporter: newReporter(l.t, func(o *BootReporterOptions) { o.Ledger, o.Node = book, name })}
	p.TellTo(&p.learned)
	ctx, cancel := context.WithCancel(context.WithoutCancel(l.t.Context()))
	var running sync.WaitGroup
	running.Go(func() { _ = p.Run(ctx) })
	l.setup = func(setup *Pod) { setup.Boots, p.index = p.BootReporter, setup.Index }
	l.t.Cleanup(func() {
		cancel()
		running.Wait()
		if err := book.Close(); err != nil {
			l.t.Error(err)
		}
	})
	p.pod = l.start(name, l.t.TempDir())
	return p
}

// machine makes one that boots a profile under the policy Once.
func (l *lab) machine(name, mac string) *v1alpha1.Machine {
	l.t.Helper()
	m := &v1alpha1.Machine{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: l.namespace},
		Spec: v1alpha1.MachineSpec{
			MACAddresses: []v1alpha1.MACAddress{v1alpha1.MACAddress(mac)}, ProfileRef: &v1alpha1.ProfileReference{Name: "demo"},
		},
	}
	if err := l.client.Create(l.t.Context(), m); err != nil {
		l.t.Fatal(err)
	}
	return m
}

// story returns what a Machine's status tells of its boots.
func story(m *v1alpha1.Machine) string {
	b := m.Status.LastBoot
	if b == nil {
		return "- | " + told(m)
	}
	return fmt.Sprintf("%s %s %s, %d steps, %s | %d, %q | %s", b.Stage, b.BootID, b.Action, len(b.Steps), b.ServedBy,
		m.Status.BootsSinceCompletion, m.Status.BootID, told(m))
}

// becomes waits until a Machine's status tells a story.
func (l *lab) becomes(m *v1alpha1.Machine, want string) {
	l.t.Helper()
	l.eventually(func() string {
		if err := l.client.Get(l.t.Context(), client.ObjectKeyFromObject(m), m); err != nil {
			return err.Error()
		}
		if got := story(m); got != want {
			return fmt.Sprintf("Machine %s tells\n%s, want\n%s", m.Name, got, want)
		}
		return ""
	})
}

// of makes an attempt one of a Machine.
func of(m *v1alpha1.Machine, a attempt.Attempt) attempt.Attempt {
	a.Machine = keyOf(m)
	return a
}

// settled waits until a pod has nothing to write, and returns how many requests to write it has made.
func (l *lab) settled(p *bootPod) (writes, conflicts float64) {
	l.t.Helper()
	l.eventually(func() string {
		if pending := p.options.Ledger.Pending(); p.queue.len() > 0 || len(pending) > 0 {
			return fmt.Sprintf("%d wait, pending are %v", p.queue.len(), pending)
		}
		return ""
	})
	count := func(r bootResult) float64 { return testutil.ToFloat64(p.metrics.writes.WithLabelValues(string(r))) }
	return count(bootWritten), count(bootConflict)
}

// TestBootsAreReported follows a machine through a boot, the next ones in vain, and a new bootID.
func TestBootsAreReported(t *testing.T) {
	l := newLab(t)
	u := newUpstream(t, nil)
	profile := l.profile("demo", u, "linux")
	m := l.machine("n1", "52:54:00:aa:bb:01")
	p := l.boots("node-a", t.TempDir())
	l.becomes(m, "- | True Armed, Unknown NotBooted")

	p.Changed(of(m, atStage(0, attempt.StageFirmware)))
	l.becomes(m, "Firmware 1 , 1 steps, node-a | 0, \"\" | True Armed, False NotCompleted")
	p.Changed(of(m, atStage(0, attempt.StageConfig)))
	l.becomes(m, "Config 1 Netboot, 3 steps, node-a | 1, \"\" | True Armed, False NotCompleted")
	kernel := of(m, atStage(0, attempt.StageKernel))
	p.Changed(kernel)
	l.becomes(m, "Kernel 1 Netboot, 4 steps, node-a | 1, \"\" | True Armed, False NotCompleted")
	kernel.Over, kernel.Cause = true, &attempt.Finding{ID: attempt.CauseOutOfMemory, Message: "Too little memory.", Evidence: []string{"cut at 3 MB"}}
	p.Changed(kernel)
	l.becomes(m, "Kernel 1 Netboot, 4 steps, node-a | 1, \"\" | True Armed, False BootStopped")
	l.eventually(func() string { // not one less, and not one more
		if writes, _ := l.settled(p); writes < 4 {
			return fmt.Sprintf("%v status writes", writes)
		} else if writes > 4 {
			t.Errorf("%v status writes for 4 changes", writes)
		}
		return ""
	})
	l.hasEvents(m, v1alpha1.ReasonBootStopped, 1)

	for i := 1; i <= 2; i++ { // a second one, and a third
		again := of(m, atStage(time.Duration(i)*time.Hour, attempt.StageKernel))
		p.Changed(again)
		l.becomes(m, fmt.Sprintf("Kernel 1 Netboot, 4 steps, node-a | %d, \"\" | True Armed, False NotCompleted", i+1))
	}
	p.Changed(of(m, toDisk(3*time.Hour)))
	l.becomes(m, "Config 1 BootLocal, 3 steps, node-a | 3, \"\" | False HeldBootLoop, False NotCompleted")
	l.hasEvents(m, v1alpha1.ReasonHeldBootLoop, 1)

	before := m.DeepCopy()
	m.Spec.BootID = "2"
	if err := l.client.Patch(t.Context(), m, client.MergeFrom(before)); err != nil {
		t.Fatal(err)
	}
	l.becomes(m, "Config 1 BootLocal, 3 steps, node-a | 3, \"\" | True Armed, Unknown NotBooted")
	next := of(m, atStage(4*time.Hour, attempt.StageKernel))
	next.BootID = "2"
	p.Changed(next)
	l.becomes(m, "Kernel 2 Netboot, 4 steps, node-a | 1, \"\" | True Armed, False NotCompleted")
	if err := p.options.Ledger.Complete(ledger.Boot{Machine: keyOf(m), BootID: "2"}, "Callback", next.Start.Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	next = of(m, atStage(4*time.Hour, attempt.StageDone))
	next.BootID = "2"
	p.Changed(next)
	l.becomes(m, "Done 2 Netboot, 7 steps, node-a | 0, \"2\" | False Completed, True CompletedByCallback")
	l.hasEvents(m, v1alpha1.ConditionBooted, 1)
	l.eventually(func() string { // every pod's index follows
		if entry := p.index.Machine(keyOf(m)); entry == nil || entry.Action != index.BootLocal {
			return "the index does not know that the machine is done"
		}
		return ""
	})
	l.settled(p)

	want := &v1alpha1.MachineCounts{Total: 1, Booted: 1}
	l.eventually(func() string {
		if err := l.client.Get(t.Context(), client.ObjectKeyFromObject(profile), profile); err != nil {
			return err.Error()
		}
		return cmp.Diff(want, profile.Status.Machines)
	})
}

// TestTwoPodsTellOneBoot has a boot served by two pods in turn.
func TestTwoPodsTellOneBoot(t *testing.T) {
	l := newLab(t)
	l.profile("demo", newUpstream(t, nil), "linux")
	m := l.machine("n1", "52:54:00:aa:bb:01")
	a, b := l.boots("node-a", t.TempDir()), l.boots("node-b", t.TempDir())
	l.becomes(m, "- | True Armed, Unknown NotBooted")

	a.Changed(of(m, atStage(0, attempt.StageConfig)))
	l.becomes(m, "Config 1 Netboot, 3 steps, node-a | 1, \"\" | True Armed, False NotCompleted")
	l.eventually(func() string {
		if got := b.learned.learned(keyOf(m)); got.Stage != attempt.StageConfig || got.BootID != "1" || len(got.Steps) != 3 {
			return fmt.Sprintf("pod b has learned %+v", got)
		}
		return ""
	})
	if got := a.learned.learned(keyOf(m)); got.Machine != "" && got.Stage != attempt.StageConfig {
		t.Errorf("pod a has learned %+v", got)
	}
	// It asked pod b for its configuration once more, and for the kernel. That is one boot.
	b.Changed(of(m, tail(atStage(0, attempt.StageKernel), 2)))
	l.becomes(m, "Kernel 1 Netboot, 4 steps, node-b | 1, \"\" | True Armed, False NotCompleted")
	// And pod a for the initrd.
	a.Changed(of(m, tail(atStage(0, attempt.StageInitrd), 4)))
	l.becomes(m, "Initrd 1 Netboot, 5 steps, node-a | 1, \"\" | True Armed, False NotCompleted")
	if got, want := m.Status.LastBoot.Bytes, int64(5000); got != want {
		t.Errorf("%d bytes, want %d", got, want)
	}
	l.settled(a)
	l.settled(b)
}

// TestPodsWriteAtOnce has two pods write to the same Machines all the time, which conflicts: no boot is counted twice or lost.
func TestPodsWriteAtOnce(t *testing.T) {
	const machines = 20
	l := newLab(t)
	l.profile("demo", newUpstream(t, nil), "linux")
	pods := []*bootPod{l.boots("node-a", t.TempDir()), l.boots("node-b", t.TempDir())}
	var all []*v1alpha1.Machine
	for i := range machines {
		all = append(all, l.machine(fmt.Sprintf("n%d", i), fmt.Sprintf("52:54:00:aa:bb:%02x", i)))
	}
	for _, p := range pods { // a boot is that of a Machine that the pod knows
		l.eventually(func() string {
			if machines, _ := p.index.Keys(); len(machines) != len(all) {
				return fmt.Sprintf("%s knows %d Machines", p.options.Node, len(machines))
			}
			return ""
		})
	}
	for i, m := range all {
		pods[0].Changed(of(m, atStage(0, attempt.StageConfig)))
		pods[1].Changed(of(all[machines-1-i], atStage(time.Hour, attempt.StageKernel))) // another boot
	}
	for _, m := range all {
		l.eventually(func() string {
			if err := l.client.Get(t.Context(), client.ObjectKeyFromObject(m), m); err != nil {
				return err.Error()
			}
			if m.Status.BootsSinceCompletion != 2 || m.Status.LastBoot.Stage != "Kernel" {
				return story(m)
			}
			return ""
		})
	}
	for _, p := range pods {
		writes, conflicts := l.settled(p)
		t.Logf("%s: %v writes, %v conflicts", p.options.Node, writes, conflicts)
	}
	for _, m := range all { // and it stays so
		if err := l.client.Get(t.Context(), client.ObjectKeyFromObject(m), m); err != nil || m.Status.BootsSinceCompletion != 2 {
			t.Errorf("%s: %v", story(m), err)
		}
	}
}

// TestLedgerIsWrittenAtTheStart has a process end before it could write that a boot is completed, and three that were begun.
func TestLedgerIsWrittenAtTheStart(t *testing.T) {
	l := newLab(t)
	l.profile("demo", newUpstream(t, nil), "linux")
	done, looping, gone := l.machine("done", "52:54:00:aa:bb:01"), l.machine("looping", "52:54:00:aa:bb:02"), index.Key(l.namespace+"/gone")
	dir := t.TempDir()
	book, err := ledger.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{
		book.Begin(ledger.Boot{Machine: keyOf(done), BootID: "1"}, bootTime()),
		book.Complete(ledger.Boot{Machine: keyOf(done), BootID: "1"}, "Callback", bootTime().Add(time.Minute)),
		book.Begin(ledger.Boot{Machine: keyOf(looping), BootID: "1"}, bootTime()),
		book.Begin(ledger.Boot{Machine: keyOf(looping), BootID: "1"}, bootTime().Add(time.Hour)),
		book.Begin(ledger.Boot{Machine: keyOf(looping), BootID: "1"}, bootTime().Add(2*time.Hour)),
		book.Begin(ledger.Boot{Machine: gone, BootID: "1"}, bootTime()),
		book.Close(),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	p := l.boots("node-a", dir)
	l.becomes(done, "Done 1 Netboot, 0 steps, node-a | 0, \"1\" | False Completed, True CompletedByCallback")
	l.eventually(func() string {
		if err := l.client.Get(t.Context(), client.ObjectKeyFromObject(looping), looping); err != nil {
			return err.Error()
		}
		if looping.Status.BootsSinceCompletion != 3 {
			return story(looping)
		}
		return ""
	})
	l.settled(p) // also of the Machine that is gone
}

// TestBootsOutliveTheAPIServer stops the API server while machines boot and one is completed.
func TestBootsOutliveTheAPIServer(t *testing.T) {
	l := newLab(t)
	l.profile("demo", newUpstream(t, nil), "linux")
	m, other := l.machine("n1", "52:54:00:aa:bb:01"), l.machine("n2", "52:54:00:aa:bb:02")
	p := l.boots("node-a", t.TempDir())
	l.becomes(other, "- | True Armed, Unknown NotBooted")
	p.Changed(of(m, atStage(0, attempt.StageKernel)))
	l.becomes(m, "Kernel 1 Netboot, 4 steps, node-a | 1, \"\" | True Armed, False NotCompleted")

	start := server.StopAPIServer(t)
	for i, stage := range []attempt.Stage{attempt.StageConfig, attempt.StageKernel} {
		p.Changed(of(other, atStage(time.Duration(i)*time.Hour, stage)))
		l.eventually(func() string {
			if got := testutil.ToFloat64(p.metrics.writes.WithLabelValues(string(bootRetried))); got < float64(i+1) {
				return fmt.Sprintf("%v tries", got)
			}
			return ""
		})
	}
	if err := p.options.Ledger.Complete(ledger.Boot{Machine: keyOf(m), BootID: "1"}, "Callback", bootTime().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	p.Changed(of(m, atStage(0, attempt.StageDone)))
	l.eventually(func() string {
		entry := &index.Machine{Key: keyOf(m), BootID: "1", Once: true, Action: index.Netboot}
		if got, _ := p.options.Ledger.Action(entry, 0); got != index.BootLocal {
			return "a machine that is done boots again"
		}
		return ""
	})
	start()
	l.becomes(m, "Done 1 Netboot, 7 steps, node-a | 0, \"1\" | False Completed, True CompletedByCallback")
	l.becomes(other, "Kernel 1 Netboot, 4 steps, node-a | 2, \"\" | True Armed, False NotCompleted")
	l.settled(p)
	if e := p.options.Ledger.Entry(ledger.Boot{Machine: keyOf(other), BootID: "1"}); e.Unwritten != 0 || e.Boots != 2 {
		t.Errorf("the ledger has %+v", e)
	}
}

// TestDeletedMachinesAreForgotten deletes a Machine and makes it anew: while its pod runs, and while it does not.
func TestDeletedMachinesAreForgotten(t *testing.T) {
	l := newLab(t)
	l.profile("demo", newUpstream(t, nil), "linux")
	m := l.machine("n1", "52:54:00:aa:bb:01")
	dir := t.TempDir()
	p := l.boots("node-a", dir)
	p.Changed(of(m, atStage(0, attempt.StageKernel)))
	l.becomes(m, "Kernel 1 Netboot, 4 steps, node-a | 1, \"\" | True Armed, False NotCompleted")
	if err := l.client.Delete(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	known := func(name string) ledger.Entry {
		return p.options.Ledger.Entry(ledger.Boot{Machine: index.Key(l.namespace + "/" + name), BootID: "1"})
	}
	l.eventually(func() string {
		if e := known("n1"); e.Boots != 0 {
			return fmt.Sprintf("the ledger has %+v", e)
		}
		return ""
	})
	m = l.machine("n1", "52:54:00:aa:bb:01")
	l.becomes(m, "- | True Armed, Unknown NotBooted")
	p.pod.end()

	same := l.machine("same", "52:54:00:aa:bb:04") // it is completed after it was made
	for _, e := range []ledger.Entry{
		{Boot: ledger.Boot{Machine: keyOf(m), BootID: "1"}, Completed: time.Unix(0, 0)},                            // long before this Machine
		{Boot: ledger.Boot{Machine: index.Key(l.namespace + "/held"), BootID: "1"}, Boots: 3},                      // none of them
		{Boot: ledger.Boot{Machine: keyOf(same), BootID: "1"}, Completed: same.CreationTimestamp.Add(time.Minute)}, // this one
	} {
		for i := range e.Boots {
			if err := p.options.Ledger.Begin(e.Boot, bootTime().Add(time.Duration(i)*time.Hour)); err != nil {
				t.Fatal(err)
			}
		}
		if !e.Completed.IsZero() {
			if err := p.options.Ledger.Complete(e.Boot, "Callback", e.Completed); err != nil {
				t.Fatal(err)
			}
		}
		e = p.options.Ledger.Entry(e.Boot)
		p.options.Ledger.Written(e) // into the status of the Machine that there was
	}
	held := l.machine("held", "52:54:00:aa:bb:03")
	p = l.boots("node-a", dir)
	l.eventually(func() string {
		for _, m := range []*v1alpha1.Machine{m, held} {
			entry := p.index.Machine(keyOf(m))
			if got, _ := p.options.Ledger.Action(entry, 0); got != index.Netboot {
				return fmt.Sprintf("Machine %s, which is new, would %s: %+v", m.Name, got, known(m.Name))
			}
		}
		return ""
	})
	if got, _ := p.options.Ledger.Action(p.index.Machine(keyOf(same)), 0); got != index.BootLocal {
		t.Errorf("a Machine that is done would %s", got)
	}
}
