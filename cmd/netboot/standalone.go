// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"path/filepath"

	"github.com/go-logr/logr"

	"github.com/netboot-operator/netboot-operator/api/manifest"
	"github.com/netboot-operator/netboot-operator/controllers"
	"github.com/netboot-operator/netboot-operator/pkg/artifact"
	"github.com/netboot-operator/netboot-operator/pkg/index"
	"github.com/netboot-operator/netboot-operator/pkg/token"
)

// serveStandalone follows a folder of manifests.
func serveStandalone(ctx context.Context, o *serveOptions, log logr.Logger, x *index.Index, store *artifact.Store, events *controllers.ArtifactEvents, s *servers) error {
	validator, err := manifest.NewValidator()
	if err != nil {
		return err
	}
	if key, err := token.LoadFile(filepath.Join(o.dataDir, "token-key")); err != nil {
		log.Error(err, "There is no key of tokens; configs with access Token can't be served")
	} else {
		s.tokens.Use(key)
	}
	source := &controllers.Standalone{
		Dir:       o.manifests,
		StatusDir: filepath.Join(o.dataDir, "status"),
		Validator: validator,
		Index:     x,
		Artifacts: store,
		Changed:   events,
		Boots:     s.boots.reporter,
		Log:       log,
	}
	filled := make(chan struct{})
	return besideMetrics(ctx, o, log, s, source, func(ctx context.Context) error {
		return together(ctx,
			func(ctx context.Context) error { return source.Run(ctx, func() { close(filled) }) },
			func(ctx context.Context) error {
				select {
				case <-filled:
					return s.serve(ctx)
				case <-ctx.Done():
					return nil
				}
			},
		)
	})
}
