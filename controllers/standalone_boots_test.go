// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"

	"github.com/netboot-operator/netboot-operator/api/manifest"
	"github.com/netboot-operator/netboot-operator/api/v1alpha1"
	"github.com/netboot-operator/netboot-operator/pkg/attempt"
	"github.com/netboot-operator/netboot-operator/pkg/index"
	"github.com/netboot-operator/netboot-operator/pkg/ledger"
)

const bootManifests = `
apiVersion: netboot.dev/v1alpha1
kind: BootProfile
metadata: {name: demo, namespace: lab}
spec:
  platforms:
  - architecture: amd64
    kernel: {url: http://192.0.2.1/linux, insecureSkipVerify: true}
---
apiVersion: netboot.dev/v1alpha1
kind: Machine
metadata: {name: n1, namespace: lab}
spec: {macAddresses: ["52:54:00:aa:bb:01"], profileRef: {name: demo}}
`

// A fileLab is a standalone process, with its folders, that can end and start again.
type fileLab struct {
	*lab
	dir       string
	validator *manifest.Validator

	source *Standalone
	boots  *BootReporter
	notes  *notepad
	end    func()
}

func (l *fileLab) restart() {
	l.t.Helper()
	if l.end != nil {
		l.end()
	}
	book, err := ledger.Open(filepath.Join(l.dir, "ledger"))
	if err != nil {
		l.t.Fatal(err)
	}
	l.boots, l.notes = newReporter(l.t, func(o *BootReporterOptions) { o.Ledger, o.Node = book, "this" }), &notepad{}
	l.boots.TellTo(l.notes)
	l.source = &Standalone{
		Dir: filepath.Join(l.dir, "manifests"), StatusDir: filepath.Join(l.dir, "status"), Validator: l.validator, Index: index.New(),
		Boots: l.boots, Log: logr.Discard(),
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(l.t.Context()))
	filled := make(chan struct{})
	var running sync.WaitGroup
	running.Go(func() { _ = l.boots.Run(ctx) })
	running.Go(func() {
		if err := l.source.Run(ctx, func() { close(filled) }); err != nil {
			l.t.Error(err)
		}
	})
	l.end = sync.OnceFunc(func() {
		cancel()
		running.Wait()
		if err := book.Close(); err != nil {
			l.t.Error(err)
		}
	})
	l.t.Cleanup(l.end)
	<-filled
}

// get asks the HTTP API for an object.
func (l *fileLab) get(path string, o any) {
	l.t.Helper()
	w := httptest.NewRecorder()
	l.source.ServeHTTP(w, httptest.NewRequestWithContext(l.t.Context(), http.MethodGet, APIPrefix+path, nil))
	if err := json.Unmarshal(w.Body.Bytes(), o); err != nil {
		l.t.Fatal(err)
	}
}

func (l *fileLab) becomes(want string) *v1alpha1.Machine {
	l.t.Helper()
	m := &v1alpha1.Machine{}
	l.eventually(func() string {
		*m = v1alpha1.Machine{}
		l.get("namespaces/lab/machines/n1", m)
		return cmp.Diff(want, story(m))
	})
	return m
}

// TestStandaloneTellsBoots follows a boot from files to files, over restarts and a folder that can't be written.
func TestStandaloneTellsBoots(t *testing.T) {
	l := &fileLab{lab: &lab{t: t}, dir: t.TempDir()}
	var err error
	if l.validator, err = manifest.NewValidator(); err != nil {
		t.Fatal(err)
	}
	manifests := filepath.Join(l.dir, "manifests")
	if err := os.Mkdir(manifests, 0o750); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(manifests, "all.yaml"), []byte(bootManifests), 0o600); err != nil {
		t.Fatal(err)
	}
	l.restart()
	l.becomes("- | True Armed, Unknown NotBooted")
	l.boots.Changed(atStage(0, attempt.StageKernel))
	l.becomes("Kernel 1 Netboot, 4 steps, this | 1, \"\" | True Armed, False NotCompleted")

	l.restart()
	m := l.becomes("Kernel 1 Netboot, 4 steps, this | 1, \"\" | True Armed, False NotCompleted")
	if got := l.source.Index.Machine("lab/n1").Boots; got != 1 {
		t.Errorf("after a restart %d boots are counted, want 1", got)
	}
	l.eventually(func() string {
		if got := l.notes.learned("lab/n1"); got.Stage != attempt.StageKernel {
			return "what an earlier process served is not learned"
		}
		return ""
	})
	before := condition(m, v1alpha1.ConditionAccepted).LastTransitionTime

	// Its status can't be written, and the process ends: the ledger knows.
	status := filepath.Join(l.dir, "status")
	if err := os.Rename(status, status+".away"); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(status, nil, 0o600); err != nil { // a file where a folder must be
		t.Fatal(err)
	}
	if err := l.boots.options.Ledger.Complete(ledger.Boot{Machine: "lab/n1", BootID: "1"}, "Callback", bootTime().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	l.boots.Changed(atStage(0, attempt.StageDone))
	l.eventually(func() string {
		if l.boots.queue.len() == 0 {
			return "nothing waits"
		}
		return ""
	})
	l.end()
	if err := os.Remove(status); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(status+".away", status); err != nil {
		t.Fatal(err)
	}
	l.restart()
	m = l.becomes("Done 1 Netboot, 4 steps, this | 0, \"1\" | False Completed, True CompletedByCallback")
	if after := condition(m, v1alpha1.ConditionAccepted).LastTransitionTime; !after.Equal(&before) {
		t.Errorf("Accepted changed at %v, and then at %v", before, after)
	}
	if got := l.source.Index.Machine("lab/n1").Action; got != index.BootLocal {
		t.Errorf("a machine that is done would %s", got)
	}
	l.eventually(func() string {
		var p v1alpha1.BootProfile
		l.get("namespaces/lab/bootprofiles/demo", &p)
		return cmp.Diff(&v1alpha1.MachineCounts{Total: 1, Booted: 1}, p.Status.Machines)
	})

	// And without the ledger, too.
	l.end()
	if err := os.RemoveAll(filepath.Join(l.dir, "ledger")); err != nil {
		t.Fatal(err)
	}
	l.restart()
	l.becomes("Done 1 Netboot, 4 steps, this | 0, \"1\" | False Completed, True CompletedByCallback")
	text, err := os.ReadFile(filepath.Join(status, "machine_lab_n1.yaml"))
	if err != nil || !strings.Contains(string(text), "reason: Completed\n") {
		t.Errorf("the file has %s, %v", text, err)
	}
}
