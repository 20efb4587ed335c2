// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"flag"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/go-logr/logr"

	"github.com/netboot-operator/netboot-operator/test/load"
)

var fullUpgrade = flag.Bool("full-upgrade", false, "TestUpgradeUnderLoad with 64 MiB for each client") //nolint:gochecknoglobals // a flag of the test binary

// A node is where pods follow each other: they have the same addresses.
type node struct {
	t                   *testing.T
	tftp, http, metrics string
	args                []string
	content             []byte
}

// newNode returns one whose pods serve a file of the given size.
func newNode(t *testing.T, size int, args ...string) *node {
	t.Helper()
	n := &node{t: t, tftp: freeAddress(t), http: freeAddress(t), metrics: freeAddress(t), content: make([]byte, size)}
	_, _ = rand.NewChaCha8([32]byte{}).Read(n.content)
	files := t.TempDir()
	writeFile(t, filepath.Join(files, "large.img"), string(n.content))
	writeFile(t, filepath.Join(files, "small.img"), "small")
	dir := manifests(t, map[string]string{"profile.yaml": `
apiVersion: netboot.dev/v1alpha1
kind: BootProfile
metadata: {name: p}
spec:
  platforms:
  - architecture: amd64
    kernel: {url: "file:///small.img", insecureSkipVerify: true}
  files:
  - {path: large.img, url: "file:///large.img", insecureSkipVerify: true}
  - {path: small.img, url: "file:///small.img", insecureSkipVerify: true}
`})
	n.args = append([]string{
		"serve", "--manifests=" + dir, "--files-dir=" + files, "--tftp-bind-address=" + n.tftp, "--http-bind-address=" + n.http,
		"--metrics-bind-address=" + n.metrics, "--shutdown-grace=30m",
	}, args...)
	return n
}

// freeAddress returns one that nobody has by TCP or UDP.
func freeAddress(t *testing.T) string {
	t.Helper()
	for range 100 {
		l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		address := l.Addr().String()
		c, err := new(net.ListenConfig).ListenPacket(t.Context(), "udp", address)
		_ = l.Close() // nothing was sent
		if err == nil {
			_ = c.Close() // nothing was sent
			return address
		}
	}
	t.Fatal("no free port")
	return ""
}

// A pod is a netboot serve with a runtime folder of its own.
type pod struct {
	t   *testing.T
	cmd *exec.Cmd
	dir string
	log strings.Builder
	end func() error // waits until it has ended
}

// start starts the next pod.
func (n *node) start() *pod {
	n.t.Helper()
	p := &pod{t: n.t, dir: n.t.TempDir()}
	p.cmd = command(n.t, append(slices.Clip(n.args), "--runtime-dir="+p.dir, "--data-dir="+n.t.TempDir())...)
	p.cmd.Stderr = &p.log
	if err := p.cmd.Start(); err != nil {
		n.t.Fatal(err)
	}
	p.end = sync.OnceValue(p.cmd.Wait)
	n.t.Cleanup(func() {
		p.signal(syscall.SIGKILL) // it should have ended
		_ = p.end()
		if n.t.Failed() {
			n.t.Logf("log of the pod with %s:\n%s", p.dir, lastLines(p.log.String(), 40))
		}
	})
	return p
}

func lastLines(text string, n int) string {
	lines := strings.Split(text, "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

// startReady starts the next pod and waits until it is ready.
func (n *node) startReady() *pod {
	n.t.Helper()
	p := n.start()
	p.waitUntilReady()
	return p
}

func (p *pod) waitUntilReady() {
	p.t.Helper()
	eventually(p.t, func() string {
		if out, stderr, code := netboot(p.t, "check", "ready", "--runtime-dir="+p.dir); code != 0 {
			return out + stderr
		}
		return ""
	})
}

func (p *pod) signal(s os.Signal) {
	if err := p.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		p.t.Error(err)
	}
}

// stop drains the pod and waits for its end.
func (p *pod) stop() {
	p.t.Helper()
	p.signal(syscall.SIGTERM)
	if err := p.end(); err != nil {
		p.t.Errorf("a pod that drained ended with %v", err)
	}
}

// load is what the clients do, given how many there are and how long a transfer takes.
func (n *node) load(tftp, http int, takes time.Duration) load.Config {
	return load.Config{
		TFTP: []string{n.tftp}, HTTP: []string{n.http}, TFTPClients: tftp, HTTPClients: http,
		TFTPName: "default/p/large.img", HTTPPath: "/default/p/large.img", TFTPContent: n.content, HTTPContent: n.content,
		TFTPTime: takes, HTTPTime: takes, ProbeName: "default/p/small.img", ProbePath: "/default/p/small.img", Duration: time.Hour,
	}
}

// under puts a load on the node: transfers begin as long as f runs. Nothing may fail.
func (n *node) under(c load.Config, f func()) {
	n.t.Helper()
	var report *load.Report
	var err error
	ctx, cancel := context.WithCancel(n.t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		report, err = load.Run(ctx, c)
	}()
	f()
	cancel()
	<-ended
	if err != nil {
		n.t.Fatal(err)
	}
	var text strings.Builder
	report.WriteText(&text)
	n.t.Log(text.String())
	if report.Failed() > 0 {
		n.t.Errorf("%d transfers or probes failed", report.Failed())
	}
	if report.TFTP.Complete < c.TFTPClients || report.HTTP.Complete < c.HTTPClients ||
		c.ProbeName != "" && report.TFTPProbes.Answered == 0 {
		n.t.Errorf("%d TFTP and %d HTTP transfers, %d probes: too few to prove anything",
			report.TFTP.Complete, report.HTTP.Complete, report.TFTPProbes.Answered)
	}
}

// goOn lets the clients go on for a while.
func goOn(d time.Duration) { <-time.After(d) }

// TestUpgradeUnderLoad replaces a pod again and again, as a DaemonSet with maxSurge does, while clients fetch a large file
// slowly. Not one of them may notice.
func TestUpgradeUnderLoad(t *testing.T) {
	size, takes := 256<<10, 2*time.Second
	if *fullUpgrade {
		size, takes = 64<<20, 90*time.Second
	}
	for name, tc := range map[string]struct {
		flags                []string
		tftp, http, upgrades int
	}{
		"one port":                 {tftp: 200, http: 50, upgrades: 3},
		"several sockets":          {[]string{"--tftp-shards=3"}, 40, 10, 2},
		"a port for each transfer": {[]string{"--tftp-ports=ephemeral"}, 40, 10, 1},
		"a port out of a range":    {[]string{"--tftp-ports=20000-20999"}, 40, 10, 1},
	} {
		t.Run(name, func(t *testing.T) {
			allowDescriptors(t, 4000)
			n := newNode(t, size, tc.flags...)
			old := n.startReady()
			n.under(n.load(tc.tftp, tc.http, takes), func() {
				for range tc.upgrades {
					goOn(takes / 2)
					next := n.startReady()
					old.stop()
					old = next
				}
				goOn(takes / 2)
			})
			old.stop()
		})
	}
}

// TestCrashInTheSurge kills the new pod while the old one serves, and then the old one while it drains with nothing to do.
func TestCrashInTheSurge(t *testing.T) {
	n := newNode(t, 256<<10)
	old := n.startReady()
	c := n.load(60, 20, 4*time.Second)
	c.Duration = time.Second          // transfers begin before the new pod is there only
	c.ProbeName, c.ProbePath = "", "" // of those that reach the new pod, some are lost with it
	n.under(c, func() {
		goOn(1200 * time.Millisecond)
		next := n.startReady()
		next.signal(syscall.SIGKILL)
		if err := next.end(); err == nil {
			t.Error("the new pod ended by itself")
		}
	})
	// The next surge finds the old one as if nothing had been, and serves alone after a kill of that.
	next := n.startReady()
	old.signal(syscall.SIGKILL)
	if err := old.end(); err == nil {
		t.Error("the old pod ended by itself")
	}
	n.under(c, func() { goOn(c.Duration) })
	next.stop()
}

// TestThreePodsAtOnce has two new pods beside the old one; then all but one drain at the same time.
func TestThreePodsAtOnce(t *testing.T) {
	n := newNode(t, 256<<10)
	a := n.startReady()
	var c *pod
	n.under(n.load(60, 20, 2*time.Second), func() {
		goOn(time.Second)
		b := n.startReady()
		c = n.startReady()
		goOn(time.Second)
		a.signal(syscall.SIGTERM)
		b.stop()
		a.stop()
	})
	c.stop()
}

// TestMetricsAddressIsTakenOver holds that a pod serves without its metrics address, and gets it when the old pod has ended.
func TestMetricsAddressIsTakenOver(t *testing.T) {
	n := newNode(t, 1)
	old := n.startReady()
	next := n.startReady()
	old.stop()
	s := &service{t: t}
	eventually(t, func() string {
		c, err := net.Dial("tcp", n.metrics) //nolint:noctx // it is refused or there at once
		if err != nil {
			return err.Error()
		}
		_ = c.Close() // nothing was asked
		return ""
	})
	if status, body := s.getHTTP(n.metrics, "/readyz"); status != 200 {
		t.Errorf("/readyz says %d %q", status, body)
	}
	next.stop()
	if log := next.log.String(); strings.Count(log, "Another process has the metrics address") != 1 {
		t.Errorf("the log tells of the metrics address not once:\n%s", log)
	}
}

func TestCheck(t *testing.T) {
	n := newNode(t, 1)
	p := n.startReady()
	for name, tc := range map[string]struct {
		args     []string
		wantCode int
		wantOut  string
		wantErr  string
	}{
		"ready":              {args: []string{"ready", "--runtime-dir=" + p.dir}, wantOut: "ok\n"},
		"live":               {args: []string{"live", "--runtime-dir=" + p.dir}, wantOut: "ok\n"},
		"nobody there":       {args: []string{"ready", "--runtime-dir=" + t.TempDir()}, wantCode: exitFailed, wantErr: "no netboot serve runs"},
		"no folder":          {args: []string{"ready"}, wantCode: exitUsage, wantErr: "--runtime-dir is not set"},
		"no question":        {args: []string{"--runtime-dir=" + p.dir}, wantCode: exitUsage, wantErr: "ready or live"},
		"another question":   {args: []string{"steady", "--runtime-dir=" + p.dir}, wantCode: exitUsage, wantErr: "ready or live"},
		"too many at a time": {args: []string{"ready", "live", "--runtime-dir=" + p.dir}, wantCode: exitUsage, wantErr: "ready or live"},
	} {
		t.Run(name, func(t *testing.T) {
			out, stderr, code := netboot(t, append([]string{"check"}, tc.args...)...)
			if code != tc.wantCode || out != tc.wantOut || !strings.Contains(stderr, tc.wantErr) {
				t.Errorf("exit code %d, %q, %q; want %d, %q, and %q in it", code, out, stderr, tc.wantCode, tc.wantOut, tc.wantErr)
			}
		})
	}
	socket := filepath.Join(p.dir, healthSocket)
	if info, err := os.Stat(socket); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode of the socket: %v, %v; want 0600", info.Mode(), err)
	}

	// A second process with the same folder is refused; after a kill, it replaces the socket.
	again := func() *exec.Cmd {
		return command(t, append(n.args, "--runtime-dir="+p.dir, "--data-dir="+t.TempDir())...)
	}
	if out, err := again().CombinedOutput(); err == nil || !strings.Contains(string(out), "another process uses it") {
		t.Errorf("a second process: %v, %s", err, out)
	}
	p.signal(syscall.SIGKILL)
	_ = p.end() // killed
	cmd := again()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p.waitUntilReady()
	if err := errors.Join(cmd.Process.Signal(syscall.SIGTERM), cmd.Wait()); err != nil {
		t.Errorf("the second process: %v", err)
	}
	if _, err := os.Stat(socket); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket is still there: %v", err)
	}
}

// TestStopBesideASocketLeftBehind stops a process in its first moments, where one before it was killed: that is no failure.
func TestStopBesideASocketLeftBehind(t *testing.T) {
	dir := t.TempDir()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(dir, healthSocket), Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	stop()
	o := &serveOptions{runtimeDir: dir, metricsAddress: "127.0.0.1:0"}
	err = besideMetrics(ctx, o, logr.Discard(), &servers{options: o}, nil, func(context.Context) error { return nil })
	if err != nil {
		t.Error(err)
	}
}
