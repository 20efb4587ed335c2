// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/go-logr/logr"
	ctrlmetrics "sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/netboot-operator/netboot-operator/controllers"
	"github.com/netboot-operator/netboot-operator/pkg/boot"
	"github.com/netboot-operator/netboot-operator/pkg/tftp"
	"github.com/netboot-operator/netboot-operator/pkg/token"
	"github.com/netboot-operator/netboot-operator/pkg/web"
)

// servers are the TFTP and the HTTP server.
type servers struct {
	options *serveOptions
	log     logr.Logger
	tokens  *token.Keyring // its keys come with the objects
	handler boot.Options
	// snapshot says whether what is served comes from it. Nil: never.
	snapshot *controllers.Snapshot

	boots       *boots
	index       *controllers.IndexMetrics
	certificate *web.Certificate // nil: no HTTPS

	ready atomic.Bool               // the sockets of both are open and answered
	probe atomic.Pointer[tftpProbe] // of the TFTP server; nil while there is none
	tftp  atomic.Pointer[tftp.Server]

	answers atomic.Pointer[boot.Handler] // nil while there is none
}

// serve opens the sockets and answers until ctx ends; then running transfers get the grace to end.
func (s *servers) serve(ctx context.Context) error {
	var tasks []func(context.Context) error
	o, err := s.open(ctx)
	if err != nil {
		return err
	}
	if s.handler.Addresses, err = o.addresses(s.options.advertiseAddress); err != nil {
		return err
	}
	handler := boot.New(s.handler)
	s.answers.Store(handler)
	if o.udp != nil {
		probe := newTFTPProbe(o.udp[0].LocalAddr().(*net.UDPAddr).AddrPort(), s.handler.Instance, s.options.shares())
		server, err := tftp.New(handler, s.tftpOptions(handler, probe))
		if err != nil {
			return err
		}
		for _, conn := range o.udp {
			tasks = append(tasks, func(ctx context.Context) error { return server.Serve(ctx, conn) })
		}
		s.probe.Store(probe)
		s.tftp.Store(server)
	}
	if o.http != nil || o.https != nil {
		more, err := s.serveHTTP(handler, o)
		if err != nil {
			return err
		}
		tasks = append(tasks, more...)
	}
	s.ready.Store(true)
	defer s.ready.Store(false)
	context.AfterFunc(ctx, func() { s.ready.Store(false) }) // draining: send nobody new
	if o.udp != nil {
		s.log.Info("Serving TFTP", "address", o.udp[0].LocalAddr().String())
	}
	if o.http != nil {
		s.log.Info("Serving HTTP", "address", o.http.Addr().String())
	}
	if o.https != nil {
		s.log.Info("Serving HTTPS", "address", o.https.Addr().String())
	}
	return together(ctx, tasks...)
}

// readiness is what /readyz tells of a process that serves.
func (s *servers) readiness() string {
	if at, served := s.snapshot.Served(); served {
		return fmt.Sprintf("ok: serving from the snapshot of %s; API server unreachable\n", at.UTC().Format(time.RFC3339))
	}
	return "ok\n"
}

// sockets are those of the servers that are on; of the others, nil.
type sockets struct {
	udp         []*net.UDPConn
	http, https net.Listener
}

// open opens all sockets, or none.
func (s *servers) open(ctx context.Context) (o sockets, err error) {
	if o.udp, err = s.listenUDP(ctx, s.options.tftpBindAddress, s.options.tftp.shards); err != nil {
		return o, usagef("--tftp-bind-address=%s: %w", s.options.tftpBindAddress, err)
	}
	defer func() {
		if err != nil {
			o.close()
		}
	}()
	if o.http, err = s.listenTCP(ctx, s.options.httpBindAddress); err != nil {
		return o, usagef("--http-bind-address=%s: %w", s.options.httpBindAddress, err)
	}
	if o.https, err = s.listenTCP(ctx, s.options.http.httpsBindAddress); err != nil {
		return o, usagef("--https-bind-address=%s: %w", s.options.http.httpsBindAddress, err)
	}
	return o, nil
}

// close closes what is open. Nothing was sent.
func (o sockets) close() {
	for _, conn := range o.udp {
		_ = conn.Close()
	}
	for _, l := range []net.Listener{o.http, o.https} {
		if l != nil {
			_ = l.Close()
		}
	}
}

// addresses are what URLs are made of. A port that is advertised is that of HTTP; of HTTPS, where that is all there is.
func (o sockets) addresses(advertise string) (a boot.Addresses, err error) {
	host, port, err := parseHostPort("advertise-address", advertise)
	if err != nil {
		return a, err
	}
	a.AdvertiseHost = host
	if o.udp != nil {
		a.TFTPPort = o.udp[0].LocalAddr().(*net.UDPAddr).AddrPort().Port()
	}
	web := o.http
	if web == nil {
		web, a.HTTPS = o.https, true
	}
	if web != nil {
		a.HTTPPort = cmp.Or(port, web.Addr().(*net.TCPAddr).AddrPort().Port())
	}
	return a, nil
}

// serveHTTP returns the tasks of the HTTP and the HTTPS server, which share their limits.
func (s *servers) serveHTTP(handler http.Handler, o sockets) (tasks []func(context.Context) error, err error) {
	limits := s.options.http.limits()
	limits.ShutdownGrace, limits.Log, limits.Registerer = s.options.shutdownGrace, s.log, ctrlmetrics.Registry
	server, err := web.New(handler, limits)
	if err != nil {
		return nil, err
	}
	if o.http != nil {
		tasks = append(tasks, func(ctx context.Context) error { return server.Serve(ctx, o.http, nil) })
	}
	if o.https != nil {
		tasks = append(tasks,
			func(ctx context.Context) error { return server.Serve(ctx, o.https, s.certificate.Config()) },
			func(ctx context.Context) error { s.certificate.Follow(ctx); return nil })
	}
	return tasks, nil
}

// tftpOptions adds to those of the flags what is not the user's to choose.
func (s *servers) tftpOptions(handler *boot.Handler, probe *tftpProbe) tftp.Options {
	o := s.options.tftp.server
	o.UnlimitedNetworks = []netip.Prefix{probe.network()} // a server at its limits is not sick
	o.Log = s.log
	o.LogName = handler.LogName
	o.Observe = handler.Transferred
	o.Registerer = ctrlmetrics.Registry
	if s.options.shares() {
		o.Neighbours = sharedName
	}
	o.ShutdownGrace = max(s.options.shutdownGrace, 1) // there, 0 is the default
	return o
}

// sharedName is under what processes that share ports find each other.
const sharedName = "netboot"

// listenUDP opens sockets of one address; none when that is empty.
func (s *servers) listenUDP(ctx context.Context, address string, shards int) ([]*net.UDPConn, error) {
	if address == "" {
		return nil, nil
	}
	listen := tftp.Listen
	if s.options.shares() {
		listen = tftp.ListenShared
	}
	conns, err := listen(ctx, anyFamily(address), shards)
	if err != nil {
		return nil, explainListen(err)
	}
	return conns, nil
}

// listenTCP opens a socket, or takes over that of another process; nil when address is empty.
func (s *servers) listenTCP(ctx context.Context, address string) (l net.Listener, err error) {
	switch {
	case address == "":
		return nil, nil
	case s.options.shares():
		l, err = web.ListenShared(ctx, sharedName, anyFamily(address), s.log)
	default:
		l, err = web.Listen(ctx, anyFamily(address))
	}
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
