// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package tftp

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

func registered(t testing.TB) (*metrics, *prometheus.Registry) {
	t.Helper()
	registry := prometheus.NewRegistry()
	m, err := newMetrics(registry)
	if err != nil {
		t.Fatal(err)
	}
	return m, registry
}

// values returns what is not 0: counters, gauges, and of histograms count and sum.
func values(t *testing.T, registry *prometheus.Registry) map[string]float64 {
	t.Helper()
	all := map[string]float64{}
	put := func(name string, value float64) {
		if value != 0 {
			all[strings.TrimPrefix(name, "netboot_tftp_")] = value
		}
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			words := []string{f.GetName()}
			for _, l := range m.GetLabel() {
				words = append(words, l.GetValue())
			}
			name := strings.Join(words, " ")
			put(name, m.GetCounter().GetValue()+m.GetGauge().GetValue())
			put(name+" count", float64(m.GetHistogram().GetSampleCount()))
			put(name+" sum", m.GetHistogram().GetSampleSum())
		}
	}
	return all
}

func TestMetricsAreAsPrometheusWantsThem(t *testing.T) {
	_, registry := registered(t)
	problems, err := testutil.GatherAndLint(registry)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

func TestMetricsAreThereFromTheStart(t *testing.T) {
	_, registry := registered(t)
	for name, want := range map[string]int{
		"netboot_tftp_requests_total":            len(outcomes()),
		"netboot_tftp_dropped_total":             int(dropReasons),
		"netboot_tftp_active_transfers":          1,
		"netboot_tftp_transfer_duration_seconds": 1,
	} {
		if got, err := testutil.GatherAndCount(registry, name); got != want || err != nil {
			t.Errorf("%s has %d series, %v, want %d", name, got, err, want)
		}
	}
}

func TestMetricsOfRecords(t *testing.T) {
	m, registry := registered(t)
	for _, r := range []Record{
		{Outcome: OutcomeComplete, Duration: 2 * time.Second, FirstByte: time.Second, RoundTrip: 500 * time.Millisecond},
		{Outcome: OutcomeComplete, Duration: 3 * time.Second, FirstByte: time.Second},
		{Outcome: OutcomeTimeout, Duration: 30 * time.Second, FirstByte: 2 * time.Second},
		{Outcome: OutcomeNotFound, Duration: time.Second},
	} {
		m.ended(&r)
	}
	m.lostObservation()
	want := map[string]float64{
		"requests_total complete": 2, "requests_total timeout": 1, "requests_total not-found": 1,
		"transfer_duration_seconds count": 2, "transfer_duration_seconds sum": 5,
		"first_byte_seconds count": 3, "first_byte_seconds sum": 4,
		"round_trip_seconds count": 1, "round_trip_seconds sum": 0.5,
		"observations_dropped_total": 1,
	}
	if diff := cmp.Diff(want, values(t, registry)); diff != "" {
		t.Errorf("metrics (-want +got):\n%s", diff)
	}
	for _, o := range outcomes() {
		m.ended(&Record{Outcome: o})
	}
}

// TestTallies adds the tallies of two loops, twice each.
func TestTallies(t *testing.T) {
	m, registry := registered(t)
	var one, two tally
	for range 2 {
		one.received, one.sent, one.sentBytes, one.unprovenBytes = 1, 20, 300, 4000
		one.retransmits, one.duplicateACKs = 50_000, 600_000
		one.drop(dropRate)
		one.drop(dropRate)
		one.drop(dropBudget)
		one.active, one.unproven, one.overflows = one.active+5, 3, one.overflows+7
		two.active, two.overflows = 100, 1000
		m.add(&one)
		m.add(&two)
	}
	want := map[string]float64{
		"received_packets_total": 2, "sent_packets_total": 40, "sent_bytes_total": 600, "unproven_bytes_total": 8000,
		"retransmitted_packets_total": 100_000, "duplicate_acks_total": 1_200_000,
		"dropped_total rate": 4, "dropped_total budget": 2,
		"active_transfers": 110, "unproven_transfers": 3, "receive_queue_overflows_total": 1014,
	}
	if diff := cmp.Diff(want, values(t, registry)); diff != "" {
		t.Errorf("metrics (-want +got):\n%s", diff)
	}

	one.active, one.unproven, two.active = 0, 0, 0
	m.add(&one)
	m.add(&two)
	if got := values(t, registry); got["active_transfers"] != 0 || got["unproven_transfers"] != 0 {
		t.Errorf("after the last transfer %v are active and %v unproven", got["active_transfers"], got["unproven_transfers"])
	}
}

func TestWithoutARegistererNothingIsCounted(t *testing.T) {
	m, err := newMetrics(nil)
	if m != nil || err != nil {
		t.Fatalf("newMetrics(nil) = %v, %v", m, err)
	}
	m.ended(&Record{Outcome: OutcomeComplete})
	m.lostObservation()
	x := tally{sent: 1, active: 1, overflows: 1}
	x.drop(dropRate)
	m.add(&x)
	if x.sent != 0 || x.dropped[dropRate] != 0 || x.active != 1 || x.overflows != 1 {
		t.Errorf("after it was added, the tally is %+v: sums must start again, and how things stand must not", x)
	}
}

func TestOneServerForARegisterer(t *testing.T) {
	_, registry := registered(t)
	if _, err := newMetrics(registry); err == nil {
		t.Error("a second server is no error")
	}

	registry = prometheus.NewRegistry()
	registry.MustRegister(prometheus.NewGauge(prometheus.GaugeOpts{Name: "netboot_tftp_round_trip_seconds", Help: "Not ours."}))
	if _, err := newMetrics(registry); err == nil {
		t.Error("a name that is taken is no error")
	}
	if n, err := testutil.GatherAndCount(registry); n != 1 || err != nil {
		t.Errorf("%d series are there, %v, want 1, not ours", n, err)
	}
}

func TestCountingAllocatesNothing(t *testing.T) {
	m, _ := registered(t)
	var x tally
	r := Record{Outcome: OutcomeComplete, Duration: time.Second, FirstByte: time.Second, RoundTrip: time.Second}
	if n := testing.AllocsPerRun(100, func() {
		x.received, x.sent, x.sentBytes, x.active = 1, 1, 1, x.active+1
		x.drop(dropNetwork)
		m.add(&x)
		m.ended(&r)
	}); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}

func BenchmarkTally(b *testing.B) {
	m, _ := registered(b)
	for name, m := range map[string]*metrics{"metrics": m, "none": nil} {
		b.Run(name, func(b *testing.B) {
			var x tally
			b.ReportAllocs()
			for i := range b.N {
				x.received, x.sent, x.sentBytes, x.active = 1, 1, 1468, i%2
				m.add(&x)
			}
		})
	}
}
