// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"log/slog"

	"github.com/go-logr/logr"
	"github.com/spf13/cobra"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"
	ctrlmetrics "sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/netboot-operator/netboot-operator/controllers"
	"github.com/netboot-operator/netboot-operator/pkg/boot"
	"github.com/netboot-operator/netboot-operator/pkg/index"
	"github.com/netboot-operator/netboot-operator/pkg/token"
	"github.com/netboot-operator/netboot-operator/pkg/web"
)

func newServe() *cobra.Command {
	o := &serveOptions{}
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Serve boot configurations, loaders, kernels and initrds by TFTP and HTTP",
		Args:  noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.complete(); err != nil {
				return err
			}
			return serve(cmd.Context(), o, cmd.ErrOrStderr())
		},
	}
	o.addFlags(cmd.Flags())
	return cmd
}

// serve runs until ctx ends and everything has drained.
func serve(ctx context.Context, o *serveOptions, logTo io.Writer) error {
	log := newLog(logTo, o.logFormat, o.verbosity)
	ctrl.SetLogger(log)
	klog.SetLogger(log)

	x := index.New()
	events := controllers.NewArtifactEvents(log)
	store, err := o.artifacts.open(o.dataDir, o.filesDir, events)
	if err != nil {
		return err
	}
	defer func() {
		if err := store.Close(); err != nil {
			log.Error(err, "Artifact store did not close")
		}
	}()
	var loaders *boot.Loaders
	if o.loadersDir != "" {
		if loaders, err = boot.OpenLoaders(o.loadersDir); err != nil {
			return usagef("--loaders-dir=%s: %w", o.loadersDir, err)
		}
		defer func() { _ = loaders.Close() }() // it was only read
	}

	tokens, err := token.New(token.Options{TTL: o.configTokenTTL, Registerer: ctrlmetrics.Registry})
	if err != nil {
		return err
	}
	known, err := openBoots(o, log, x)
	if err != nil {
		return err
	}
	defer func() { _ = known.ledger.Close() }() // all of it is on disk
	measured, err := controllers.NewIndexMetrics(x, ctrlmetrics.Registry)
	if err != nil {
		return err
	}
	s := &servers{options: o, log: log, tokens: tokens, boots: known, index: measured, handler: boot.Options{
		Index: x, Artifacts: store, Loaders: loaders, Tokens: tokens, Log: log,
		Observer: known.recorder, Ledger: known.ledger, DefaultProfile: o.boots.defaultProfile, Undelivered: web.Undelivered, Sent: web.Sent,
		Instance: rand.Text(),
	}}
	if o.http.httpsBindAddress != "" {
		if s.certificate, err = web.LoadCertificate(o.http.certFile, o.http.keyFile, log, ctrlmetrics.Registry); err != nil {
			return usagef("--tls-cert-file=%s, --tls-private-key-file=%s: %w", o.http.certFile, o.http.keyFile, err)
		}
	}
	return known.beside(ctx, func(ctx context.Context) error {
		if o.manifests != "" {
			return serveStandalone(ctx, o, log, x, store, events, s)
		}
		return serveCluster(ctx, o, log, x, store, events, s)
	})
}

func newLog(w io.Writer, format string, verbosity int) logr.Logger {
	options := &slog.HandlerOptions{Level: slog.Level(-verbosity)} // logr's V(1) is slog's level -1
	if format == "json" {
		return logr.FromSlogHandler(slog.NewJSONHandler(w, options))
	}
	return logr.FromSlogHandler(slog.NewTextHandler(w, options))
}

// together runs tasks until one of them ends, ends the others, and returns the first error.
func together(ctx context.Context, tasks ...func(context.Context) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan error, len(tasks))
	for _, task := range tasks {
		go func() { ended <- task(ctx) }()
	}
	var first error
	for range tasks {
		if err := <-ended; err != nil && first == nil {
			first = err
		}
		cancel()
	}
	if first != nil {
		return fmt.Errorf("serve: %w", first)
	}
	return nil
}
