// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package attempt

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are a Recorder's.
type metrics struct {
	attempts *prometheus.CounterVec
	causes   *prometheus.CounterVec
	active   *prometheus.GaugeVec
	duration prometheus.Histogram
	dropped  prometheus.Counter
}

// newMetrics returns metrics that reg knows; nil: that nobody asks for.
func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		attempts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "netboot_boot_attempts_total",
			Help: "Boot attempts that ended, by how, by the furthest stage, and by whether they were of a Machine: known or unknown.",
		}, []string{"outcome", "stage", "machine"}),
		causes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "netboot_boot_causes_total",
			Help: "Boot attempts that ended without completion, by cause: [causes](causes.md).",
		}, []string{"cause"}),
		active: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "netboot_boot_attempts_active",
			Help: "Boot attempts that go on, by stage.",
		}, []string{"stage"}),
		duration: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "netboot_boot_duration_seconds",
			Help:    "Time from the first request of a boot to its completion.",
			Buckets: []float64{5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200},
		}),
		dropped: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "netboot_boot_events_dropped_total",
			Help: "Events of requests that were dropped, the oldest first, because too many waited to be made into boot attempts.",
		}),
	}
	for _, s := range Stages() { // there as 0 from the start, so that rate() works
		m.active.WithLabelValues(string(s))
		for _, e := range endings() {
			for _, known := range []bool{true, false} {
				m.attempts.WithLabelValues(string(e), string(s), ofMachine(known))
			}
		}
	}
	for _, c := range Causes() {
		m.causes.WithLabelValues(string(c.ID))
	}
	if reg == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{m.attempts, m.causes, m.active, m.duration, m.dropped} {
		if err := reg.Register(c); err != nil {
			return nil, fmt.Errorf("register the metrics of boots: %w", err)
		}
	}
	return m, nil
}

// ofMachine is the label machine.
func ofMachine(known bool) string {
	if known {
		return "known"
	}
	return "unknown"
}

// count takes in what has happened in a Tracker.
func (m *metrics) count(ends []end, active [stageCount]int) {
	for _, e := range ends {
		m.attempts.WithLabelValues(string(e.outcome), string(e.stage), ofMachine(e.known)).Inc()
		if e.cause != "" {
			m.causes.WithLabelValues(string(e.cause)).Inc()
		}
		if e.outcome == endCompleted {
			m.duration.Observe(e.duration.Seconds())
		}
	}
	for i, s := range Stages() {
		m.active.WithLabelValues(string(s)).Set(float64(active[i]))
	}
}
