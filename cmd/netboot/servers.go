// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/net/netutil"
	ctrlmetrics "sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/netboot-operator/netboot-operator/pkg/boot"
	"github.com/netboot-operator/netboot-operator/pkg/tftp"
)

// Limits of the HTTP server. There is none on the time that an answer takes: a slow machine may need long for an initrd.
const (
	httpHeaderTimeout  = 10 * time.Second
	httpIdleTimeout    = 2 * time.Minute
	httpMaxHeaderBytes = 16 << 10
	httpMaxConnections = 16384
)

// servers are the TFTP and the HTTP server.
type servers struct {
	options *serveOptions
	log     logr.Logger
	handler boot.Options

	ready atomic.Bool               // the sockets of both are open and answered
	probe atomic.Pointer[tftpProbe] // of the TFTP server; nil while there is none
}

// serve opens the sockets and answers until ctx ends; then running transfers get the grace to end.
func (s *servers) serve(ctx context.Context) error {
	udp, err := listenUDP(ctx, s.options.tftpBindAddress, s.options.tftp.shards)
	if err != nil {
		return usagef("--tftp-bind-address=%s: %w", s.options.tftpBindAddress, err)
	}
	tcp, err := listenTCP(ctx, s.options.httpBindAddress)
	if err != nil {
		for _, conn := range udp {
			_ = conn.Close() // nothing was sent
		}
		return usagef("--http-bind-address=%s: %w", s.options.httpBindAddress, err)
	}

	host, port, err := parseHostPort("advertise-address", s.options.advertiseAddress)
	if err != nil {
		return err
	}
	s.handler.Addresses = boot.Addresses{AdvertiseHost: host}
	var tasks []func(context.Context) error
	if udp != nil {
		s.handler.Addresses.TFTPPort = udp[0].LocalAddr().(*net.UDPAddr).AddrPort().Port()
	}
	if tcp != nil {
		s.handler.Addresses.HTTPPort = tcp.Addr().(*net.TCPAddr).AddrPort().Port()
		if port != 0 {
			s.handler.Addresses.HTTPPort = port
		}
	}
	handler := boot.New(s.handler)
	if udp != nil {
		probe := newTFTPProbe(udp[0].LocalAddr().(*net.UDPAddr).AddrPort())
		server, err := tftp.New(handler, s.tftpOptions(handler, probe))
		if err != nil {
			return err
		}
		for _, conn := range udp {
			tasks = append(tasks, func(ctx context.Context) error { return server.Serve(ctx, conn) })
		}
		s.probe.Store(probe)
	}
	if tcp != nil {
		tasks = append(tasks, func(ctx context.Context) error {
			return serveHTTP(ctx, netutil.LimitListener(tcp, httpMaxConnections), handler, s.options.shutdownGrace)
		})
	}
	s.ready.Store(true)
	defer s.ready.Store(false)
	context.AfterFunc(ctx, func() { s.ready.Store(false) }) // draining: send nobody new
	if udp != nil {
		s.log.Info("Serving TFTP", "address", udp[0].LocalAddr().String())
	}
	if tcp != nil {
		s.log.Info("Serving HTTP", "address", tcp.Addr().String())
	}
	return together(ctx, tasks...)
}

// tftpOptions adds to those of the flags what is not the user's to choose.
func (s *servers) tftpOptions(handler *boot.Handler, probe *tftpProbe) tftp.Options {
	o := s.options.tftp.server
	if len(o.AllowedNetworks) > 0 {
		o.AllowedNetworks = append(slices.Clone(o.AllowedNetworks), probe.network())
	}
	o.Log = s.log
	o.Observe = handler.Transferred
	o.Registerer = ctrlmetrics.Registry
	o.ShutdownGrace = max(s.options.shutdownGrace, 1) // there, 0 is the default
	return o
}

// serveHTTP answers until ctx ends, and then waits for running answers up to grace.
func serveHTTP(ctx context.Context, l net.Listener, handler http.Handler, grace time.Duration) error {
	server := &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: httpHeaderTimeout,
		IdleTimeout:       httpIdleTimeout,
		MaxHeaderBytes:    httpMaxHeaderBytes,

		DisableGeneralOptionsHandler: true, // OPTIONS is refused like all that is not GET or HEAD
	}
	drained := make(chan error, 1)
	stop := context.AfterFunc(ctx, func() {
		deadline, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
		defer cancel()
		err := server.Shutdown(deadline)
		if errors.Is(err, context.DeadlineExceeded) {
			err = server.Close() // the grace is over: cut what still runs
		}
		drained <- err
	})
	err := server.Serve(l)
	if stop() { // Serve failed before ctx ended
		return fmt.Errorf("serve HTTP: %w", err)
	}
	return <-drained
}

// listenUDP opens sockets of one address; none when that is empty.
func listenUDP(ctx context.Context, address string, shards int) ([]*net.UDPConn, error) {
	if address == "" {
		return nil, nil
	}
	conns, err := tftp.Listen(ctx, anyFamily(address), shards)
	if err != nil {
		return nil, explainListen(err)
	}
	return conns, nil
}

// listenTCP opens a socket; nil when address is empty.
func listenTCP(ctx context.Context, address string) (net.Listener, error) {
	if address == "" {
		return nil, nil
	}
	var config net.ListenConfig
	l, err := config.Listen(ctx, "tcp", anyFamily(address))
	if err != nil {
		return nil, explainListen(err)
	}
	return l, nil
}

// anyFamily turns [::]:PORT into :PORT, which means the same where the kernel has IPv6 and still works where it has not.
func anyFamily(address string) string { return strings.TrimPrefix(address, "[::]") }

// explainListen adds what to do.
func explainListen(err error) error {
	switch {
	case errors.Is(err, syscall.EACCES):
		return fmt.Errorf("%w: ports below 1024 need root or CAP_NET_BIND_SERVICE; or choose a higher one", err)
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("%w: another program has this port; stop it or choose another", err)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return fmt.Errorf("%w: this host does not have that address", err)
	}
	return err
}
