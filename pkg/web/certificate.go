// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package web

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
)

// followInterval is how often the files of a certificate are looked at. They are small, and reading them again needs none
// of the system's watches, which nodes with many pods run out of.
const followInterval = 5 * time.Second

// A Certificate is one in files, with its key, that may be replaced while it is used.
type Certificate struct {
	certFile, keyFile string
	log               logr.Logger

	current atomic.Pointer[tls.Certificate]
	seen    [sha256.Size]byte // what was in the files when they were last looked at; only Follow uses it

	loaded, failed prometheus.Counter
	expiry         prometheus.Gauge
}

// LoadCertificate reads a certificate, with those between it and the root, and its private key. The files are in PEM. reg
// may be nil.
func LoadCertificate(certFile, keyFile string, log logr.Logger, reg prometheus.Registerer) (*Certificate, error) {
	loads := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "netboot_https_certificate_loads_total",
		Help: "Certificates read from files: those that are used, and those that can't be, so that the one before stays.",
	}, []string{"result"})
	c := &Certificate{
		certFile: certFile, keyFile: keyFile, log: log,
		loaded: loads.WithLabelValues("loaded"), failed: loads.WithLabelValues("failed"),
		expiry: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "netboot_https_certificate_expiry_timestamp_seconds", Help: "When the certificate in use expires, in Unix time.",
		}),
	}
	if _, err := c.load(); err != nil {
		return nil, err
	}
	if reg != nil {
		for _, collector := range []prometheus.Collector{loads, c.expiry} {
			if err := reg.Register(collector); err != nil {
				return nil, fmt.Errorf("register metrics: %w", err)
			}
		}
	}
	return c, nil
}

// Config returns a configuration that uses the certificate.
func (c *Certificate) Config() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			return c.current.Load(), nil
		},
	}
}

// Follow uses what the files hold later, until ctx ends. Where that is of no use, it says so once, and the certificate
// stays as it was.
func (c *Certificate) Follow(ctx context.Context) {
	tick := time.NewTicker(followInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		changed, err := c.load()
		switch {
		case err != nil && changed:
			c.failed.Inc()
			c.log.Error(err, "New certificate can't be used; the one before stays", "certificate", c.certFile, "key", c.keyFile)
		case changed:
			c.log.Info("New certificate is used", "certificate", c.certFile, "expires", c.current.Load().Leaf.NotAfter)
		}
	}
}

// load reads the files, and says whether there is anything new in them.
func (c *Certificate) load() (changed bool, err error) {
	cert, err := os.ReadFile(c.certFile)
	var key []byte
	if err == nil {
		key, err = os.ReadFile(c.keyFile)
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%d %s%s%v", len(cert), cert, key, err))
	if sum == c.seen {
		return false, err
	}
	c.seen = sum
	if err != nil {
		return true, err
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return true, err
	}
	c.current.Store(&pair)
	c.loaded.Inc()
	c.expiry.Set(float64(pair.Leaf.NotAfter.Unix()))
	return true, nil
}
