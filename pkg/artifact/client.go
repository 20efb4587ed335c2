// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package artifact

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/netboot-operator/netboot-operator/pkg/index"
)

const (
	maxRedirects = 10
	// maxClients bounds the clients with an authority of their own. More are made anew for each fetch.
	maxClients = 16
)

// newClient returns a client without a timeout for the whole: a large image over a thin line may take an hour.
func newClient() *http.Client {
	return &http.Client{Transport: newTransport()}
}

func newTransport() *http.Transport {
	return &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: 10 * time.Second}).DialContext,
		TLSHandshakeTimeout:   10 * time.Second,
		ResponseHeaderTimeout: 20 * time.Second,
		IdleConnTimeout:       90 * time.Second,
		MaxIdleConnsPerHost:   parallelFetches,
		ForceAttemptHTTP2:     true,
	}
}

// client returns the client for those credentials, which may be nil. It trusts their certificates beside the system's, and
// takes an Authorization header off a request that a redirect sends elsewhere.
func (s *Store) client(c *index.Credentials) (*http.Client, *Error) {
	switch {
	case c == nil:
		return s.careful, nil
	case c.Unavailable != "":
		return nil, because(ReasonUnauthorized, "%s", c.Unavailable)
	case len(c.CA) == 0:
		return s.careful, nil
	}
	key := sha256.Sum256(c.CA)
	s.clientsMu.Lock()
	defer s.clientsMu.Unlock()
	if known := s.clients[key]; known != nil {
		return known, nil
	}
	roots, err := x509.SystemCertPool()
	if err != nil { // a system without certificates
		roots = x509.NewCertPool()
	}
	if !roots.AppendCertsFromPEM(c.CA) {
		return nil, because(ReasonUnauthorized, "ca.crt of the Secret holds no certificate: it must be PEM, as BEGIN CERTIFICATE shows")
	}
	transport := newTransport()
	if given, ok := s.options.Client.Transport.(*http.Transport); ok {
		transport = given.Clone()
	}
	if transport.TLSClientConfig == nil {
		transport.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	transport.TLSClientConfig.RootCAs = roots
	client := &http.Client{Transport: transport, CheckRedirect: keepHome(nil)}
	for old, unused := range s.clients { // any: whoever needs it makes it anew
		if len(s.clients) < maxClients {
			break
		}
		unused.CloseIdleConnections()
		delete(s.clients, old)
	}
	s.clients[key] = client
	return client, nil
}

// closeClients ends the connections that nobody uses.
func (s *Store) closeClients() {
	s.options.Client.CloseIdleConnections()
	s.clientsMu.Lock()
	defer s.clientsMu.Unlock()
	for _, c := range s.clients {
		c.CloseIdleConnections()
	}
}

// careful returns a copy of c that does not give credentials away.
func careful(c *http.Client) *http.Client {
	kept := *c
	kept.CheckRedirect = keepHome(c.CheckRedirect)
	return &kept
}

var errTooManyRedirects = errors.New("stopped after 10 redirects")

// keepHome returns a CheckRedirect that keeps credentials from everybody but the one they are for: net/http would hand them
// to subdomains and other ports, and from https to http.
func keepHome(next func(*http.Request, []*http.Request) error) func(*http.Request, []*http.Request) error {
	return func(req *http.Request, via []*http.Request) error {
		if len(via) >= maxRedirects {
			return errTooManyRedirects
		}
		if !sameOrigin(req.URL, via[0].URL) {
			req.Header.Del("Authorization")
			req.Header.Del("Cookie")
		}
		if next != nil {
			return next(req, via)
		}
		return nil
	}
}

func sameOrigin(a, b *url.URL) bool { return a.Scheme == b.Scheme && hostOf(a) == hostOf(b) }

// hostOf returns host and port, the latter also where the scheme tells it.
func hostOf(u *url.URL) string {
	port := u.Port()
	switch {
	case port != "":
	case u.Scheme == "http":
		port = "80"
	case u.Scheme == "https":
		port = "443"
	}
	return net.JoinHostPort(u.Hostname(), port)
}

// authorize puts credentials into a request.
func authorize(req *http.Request, c *index.Credentials) {
	switch {
	case c == nil:
	case c.BearerToken != "":
		req.Header.Set("Authorization", "Bearer "+c.BearerToken)
	case c.Username != "" || c.Password != "":
		req.SetBasicAuth(c.Username, c.Password)
	}
}
