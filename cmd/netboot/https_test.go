// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// certificate returns a certificate for 127.0.0.1 that signs itself, and its key, in PEM.
func certificate(t *testing.T, name string) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	inPEM := func(kind string, b []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: b}))
	}
	return inPEM("CERTIFICATE", der), inPEM("PRIVATE KEY", secret)
}

// getHTTPS fetches a path, and returns whose certificate the server has shown, and the body.
func (s *service) getHTTPS(t *testing.T, roots *x509.CertPool, path string) (name, body string, err error) {
	t.Helper()
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, DisableKeepAlives: true}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+s.https+path, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	response, err := transport.RoundTrip(request)
	if err != nil {
		return "", "", err
	}
	defer func() { _ = response.Body.Close() }() // it was only read
	b, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("status %d: %s", response.StatusCode, b)
	}
	return response.TLS.PeerCertificates[0].Subject.CommonName, string(b), err
}

func (s *service) waitForHTTPS(t *testing.T) {
	t.Helper()
	eventually(t, func() string {
		for _, m := range reServing.FindAllStringSubmatch(s.logged(), -1) {
			if m[1] == "HTTPS" {
				s.https = m[2]
				return ""
			}
		}
		return "HTTPS is not served:\n" + s.logged()
	})
}

// TestHTTPS serves a kernel by HTTPS, with one certificate, then with another while the process runs, and goes on with that
// when the next pair is broken.
func TestHTTPS(t *testing.T) {
	t.Parallel()
	dir, files := sample(t)
	roots, certs := x509.NewCertPool(), t.TempDir()
	certFile, keyFile := filepath.Join(certs, "tls.crt"), filepath.Join(certs, "tls.key")
	cert1, key1 := certificate(t, "first")
	cert2, key2 := certificate(t, "second")
	roots.AppendCertsFromPEM([]byte(cert1 + cert2))
	writeFile(t, certFile, cert1)
	writeFile(t, keyFile, key1)

	s := start(t, "--manifests="+dir, "--files-dir="+files, "--https-bind-address=127.0.0.1:0",
		"--tls-cert-file="+certFile, "--tls-private-key-file="+keyFile)
	s.waitForHTTPS(t)
	kernel := "/artifacts/sha256/" + digest("kernel") + "/vmlinuz"
	if name, body, err := s.getHTTPS(t, roots, kernel); name != "first" || body != "kernel" || err != nil {
		t.Fatalf("by HTTPS: certificate %q, %q, %v; want first and the kernel", name, body, err)
	}
	if status, body := s.getHTTP(s.http, kernel); status != http.StatusOK || body != "kernel" {
		t.Errorf("by HTTP: %d %q", status, body)
	}
	// A script that came by HTTPS goes on there, one that came by HTTP there.
	if _, script, err := s.getHTTPS(t, roots, "/MAC-52-54-00-aa-bb-01.ipxe"); err != nil || !strings.Contains(script, "https://"+s.https+kernel) {
		t.Errorf("the script by HTTPS is %q, %v; want the kernel by HTTPS", script, err)
	}
	if _, script := s.getHTTP(s.http, "/MAC-52-54-00-aa-bb-01.ipxe"); !strings.Contains(script, "http://"+s.http+kernel) {
		t.Errorf("the script by HTTP is %q, want the kernel by HTTP", script)
	}

	wantCertificate := func(want string) {
		t.Helper()
		eventually(t, func() string {
			if name, body, err := s.getHTTPS(t, roots, kernel); name != want || body != "kernel" || err != nil {
				return fmt.Sprintf("certificate %q, %q, %v; want %s and the kernel", name, body, err, want)
			}
			return ""
		})
	}
	writeFile(t, certFile, cert2)
	writeFile(t, keyFile, key2)
	wantCertificate("second")

	writeFile(t, keyFile, key1) // which does not fit the certificate
	eventually(t, func() string {
		if !strings.Contains(s.logged(), "New certificate can't be used") {
			return "nothing in the log"
		}
		return ""
	})
	wantCertificate("second")
	if _, text := s.getHTTP(s.api, "/metrics"); !strings.Contains(text, "\n"+`netboot_https_certificate_loads_total{result="failed"} `) ||
		strings.Contains(text, `netboot_https_certificate_loads_total{result="failed"} 0`) {
		t.Error("netboot_https_certificate_loads_total counts no failure")
	}
	writeFile(t, certFile, cert1)
	wantCertificate("first")
	if strings.Contains(s.logged(), key1[28:60]) {
		t.Error("the log holds the key")
	}
}

// TestHTTPSOnly looks at the URLs that are handed out where HTTP is off.
func TestHTTPSOnly(t *testing.T) {
	t.Parallel()
	dir, files := sample(t)
	roots, certs := x509.NewCertPool(), t.TempDir()
	certFile, keyFile := filepath.Join(certs, "tls.crt"), filepath.Join(certs, "tls.key")
	cert, key := certificate(t, "only")
	roots.AppendCertsFromPEM([]byte(cert))
	writeFile(t, certFile, cert)
	writeFile(t, keyFile, key)
	s := launch(t, "--manifests="+dir, "--files-dir="+files, "--http-bind-address=", "--https-bind-address=127.0.0.1:0",
		"--tls-cert-file="+certFile, "--tls-private-key-file="+keyFile)
	s.waitForHTTPS(t)
	for _, m := range reServing.FindAllStringSubmatch(s.logged(), -1) {
		if m[1] == "TFTP" {
			s.tftp = m[2]
		}
	}
	script, err := s.getTFTP("MAC-52-54-00-aa-bb-01.ipxe")
	want := "https://" + s.https + "/artifacts/sha256/" + digest("kernel")
	if err != nil || !strings.Contains(script, want) {
		t.Errorf("by TFTP: %q, %v; want %s in it", script, err, want)
	}
	if _, body, err := s.getHTTPS(t, roots, "/artifacts/sha256/"+digest("kernel")+"/vmlinuz"); body != "kernel" || err != nil {
		t.Errorf("by HTTPS: %q, %v", body, err)
	}
}
