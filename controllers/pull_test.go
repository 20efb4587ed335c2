// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/netboot-operator/netboot-operator/api/v1alpha1"
	"github.com/netboot-operator/netboot-operator/test/controlplane"
)

// TestPullIsTold follows one artifact on its way to three pods.
func TestPullIsTold(t *testing.T) {
	l, gate := newLab(t), make(chan struct{})
	u := newUpstream(t, gate)
	dirs := map[string]string{"a": t.TempDir(), "b": t.TempDir(), "c": t.TempDir()}
	pods := map[string]*pod{}
	for name, dir := range dirs {
		pods[name] = l.start(name, dir)
	}
	p := l.profile("linux", u, "vmlinuz")

	message := l.tells(p, "Unknown Fetching | 0/1 (50%) | Fetching 0/3")
	for _, want := range []string{"0 of 1 artifacts", "3 of 3 pods", "50%", "0.4 MiB of 0.8 MiB"} {
		if !strings.Contains(message, want) {
			t.Errorf("the message is %q, want %q in it", message, want)
		}
	}
	reconciling := meta.FindStatusCondition(p.Status.Conditions, v1alpha1.ConditionReconciling)
	if reconciling == nil || reconciling.Status != metav1.ConditionTrue {
		t.Errorf("while the artifact comes, Reconciling is %v", reconciling)
	}
	if !meta.IsStatusConditionTrue(p.Status.Conditions, v1alpha1.ConditionReady) {
		t.Errorf("while the artifact comes, the profile is not Ready: %v", p.Status.Conditions)
	}
	if p.Status.Artifacts[0].SizeBytes != fileSize || p.Status.Artifacts[0].Field != "platforms[0].kernel" {
		t.Errorf("status.artifacts is %+v", p.Status.Artifacts)
	}
	gate <- struct{}{}
	l.tells(p, "Unknown Fetching | 0/1 (66%) | Fetching 1/3")
	gate <- struct{}{}
	l.tells(p, "Unknown Fetching | 0/1 (83%) | Fetching 2/3")
	gate <- struct{}{}
	l.tells(p, "True Fetched | 1/1 | Cached 3/3")
	if c := meta.FindStatusCondition(p.Status.Conditions, v1alpha1.ConditionReconciling); c != nil {
		t.Errorf("when all is there, Reconciling is %v", c)
	}
	l.hasEvents(p, eventFetching, 1)
	l.hasEvents(p, eventFetched, 1)
	l.hasEvents(p, eventFailed, 0)

	// A pod that ends counts no more; when it comes back it knows what it has.
	reasons := l.reasons(p)
	pods["c"].end()
	l.tells(p, "True Fetched | 1/1 | Cached 2/2")
	l.start("c", dirs["c"])
	l.tells(p, "True Fetched | 1/1 | Cached 3/3")
	if got := slices.Compact(reasons()); !slices.Equal(got, []string{"Fetched"}) {
		t.Errorf("while a pod was restarted, ArtifactsReady said %v", got)
	}
	if got := u.requests.Load(); got != 3 {
		t.Errorf("%d requests upstream, want one from each pod", got)
	}

	// One that is new fetches, as the others did.
	l.start("d", t.TempDir())
	l.tells(p, "Unknown Fetching | 0/1 (87%) | Fetching 3/4")
	gate <- struct{}{}
	l.tells(p, "True Fetched | 1/1 | Cached 4/4")
	l.hasEvents(p, eventFailed, 0)
}

// TestOnePodFails has one pod of three without a disk: its failure is told with its name, and the others serve.
func TestOnePodFails(t *testing.T) {
	l := newLab(t)
	u := newUpstream(t, nil)
	bad := t.TempDir()
	for name, dir := range map[string]string{"good-1": t.TempDir(), "good-2": t.TempDir(), "bad": bad} {
		l.start(name, dir)
	}
	breakStore(t, bad)
	p := l.profile("linux", u, "vmlinuz")

	message := l.tells(p, "False StorageFailed | 0/1 | Failed 2/3")
	for _, want := range []string{"spec.platforms[0].kernel", u.URL + "/vmlinuz", "artifact cache", "on 1 of 3 pods: bad"} {
		if !strings.Contains(message, want) || !strings.Contains(p.Status.Artifacts[0].Message, strings.TrimPrefix(want, "spec.platforms[0].kernel")) {
			t.Errorf("the messages are %q and %q, want %q in them", message, p.Status.Artifacts[0].Message, want)
		}
	}
	ready := meta.FindStatusCondition(p.Status.Conditions, v1alpha1.ConditionReady)
	if ready == nil || ready.Status != metav1.ConditionFalse || ready.Reason != v1alpha1.ReasonStorageFailed {
		t.Errorf("Ready is %v", ready)
	}
	if strings.Contains(message, bad) {
		t.Errorf("the message %q tells a local path", message)
	}
	l.hasEvents(p, eventFailed, 1)
	l.hasEvents(p, v1alpha1.ReasonStorageFailed, 0) // one fact, one Event
}

// TestUpstreamComesBack needs nobody's hand.
func TestUpstreamComesBack(t *testing.T) {
	l := newLab(t)
	u := newUpstream(t, nil)
	u.down.Store(true)
	for _, name := range []string{"a", "b"} {
		l.start(name, t.TempDir())
	}
	p := l.profile("linux", u, "vmlinuz")
	l.eventually(func() string {
		message := l.tells(p, "False UpstreamUnavailable | 0/1 | Failed 0/2")
		if !strings.Contains(message, "404") || !strings.Contains(message, u.URL+"/vmlinuz") || strings.Contains(message, "pods") {
			return fmt.Sprintf("the message is %q, want status and URL, and no pods when all fail alike", message)
		}
		return ""
	})
	l.hasEvents(p, eventFailed, 1)
	u.down.Store(false)
	l.tells(p, "True Fetched | 1/1 | Cached 2/2")
	l.hasEvents(p, eventFetched, 1)
}

// TestEditChangesWhatIsNeeded replaces an artifact: the status speaks of the new one, and what was there stays.
func TestEditChangesWhatIsNeeded(t *testing.T) {
	l := newLab(t)
	u := newUpstream(t, nil)
	l.start("a", t.TempDir())
	p := l.profile("linux", u, "vmlinuz", "initrd")
	l.tells(p, "True Fetched | 2/2 | Cached 1/1 Cached 1/1")
	p.Spec.Platforms[0].Initrds = append(p.Spec.Platforms[0].Initrds, u.artifact("firmware"))
	if err := l.client.Update(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	l.tells(p, "True Fetched | 3/3 | Cached 1/1 Cached 1/1 Cached 1/1")
	if got := u.requests.Load(); got != 3 {
		t.Errorf("%d requests upstream, want 3", got)
	}

	// A profile that can't be used any more says nothing of artifacts.
	file := v1alpha1.File{Path: "same", Artifact: u.artifact("one")}
	other := v1alpha1.File{Path: "same", Artifact: u.artifact("two")}
	p.Spec.Platforms[0].Loader = &v1alpha1.Loader{Files: []v1alpha1.LoaderFile{{Name: file.Path, Artifact: file.Artifact}}}
	p.Spec.Files = []v1alpha1.File{other}
	if err := l.client.Update(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	l.eventually(func() string {
		if err := l.client.Get(t.Context(), client.ObjectKeyFromObject(p), p); err != nil {
			return err.Error()
		}
		if meta.IsStatusConditionFalse(p.Status.Conditions, v1alpha1.ConditionAccepted) {
			return ""
		}
		return "Accepted is not False"
	})
	if c := meta.FindStatusCondition(p.Status.Conditions, v1alpha1.ConditionArtifactsReady); c != nil || p.Status.Artifacts != nil {
		t.Errorf("a profile that is not accepted tells %v, %v", c, p.Status.Artifacts)
	}
}

// TestDeadPodIsSwept has the Lease of a pod that does not renew it any more.
func TestDeadPodIsSwept(t *testing.T) {
	l := newLab(t)
	l.timing.lasts = l.timing.renew * 20
	u := newUpstream(t, nil)
	l.start("a", t.TempDir())
	p := l.profile("linux", u, "vmlinuz")
	l.tells(p, "True Fetched | 1/1 | Cached 1/1")
	dead := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{
		Name: presencePrefix + "dead", Namespace: l.namespace, Labels: map[string]string{presenceLabel: "true"},
	}}
	c, err := client.New(server.Config(t), client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Create(t.Context(), dead); err != nil {
		t.Fatal(err)
	}
	stop := renew(t, c, dead) // it lives until it has been seen
	l.tells(p, "Unknown Fetching | 0/1 (50%) | Fetching 1/2")
	stop()
	l.tells(p, "True Fetched | 1/1 | Cached 1/1")
	if err := c.Get(t.Context(), client.ObjectKeyFromObject(dead), dead); err == nil {
		t.Error("the Lease of the dead pod is still there")
	}
}

// renew renews a Lease again and again, until it is told to stop.
func renew(t *testing.T, c client.Client, lease *coordinationv1.Lease) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var renewing sync.WaitGroup
	renewing.Go(func() {
		for wait(ctx, 100*time.Millisecond) {
			lease.Spec.RenewTime = new(metav1.NowMicro())
			if err := c.Update(ctx, lease); err != nil && ctx.Err() == nil {
				t.Error(err)
				return
			}
		}
	})
	return func() {
		cancel()
		renewing.Wait()
	}
}

// TestProgressIsNotWrittenEachTime has a pod that tells each percent of its progress.
func TestProgressIsNotWrittenEachTime(t *testing.T) {
	l := newLab(t)
	l.timing = defaultTiming()
	u := newUpstream(t, nil)
	l.start("a", t.TempDir())
	p := l.profile("linux", u, "vmlinuz")
	l.tells(p, "True Fetched | 1/1 | Cached 1/1")
	kernel := p.Spec.Platforms[0].Kernel
	id := shortIDOf(new(artifactFrom(kernel, "", nil)))
	lease := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{
		Name: presencePrefix + "slow", Namespace: l.namespace, Labels: map[string]string{presenceLabel: "true"},
	}}
	c, err := client.New(server.Config(t), client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Create(t.Context(), lease); err != nil {
		t.Fatal(err)
	}
	l.tells(p, "Unknown Fetching | 0/1 (50%) | Fetching 1/2")
	reasons := l.reasons(p)
	tell := func(h holding) {
		text, _ := encodeHoldings(holdings{id: h})
		lease.Annotations = map[string]string{holdingsAnnotation: text}
		if err := c.Update(t.Context(), lease); err != nil {
			t.Fatal(err)
		}
	}
	begin := time.Now()
	for i := range int64(100) {
		tell(holding{Fetching: true, Received: i * fileSize / 100, Bytes: fileSize})
	}
	tell(holding{Cached: true, Bytes: fileSize})
	l.tells(p, "True Fetched | 1/1 | Cached 2/2")
	took := time.Since(begin)
	if got, most := reasons(), 2+int(took/l.timing.progress); len(got) > most {
		t.Errorf("%d writes of status in %v, want one at the end, and one before it each %v: %v", len(got), took, l.timing.progress, got)
	}
}

// TestWritesAreBounded has three pods pull twenty profiles of three artifacts, all different, and counts the writes.
func TestWritesAreBounded(t *testing.T) {
	const pods, profiles = 3, 20
	l := newLab(t)
	l.timing = defaultTiming()
	u := newUpstream(t, nil)
	config := server.Config(t)
	watcher, err := client.NewWithWatch(config, client.Options{Scheme: controlplane.Scheme(t)})
	if err != nil {
		t.Fatal(err)
	}
	leases, err := client.NewWithWatch(config, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	count := func(c client.WithWatch, list client.ObjectList, counts func(client.Object) bool) func() int {
		w, err := c.Watch(t.Context(), list, client.InNamespace(l.namespace))
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		var counting sync.WaitGroup
		counting.Go(func() {
			for e := range w.ResultChan() {
				if o, ok := e.Object.(client.Object); ok && e.Type == watch.Modified && counts(o) {
					n++
				}
			}
		})
		return func() int { w.Stop(); counting.Wait(); return n }
	}
	statusWrites := count(watcher, &v1alpha1.BootProfileList{}, func(client.Object) bool { return true })
	leaseWrites := count(leases, &coordinationv1.LeaseList{}, func(o client.Object) bool { return o.GetLabels()[presenceLabel] == "true" })
	begin := time.Now()
	for i := range pods {
		l.start(fmt.Sprint("pod-", i), t.TempDir())
	}
	var all []*v1alpha1.BootProfile
	for i := range profiles {
		name := fmt.Sprint("linux-", i)
		all = append(all, l.profile(name, u, name+"-vmlinuz", name+"-initrd", name+"-modules"))
	}
	for _, p := range all {
		l.tells(p, "True Fetched | 3/3 | Cached 3/3 Cached 3/3 Cached 3/3")
	}
	if got := u.requests.Load(); got != pods*profiles*3 {
		t.Errorf("%d requests upstream, want one from each pod for each artifact: %d", got, pods*profiles*3)
	}
	status, lease, took := statusWrites(), leaseWrites(), time.Since(begin)
	t.Logf("%d pods, %d profiles with 3 artifacts each: %d writes of status, %d of Leases in %v", pods, profiles, status, lease, took)
	// Accepted, the start, a look in between each ten seconds, and the end: not once for each artifact and pod, which would be
	// 180 and more.
	if most := (5 + int(took/l.timing.progress)) * profiles; status > most {
		t.Errorf("%d writes of status for %d profiles in %v, want %d at most", status, profiles, took, most)
	}
	seconds := int(took/time.Second) + 1
	if limit := pods * (presenceAtOnce + presencePerSecond*seconds + seconds/10 + 1); lease > limit {
		t.Errorf("%d writes of Leases by %d pods in %v, want at most %d", lease, pods, took, limit)
	}
}

// TestRestartedLeaderTellsTheSame has nothing to write after a restart, and nothing to fetch.
func TestRestartedLeaderTellsTheSame(t *testing.T) {
	l := newLab(t)
	u := newUpstream(t, nil)
	dir := t.TempDir()
	first := l.start("a", dir)
	p := l.profile("linux", u, "vmlinuz")
	l.tells(p, "True Fetched | 1/1 | Cached 1/1")
	version := p.ResourceVersion
	first.end()
	l.start("a", dir)
	q := l.profile("other", u, "vmlinuz") // when this is told, the new leader is at work
	l.tells(q, "True Fetched | 1/1 | Cached 1/1")
	l.tells(p, "True Fetched | 1/1 | Cached 1/1")
	if p.ResourceVersion != version {
		t.Error("the status was written again though nothing had changed")
	}
	if got := u.requests.Load(); got != 1 {
		t.Errorf("%d requests upstream, want 1", got)
	}
}
