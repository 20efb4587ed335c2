// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package artifact

import (
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are a Store's. Labels never carry a URL, a name or a digest: those are unbounded, and belong in the log. A nil
// *metrics counts nothing.
//
// They are one collector, so that registering them either works or changes nothing.
type metrics struct {
	collectors []prometheus.Collector

	fetches                                    map[fetchResult]prometheus.Counter
	fetchedBytes, resumes, evictions, corrupts prometheus.Counter
	storageErrors                              prometheus.Counter
	duration                                   prometheus.Histogram
}

// fetchResult says how a fetch ended: the values of the label "result".
type fetchResult string

const (
	resultFetched             fetchResult = "Fetched"             // the artifact is in the cache, verified
	resultDigestMismatch      fetchResult = "DigestMismatch"      // other bytes came than the digest says
	resultUpstreamUnavailable fetchResult = "UpstreamUnavailable" // an upstream was not reached, broke off, or answered an error status
	resultUnauthorized        fetchResult = "Unauthorized"        // an upstream wants credentials, or others
	resultUnexpectedContent   fetchResult = "UnexpectedContent"   // something came that is no artifact, such as an HTML page
	resultSourceNotAllowed    fetchResult = "SourceNotAllowed"    // the URL names something that is not fetched
	resultStorageFailed       fetchResult = "StorageFailed"       // the cache could not be written or read, or is full
)

// fetchResults returns all results, in the order of documents.
func fetchResults() []fetchResult {
	return []fetchResult{
		resultFetched, resultDigestMismatch, resultUpstreamUnavailable, resultUnauthorized, resultUnexpectedContent,
		resultSourceNotAllowed, resultStorageFailed,
	}
}

// newMetrics returns metrics of s that reg knows; without reg, nil. The error says that reg knows those of another Store.
func newMetrics(reg prometheus.Registerer, s *Store) (*metrics, error) {
	if reg == nil {
		return nil, nil
	}
	m := &metrics{fetches: map[fetchResult]prometheus.Counter{}}
	fetches := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "netboot_artifact_fetches_total", Help: "Fetches of artifacts that ended, by how.",
	}, []string{"result"})
	m.collectors = append(m.collectors, fetches)
	for _, r := range fetchResults() {
		m.fetches[r] = fetches.WithLabelValues(string(r)) // there as 0 from the start, so that rate() works
	}
	m.fetchedBytes = m.counter("fetched_bytes_total", "Bytes of artifacts that upstreams delivered, right or wrong.")
	m.resumes = m.counter("resumes_total", "Downloads that went on where an earlier connection or process had ended.")
	m.evictions = m.counter("evictions_total", "Files that were removed from the cache to make room.")
	m.corrupts = m.counter("corrupt_total", "Files in the cache whose bytes turned out to be wrong.")
	m.storageErrors = m.counter("storage_errors_total", "Times that the cache could not be written, or had no room.")
	m.duration = prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "netboot_artifact_fetch_duration_seconds", Help: "Time that successful fetches took, with the wait for their turn.",
		Buckets: prometheus.ExponentialBuckets(0.01, 4, 10), // 10 ms to 44 min
	})
	m.collectors = append(m.collectors, m.duration)
	m.gauge("cache_files", "Complete files in the cache.", func() float64 {
		files, _ := s.usage()
		return float64(files)
	})
	m.gauge("cache_bytes", "Bytes in the cache, with those of files that are not complete.", func() float64 {
		_, bytes := s.usage()
		return float64(bytes)
	})
	m.gauge("cache_limit_bytes", "Bytes that the cache may have; 0: no limit.", func() float64 { return float64(s.options.MaxCacheBytes) })
	m.gauge("active_fetches", "Fetches that run, or hash what is cached before they begin.", func() float64 { return float64(len(s.slots)) })
	if err := reg.Register(m); err != nil {
		return nil, fmt.Errorf("register metrics: %w", err)
	}
	return m, nil
}

func (m *metrics) counter(name, help string) prometheus.Counter {
	c := prometheus.NewCounter(prometheus.CounterOpts{Name: "netboot_artifact_" + name, Help: help})
	m.collectors = append(m.collectors, c)
	return c
}

func (m *metrics) gauge(name, help string, read func() float64) {
	m.collectors = append(m.collectors, prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "netboot_artifact_" + name, Help: help}, read))
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

func (m *metrics) fetched(took time.Duration) {
	if m != nil {
		m.fetches[resultFetched].Inc()
		m.duration.Observe(took.Seconds())
	}
}

// failed counts a fetch by the reason of its error; each Reason is a result.
func (m *metrics) failed(err error) {
	if failed, ok := errors.AsType[*Error](err); ok && m != nil {
		if c := m.fetches[fetchResult(failed.Reason)]; c != nil {
			c.Inc()
		}
	}
}

func (m *metrics) received(bytes int) {
	if m != nil {
		m.fetchedBytes.Add(float64(bytes))
	}
}

func (m *metrics) resumed() {
	if m != nil {
		m.resumes.Inc()
	}
}

func (m *metrics) evicted() {
	if m != nil {
		m.evictions.Inc()
	}
}

func (m *metrics) damaged() {
	if m != nil {
		m.corrupts.Inc()
	}
}

func (m *metrics) storageFailed() {
	if m != nil {
		m.storageErrors.Inc()
	}
}
