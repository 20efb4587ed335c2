// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/netboot-operator/netboot-operator/api/v1alpha1"
	"github.com/netboot-operator/netboot-operator/pkg/index"
	"github.com/netboot-operator/netboot-operator/pkg/ledger"
)

// An installation is a machine that installs itself once, with the folders of the pod that serves it.
type installation struct {
	*cluster
	home

	t       *testing.T
	machine *v1alpha1.Machine
	flags   []string
	lastAt  time.Time // when it last got its configuration
	boots   int       // how often
}

// What its configurations hold: that of its profile, and that of its disk.
const (
	bootsProfile = "KERNEL "
	bootsDisk    = "LOCALBOOT"
)

func newInstallation(t *testing.T) (*installation, *cable) {
	t.Helper()
	c, h := newCluster(t), newHome(t)
	profile := profileOf(c.namespace, upstream(t, contents("a kernel")), digest("a kernel"))
	profile.Spec.KernelArgs = append(profile.Spec.KernelArgs, "done={{ .CompleteURL }}")
	profile.Spec.LocalBoot = v1alpha1.LocalBootExit
	m := machineOf(c.namespace, "node-01", mac1)
	m.Spec.BootPolicy = v1alpha1.BootPolicyOnce
	c.create(profile, m)
	way := c.throughCable()
	return &installation{cluster: c, home: h, t: t, machine: m, flags: append(c.flags(), h.flags()...)}, way
}

// start starts a process for it; it answers from its snapshot if the API server is away.
func (i *installation) start() *service {
	i.t.Helper()
	return start(i.t, append(i.flags, "--snapshot-after=100ms")...)
}

// fetches gets its configuration, as at the beginning of a boot, and returns the URL by which it completes. A boot is on disk
// when this returns.
func (i *installation) fetches(s *service, want string) (complete string) {
	i.t.Helper()
	eventually(i.t, func() string { // two boots begin at two times
		if time.Since(i.lastAt) < 1500*time.Millisecond {
			return "it is too early for another boot"
		}
		return ""
	})
	i.lastAt = time.Now()
	config, err := s.getTFTP(name1)
	if err != nil || !strings.Contains(config, want) {
		i.t.Fatalf("boot %d: it gets %q, %v; want %s in it", i.boots+1, config, err, want)
	}
	if want != bootsProfile {
		return ""
	}
	i.boots++
	eventually(i.t, func() string {
		l, err := ledger.Open(filepath.Join(i.data, "ledger"))
		if err != nil {
			return err.Error()
		}
		defer func() { _ = l.Close() }() // it was only read
		boot := ledger.Boot{Machine: index.Key(i.namespace + "/node-01"), BootID: i.machine.Spec.BootID}
		if e := l.Entry(boot); e.Boots < i.boots {
			return fmt.Sprintf("the ledger knows %d boots, not %d", e.Boots, i.boots)
		}
		return ""
	})
	url := regexp.MustCompile(`done=http://[^/]+(/\S+)`).FindStringSubmatch(config)
	if url == nil {
		i.t.Fatalf("there is no URL to call back in %q", config)
	}
	return url[1]
}

// calls posts to a path.
func (i *installation) calls(s *service, path string) {
	i.t.Helper()
	r, err := http.NewRequestWithContext(i.t.Context(), http.MethodPost, "http://"+s.http+path, http.NoBody)
	if err != nil {
		i.t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		i.t.Fatal(err)
	}
	_ = response.Body.Close() // the status says all
	if response.StatusCode != http.StatusOK {
		i.t.Fatalf("POST: %s", response.Status)
	}
}

// becomes waits for the condition NetbootArmed and the bootID of the status.
func (i *installation) becomes(reason, bootID string, boots int32) {
	i.t.Helper()
	status := metav1.ConditionFalse
	if reason == v1alpha1.ReasonArmed {
		status = metav1.ConditionTrue
	}
	i.condition(i.machine, v1alpha1.ConditionNetbootArmed, status, reason)
	m := &v1alpha1.Machine{}
	if err := i.client.Get(i.t.Context(), client.ObjectKeyFromObject(i.machine), m); err != nil {
		i.t.Fatal(err)
	}
	if m.Status.BootID != bootID || m.Status.BootsSinceCompletion != boots {
		i.t.Errorf("status.bootID is %q, bootsSinceCompletion %d; want %q, %d", m.Status.BootID, m.Status.BootsSinceCompletion, bootID, boots)
	}
}

// A machine completes its boot while the API server is away, and the process is killed right after it has answered. It boots
// from its disk ever after: from the next process, still without an API server, and when that is back, from another pod.
func TestCompletedOutlivesAll(t *testing.T) {
	t.Parallel()
	i, way := newInstallation(t)
	s := i.start()
	i.saved(t, i.objects(), "node-01", "linux")
	i.saved(t, i.secrets(), "tokenKeys")
	complete := i.fetches(s, bootsProfile)
	way.set(true)
	i.calls(s, complete)
	i.fetches(s, bootsDisk)
	s.kill()

	s = i.start()
	i.fetches(s, bootsDisk)
	i.calls(s, complete) // it had not heard the answer, and says it again
	way.set(false)
	i.becomes(v1alpha1.ReasonCompleted, i.machine.Spec.BootID, 0)
	i.fetches(s, bootsDisk)

	other := start(t, append(i.cluster.flags(), newHome(t).flags()...)...)
	i.fetches(other, bootsDisk)
	i.edit(func(m *v1alpha1.Machine) { m.Spec.BootID = "again" })
	i.boots = 0
	eventually(t, func() string { return other.boots(name1, bootsProfile) })
}

// secondRead is for how long a loader may read its configuration again in the last boot of a machine that is held then.
const secondRead = 5 * time.Second

// A machine that never completes gets three boots, although the process is killed after each of them and the API server is away.
func TestHeldOutlivesAll(t *testing.T) {
	t.Parallel()
	i, way := newInstallation(t)
	s := i.start()
	i.saved(t, i.objects(), "node-01", "linux")
	i.saved(t, i.secrets(), "tokenKeys")
	way.set(true)
	for range ledger.MaxBoots {
		i.fetches(s, bootsProfile)
		s.kill()
		s = i.start()
	}
	asked := time.Now()
	eventually(t, func() string {
		if took := time.Since(asked); took < secondRead {
			return fmt.Sprintf("after %v it may be the same boot, which reads its configuration again", took)
		}
		return ""
	})
	i.fetches(s, bootsDisk)
	way.set(false)
	i.becomes(v1alpha1.ReasonHeldBootLoop, "", ledger.MaxBoots)
	other := start(t, append(i.cluster.flags(), newHome(t).flags()...)...)
	i.fetches(other, bootsDisk)

	i.edit(func(m *v1alpha1.Machine) { m.Spec.BootID = "again" })
	for _, pod := range []*service{s, other} {
		eventually(t, func() string { return pod.boots(name1, bootsProfile) })
	}
}

// edit changes the Machine at the API server.
func (i *installation) edit(change func(*v1alpha1.Machine)) {
	i.t.Helper()
	eventually(i.t, func() string {
		m := &v1alpha1.Machine{}
		if err := i.client.Get(i.t.Context(), client.ObjectKeyFromObject(i.machine), m); err != nil {
			return err.Error()
		}
		change(m)
		if err := i.client.Update(i.t.Context(), m); err != nil {
			return err.Error()
		}
		i.machine = m
		return ""
	})
}

// A ledger that can't be made is told before anything is served.
func TestLedgerThatCannotBeMade(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	if err := os.WriteFile(filepath.Join(data, "ledger"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, stderr, code := netboot(t, "serve", "--manifests="+t.TempDir(), "--data-dir="+data)
	if code != exitUsage || !strings.Contains(stderr, "--data-dir="+data) || !strings.Contains(stderr, "ledger of boots") {
		t.Errorf("exit code %d, %q", code, stderr)
	}
}
