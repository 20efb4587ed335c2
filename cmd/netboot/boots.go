// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"os"
	"path/filepath"

	"github.com/go-logr/logr"
	ctrlmetrics "sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/netboot-operator/netboot-operator/controllers"
	"github.com/netboot-operator/netboot-operator/pkg/attempt"
	"github.com/netboot-operator/netboot-operator/pkg/index"
	"github.com/netboot-operator/netboot-operator/pkg/ledger"
)

// boots is what this process knows of boots: which run, and which may begin.
type boots struct {
	node     string // where this process runs
	ledger   *ledger.Ledger
	recorder *attempt.Recorder
	reporter *controllers.BootReporter
}

// openBoots opens the ledger in --data-dir.
func openBoots(o *serveOptions, log logr.Logger, x *index.Index) (*boots, error) {
	b := &boots{node: cmp.Or(os.Getenv("NODE_NAME"), hostname())}
	log = log.WithName("boots")
	var err error
	if b.ledger, err = ledger.Open(filepath.Join(o.dataDir, "ledger")); b.ledger == nil {
		return nil, usagef("--data-dir=%s: %w", o.dataDir, err)
	}
	if err != nil {
		log.Error(err, "What some Machines have done lately is not known")
	}
	if b.reporter, err = controllers.NewBootReporter(controllers.BootReporterOptions{
		Ledger: b.ledger, Node: b.node, WritesPerSecond: o.boots.statusWritesPerSecond, Log: log, Registerer: ctrlmetrics.Registry,
	}); err != nil {
		return nil, err
	}
	if b.recorder, err = attempt.NewRecorder(attempt.Options{
		Index: x, Neighbour: new(attempt.Neighbours).MAC, Quiet: o.boots.quiet, InstallQuiet: o.boots.installQuiet,
	}, ctrlmetrics.Registry, b.reporter.Changed); err != nil {
		return nil, err
	}
	b.reporter.TellTo(b.recorder)
	return b, nil
}

// hostname returns the name of this computer; empty if it has none.
func hostname() string {
	name, _ := os.Hostname() // without one, nobody needs to know which
	return name
}

// beside does the work while boots are told from requests, from before its beginning until after its end: the last requests of a
// process that drains count, too.
func (b *boots) beside(ctx context.Context, work func(context.Context) error) error {
	recording, stop := context.WithCancel(context.WithoutCancel(ctx))
	noting, stopNoting := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	defer stopNoting()
	return together(ctx,
		func(context.Context) error { return b.reporter.Run(noting) },
		func(context.Context) error {
			defer stopNoting() // after the last event
			return b.recorder.Run(recording)
		},
		func(ctx context.Context) error {
			defer stop()
			return work(ctx)
		},
	)
}
