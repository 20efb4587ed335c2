// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"os"
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
	cacheOptions := cache.Options{DefaultTransform: cache.TransformStripManagedFields()}
	if o.namespace != "" {
		cacheOptions.DefaultNamespaces = map[string]cache.Config{o.namespace: {}}
	}
	options := ctrl.Options{
		Scheme:                  scheme,
		Logger:                  log,
		Cache:                   cacheOptions,
		Client:                  client.Options{FieldOwner: "netboot-operator", FieldValidation: "Strict"},
		Metrics:                 metricsserver.Options{BindAddress: "0"},              // besideMetrics serves the registry
		Controller:              ctrlconfig.Controller{SkipNameValidation: new(true)}, // setUp may have to be repeated
		GracefulShutdownTimeout: new(o.shutdownGrace + 5*time.Second),
	}
	pod := &controllers.Pod{
		Name: os.Getenv("POD_NAME"), Index: x, Artifacts: store, Changed: events, Namespace: home, Watched: o.namespace, Tokens: s.tokens, Serve: s.serve,
	}
	return besideMetrics(ctx, o, log, s, nil, func(ctx context.Context) error {
		mgr, err := setUp(ctx, config, options, pod)
		for ; err != nil && ctx.Err() == nil; mgr, err = setUp(ctx, config, options, pod) {
			log.Info("Waiting for the API server", "reason", err.Error())
			select {
			case <-time.After(retryAPIServer):
			case <-ctx.Done():
			}
		}
		if err != nil {
			return nil // told to stop while it waited
		}
		return mgr.Start(ctx)
	})
}

// retryAPIServer is how long to wait before the API server is asked again at the start.
const retryAPIServer = 2 * time.Second

// setUp connects to the API server. It fails while that is away, or does not know our kinds.
func setUp(ctx context.Context, config *rest.Config, options ctrl.Options, pod *controllers.Pod) (ctrl.Manager, error) {
	mgr, err := ctrl.NewManager(config, options)
	if err != nil {
		return nil, fmt.Errorf("connect to the API server: %w", err)
	}
	return mgr, pod.Setup(ctx, mgr)
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
	namespace, _, err := loader.Namespace()
	return config, namespace, err
}
