// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"io"
	"net/http"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	ctrlmetrics "sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/netboot-operator/netboot-operator/controllers"
	"github.com/netboot-operator/netboot-operator/pkg/web"
)

// besideMetrics does the work while serveMetrics answers, from before its beginning until after its end: a process that
// waits, or that drains, must be able to tell.
func besideMetrics(ctx context.Context, o *serveOptions, log logr.Logger, s *servers, objects *controllers.Standalone, work func(context.Context) error) error {
	metrics, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	return together(ctx,
		func(context.Context) error { return serveMetrics(metrics, o, log, s, objects) },
		func(ctx context.Context) error {
			defer stop()
			return work(ctx)
		},
	)
}

// serveMetrics answers /metrics, /healthz, /readyz and, standalone, the objects with their status. It listens from the
// start, unlike the servers: that a pod is not ready must be told.
func serveMetrics(ctx context.Context, o *serveOptions, log logr.Logger, s *servers, objects *controllers.Standalone) error {
	l, err := listenTCP(ctx, o.metricsAddress)
	if err != nil {
		return usagef("--metrics-bind-address=%s: %w", o.metricsAddress, err)
	}
	mux := http.NewServeMux()
	mux.Handle("/metrics", promhttp.HandlerFor(ctrlmetrics.Registry, promhttp.HandlerOpts{}))
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
		_, _ = io.WriteString(w, "ok\n") // the client is gone, or not
	})
	if objects != nil {
		mux.Handle(controllers.APIPrefix, objects)
	}
	log.Info("Serving metrics", "address", l.Addr().String())
	server, err := web.New(mux, web.Options{Log: log})
	if err != nil {
		return err
	}
	return server.Serve(ctx, l, nil)
}
