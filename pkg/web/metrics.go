// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package web

import (
	"fmt"
	"net/http"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
)

// other is the label for what no label of its own is kept for: so clients can't make series.
const other = "other"

// methods and codes are those with labels of their own.
func methods() []string { return []string{http.MethodGet, http.MethodHead, other} }

func codes() []string {
	return []string{
		"200", "206", "304", "400", "403", "404", "405", "416", "500", "502", "503", other,
		"none", // the connection was cut instead
	}
}

// metrics are the server's. Labels never carry an address or a name. A nil *metrics counts nothing.
//
// They are one collector, so that registering them either works or changes nothing.
type metrics struct {
	collectors []prometheus.Collector

	requests        map[[2]string]prometheus.Counter // by code and method
	states          map[state]prometheus.Gauge
	evicted         map[limit]prometheus.Counter
	refused         map[limit]prometheus.Counter
	accepted, bytes prometheus.Counter
	stalled         prometheus.Counter
}

// newMetrics returns metrics that reg knows; without reg, nil. The error says that reg knows those of another server.
func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	if reg == nil {
		return nil, nil
	}
	m := &metrics{
		requests: map[[2]string]prometheus.Counter{}, states: map[state]prometheus.Gauge{},
		evicted: map[limit]prometheus.Counter{}, refused: map[limit]prometheus.Counter{},
	}
	requests := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "netboot_http_requests_total", Help: "Requests answered, by status and method.",
	}, []string{"code", "method"})
	for _, code := range codes() { // all series are there as 0 from the start, so that rate() works
		for _, method := range methods() {
			m.requests[[2]string{code, method}] = requests.WithLabelValues(code, method)
		}
	}
	states := prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "netboot_http_connections", Help: "Open connections: those that wait for a request, and those that serve one.",
	}, []string{"state"})
	for _, s := range []state{waiting, serving} {
		m.states[s] = states.WithLabelValues(string(s))
	}
	evicted := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "netboot_http_connections_evicted_total",
		Help: "Connections closed while they waited for a request, because a limit left no room for a new one.",
	}, []string{"limit"})
	for _, l := range limits() {
		m.evicted[l] = evicted.WithLabelValues(string(l))
	}
	refused := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "netboot_http_connections_refused_total",
		Help: "Connections closed at once, because a limit was reached and all within it were being served.",
	}, []string{"limit"})
	m.refused[limitClient] = refused.WithLabelValues(string(limitClient))
	m.collectors = []prometheus.Collector{requests, states, evicted, refused}
	m.accepted = m.counter("connections_total", "Connections taken.")
	m.bytes = m.counter("sent_bytes_total", "Bytes sent, with headers and TLS.")
	m.stalled = m.counter("stalled_total", "Answers that ended because the client did not take them.")
	if err := reg.Register(m); err != nil {
		return nil, fmt.Errorf("register metrics: %w", err)
	}
	return m, nil
}

func (m *metrics) counter(name, help string) prometheus.Counter {
	c := prometheus.NewCounter(prometheus.CounterOpts{Name: "netboot_http_" + name, Help: help})
	m.collectors = append(m.collectors, c)
	return c
}

// Describe implements [prometheus.Collector].
func (m *metrics) Describe(to chan<- *prometheus.Desc) {
	for _, c := range m.collectors {
		c.Describe(to)
	}
}

// Collect implements [prometheus.Collector].
func (m *metrics) Collect(to chan<- prometheus.Metric) {
	for _, c := range m.collectors {
		c.Collect(to)
	}
}

// answered counts a request.
func (m *metrics) answered(method string, status int) {
	if m == nil {
		return
	}
	if method != http.MethodGet && method != http.MethodHead {
		method = other
	}
	code := strconv.Itoa(status)
	if status == 0 {
		code = "none"
	}
	counter := m.requests[[2]string{code, method}]
	if counter == nil {
		counter = m.requests[[2]string{other, method}]
	}
	counter.Inc()
}

// became counts a connection that changed. The states "" and gone are those of a connection that is not open.
func (m *metrics) became(before, after state) {
	if m == nil {
		return
	}
	if before == "" {
		m.accepted.Inc()
	} else {
		m.states[before].Dec()
	}
	if after != gone {
		m.states[after].Inc()
	}
}

func (m *metrics) closedFor(why limit) {
	if m != nil {
		m.evicted[why].Inc()
	}
}

func (m *metrics) refusal(why limit) {
	if m != nil {
		m.refused[why].Inc()
	}
}

func (m *metrics) sent(n int64) {
	if m != nil {
		m.bytes.Add(float64(n))
	}
}

func (m *metrics) stall() {
	if m != nil {
		m.stalled.Inc()
	}
}
