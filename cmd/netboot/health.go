// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/go-logr/logr"

	"github.com/netboot-operator/netboot-operator/pkg/web"
)

// healthSocket is the name, in --runtime-dir, of the socket that netboot check asks. In an upgrade two pods of a node share
// its addresses, and a probe by HTTP may reach either; this socket is of one.
const healthSocket = "health.sock"

// handleHealth answers /healthz and /readyz.
func (s *servers) handleHealth(mux *http.ServeMux) {
	mux.HandleFunc("/healthz", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "ok\n") // the client is gone, or not
	})
	mux.HandleFunc("/readyz", func(w http.ResponseWriter, _ *http.Request) {
		if !s.ready.Load() {
			http.Error(w, "not serving: the index is not filled yet, or the process is shutting down", http.StatusServiceUnavailable)
			return
		}
		if err := s.probe.Load().check(); err != nil {
			http.Error(w, "not serving: "+err.Error(), http.StatusServiceUnavailable)
			return
		}
		_, _ = io.WriteString(w, s.readiness()) // the client is gone, or not
	})
}

// listenHealth opens the socket in --runtime-dir. That of a process that was killed is replaced.
func listenHealth(ctx context.Context, dir string) (net.Listener, error) {
	path := filepath.Join(dir, healthSocket)
	c, err := new(net.Dialer).DialContext(ctx, "unix", path)
	switch {
	case err == nil:
		_ = c.Close() // nothing was asked
		return nil, usagef("--runtime-dir=%s: another process uses it; each needs one of its own", dir)
	case errors.Is(err, syscall.ECONNREFUSED):
		if err := os.Remove(path); err != nil {
			return nil, usagef("--runtime-dir=%s: %w", dir, err)
		}
	}
	l, err := new(net.ListenConfig).Listen(ctx, "unix", path)
	if err == nil {
		err = os.Chmod(path, 0o600)
	}
	if err != nil {
		return nil, usagef("--runtime-dir=%s: %w", dir, err)
	}
	return l, nil
}

// serveHealth answers at the socket in --runtime-dir until ctx ends.
func (s *servers) serveHealth(ctx context.Context, l net.Listener, log logr.Logger) error {
	mux := http.NewServeMux()
	s.handleHealth(mux)
	server, err := web.New(mux, web.Options{Log: log})
	if err != nil {
		return errors.Join(err, l.Close())
	}
	return server.Serve(ctx, l, nil)
}

// takeOverEvery is how often a process tries to get the metrics address from the one before it.
const takeOverEvery = time.Second

// listenMetrics opens the metrics address. In an upgrade the old pod of the node has it until it ends, and the new one serves
// meanwhile. It returns nil when ctx ends before that.
func listenMetrics(ctx context.Context, o *serveOptions, log logr.Logger) (net.Listener, error) {
	tick := time.NewTicker(takeOverEvery)
	defer tick.Stop()
	for waits := false; ; {
		l, err := web.Listen(ctx, anyFamily(o.metricsAddress))
		if err == nil {
			return l, nil
		}
		if !o.shares() || !errors.Is(err, syscall.EADDRINUSE) {
			return nil, usagef("--metrics-bind-address=%s: %w", o.metricsAddress, explainListen(err))
		}
		if !waits {
			waits = true
			log.Info("Another process has the metrics address; it is taken over when that ends", "address", o.metricsAddress)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, nil //nolint:nilnil // it was not needed
		}
	}
}

// explainDir adds to an error of --runtime-dir what to do.
func explainDir(dir string, err error) error {
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("no netboot serve runs with --runtime-dir=%s: %w", dir, err)
	}
	return err
}
