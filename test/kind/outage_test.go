// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build kind

package kind

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/netboot-operator/netboot-operator/test/load"
)

// The manifest of the API server: the kubelet runs what is in the folder.
const (
	apiServer = "/etc/kubernetes/manifests/kube-apiserver.yaml"
	parked    = "/etc/kubernetes/kube-apiserver.yaml"
)

// serving is the pattern of our servers' command lines, for pgrep: the pods' probes are programs of the same name.
const serving = "^/netboot serve "

// snapshotFile is the pod's, on its node.
const snapshotFile = "/var/lib/kubelet/pods/*/volumes/kubernetes.io~empty-dir/*/snapshot/objects.json"

// restartWithin is how long a node may be without a server after its process was killed: the kubelet starts it again.
const restartWithin = 2 * time.Minute

// outage takes the API server away under load, and kills the pod of one node meanwhile: it must come back from its snapshot.
func (c *cluster) outage(t *testing.T) {
	t.Helper()
	eventually(t, "server-01, which has booted, to get another policy", patience, func() error {
		_, err := try(t.Context(), "kubectl", "patch", "machine", "server-01", "--type=merge", "-p", `{"spec":{"bootPolicy":"Continuous","kernelArgs":["before=outage"]}}`)
		return err
	})
	for _, n := range c.workers {
		eventually(t, "server-01 to boot again from "+n.name, patience, func() error {
			if got := c.get(t, n, "pxelinux.cfg/01-52-54-00-12-34-56"); !strings.Contains(got, "DEFAULT netboot") {
				return errors.New(got)
			}
			return nil
		})
		// What took long to write, as a thousand Machines did, is written more rarely.
		eventually(t, "the snapshot of "+n.name+" to have that, too", patience, func() error {
			_, err := try(t.Context(), "docker", "exec", n.name, "sh", "-c", "grep -q before=outage "+snapshotFile)
			return err
		})
	}
	l := c.load(t)
	onNode(t, c.control, "mv", apiServer, parked)
	t.Cleanup(func() { // whatever fails: the next look at this cluster wants an API server
		_, _ = try(context.Background(), "docker", "exec", c.control, "mv", parked, apiServer) // t.Context has ended
	})
	eventually(t, "the API server to go", patience, func() error {
		if _, err := try(t.Context(), "kubectl", "get", "--raw", "/readyz", "--request-timeout=2s"); err == nil {
			return errors.New("it answers")
		}
		return nil
	})
	away := time.Now()

	victim := c.workers[1]
	old := onNode(t, victim.name, "pgrep", "-f", serving)
	killed := time.Now()
	onNode(t, victim.name, "kill", "-9", old)
	var ready string
	took := eventually(t, "the pod to come back without the API server", patience, func() error {
		pid, err := try(t.Context(), "docker", "exec", victim.name, "pgrep", "-f", serving)
		if err != nil || pid == old {
			return errors.Join(err, errors.New("no new process"))
		}
		if got := c.get(t, victim, "pxelinux.cfg/01-52-54-00-12-34-56"); !strings.Contains(got, "DEFAULT netboot") {
			return errors.New(got)
		}
		return nil
	})
	back := time.Now()
	t.Logf("killed, and serving again from the snapshot after %v", took.Round(10*time.Millisecond))
	eventually(t, "/readyz to tell of the snapshot", patience, func() error {
		if ready = ask(t, "http://"+victim.address+":8081/readyz"); !strings.Contains(ready, "snapshot") {
			return errors.New(ready)
		}
		return nil
	})
	t.Logf("/readyz: %s", ready)
	c.measure(t, "API server away, under load")

	select {
	case <-time.After(sizes().away - time.Since(away)):
	case <-t.Context().Done():
	}
	onNode(t, c.control, "mv", parked, apiServer)
	eventually(t, "the API server to come back", patience, func() error {
		_, err := try(t.Context(), "kubectl", "get", "--raw", "/readyz", "--request-timeout=2s")
		return err
	})
	returned := time.Now()
	t.Logf("the API server was away for %v", returned.Sub(away).Round(time.Second))
	eventually(t, "an edit", patience, func() error {
		_, err := try(t.Context(), "kubectl", "patch", "machine", "server-01", "--type=merge", "-p", `{"spec":{"kernelArgs":["edited=yes"]}}`)
		return err
	})
	edited := time.Now()
	for _, n := range c.workers {
		eventually(t, "the edit on "+n.name, patience, func() error {
			if got := c.get(t, n, "pxelinux.cfg/01-52-54-00-12-34-56"); !strings.Contains(got, "edited=yes") {
				return errors.New(got)
			}
			return nil
		})
		t.Logf("%s serves the edit %v after it was made, %v after the API server was back", n.name,
			time.Since(edited).Round(10*time.Millisecond), time.Since(returned).Round(10*time.Millisecond))
	}
	l.finish(t, fmt.Sprintf("API server away for %v", returned.Sub(away).Round(time.Second)), func(f load.Failure) string {
		ended := f.Begun.Add(time.Duration(f.After * float64(time.Second)))
		if strings.HasPrefix(f.Server, victim.address+":") && f.Begun.Before(back) && ended.After(killed) && back.Sub(killed) < restartWithin {
			return "of the process that was killed"
		}
		return ""
	})
	eventually(t, "all to be well", patience, func() error {
		_, err := try(t.Context(), "kubectl", "wait", "--for=condition=Ready", "node", "--all", "--timeout=1s")
		return err
	})
	c.settled(t)
}
