// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/go-logr/logr"
	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/labels"
	toolscache "k8s.io/client-go/tools/cache"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// A podWatch knows in the leader which pods there are and what they have. Only the leader watches their Leases: with
// fifty pods that renew each ten seconds, fifty watches would carry more than all else.
type podWatch struct {
	client  client.Client
	newView func() (cache.Cache, error)             // of the Leases
	changed func(context.Context, map[shortID]bool) // is told which artifacts changed; nil: all
	timing  timing
	log     logr.Logger

	mu    sync.Mutex
	pods  map[string]*podSeen // by the name of the Lease
	known bool                // pods has all that were there at the start of the term
}

// A podSeen is what the leader knows of one pod.
type podSeen struct {
	lease    *coordinationv1.Lease
	renewed  time.Time // by our clock: those of two computers may differ
	holdings holdings
}

func newPodWatch(mgr ctrl.Manager, namespace string, t timing, changed func(context.Context, map[shortID]bool)) *podWatch {
	w := &podWatch{client: mgr.GetClient(), changed: changed, timing: t, log: mgr.GetLogger().WithName("pods"), pods: map[string]*podSeen{}}
	w.newView = func() (cache.Cache, error) {
		return cache.New(mgr.GetConfig(), cache.Options{
			HTTPClient: mgr.GetHTTPClient(), Scheme: mgr.GetScheme(), Mapper: mgr.GetRESTMapper(),
			DefaultTransform:     cache.TransformStripManagedFields(),
			DefaultNamespaces:    map[string]cache.Config{namespace: {}},
			DefaultLabelSelector: labels.SelectorFromSet(labels.Set{presenceLabel: "true"}),
		})
	}
	return w
}

// follow watches until ctx ends, which is the end of the term: then it knows nothing any more.
func (w *podWatch) follow(ctx context.Context) {
	defer w.forget()
	if err := w.watch(ctx); err != nil {
		w.log.Error(err, "How far the pods are with artifacts is not reported")
	}
}

func (w *podWatch) watch(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	var watching sync.WaitGroup
	defer watching.Wait()
	defer cancel()
	view, err := w.newView()
	if err != nil {
		return fmt.Errorf("watch the Leases of pods: %w", err)
	}
	informer, err := view.GetInformer(ctx, &coordinationv1.Lease{}, cache.BlockUntilSynced(false))
	if err != nil {
		return fmt.Errorf("watch the Leases of pods: %w", err)
	}
	handled, err := informer.AddEventHandler(toolscache.ResourceEventHandlerFuncs{
		AddFunc:    func(o any) { w.saw(ctx, o) },
		UpdateFunc: func(_, o any) { w.saw(ctx, o) },
		DeleteFunc: func(o any) { w.lost(ctx, o) },
	})
	if err != nil {
		return fmt.Errorf("watch the Leases of pods: %w", err)
	}
	watching.Go(func() {
		if err := view.Start(ctx); err != nil {
			w.log.Error(err, "Leases of pods are not watched")
		}
	})
	if !toolscache.WaitForCacheSync(ctx.Done(), handled.HasSynced) {
		return nil
	}
	w.mu.Lock()
	w.known = true
	w.mu.Unlock()
	w.changed(ctx, nil)

	tick := time.NewTicker(w.timing.lasts / 8)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			w.sweep(ctx)
		}
	}
}

func (w *podWatch) forget() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.known, w.pods = false, map[string]*podSeen{}
}

// saw notes what a Lease tells.
func (w *podWatch) saw(ctx context.Context, o any) {
	lease, ok := o.(*coordinationv1.Lease)
	if !ok {
		return
	}
	now := &podSeen{lease: lease, renewed: time.Now(), holdings: decodeHoldings(lease.Annotations[holdingsAnnotation])}
	w.mu.Lock()
	before := w.pods[lease.Name]
	w.pods[lease.Name] = now
	known := w.known
	if before != nil && before.lease.Spec.RenewTime.Equal(lease.Spec.RenewTime) {
		now.renewed = before.renewed // somebody else changed it
	}
	w.mu.Unlock()
	switch {
	case !known:
	case before == nil:
		w.changed(ctx, nil)
	default:
		if changed := differences(before.holdings, now.holdings); len(changed) > 0 {
			w.changed(ctx, changed)
		}
	}
}

// differences returns the artifacts that two pods, or one pod at two times, are not equally far with.
func differences(a, b holdings) map[shortID]bool {
	changed := map[shortID]bool{}
	for id, h := range a {
		if b[id] != h {
			changed[id] = true
		}
	}
	for id, h := range b {
		if a[id] != h {
			changed[id] = true
		}
	}
	return changed
}

// lost notes that a pod is gone.
func (w *podWatch) lost(ctx context.Context, o any) {
	if gone, ok := o.(toolscache.DeletedFinalStateUnknown); ok {
		o = gone.Obj
	}
	lease, ok := o.(*coordinationv1.Lease)
	if !ok {
		return
	}
	w.mu.Lock()
	delete(w.pods, lease.Name)
	known := w.known
	w.mu.Unlock()
	if known {
		w.changed(ctx, nil)
	}
}

// sweep deletes the Leases of pods that don't renew them any more. That the watch sees, and tells.
func (w *podWatch) sweep(ctx context.Context) {
	for _, lease := range w.expired() {
		w.log.Info("Pod has not renewed its Lease: it does not count any more", "lease", lease.Name)
		err := w.client.Delete(ctx, lease, client.Preconditions{UID: &lease.UID, ResourceVersion: &lease.ResourceVersion})
		if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) && ctx.Err() == nil {
			w.log.Error(err, "Lease of a pod that is gone is not deleted", "lease", lease.Name)
		}
	}
}

func (w *podWatch) expired() []*coordinationv1.Lease {
	w.mu.Lock()
	defer w.mu.Unlock()
	var all []*coordinationv1.Lease
	for _, pod := range w.pods {
		if time.Since(pod.renewed) > w.timing.lasts {
			all = append(all, pod.lease)
		}
	}
	return all
}

// holdings returns what each pod has; nil while that is not known, or there is none.
func (w *podWatch) holdings() map[string]holdings {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.known || len(w.pods) == 0 {
		return nil
	}
	all := make(map[string]holdings, len(w.pods))
	for name, pod := range w.pods {
		all[strings.TrimPrefix(name, presencePrefix)] = pod.holdings
	}
	return all
}
