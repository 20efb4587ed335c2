// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"

	"github.com/netboot-operator/netboot-operator/api/v1alpha1"
	"github.com/netboot-operator/netboot-operator/controllers"
)

// retryAPIServer is how long to wait before the API server is asked again at the start.
const retryAPIServer = 2 * time.Second

const forEver = 100 * 365 * 24 * time.Hour

// dialTimeout bounds each try to reach the API server, so that one that comes back is seen soon.
const dialTimeout = 5 * time.Second

// follow follows the API server until ctx ends.
func follow(ctx context.Context, log logr.Logger, begin *opening, setUp func() (ctrl.Manager, error)) error {
	for {
		mgr, err := setUp()
		if err == nil {
			err = startManager(ctx, mgr)
			if !errors.Is(err, controllers.ErrStale) {
				return err
			}
			log.Info("All objects are looked at anew", "reason", err.Error())
			continue
		}
		log.Info("Waiting for the API server", "reason", err.Error())
		begin.refused(err)
		select {
		case <-time.After(retryAPIServer):
		case <-ctx.Done():
			return nil
		}
	}
}

// startManager is mgr.Start, which must not be ended while its caches are not filled: it would go on for ever, with a whole processor.
// Where the API server does not answer, or denies the lists, that may be always. There is nothing to bring to an end then.
func startManager(ctx context.Context, mgr ctrl.Manager) error {
	alive, cancel := context.WithCancel(context.WithoutCancel(ctx))
	synced, ended := make(chan struct{}), make(chan error, 1)
	go func() {
		defer close(synced)
		mgr.GetCache().WaitForCacheSync(alive)
	}()
	go func() {
		defer cancel()
		ended <- mgr.Start(alive)
	}()
	stop := context.AfterFunc(ctx, func() {
		<-synced
		cancel()
	})
	defer stop()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	select {
	case <-synced:
		return <-ended
	default:
		return nil // the process ends
	}
}

// setUp connects to the API server. It fails while that is away, or does not know our kinds.
func setUp(ctx context.Context, config *rest.Config, options ctrl.Options, pod *controllers.Pod) (ctrl.Manager, error) {
	mgr, err := ctrl.NewManager(config, options)
	if err != nil {
		return nil, fmt.Errorf("connect to the API server: %w", err)
	}
	if err := answers(ctx, mgr.GetAPIReader(), pod); err != nil {
		return nil, err
	}
	return mgr, pod.Setup(ctx, mgr)
}

// answers returns an error unless the API server lists our kinds from its own cache, as it will for ours. For some seconds after
// its start it refuses to, and who asks a cache to fill itself then waits longer with each refusal, up to half a minute.
func answers(ctx context.Context, reader client.Reader, pod *controllers.Pod) error {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	for _, kind := range []client.ObjectList{&v1alpha1.BootProfileList{}, &v1alpha1.MachineList{}} {
		none := &metav1.ListOptions{ResourceVersion: "0", FieldSelector: "metadata.name=none"}
		if err := reader.List(ctx, kind, client.InNamespace(pod.Watched), &client.ListOptions{Raw: none}); err != nil {
			return fmt.Errorf("list %T: %w", kind, err)
		}
	}
	return nil
}

// mapperUntil makes managers ask the API server for its kinds only until ctx ends. They do that before they start, where no
// context of ours reaches, and again and again when it breaks off.
func mapperUntil(ctx context.Context) func(*rest.Config, *http.Client) (meta.RESTMapper, error) {
	return func(config *rest.Config, _ *http.Client) (meta.RESTMapper, error) {
		config = rest.CopyConfig(config)
		config.Wrap(func(next http.RoundTripper) http.RoundTripper { return &mortalTransport{ctx, next} })
		client, err := rest.HTTPClientFor(config)
		if err != nil {
			return nil, err
		}
		return apiutil.NewDynamicRESTMapper(config, client)
	}
}

// A mortalTransport ends its requests with a context.
type mortalTransport struct {
	ctx  context.Context // of the process
	next http.RoundTripper
}

// RoundTrip implements http.RoundTripper.
func (m *mortalTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	if m.ctx.Err() != nil {
		return nil, context.Cause(m.ctx) //nolint:contextcheck // client-go brings a context of its own, which never ends
	}
	ctx, cancel := context.WithCancelCause(r.Context())
	context.AfterFunc(m.ctx, func() { cancel(context.Cause(m.ctx)) }) //nolint:contextcheck // as above; also while the answer is read
	return m.next.RoundTrip(r.WithContext(ctx))
}
