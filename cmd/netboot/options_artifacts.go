// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"path/filepath"
	"time"

	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/api/resource"
	ctrlmetrics "sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/netboot-operator/netboot-operator/pkg/artifact"
)

const (
	minCacheBytes    = 1 << 20
	minScrubInterval = time.Minute
	maxScrubInterval = 365 * 24 * time.Hour
)

// artifactOptions are the flags of the artifact cache.
type artifactOptions struct {
	maxCacheBytes string
	scrubInterval time.Duration

	cacheBytes int64 // maxCacheBytes as a number
}

func (o *artifactOptions) addFlags(flags *pflag.FlagSet) {
	flags.StringVar(&o.maxCacheBytes, "cache-max-bytes", "64Gi",
		"`BYTES` that fetched artifacts may have on disk, as 20Gi or 500M; what was not used for longest goes; 0: no limit")
	flags.DurationVar(&o.scrubInterval, "cache-scrub-interval", 24*time.Hour,
		"`TIME` between two looks at all fetched artifacts for damage; 0 turns it off")
}

func (o *artifactOptions) complete() error {
	quantity, err := resource.ParseQuantity(o.maxCacheBytes)
	if err != nil {
		return usagef("--cache-max-bytes=%s: must be a number of bytes, such as 20Gi, 500M or 0", o.maxCacheBytes)
	}
	bytes, whole := quantity.AsInt64()
	if !whole || bytes != 0 && bytes < minCacheBytes {
		return usagef("--cache-max-bytes=%s: neither 0 nor at least 1Mi", o.maxCacheBytes)
	}
	o.cacheBytes = bytes
	if o.scrubInterval != 0 && (o.scrubInterval < minScrubInterval || o.scrubInterval > maxScrubInterval) {
		return usagef("--cache-scrub-interval=%v: neither 0s nor in %v-%v", o.scrubInterval, minScrubInterval, maxScrubInterval)
	}
	return nil
}

// open opens the artifact cache.
func (o *artifactOptions) open(dataDir, filesDir string, observer artifact.Observer) (*artifact.Store, error) {
	store, err := artifact.New(artifact.Options{
		Dir:           filepath.Join(dataDir, "artifacts"),
		FilesDir:      filesDir,
		MaxCacheBytes: o.cacheBytes,
		ScrubInterval: o.scrubInterval,
		Registerer:    ctrlmetrics.Registry,
		Observer:      observer,
	})
	if err != nil {
		return nil, usagef("--data-dir=%s: %w", dataDir, err)
	}
	return store, nil
}
