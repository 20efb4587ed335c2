// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"time"

	"github.com/spf13/pflag"

	"github.com/netboot-operator/netboot-operator/pkg/web"
)

// httpOptions are the flags of the HTTP server, but for --http-bind-address.
type httpOptions struct {
	httpsBindAddress        string
	certFile, keyFile       string
	maxConnections          int
	maxConnectionsPerClient int
	headerTimeout           time.Duration
	idleTimeout             time.Duration
	stallTimeout            time.Duration
}

func (o *httpOptions) addFlags(flags *pflag.FlagSet) {
	flags.StringVar(&o.httpsBindAddress, "https-bind-address", "", "`ADDR:PORT` of the HTTPS server; empty turns it off")
	flags.StringVar(&o.certFile, "tls-cert-file", "",
		"`FILE` with the certificate of the HTTPS server and those between it and the root, in PEM; followed when it changes")
	flags.StringVar(&o.keyFile, "tls-private-key-file", "", "`FILE` with the private key for --tls-cert-file, in PEM")
	flags.IntVar(&o.maxConnections, "http-max-connections", web.DefaultMaxConnections,
		"`COUNT` of HTTP and HTTPS connections; beyond it, the one that has waited longest for a request makes room")
	flags.IntVar(&o.maxConnectionsPerClient, "http-max-connections-per-client", web.DefaultMaxConnectionsPerClient,
		"`COUNT` of those of one client: an IPv4 address, or a /64 of IPv6")
	flags.DurationVar(&o.headerTimeout, "http-header-timeout", web.DefaultHeaderTimeout, "`TIME` that a client gets to send a request")
	flags.DurationVar(&o.idleTimeout, "http-idle-timeout", web.DefaultIdleTimeout, "`TIME` that a connection may wait for the next request")
	flags.DurationVar(&o.stallTimeout, "http-stall-timeout", web.DefaultStallTimeout, "`TIME` that a client gets to take each MiB of an answer")
}

// complete refuses what can't be used.
func (o *httpOptions) complete() error {
	if err := checkBindAddress("https-bind-address", o.httpsBindAddress); err != nil {
		return err
	}
	for _, file := range []struct{ flag, value string }{{"tls-cert-file", o.certFile}, {"tls-private-key-file", o.keyFile}} {
		switch {
		case o.httpsBindAddress != "" && file.value == "":
			return usagef("--%s is missing: --https-bind-address=%s needs a certificate and its key", file.flag, o.httpsBindAddress)
		case o.httpsBindAddress == "" && file.value != "":
			return usagef("--%s=%s: is for HTTPS; set --https-bind-address, too", file.flag, file.value)
		}
	}
	for _, count := range []struct {
		flag  string
		value int
	}{
		{"http-max-connections", o.maxConnections}, {"http-max-connections-per-client", o.maxConnectionsPerClient},
	} {
		if count.value < 1 || count.value > web.MaxConnections {
			return usagef("--%s=%d: outside 1-%d", count.flag, count.value, web.MaxConnections)
		}
	}
	for _, wait := range []struct {
		flag  string
		value time.Duration
	}{
		{"http-header-timeout", o.headerTimeout}, {"http-idle-timeout", o.idleTimeout}, {"http-stall-timeout", o.stallTimeout},
	} {
		if wait.value < web.MinTimeout || wait.value > web.MaxTimeout {
			return usagef("--%s=%v: outside %v-%v", wait.flag, wait.value, web.MinTimeout, web.MaxTimeout)
		}
	}
	return nil
}

// limits are the options of the server.
func (o *httpOptions) limits() web.Options {
	return web.Options{
		MaxConnections: o.maxConnections, MaxConnectionsPerClient: o.maxConnectionsPerClient,
		HeaderTimeout: o.headerTimeout, IdleTimeout: o.idleTimeout, StallTimeout: o.stallTimeout,
	}
}
