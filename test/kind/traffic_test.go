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

// A size is how much the load fetches, and how long an API server is away.
type size struct {
	tftp, http         int // bytes of a file
	tftpTime, httpTime time.Duration
	away               time.Duration
}

func sizes() size {
	if *full {
		return size{tftp: 4 << 20, http: 64 << 20, tftpTime: 60 * time.Second, httpTime: 90 * time.Second, away: 5 * time.Minute}
	}
	return size{tftp: 256 << 10, http: 8 << 20, tftpTime: 8 * time.Second, httpTime: 15 * time.Second, away: 45 * time.Second}
}

// A traffic is a load that is on.
type traffic struct {
	stop   context.CancelFunc
	ended  chan struct{}
	report *load.Report
	err    error
}

// load puts 200 TFTP clients and 50 HTTP clients on the nodes, until stopped.
func (c *cluster) load(t *testing.T) *traffic {
	t.Helper()
	apply(t, fmt.Sprintf(`
apiVersion: netboot.dev/v1alpha1
kind: BootProfile
metadata: {name: load, namespace: default}
spec:
  platforms:
  - architecture: amd64
    kernel: {url: %[1]s/tftp.bin, sha256: %[2]s}
    initrds: [{url: %[1]s/http.bin, sha256: %[3]s}]
`, c.upstream.url, c.upstream.digest("/tftp.bin"), c.upstream.digest("/http.bin")))
	run(t, "kubectl", "wait", "--for=condition=ArtifactsReady", "--timeout=300s", "bootprofile/load")
	config := load.Config{
		TFTPClients: 200, TFTPTime: sizes().tftpTime, TFTPContent: c.upstream.files["/tftp.bin"],
		TFTPName:    "artifacts/sha256/" + c.upstream.digest("/tftp.bin") + "/tftp.bin",
		HTTPClients: 50, HTTPTime: sizes().httpTime, HTTPContent: c.upstream.files["/http.bin"],
		HTTPPath:  "/artifacts/sha256/" + c.upstream.digest("/http.bin") + "/http.bin",
		ProbeName: "pxelinux.cfg/01-52-54-00-12-34-56", ProbePath: "/pxelinux.cfg/01-52-54-00-12-34-56",
		ProbeEvery: 20 * time.Millisecond, Duration: time.Hour,
	}
	for _, n := range c.workers {
		config.TFTP, config.HTTP = append(config.TFTP, n.address+":69"), append(config.HTTP, n.address+":8080")
	}
	ctx, cancel := context.WithCancel(t.Context())
	l := &traffic{stop: cancel, ended: make(chan struct{})}
	go func() {
		defer close(l.ended)
		l.report, l.err = load.Run(ctx, config)
	}()
	t.Cleanup(func() {
		cancel()
		<-l.ended
	})
	select { // until all clients are under way
	case <-time.After(max(sizes().tftpTime, sizes().httpTime)):
	case <-l.ended:
	}
	return l
}

// finish lets the transfers that are under way come to their end, and prints how the load went. A failure that explain has
// an explanation for does not fail the test; it is counted and printed.
func (l *traffic) finish(t *testing.T, name string, explain func(load.Failure) string) {
	t.Helper()
	l.stop()
	<-l.ended
	if l.err != nil {
		t.Fatalf("load: %v", l.err)
	}
	r := l.report
	var text strings.Builder
	r.WriteText(&text)
	explained, rest := map[string]int{}, r.Failed() // the report does not name all, if there are very many: those are not explained
	for _, failure := range r.Failures {
		if reason := explain(failure); reason != "" {
			explained[reason]++
			rest--
		}
	}
	if rest > 0 {
		t.Errorf("%d transfers and probes failed without an explanation", rest)
	}
	t.Logf("%s: failed transfers: %d; explained: %v; longest time without an answer to a new RRQ: %.0f ms\n%s",
		name, r.Failed(), explained, r.TFTPProbes.LongestAnswerMillis, text.String())
	if r.TFTP.Complete < 200 || r.HTTP.Complete < 50 {
		t.Errorf("%d TFTP and %d HTTP transfers were complete: less than one for each client", r.TFTP.Complete, r.HTTP.Complete)
	}
}

func nothing(load.Failure) string { return "" }

// upgrade changes the pods' template, and the load must not notice.
func (c *cluster) upgrade(t *testing.T) {
	t.Helper()
	before := c.pods(t)
	l := c.load(t)
	c.measure(t, "under load")
	c.enter(t, "Upgrade") // changes nothing: it is the same version
	out := run(t, "bash", "-c", "cd "+root+" && helm upgrade netboot-operator charts/netboot-operator --namespace "+namespace+
		" --reuse-values --set podAnnotations.upgraded=yes --wait --timeout 10m")
	t.Logf("%s", out)
	run(t, "kubectl", "-n", namespace, "rollout", "status", "daemonset/netboot-operator", "--timeout=10m")
	c.settled(t)
	for name, pod := range c.pods(t) {
		if pod == before[name] {
			t.Errorf("node %s still has the pod %s", name, pod)
		}
	}
	l.finish(t, "rolling upgrade", nothing)
}

// settled waits until the pods that were told to end have ended, and one on each node is left.
func (c *cluster) settled(t *testing.T) {
	t.Helper()
	eventually(t, "one pod on each node", 10*time.Minute, func() error {
		const columns = `{range .items[*]}{.metadata.name} {.status.containerStatuses[0].ready}{"\n"}{end}`
		out := run(t, "kubectl", "get", "pods", "-n", namespace, "-o", "jsonpath="+columns)
		if strings.Count(out+"\n", "\n") != len(c.workers) || strings.Contains(out, "false") {
			return errors.New(out)
		}
		return nil
	})
}

// drain empties a node, as one does before work on it. The pods of a DaemonSet stay: machines go on booting from there.
func (c *cluster) drain(t *testing.T) {
	t.Helper()
	l := c.load(t)
	name := c.workers[0].name
	t.Logf("%s", run(t, "kubectl", "drain", name, "--ignore-daemonsets", "--delete-emptydir-data", "--timeout=5m"))
	run(t, "kubectl", "uncordon", name)
	l.finish(t, "drain of "+name, nothing)
}
