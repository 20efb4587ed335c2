// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package web_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr/funcr"
	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/netboot-operator/netboot-operator/pkg/web"
)

// A pair is a certificate for 127.0.0.1 that signs itself, and its key, in PEM.
type pair struct{ cert, key []byte }

func newPair(t *testing.T, name string) pair {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Unix(0, 0), NotAfter: time.Unix(1<<33, 0), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pair{
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}),
	}
}

func (p pair) write(t *testing.T, dir string) {
	t.Helper()
	for name, text := range map[string][]byte{"tls.crt": p.cert, "tls.key": p.key} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// A new pair is used, a broken one is not, and each is logged and counted once. In virtual time.
func TestCertificateIsFollowed(t *testing.T) {
	one, two := newPair(t, "one"), newPair(t, "two")
	dir := t.TempDir()
	one.write(t, dir)
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var log []string
		logger := funcr.New(func(_, line string) {
			mu.Lock()
			defer mu.Unlock()
			log = append(log, line)
		}, funcr.Options{})
		registry := prometheus.NewRegistry()
		c, err := web.LoadCertificate(filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key"), logger, registry)
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		go c.Follow(ctx)

		for _, step := range []struct {
			what   string
			do     func()
			want   string // whose certificate is used
			counts [2]float64
		}{
			{"nothing changes", func() {}, "one", [2]float64{1, 0}},
			{"a new pair", func() { two.write(t, dir) }, "two", [2]float64{2, 0}},
			{"a key that does not fit", func() { pair{two.cert, one.key}.write(t, dir) }, "two", [2]float64{2, 1}},
			{"half of a file", func() { pair{two.cert[:100], two.key}.write(t, dir) }, "two", [2]float64{2, 2}},
			{"no file", func() { _ = os.Remove(filepath.Join(dir, "tls.key")) }, "two", [2]float64{2, 3}},
			{"the first pair again", func() { one.write(t, dir) }, "one", [2]float64{3, 3}},
		} {
			step.do()
			<-time.After(time.Minute) // a dozen looks
			synctest.Wait()
			got, err := c.Config().GetCertificate(nil)
			if err != nil {
				t.Fatal(err)
			}
			if got.Leaf.Subject.CommonName != step.want {
				t.Errorf("%s: the certificate is %s, want %s", step.what, got.Leaf.Subject.CommonName, step.want)
			}
			counts := [2]float64{}
			for i, result := range []string{"loaded", "failed"} {
				counts[i] = value(t, registry, "netboot_https_certificate_loads_total", result)
			}
			if diff := cmp.Diff(step.counts, counts); diff != "" {
				t.Errorf("%s: loaded and failed (-want +got):\n%s", step.what, diff)
			}
		}
		mu.Lock()
		defer mu.Unlock()
		if len(log) != 5 {
			t.Errorf("the log has %d lines, want one for each change:\n%s", len(log), strings.Join(log, "\n"))
		}
		if problems, err := testutil.GatherAndLint(registry); err != nil || len(problems) > 0 {
			t.Errorf("the metrics: %v, %v", problems, err)
		}
		if got := value(t, registry, "netboot_https_certificate_expiry_timestamp_seconds"); got != 1<<33 {
			t.Errorf("the certificate expires at %v", got)
		}
	})
}

// value returns one metric.
func value(t *testing.T, registry *prometheus.Registry, name string, labels ...string) float64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == name && (len(labels) == 0 || m.GetLabel()[0].GetValue() == labels[0]) {
				return m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	t.Fatalf("no metric %s %v", name, labels)
	return 0
}

func TestCertificatesThatCannotBeUsed(t *testing.T) {
	good, other := newPair(t, "good"), newPair(t, "other")
	for name, p := range map[string]pair{
		"a key of another": {good.cert, other.key},
		"no certificate":   {nil, good.key},
		"no key":           {good.cert, nil},
		"the wrong way":    {good.key, good.cert},
	} {
		dir := t.TempDir()
		p.write(t, dir)
		_, err := web.LoadCertificate(filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key"), funcr.New(nil, funcr.Options{}), nil)
		if err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// A file over TLS, by the version that a client speaks at most.
func TestTLS(t *testing.T) {
	p := newPair(t, "server")
	dir := t.TempDir()
	p.write(t, dir)
	c, err := web.LoadCertificate(filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key"), funcr.New(nil, funcr.Options{}), nil)
	if err != nil {
		t.Fatal(err)
	}
	content := strings.Repeat("netboot ", 1<<19) // several strides
	s := newLabOn(t, func(w http.ResponseWriter, r *http.Request) {
		http.ServeContent(w, r, "", time.Time{}, strings.NewReader(content))
	}, web.Options{}, c.Config(), func(l net.Listener) net.Listener { return l })
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(p.cert)

	for name, tc := range map[string]struct {
		version uint16
		wantErr string
	}{
		"1.1": {tls.VersionTLS11, "protocol version not supported"},
		"1.2": {tls.VersionTLS12, ""},
		"1.3": {tls.VersionTLS13, ""},
	} {
		t.Run(name, func(t *testing.T) {
			config := &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS10, MaxVersion: tc.version, NextProtos: []string{"h2", "http/1.1"}}
			transport := &http.Transport{TLSClientConfig: config, DisableKeepAlives: true}
			request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+s.address+"/", http.NoBody)
			if err != nil {
				t.Fatal(err)
			}
			response, err := transport.RoundTrip(request)
			if tc.wantErr != "" {
				if err == nil || !strings.Contains(err.Error(), tc.wantErr) {
					t.Errorf("error = %v, want %q in it", err, tc.wantErr)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(response.Body)
			_ = response.Body.Close() // it was read
			if err != nil || string(body) != content || response.Proto != "HTTP/1.1" {
				t.Errorf("%s, %d bytes, %v", response.Proto, len(body), err)
			}
		})
	}
	s.wantMetrics(t, map[string]float64{"requests_total 200 GET": 2, "connections waiting": 0, "connections serving": 0})
}

// A client that connects and then says nothing, where it should shake hands.
func TestSlowHandshake(t *testing.T) {
	p := newPair(t, "server")
	dir := t.TempDir()
	p.write(t, dir)
	c, err := web.LoadCertificate(filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key"), funcr.New(nil, funcr.Options{}), nil)
	if err != nil {
		t.Fatal(err)
	}
	s := newLabOn(t, hello, web.Options{HeaderTimeout: 50 * time.Millisecond}, c.Config(), func(l net.Listener) net.Listener { return l })
	wantClosed(t, s.dial(t, ""))
	s.wantMetrics(t, map[string]float64{"connections_total": 1, "connections waiting": 0})
	if !strings.Contains(s.logged(), "TLS handshake error") {
		t.Errorf("the log says %q", s.logged())
	}
}
