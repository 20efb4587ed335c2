// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/netboot-operator/netboot-operator/api/v1alpha1"
	"github.com/netboot-operator/netboot-operator/test/lab"
)

// What the console of a machine shows, in order.
const (
	installerEnds = "NETBOOT-ENDS [reboot]"
	diskBoots     = lab.DiskBoots
)

// An installer that calls back boots once. The same machine then starts again, from the network as always, and is sent to
// its own disk.
func TestOnceInstallerCompletes(t *testing.T) {
	t.Parallel()
	l := newSite(t)
	l.serveInstaller(t, `"post={{ .CompleteURL }}"`)
	l.DHCP(t, "pxelinux.0", "pxelinux.0")
	l.checkBoots(t, installerEnds, diskBoots)
	l.checkArmed(t, "Completed", 0)
}

// An installer that never calls back boots three times, and then the machine is held at its disk.
func TestOnceHeldAfterThreeBoots(t *testing.T) {
	t.Parallel()
	l := newSite(t)
	l.serveInstaller(t, `"url={{ .CompleteURL }}"`)
	l.DHCP(t, "pxelinux.0", "pxelinux.0")
	l.checkBoots(t, installerEnds, installerEnds, installerEnds, diskBoots)
	l.checkArmed(t, "HeldBootLoop", 3)
}

// serveInstaller starts the server under test with testdata/installer.yaml, for an installer with further arguments.
func (l *site) serveInstaller(t *testing.T, words string) {
	t.Helper()
	files := filepath.Join(lab.Assets(t), "files")
	l.startUpstream(t, files)
	template, err := os.ReadFile("testdata/installer.yaml")
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]string{
		"UPSTREAM":         l.upstream.URL,
		"KERNEL_SHA256":    digest(t, filepath.Join(files, "vmlinuz")),
		"INSTALLER_SHA256": digest(t, filepath.Join(files, "installer.img")),
		"WORDS":            words,
	}
	folder := t.TempDir()
	text := os.Expand(string(template), func(name string) string { return values[name] })
	if err := os.WriteFile(filepath.Join(folder, "objects.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	l.Serve(t, "", "--manifests", folder)
}

// checkBoots lets a machine with a disk boot until its disk turns it off, and compares what its console showed.
func (l *site) checkBoots(t *testing.T, want ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), bootDeadline)
	defer cancel()
	<-l.Boot(ctx, t, lab.SeaBIOS(), "-drive", "if=none,id=disk,format=raw,file="+lab.Disk(t), "-device", "virtio-blk-pci,drive=disk,bootindex=2")
	var got []string
	for line := range strings.Lines(l.Console(t)) {
		for _, mark := range []string{installerEnds, diskBoots} {
			if strings.Contains(line, mark) {
				got = append(got, mark)
			}
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("boots of the machine (-want +got):\n%s", diff)
	}
}

// checkArmed compares the condition NetbootArmed of the Machine, which must be False, and the boots that are counted.
func (l *site) checkArmed(t *testing.T, wantReason string, wantBoots int32) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet,
		"http://127.0.0.1:8081/apis/netboot.dev/v1alpha1/namespaces/default/machines/node-01", nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := l.Client().Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }() // it was only read
	var m v1alpha1.Machine
	if err := json.NewDecoder(response.Body).Decode(&m); err != nil {
		t.Fatal(err)
	}
	type armed struct {
		Status metav1.ConditionStatus
		Reason string
		Boots  int32
	}
	got := armed{Boots: m.Status.BootsSinceCompletion}
	for _, c := range m.Status.Conditions {
		if c.Type == "NetbootArmed" {
			got.Status, got.Reason = c.Status, c.Reason
		}
	}
	if diff := cmp.Diff(armed{metav1.ConditionFalse, wantReason, wantBoots}, got); diff != "" {
		t.Errorf("condition NetbootArmed (-want +got):\n%s", diff)
	}
}
