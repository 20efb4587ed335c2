// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"fmt"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/netboot-operator/netboot-operator/api/v1alpha1"
	"github.com/netboot-operator/netboot-operator/pkg/index"
)

// IndexMetrics tell how much this process serves, and how soon it serves an edit. Nil: nothing is measured.
type IndexMetrics struct {
	delay   *prometheus.HistogramVec
	started time.Time

	mu    sync.Mutex
	edits map[fillKey]edit // of what was edited since the start, and is still there
}

// An edit is the latest of an object's spec.
type edit struct {
	generation int64
	at         time.Time
	served     bool
}

// NewIndexMetrics returns the metrics of x. A nil registry leaves them unregistered.
func NewIndexMetrics(x *index.Index, registry prometheus.Registerer) (*IndexMetrics, error) {
	size := func(name, help string, count func(machines, profiles int) int) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, func() float64 { return float64(count(x.Size())) })
	}
	m := &IndexMetrics{
		delay: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "netboot_index_delay_seconds",
			Help: "From an edit of an object's spec to when this process serves it. The API server notes edits in whole seconds, so this " +
				"may be up to a second too long.",
			Buckets: []float64{0.5, 1, 1.5, 2, 3, 5, 10, 30, 60, 300, 1800},
		}, []string{"kind"}),
		started: time.Now().Truncate(time.Second),
		edits:   map[fillKey]edit{},
	}
	for _, kind := range []string{kindMachine, kindBootProfile} {
		m.delay.WithLabelValues(kind) // there as 0 from the start, so that rate() works
	}
	if registry == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{
		m.delay,
		size("netboot_index_machines", "Machines that this process answers.", func(machines, _ int) int { return machines }),
		size("netboot_index_boot_profiles", "BootProfiles that this process serves files of.", func(_, profiles int) int { return profiles }),
	} {
		if err := registry.Register(c); err != nil {
			return nil, fmt.Errorf("register metrics of the index: %w", err)
		}
	}
	return m, nil
}

// Strip is cache.TransformStripManagedFields, and notes before when an object was edited, which only those fields tell.
func (m *IndexMetrics) Strip() toolscache.TransformFunc {
	strip := cache.TransformStripManagedFields()
	return func(o any) (any, error) {
		switch object := o.(type) {
		case *v1alpha1.Machine:
			m.note(kindMachine, object)
		case *v1alpha1.BootProfile:
			m.note(kindBootProfile, object)
		}
		return strip(o)
	}
}

func (m *IndexMetrics) note(kind string, o client.Object) {
	at := o.GetCreationTimestamp().Time
	for _, entry := range o.GetManagedFields() {
		if entry.Subresource == "" && entry.Time != nil && entry.Time.After(at) {
			at = entry.Time.Time
		}
	}
	if at.Before(m.started) {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	key := fillKey{kind, client.ObjectKeyFromObject(o)}
	if m.edits[key].generation < o.GetGeneration() {
		m.edits[key] = edit{generation: o.GetGeneration(), at: at}
	}
}

// served notes that the index has a generation of an object.
func (m *IndexMetrics) served(kind string, key client.ObjectKey, generation int64) {
	if m == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	k := fillKey{kind, key}
	if e, known := m.edits[k]; known && !e.served && e.generation == generation {
		m.delay.WithLabelValues(kind).Observe(max(time.Since(e.at), 0).Seconds()) // clocks differ
		e.served = true
		m.edits[k] = e
	}
}

// gone forgets an object that was deleted.
func (m *IndexMetrics) gone(kind string, key client.ObjectKey) {
	if m == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.edits, fillKey{kind, key})
}
