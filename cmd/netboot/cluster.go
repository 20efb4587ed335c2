// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	ctrlconfig "sigs.k8s.io/controller-runtime/pkg/config"
	ctrlmetrics "sigs.k8s.io/controller-runtime/pkg/metrics"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/netboot-operator/netboot-operator/api/v1alpha1"
	"github.com/netboot-operator/netboot-operator/controllers"
	"github.com/netboot-operator/netboot-operator/pkg/artifact"
	"github.com/netboot-operator/netboot-operator/pkg/index"
)

// serveCluster follows the API server.
func serveCluster(ctx context.Context, o *serveOptions, log logr.Logger, x *index.Index, store *artifact.Store, events *controllers.ArtifactEvents, s *servers) error {
	config, home, err := kubeConfig(o.kubeconfig)
	if err != nil {
		return usagef("no API server: %w; set --kubeconfig, or --manifests to serve without one", err)
	}
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			return fmt.Errorf("build scheme: %w", err)
		}
	}
	cacheOptions := cache.Options{DefaultTransform: s.index.Strip()}
	if o.namespace != "" {
		cacheOptions.DefaultNamespaces = map[string]cache.Config{o.namespace: {}}
	}
	options := ctrl.Options{
		Scheme:         scheme,
		Logger:         log,
		Cache:          cacheOptions,
		Client:         client.Options{FieldOwner: "netboot-operator", FieldValidation: "Strict"},
		Metrics:        metricsserver.Options{BindAddress: "0"}, // besideMetrics serves the registry
		MapperProvider: mapperUntil(ctx),
		Controller:     ctrlconfig.Controller{SkipNameValidation: new(true)}, // setUp may have to be repeated
	}
	// A process that serves from its snapshot must not end because the API server went away again.
	options.Controller.CacheSyncTimeout = forEver
	if s.snapshot, err = controllers.NewSnapshot(controllers.SnapshotOptions{
		Dir: filepath.Join(o.dataDir, "snapshot"), RuntimeDir: o.runtimeDir, Server: config.Host, Namespace: o.namespace,
		Log: log.WithName("snapshot"), Registerer: ctrlmetrics.Registry,
	}); err != nil {
		return err
	}
	begin := newOpening(s.snapshot, s.snapshot.Restore(x, store, s.tokens))
	pod := &controllers.Pod{
		Name: os.Getenv("POD_NAME"), Index: x, Artifacts: store, Changed: events, Namespace: home, Watched: o.namespace, Tokens: s.tokens,
		Filled: begin.filled, Snapshot: s.snapshot, Boots: s.boots.reporter, Metrics: s.index,
	}
	if o.boots.registers() {
		if pod.Discovery, err = controllers.NewDiscovery(
			cmp.Or(o.boots.registerNamespace, home), o.boots.maxDiscovered, log.WithName("discovery"), ctrlmetrics.Registry,
		); err != nil {
			return err
		}
		s.handler.Strangers = pod.Discovery
	}
	return besideMetrics(ctx, o, log, s, nil, func(ctx context.Context) error {
		return together(ctx,
			func(ctx context.Context) error {
				return follow(ctx, log, begin, func() (ctrl.Manager, error) { return setUp(ctx, config, options, pod) })
			},
			func(ctx context.Context) error {
				if !begin.wait(ctx, o.snapshotAfter) {
					return nil
				}
				return s.serve(ctx)
			},
		)
	})
}

// kubeConfig finds the API server, and the namespace that is this process's own.
func kubeConfig(file string) (*rest.Config, string, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = file
	loader := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, nil)
	config, err := loader.ClientConfig()
	if err != nil {
		return nil, "", err
	}
	config.QPS = -1 // the API server's priority and fairness decides
	config.Dial = (&net.Dialer{Timeout: dialTimeout, KeepAlive: 30 * time.Second}).DialContext
	namespace, _, err := loader.Namespace()
	return config, namespace, err
}
