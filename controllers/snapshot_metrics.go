// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// snapshotMetrics tell whether a restart would serve without the API server, and whether this process does.
type snapshotMetrics struct {
	serving     prometheus.Gauge
	timestamp   prometheus.Gauge
	contact     prometheus.Gauge
	writeErrors prometheus.Counter
}

func newSnapshotMetrics(registry prometheus.Registerer) (*snapshotMetrics, error) {
	m := &snapshotMetrics{
		serving: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "netboot_serving_from_snapshot",
			Help: "1 while machines are answered from the snapshot on disk because the API server can't be reached; else 0.",
		}),
		timestamp: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "netboot_snapshot_timestamp_seconds",
			Help: "When the objects in the snapshot on disk were last known to be the API server's, in seconds since 1970. 0: there is none.",
		}),
		contact: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "netboot_api_server_contact_timestamp_seconds",
			Help: "When this pod last renewed its Lease at the API server, in seconds since 1970. 0: not since it started.",
		}),
		writeErrors: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "netboot_snapshot_write_errors_total",
			Help: "Snapshots that could not be written; the one before stays.",
		}),
	}
	if registry == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{m.serving, m.timestamp, m.contact, m.writeErrors} {
		if err := registry.Register(c); err != nil {
			return nil, fmt.Errorf("register metrics of the snapshot: %w", err)
		}
	}
	return m, nil
}

func setTime(g prometheus.Gauge, at time.Time) { g.Set(float64(at.UnixMilli()) / 1000) }
