// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
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
	tasks := []func(context.Context) error{
		func(context.Context) error { return serveMetrics(metrics, o, log, s, objects) },
		func(ctx context.Context) error {
			defer stop()
			return work(ctx)
		},
	}
	if o.runtimeDir != "" {
		health, err := listenHealth(metrics, o.runtimeDir)
		if err != nil {
			return err
		}
		tasks = append(tasks, func(context.Context) error { return s.serveHealth(metrics, health, log) })
	}
	return together(ctx, tasks...)
}

// serveMetrics answers /metrics, /healthz, /readyz and, standalone, the objects with their status. It listens from the
// start, unlike the servers: that a pod is not ready must be told.
func serveMetrics(ctx context.Context, o *serveOptions, log logr.Logger, s *servers, objects *controllers.Standalone) error {
	l, err := listenMetrics(ctx, o, log)
	if l == nil || err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle("/metrics", promhttp.HandlerFor(ctrlmetrics.Registry, promhttp.HandlerOpts{}))
	s.handleHealth(mux)
	s.handleLive(mux)
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
