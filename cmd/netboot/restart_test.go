// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/netboot-operator/netboot-operator/api/v1alpha1"
)

// A home is what outlives a process: its folders.
type home struct{ data, runtime string }

func newHome(t *testing.T) home {
	t.Helper()
	return home{t.TempDir(), t.TempDir()}
}

func (h home) flags() []string { return []string{"--data-dir=" + h.data, "--runtime-dir=" + h.runtime} }

func (h home) objects() string { return filepath.Join(h.data, "snapshot", "objects.json") }
func (h home) secrets() string { return filepath.Join(h.runtime, "secrets.json") }

// kill ends a process as a crash would.
func (s *service) kill() {
	s.t.Helper()
	if err := s.cmd.Process.Kill(); err != nil {
		s.t.Fatal(err)
	}
	s.killed = true
	<-s.read
}

// saved waits until the files of a home hold texts, in any of them.
func (h home) saved(t *testing.T, file string, texts ...string) {
	t.Helper()
	eventually(t, func() string {
		content, err := os.ReadFile(file)
		if err != nil {
			return err.Error()
		}
		for _, text := range texts {
			if !strings.Contains(string(content), text) {
				return fmt.Sprintf("%s holds no %s", filepath.Base(file), text)
			}
		}
		return ""
	})
}

// readyz returns what /readyz says.
func (s *service) readyz() string {
	s.t.Helper()
	status, body := s.getHTTP(s.api, "/readyz")
	return fmt.Sprintf("%d %s", status, body)
}

// exports waits for a line of /metrics.
func (s *service) exports(line string) {
	s.t.Helper()
	eventually(s.t, func() string {
		if _, metrics := s.getHTTP(s.api, "/metrics"); strings.Contains(metrics, line+"\n") {
			return ""
		}
		return "/metrics does not hold " + line
	})
}

// boots returns the problem with what a machine gets; empty: none.
func (s *service) boots(name, want string) string {
	if config, err := s.getTFTP(name); err != nil || !strings.Contains(config, want) {
		return fmt.Sprintf("%s is %q, %v, want %s", name, config, err, want)
	}
	return ""
}

// TestRestartWithoutAPIServer kills netboot while the API server is down and starts it again: all is served as before, also
// what needs a Secret and a token. When the API server is back, what was changed and deleted there is, and a machine that
// stays is known all the time.
func TestRestartWithoutAPIServer(t *testing.T) {
	c, h := newCluster(t), newHome(t)
	objects := secretObjects(c.namespace, upstream(t, contents("a kernel")))
	c.create(objects...)
	flags := append(c.flags(), h.flags()...)
	s := start(t, flags...)
	path := "/artifacts/sha256/" + digest("a kernel") + "/vmlinuz"
	if status, body := s.getHTTP(s.http, path); status != http.StatusOK {
		t.Fatalf("GET %s is %d %q", path, status, body)
	}
	h.saved(t, h.objects(), "node-01", "node-02", "linux", "vendor")
	h.saved(t, h.secrets(), "installer", "mirror", "tokenKeys")
	ks, seed := s.urls(name1)
	content, err := os.ReadFile(h.objects())
	if err != nil {
		t.Fatal(err)
	}
	checkSilence(t, map[string]string{h.objects(): string(content)})
	for _, file := range []string{h.objects(), h.secrets()} {
		if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v, %v, want 0600", file, info.Mode(), err)
		}
	}

	startAPIServer := server.StopAPIServer(t)
	s.kill()
	began := time.Now()
	s = start(t, flags...)
	t.Logf("serving %v after the start, the API server refuses connections", time.Since(began).Round(time.Millisecond))
	if got := s.readyz(); !strings.Contains(got, "200 ok: serving from the snapshot of 20") || !strings.Contains(got, "API server unreachable") {
		t.Errorf("/readyz is %q", got)
	}
	s.exports("netboot_serving_from_snapshot 1")
	if status, body := s.getHTTP(s.http, path); status != http.StatusOK || body != "a kernel" {
		t.Errorf("GET %s is %d %q", path, status, body)
	}
	for path, want := range map[string]string{ks: secretPassword, seed + "user-data": secretUserData, seed + "vendor-data": "from: linux"} {
		if status, body := s.getHTTP(s.http, path); status != http.StatusOK || !strings.Contains(body, want) {
			t.Errorf("GET %s with a token from before is %d %q", path, status, body)
		}
	}
	if problem := s.boots(name2, "inst.ks="); problem != "" {
		t.Error(problem)
	}

	known := watchMachine(t, s, name1) // from here on, through the return of the API server
	startAPIServer()
	back := time.Now()
	c.kubectl("patch", "bootprofile", "linux", "--type=merge", "-p", `{"spec":{"kernelArgs":["after"]}}`)
	c.kubectl("delete", "machine", "node-02")
	eventually(t, func() string { return s.boots(name1, "APPEND after ") })
	eventually(t, func() string {
		if config, err := s.getTFTP(name2); err == nil {
			return fmt.Sprintf("a deleted machine gets %q", config)
		}
		return ""
	})
	t.Logf("edit and deletion are served %v after the API server was back", time.Since(back).Round(time.Millisecond))
	s.exports("netboot_serving_from_snapshot 0")
	if got := s.readyz(); got != "200 ok\n" {
		t.Errorf("/readyz is %q", got)
	}
	for _, line := range []string{`msg="Serving from the snapshot; API server unreachable"`, `msg="Serving what the API server says again"`} {
		if n := strings.Count(s.logged(), line); n != 1 {
			t.Errorf("the log has %d lines with %s, want 1", n, line)
		}
	}
	if n := known(); n < 10 {
		t.Errorf("the machine was asked for %d times only", n)
	}
	c.condition(machineOf(c.namespace, "node-01", mac1), v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonReady)
}

// watchMachine asks for a machine's configuration again and again. The function that it returns ends that, and returns how
// often an answer came; the test fails at the first time none did.
func watchMachine(t *testing.T, s *service, name string) func() int {
	t.Helper()
	stop, ended := make(chan struct{}), make(chan int)
	go func() {
		for n := 0; ; n++ {
			select {
			case <-stop:
				ended <- n
				return
			default:
			}
			if _, err := s.getTFTP(name); err != nil {
				t.Errorf("request %d for %s: %v", n, name, err)
				ended <- n
				return
			}
		}
	}()
	end := sync.OnceValue(func() int { close(stop); return <-ended })
	t.Cleanup(func() { end() }) // where the test has failed before
	return end
}

// TestRestartAfterADeletion deletes objects while netboot is down and the API server is, as seen from it, too.
func TestRestartAfterADeletion(t *testing.T) {
	t.Parallel()
	c, h := newCluster(t), newHome(t)
	c.create(profileOf(c.namespace, upstream(t, contents("a kernel")), digest("a kernel")),
		machineOf(c.namespace, "node-01", mac1), machineOf(c.namespace, "node-02", "52:54:00:aa:bb:02"))
	way := c.throughCable()
	flags := append(c.flags(), h.flags()...)
	s := start(t, flags...)
	h.saved(t, h.objects(), "node-01", "node-02")
	s.kill()
	way.set(true)
	c.kubectl("delete", "machine", "node-02")
	c.create(machineOf(c.namespace, "node-03", "52:54:00:aa:bb:03"))
	s = start(t, append(flags, "--snapshot-after=100ms")...) // the cable does not refuse: it is cut, and that is waited for
	if problem := s.boots(name2, "quiet"); problem != "" {
		t.Errorf("from the snapshot, %s", problem)
	}
	way.set(false)
	eventually(t, func() string { return s.boots("pxelinux.cfg/01-52-54-00-aa-bb-03", "quiet") })
	eventually(t, func() string {
		if config, err := s.getTFTP(name2); err == nil {
			return fmt.Sprintf("a machine that was deleted meanwhile gets %q", config)
		}
		return ""
	})
}

// TestSnapshotThatCannotBeUsed spoils the files in turn: each start says what is wrong, and waits for the API server where there
// is nothing to serve from.
func TestSnapshotThatCannotBeUsed(t *testing.T) {
	t.Parallel()
	c, h := newCluster(t), newHome(t)
	c.create(secretObjects(c.namespace, upstream(t, contents("a kernel")))...)
	way := c.throughCable()
	flags := append(c.flags(), h.flags()...)
	s := start(t, flags...)
	h.saved(t, h.objects(), "node-01", "node-02", "linux", "vendor")
	h.saved(t, h.secrets(), "installer", "mirror", "tokenKeys")
	ks, _ := s.urls(name1)
	s.kill()
	way.set(true)
	objects, secrets := readFile(t, h.objects()), readFile(t, h.secrets())
	for name, tc := range map[string]struct {
		objects, secrets string // empty: there is none
		flags            []string
		wantLog          string
		wantServed       bool
		wantConfig       int
	}{
		"no snapshot":       {secrets: secrets, wantLog: "There is no snapshot yet"},
		"cut":               {objects: objects[:len(objects)/2], secrets: secrets, wantLog: "damaged: its checksum"},
		"one byte changed":  {objects: strings.Replace(objects, "node-01", "node-07", 1), secrets: secrets, wantLog: "damaged: its checksum"},
		"nothing of ours":   {objects: "hello\n", secrets: secrets, wantLog: "damaged: it does not begin as a snapshot does"},
		"of a later format": {objects: strings.Replace(objects, "snapshot 1 ", "snapshot 2 ", 1), secrets: secrets, wantLog: "of another version"},
		"of another namespace": {
			objects: objects, secrets: secrets, flags: []string{"--namespace=other"}, wantLog: "of others",
		},
		"secrets damaged": {
			objects: objects, secrets: secrets[:len(secrets)-9], wantLog: "file=secrets.json reason=\"damaged", wantServed: true,
			wantConfig: http.StatusServiceUnavailable,
		},
		"secrets gone, as after a restart of the node": {
			objects: objects, wantLog: "secretsNotKept=2", wantServed: true, wantConfig: http.StatusServiceUnavailable,
		},
		"all there": {objects: objects, secrets: secrets, wantLog: "secretsNotKept=0", wantServed: true, wantConfig: http.StatusOK},
	} {
		t.Run(name, func(t *testing.T) {
			replace(t, h.objects(), tc.objects)
			replace(t, h.secrets(), tc.secrets)
			s := launch(t, append(append(flags, "--snapshot-after=100ms"), tc.flags...)...)
			eventually(t, func() string {
				if !strings.Contains(s.logged(), tc.wantLog) {
					return "the log does not hold " + tc.wantLog
				}
				return ""
			})
			if !tc.wantServed {
				if strings.Contains(s.logged(), "Serving TFTP") {
					t.Error("it serves")
				}
				return
			}
			s.waitUntilItServes()
			if problem := s.boots(name1, ""); problem != "" && tc.wantConfig == http.StatusOK {
				t.Error(problem)
			}
			if status, body := s.getHTTP(s.http, ks); status != tc.wantConfig {
				t.Errorf("GET %s is %d %q, want %d", ks, status, body, tc.wantConfig)
			}
		})
	}
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// replace writes a file, or removes it when there is no content.
func replace(t *testing.T, path, content string) {
	t.Helper()
	if err := os.RemoveAll(path); err != nil {
		t.Fatal(err)
	}
	if content != "" {
		writeFile(t, path, content)
	}
}

// TestEtcdRestoredFromABackup restores what the API server stores to what it was before an edit, a deletion and new objects: with
// revisions beyond all before, as etcd's documentation has it, and with those of the backup.
func TestEtcdRestoredFromABackup(t *testing.T) {
	c := newCluster(t)
	profile := profileOf(c.namespace, upstream(t, contents("a kernel")), digest("a kernel"))
	c.create(profile, machineOf(c.namespace, "node-01", mac1), machineOf(c.namespace, "node-02", "52:54:00:aa:bb:02"))
	backup := server.Backup(t)
	s := c.serve()
	for _, bump := range []int{1000, 0} {
		eventually(t, func() string { return s.boots(name1, "APPEND quiet ") })
		c.kubectl("patch", "bootprofile", "linux", "--type=merge", "-p", `{"spec":{"kernelArgs":["lost"]}}`)
		c.kubectl("delete", "machine", "node-02")
		eventually(t, func() string { return s.boots(name1, "APPEND lost ") })
		for j := range 50 { // so that revisions go back by many
			c.create(machineOf(c.namespace, fmt.Sprintf("lost-%02d", j), fmt.Sprintf("52:54:00:aa:cc:%02x", j)))
		}
		known := watchMachine(t, s, name1)
		server.Restore(t, backup, bump)
		began := time.Now()
		eventually(t, func() string { return s.boots(name1, "APPEND quiet ") })
		eventually(t, func() string { return s.boots(name2, "quiet") })
		t.Logf("revisions raised by %d: the backup is served %v after the API server was back", bump, time.Since(began).Round(time.Millisecond))
		eventually(t, func() string {
			// With higher revisions and an outage between two renewals, the watches that go on find out by themselves.
			if bump == 0 && !strings.Contains(s.logged(), `reason="caches may be old`) {
				return "the log does not tell that all is looked at anew"
			}
			return ""
		})
		if n := known(); n < 10 {
			t.Errorf("the machine was asked for %d times only", n)
		}
	}
	c.kubectl("patch", "bootprofile", "linux", "--type=merge", "-p", `{"spec":{"kernelArgs":["after"]}}`)
	eventually(t, func() string { return s.boots(name1, "APPEND after ") })
	c.condition(profile, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonReady)
}
