// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/netboot-operator/netboot-operator/api/v1alpha1"
	"github.com/netboot-operator/netboot-operator/pkg/index"
)

// TestIndexDelay follows one Machine: only edits since the start count, each once, with the time that its spec was edited.
func TestIndexDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		created := metav1.Now()
		time.Sleep(time.Hour) //nolint:forbidigo // virtual time
		registry := prometheus.NewPedanticRegistry()
		metrics, err := NewIndexMetrics(index.New(), registry)
		if err != nil {
			t.Fatal(err)
		}
		key := client.ObjectKey{Namespace: "default", Name: "node-01"}
		// sees has the cache get the Machine, and the index a while later.
		sees := func(generation int64, created, edited, status metav1.Time, after time.Duration) {
			t.Helper()
			m := &v1alpha1.Machine{ObjectMeta: metav1.ObjectMeta{
				Namespace: key.Namespace, Name: key.Name, Generation: generation, CreationTimestamp: created,
				ManagedFields: []metav1.ManagedFieldsEntry{{Time: &edited}, {Time: &status, Subresource: "status"}},
			}}
			if _, err := metrics.Strip()(m); err != nil || m.ManagedFields != nil {
				t.Fatalf("stripped to %v, %v", m.ManagedFields, err)
			}
			time.Sleep(after) //nolint:forbidigo // virtual time
			metrics.served(kindMachine, key, generation)
		}
		check := func(what string, wantCount uint64, wantSum float64) {
			t.Helper()
			families, err := registry.Gather()
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range families {
				for _, series := range f.GetMetric() {
					if f.GetName() == "netboot_index_delay_seconds" && series.GetLabel()[0].GetValue() == kindMachine {
						if h := series.GetHistogram(); h.GetSampleCount() != wantCount || h.GetSampleSum() != wantSum {
							t.Errorf("%s: %d edits, %v s in all, want %d and %v", what, h.GetSampleCount(), h.GetSampleSum(), wantCount, wantSum)
						}
					}
				}
			}
		}
		sees(1, created, created, metav1.Now(), time.Second)
		check("there before the start", 0, 0)
		edited := metav1.Now()
		sees(2, created, edited, created, 2*time.Second)
		check("edited", 1, 2)
		sees(2, created, edited, metav1.Now(), time.Second)
		check("its status changed", 1, 2)
		metrics.gone(kindMachine, key)
		if len(metrics.edits) != 0 {
			t.Errorf("of a Machine that is gone is known: %v", metrics.edits)
		}
		again := metav1.Now()
		sees(1, again, again, again, 3*time.Second)
		check("made anew", 2, 5)
	})
}

// TestIndexSize counts what an index holds.
func TestIndexSize(t *testing.T) {
	x, registry := index.New(), prometheus.NewPedanticRegistry()
	if _, err := NewIndexMetrics(x, registry); err != nil {
		t.Fatal(err)
	}
	for _, key := range []index.Key{"a/one", "a/two"} {
		x.Put(&index.Machine{Key: key})
	}
	x.PutProfile(&index.Profile{Key: "a/linux"})
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, f := range families {
		if gauge := f.GetMetric()[0].GetGauge(); gauge != nil {
			got[f.GetName()] = gauge.GetValue()
		}
	}
	if got["netboot_index_machines"] != 2 || got["netboot_index_boot_profiles"] != 1 {
		t.Errorf("2 machines and 1 profile are told as %v", got)
	}
}
