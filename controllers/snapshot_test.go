// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/netboot-operator/netboot-operator/api/v1alpha1"
	"github.com/netboot-operator/netboot-operator/pkg/index"
)

// oneMachine is a cache that holds a Machine and nothing else.
type oneMachine struct{ client.Reader }

func (oneMachine) List(_ context.Context, list client.ObjectList, _ ...client.ListOption) error {
	if machines, ok := list.(*v1alpha1.MachineList); ok {
		machines.Items = []v1alpha1.Machine{{
			ObjectMeta: metav1.ObjectMeta{Namespace: "lab", Name: "n1", Annotations: map[string]string{"note": "not for the disk"}},
			Spec:       v1alpha1.MachineSpec{MACAddresses: []v1alpha1.MACAddress{"52:54:00:aa:bb:01"}, BootID: "7"},
			Status: v1alpha1.MachineStatus{
				BootID: "6", BootsSinceCompletion: 3, LastBoot: &v1alpha1.LastBoot{BootID: "7", Message: "not for the disk", StartTime: metav1.Now()},
			},
		}}
	}
	return nil
}

// TestSnapshotThatCannotBeWritten has something in the way of the folder, as a disk that is full or read-only would be: that is
// counted, what is served is not touched, and when it is mended the next try writes.
func TestSnapshotThatCannotBeWritten(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "snapshot")
	if err := os.WriteFile(dir, nil, 0o600); err != nil { // a file where a folder must be
		t.Fatal(err)
	}
	registry := prometheus.NewRegistry()
	s, err := NewSnapshot(SnapshotOptions{Dir: dir, Log: logr.Discard(), Registerer: registry})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := s.write(t.Context(), oneMachine{}); err == nil {
			t.Error("write() tells no error")
		}
	}
	if got := testutil.ToFloat64(s.metrics.writeErrors); got != 2 {
		t.Errorf("netboot_snapshot_write_errors_total is %v, want 2", got)
	}
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	if err := s.write(t.Context(), oneMachine{}); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(filepath.Join(dir, objectsFile))
	if err != nil || bytes.Contains(content, []byte("not for the disk")) {
		t.Errorf("the file holds %s, %v", content, err)
	}
	next, err := NewSnapshot(SnapshotOptions{Dir: dir, Log: logr.Discard()})
	if err != nil {
		t.Fatal(err)
	}
	x := index.New()
	if !next.Restore(x, nil, nil) || x.Machine("lab/n1") == nil {
		t.Fatal("what was written is not restored")
	}
	if got := x.Machine("lab/n1").Boots; got != 3 { // a machine that is held stays so
		t.Errorf("%d boots are counted, want 3", got)
	}
}

// TestSnapshotCutAnywhere cuts a file at each byte, and flips a bit of each.
func TestSnapshotCutAnywhere(t *testing.T) {
	content, err := encodeSnapshot(snapshotHead{Server: "https://192.0.2.1", Namespace: "lab"}, []byte(`{"machines":[]}`))
	if err != nil {
		t.Fatal(err)
	}
	if _, body, err := decodeSnapshot(content); err != nil || string(body) != "{\"machines\":[]}\n" {
		t.Fatalf("decodeSnapshot() = %q, %v", body, err)
	}
	for i := range content {
		if _, _, err := decodeSnapshot(content[:i]); err == nil {
			t.Errorf("cut after %d bytes it is accepted", i)
		}
		other := bytes.Clone(content)
		other[i] ^= 1
		if _, _, err := decodeSnapshot(other); err == nil {
			t.Errorf("with another byte %d it is accepted", i)
		}
	}
}
