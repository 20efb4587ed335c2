// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"net/http"
	"os/exec"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/netboot-operator/netboot-operator/api/v1alpha1"
)

// onSmallDisk gives a process a disk of one MiB at dir, which nobody else sees.
func onSmallDisk(t *testing.T, dir string) func(*exec.Cmd) {
	t.Helper()
	unshare, err := exec.LookPath("unshare")
	if err != nil {
		t.Fatal(err)
	}
	return func(cmd *exec.Cmd) {
		cmd.Args = append([]string{
			unshare, "--map-root-user", "--mount", "sh", "-c", `mount -t tmpfs -o size=1m tmpfs "$0" && exec "$@"`, dir, cmd.Path,
		}, cmd.Args[1:]...)
		cmd.Path = unshare
	}
}

// TestDiskFull has a cache that holds one artifact and has no room for the other: that is told, and the first is served. When
// the other becomes smaller, it is fetched without anybody's hand.
func TestDiskFull(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	small, large := "a kernel", strings.Repeat("too much ", 256<<10)
	fits, fitsNot := profileOf(c.namespace, upstream(t, contents(small)), digest(small)), profileOf(c.namespace, upstream(t, contents(large)), digest(large))
	fitsNot.Name = "large"
	c.create(fits)
	data := t.TempDir()
	s := launchAs(t, onSmallDisk(t, data), append(c.flags(), "--data-dir="+data)...)
	s.waitUntilItServes()
	c.condition(fits, v1alpha1.ConditionArtifactsReady, metav1.ConditionTrue, v1alpha1.ReasonFetched)

	c.create(fitsNot)
	message := c.condition(fitsNot, v1alpha1.ConditionArtifactsReady, metav1.ConditionFalse, v1alpha1.ReasonStorageFailed)
	for _, want := range []string{"spec.platforms[0].kernel", "http://", "no space left on device"} {
		if !strings.Contains(message, want) {
			t.Errorf("the condition's message is %q, want %q in it", message, want)
		}
	}
	c.condition(fitsNot, v1alpha1.ConditionReady, metav1.ConditionFalse, v1alpha1.ReasonStorageFailed)
	if note := c.event(fitsNot, "ArtifactFailed"); !strings.HasPrefix(note, "StorageFailed: ") {
		t.Errorf("the Event says %q", note)
	}
	t.Logf("kubectl get bootprofiles -o wide:\n%s", c.kubectl("get", "bootprofiles", "-o", "wide"))
	t.Logf("kubectl describe bootprofile large:\n%s", c.kubectl("describe", "bootprofile", "large"))
	if status, got := s.getHTTP(s.http, "/artifacts/sha256/"+digest(small)+"/vmlinuz"); got != small || status != http.StatusOK {
		t.Errorf("what is cached is served as %d %q", status, got)
	}
	c.condition(fits, v1alpha1.ConditionArtifactsReady, metav1.ConditionTrue, v1alpha1.ReasonFetched)

	c.kubectl("patch", "bootprofile", "large", "--type=json", "-p", `[{"op":"replace","path":"/spec/platforms/0/kernel","value":`+
		`{"url":"`+upstream(t, contents("smaller"))+`","sha256":"`+digest("smaller")+`"}}]`)
	c.condition(fitsNot, v1alpha1.ConditionArtifactsReady, metav1.ConditionTrue, v1alpha1.ReasonFetched)
	c.condition(fitsNot, v1alpha1.ConditionReady, metav1.ConditionTrue, v1alpha1.ReasonReady)
}
