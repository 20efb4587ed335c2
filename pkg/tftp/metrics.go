// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package tftp

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are the server's. Labels never carry an address, a port or a name: those are unbounded, and belong in the
// [Record]. A nil *metrics counts nothing.
//
// They are one collector, so that registering them either works or changes nothing.
type metrics struct {
	collectors []prometheus.Collector

	requests map[Outcome]prometheus.Counter
	dropped  [dropReasons]prometheus.Counter

	active, unproven, receiveBuffer prometheus.Gauge

	sentBytes, sentPackets, receivedPackets prometheus.Counter
	retransmits, duplicateACKs              prometheus.Counter
	unprovenBytes, overflows                prometheus.Counter
	lostObservations                        prometheus.Counter

	neighbours                prometheus.Gauge
	given, taken, undelivered prometheus.Counter // packets

	duration, firstByte, roundTrip prometheus.Histogram
}

// newMetrics returns metrics that reg knows; without reg, nil. The error says that reg knows those of another server.
func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	if reg == nil {
		return nil, nil
	}
	m := &metrics{requests: map[Outcome]prometheus.Counter{}}
	requests := m.counters("requests_total", "Read and write requests dealt with, by how that ended.", "outcome")
	for _, o := range outcomes() {
		m.requests[o] = requests.WithLabelValues(string(o)) // there as 0 from the start, so that rate() works
	}
	dropped := m.counters("dropped_total", "Packets met with silence, by reason.", "reason")
	for r := range dropReasons {
		m.dropped[r] = dropped.WithLabelValues(r.String())
	}
	m.active = m.gauge("active_transfers", "Requests under way, in the handler or as a transfer.")
	m.unproven = m.gauge("unproven_transfers", "Requests under way whose client has not answered yet.")
	m.receiveBuffer = m.gauge("receive_buffer_bytes",
		"Size of a socket's receive queue, as far as the system allowed what was asked for: 4194304. 0: not known.")
	m.sentBytes = m.counter("sent_bytes_total", "UDP payload sent.")
	m.sentPackets = m.counter("sent_packets_total", "Packets sent.")
	m.receivedPackets = m.counter("received_packets_total", "Packets received.")
	m.retransmits = m.counter("retransmitted_packets_total", "DATA and OACK packets sent more than once.")
	m.duplicateACKs = m.counter("duplicate_acks_total", "ACKs that acknowledged nothing new.")
	m.unprovenBytes = m.counter("unproven_bytes_total", "UDP payload sent to clients that had not answered yet.")
	m.overflows = m.counter("receive_queue_overflows_total", "Packets that the system dropped because the socket's queue was full.")
	m.lostObservations = m.counter("observations_dropped_total", "Records of requests that the observer was too slow for.")
	m.neighbours = m.gauge("neighbours", "Other sockets with the same address that packets can be handed to, of all sockets together.")
	m.given = m.counter("neighbour_packets_given_total", "Clients' packets handed to a neighbour.")
	m.taken = m.counter("neighbour_packets_taken_total", "Clients' packets that a neighbour handed over.")
	m.undelivered = m.counter("neighbour_packets_undelivered_total",
		"Clients' packets that a neighbour did not take, and notes of neighbours that can't be read.")
	m.duration = m.histogram("transfer_duration_seconds",
		"Time from the request to the last ACK, complete transfers only.", 0.001, 4, 10) // 1 ms to 262 s
	m.firstByte = m.histogram("first_byte_seconds",
		"Time from the request to the first DATA.", 0.0001, 4, 10) // 100 us to 26 s
	m.roundTrip = m.histogram("round_trip_seconds",
		"Smoothed time from a packet to its ACK, at the end of each transfer where it is known.", 0.00005, 4, 9) // 50 us to 3.3 s

	if err := reg.Register(m); err != nil {
		return nil, fmt.Errorf("register metrics: %w", err)
	}
	return m, nil
}

func (m *metrics) counter(name, help string) prometheus.Counter {
	c := prometheus.NewCounter(prometheus.CounterOpts{Name: "netboot_tftp_" + name, Help: help})
	m.collectors = append(m.collectors, c)
	return c
}

func (m *metrics) counters(name, help, label string) *prometheus.CounterVec {
	c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "netboot_tftp_" + name, Help: help}, []string{label})
	m.collectors = append(m.collectors, c)
	return c
}

func (m *metrics) gauge(name, help string) prometheus.Gauge {
	g := prometheus.NewGauge(prometheus.GaugeOpts{Name: "netboot_tftp_" + name, Help: help})
	m.collectors = append(m.collectors, g)
	return g
}

// histogram has n buckets, each factor times as wide as the one before.
func (m *metrics) histogram(name, help string, first, factor float64, n int) prometheus.Histogram {
	h := prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "netboot_tftp_" + name, Help: help, Buckets: prometheus.ExponentialBuckets(first, factor, n),
	})
	m.collectors = append(m.collectors, h)
	return h
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

// ended counts a request that has been dealt with.
func (m *metrics) ended(r *Record) {
	if m == nil {
		return
	}
	m.requests[r.Outcome].Inc()
	if r.Outcome == OutcomeComplete {
		m.duration.Observe(r.Duration.Seconds())
	}
	if r.FirstByte > 0 {
		m.firstByte.Observe(r.FirstByte.Seconds())
	}
	if r.RoundTrip > 0 {
		m.roundTrip.Observe(r.RoundTrip.Seconds())
	}
}

// lostObservation counts a record that the observer was too slow for.
func (m *metrics) lostObservation() {
	if m != nil {
		m.lostObservations.Inc()
	}
}

// received takes the size of a socket's receive queue.
func (m *metrics) received(size int) {
	if m != nil {
		m.receiveBuffer.Set(float64(size))
	}
}

// A tally is what one loop counts, between two calls of metrics.add: plain numbers, because there is something to count for
// each packet.
type tally struct {
	received, sent uint64 // packets
	sentBytes      uint64
	unprovenBytes  uint64
	retransmits    uint64 // packets
	duplicateACKs  uint64
	dropped        [dropReasons]uint64 // packets
	hasDropped     bool

	given, taken, undelivered uint64 // packets, to and from neighbours

	// These are not sums but how things stand, in this loop alone.
	active, unproven, neighbours int
	overflows                    uint64
	told                         struct { // what metrics.add was given last
		active, unproven, neighbours int
		overflows                    uint64
	}
}

func (t *tally) drop(reason dropReason) {
	t.dropped[reason]++
	t.hasDropped = true
}

// add takes what a loop has counted, and sets its sums to 0.
func (m *metrics) add(t *tally) {
	if m != nil {
		m.take(t)
	}
	next := tally{active: t.active, unproven: t.unproven, neighbours: t.neighbours, overflows: t.overflows}
	next.told.active, next.told.unproven, next.told.neighbours, next.told.overflows = t.active, t.unproven, t.neighbours, t.overflows
	*t = next
}

func (m *metrics) take(t *tally) {
	for _, c := range [...]struct {
		counter prometheus.Counter
		n       uint64
	}{
		{m.receivedPackets, t.received},
		{m.sentPackets, t.sent},
		{m.sentBytes, t.sentBytes},
		{m.unprovenBytes, t.unprovenBytes},
		{m.retransmits, t.retransmits},
		{m.duplicateACKs, t.duplicateACKs},
		{m.overflows, t.overflows - t.told.overflows},
		{m.given, t.given},
		{m.taken, t.taken},
		{m.undelivered, t.undelivered},
	} {
		if c.n > 0 {
			c.counter.Add(float64(c.n))
		}
	}
	if t.active != t.told.active {
		m.active.Add(float64(t.active - t.told.active))
	}
	if t.unproven != t.told.unproven {
		m.unproven.Add(float64(t.unproven - t.told.unproven))
	}
	if t.neighbours != t.told.neighbours {
		m.neighbours.Add(float64(t.neighbours - t.told.neighbours))
	}
	if t.hasDropped {
		for reason, n := range t.dropped {
			m.dropped[reason].Add(float64(n))
		}
	}
}
