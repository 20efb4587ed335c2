// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// A bootResult is what became of an attempt to write a status.
type bootResult string

const (
	bootWritten   bootResult = "written"   // the status tells it now
	bootUnchanged bootResult = "unchanged" // the status told it already; the API server was not asked
	bootConflict  bootResult = "conflict"  // somebody else wrote meanwhile; it is tried again
	bootRetried   bootResult = "retried"   // the API server did not answer, or not so; it is tried again
	bootRefused   bootResult = "refused"   // the API server will not take it
)

// bootMetrics tell whether what happens to machines gets into their status.
type bootMetrics struct {
	writes  *prometheus.CounterVec
	dropped prometheus.Counter
}

func newBootMetrics(registry prometheus.Registerer, length func() float64) (*bootMetrics, error) {
	m := &bootMetrics{
		writes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "netboot_boot_status_writes_total",
			Help: "Times that this process has set about to write the latest boot of a Machine into its status, by result. " +
				"All but unchanged are requests to the API server.",
		}, []string{"result"}),
		dropped: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "netboot_boot_status_dropped_total",
			Help: "Boots that were not written into a Machine's status, the oldest first, because too many waited.",
		}),
	}
	for _, result := range []bootResult{bootWritten, bootUnchanged, bootConflict, bootRetried, bootRefused} {
		m.writes.WithLabelValues(string(result)) // there as 0 from the start, so that rate() works
	}
	if registry == nil {
		return m, nil
	}
	waiting := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "netboot_boot_status_queue_length",
		Help: "Machines whose latest boot waits to be written into their status.",
	}, length)
	for _, c := range []prometheus.Collector{m.writes, m.dropped, waiting} {
		if err := registry.Register(c); err != nil {
			return nil, fmt.Errorf("register metrics of boots: %w", err)
		}
	}
	return m, nil
}
