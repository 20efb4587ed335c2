// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package token

import (
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Options of a Keyring.
type Options struct {
	// TTL is how long a token lasts, at least; MinTTL to MaxTTL. 0: DefaultTTL.
	TTL time.Duration
	// Registerer gets the metrics. Nil: there are none.
	Registerer prometheus.Registerer
}

// metrics are a Keyring's. A nil *metrics counts nothing.
type metrics struct {
	refusals map[error]prometheus.Counter
	key      prometheus.Gauge
}

// newMetrics returns metrics that reg knows; without reg, nil.
func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	if reg == nil {
		return nil, nil
	}
	refused := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "netboot_config_tokens_refused_total",
		Help: "Requests for a config or seed of access Token that were refused, by what was wrong with the token in the URL.",
	}, []string{"reason"})
	m := &metrics{
		refusals: map[error]prometheus.Counter{},
		key: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "netboot_config_token_key_available",
			Help: "1 while there is a key to sign and check tokens with; else configs of access Token are answered with 503.",
		}),
	}
	for err, reason := range map[error]string{
		ErrMissing: "missing", ErrMalformed: "malformed", ErrWrong: "wrong", ErrExpired: "expired",
	} {
		m.refusals[err] = refused.WithLabelValues(reason) // there as 0 from the start, so that rate() works
	}
	for _, c := range []prometheus.Collector{refused, m.key} {
		if err := reg.Register(c); err != nil {
			return nil, fmt.Errorf("register the metrics of tokens: %w", err)
		}
	}
	return m, nil
}

func (m *metrics) refused(err error) {
	if m != nil && err != nil {
		m.refusals[err].Inc()
	}
}

func (m *metrics) keyIs(there bool) {
	switch {
	case m == nil:
	case there:
		m.key.Set(1)
	default:
		m.key.Set(0)
	}
}
