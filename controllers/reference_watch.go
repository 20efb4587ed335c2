// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	logf "sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/netboot-operator/netboot-operator/api/v1alpha1"
)

// A referenceWatch wakes those who refer to a ConfigMap or Secret that changed. Of each it holds no more than its name and
// version.
//
// It is beside the manager's cache because nobody waits for it: where the API server does not let us watch Secrets, all
// that needs none is served, and the watch is tried again for ever.
type referenceWatch struct {
	cache     cache.Cache
	informers map[string]cache.Informer // by kind
	reader    *referenceReader
	objects   client.Reader // the manager's cache
}

func newReferenceWatch(ctx context.Context, mgr ctrl.Manager, namespace string, reader *referenceReader) (*referenceWatch, error) {
	options := cache.Options{
		HTTPClient: mgr.GetHTTPClient(), Scheme: mgr.GetScheme(), Mapper: mgr.GetRESTMapper(), DefaultTransform: onlyVersion,
	}
	if namespace != "" {
		options.DefaultNamespaces = map[string]cache.Config{namespace: {}}
	}
	c, err := cache.New(mgr.GetConfig(), options)
	if err != nil {
		return nil, fmt.Errorf("watch ConfigMaps and Secrets: %w", err)
	}
	w := &referenceWatch{cache: c, informers: map[string]cache.Informer{}, reader: reader, objects: mgr.GetClient()}
	for _, kind := range []string{kindConfigMap, kindSecret} {
		o := &metav1.PartialObjectMetadata{}
		o.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind(kind))
		if w.informers[kind], err = c.GetInformer(ctx, o, cache.BlockUntilSynced(false)); err != nil {
			return nil, fmt.Errorf("watch %ss: %w", kind, err)
		}
	}
	return w, nil
}

// onlyVersion drops all of an object's metadata but what tells that it changed. Annotations may hold a whole Secret: those
// of kubectl apply do.
func onlyVersion(o any) (any, error) {
	if m, ok := o.(*metav1.PartialObjectMetadata); ok {
		m.ObjectMeta = metav1.ObjectMeta{
			Namespace: m.Namespace, Name: m.Name, UID: m.UID, ResourceVersion: m.ResourceVersion,
		}
	}
	return o, nil
}

// Start implements manager.Runnable.
func (w *referenceWatch) Start(ctx context.Context) error { return w.cache.Start(ctx) }

// NeedLeaderElection implements manager.LeaderElectionRunnable.
func (*referenceWatch) NeedLeaderElection() bool { return false }

// findReferring returns who refers to an object of the given kind.
type findReferring func(ctx context.Context, reader client.Reader, kind string, to client.ObjectKey) ([]reconcile.Request, error)

// changes tell a controller of those of a kind. find returns whom to wake.
func (w *referenceWatch) changes(kind string, find findReferring) source.Source {
	wake := handler.EnqueueRequestsFromMapFunc(func(ctx context.Context, o client.Object) []reconcile.Request {
		key := client.ObjectKeyFromObject(o)
		w.reader.forget(kind, key)
		requests, err := find(ctx, w.objects, kind, key)
		if err != nil {
			logf.FromContext(ctx).Error(err, "Those who refer to a changed object are not looked at", kind, key)
		}
		return requests
	})
	return &source.Informer{Informer: w.informers[kind], Handler: wake, Predicates: []predicate.Predicate{versionChanged()}}
}

// versionChanged drops the repetitions that an informer makes of its own.
func versionChanged() predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		return e.ObjectOld.GetResourceVersion() != e.ObjectNew.GetResourceVersion()
	}}
}

// profilesReferring returns the BootProfiles that refer to an object.
func profilesReferring(ctx context.Context, reader client.Reader, kind string, to client.ObjectKey) ([]reconcile.Request, error) {
	var profiles v1alpha1.BootProfileList
	if err := reader.List(ctx, &profiles, client.InNamespace(to.Namespace), client.MatchingFields{fieldReference: referenceValue(kind, to.Name)}); err != nil {
		return nil, fmt.Errorf("list BootProfiles that refer to %s %s: %w", kind, to, err)
	}
	requests := make([]reconcile.Request, 0, len(profiles.Items))
	for i := range profiles.Items {
		requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&profiles.Items[i])})
	}
	return requests, nil
}

// machinesReferring returns the Machines that refer to an object, themselves or by their BootProfile.
func machinesReferring(ctx context.Context, reader client.Reader, kind string, to client.ObjectKey) ([]reconcile.Request, error) {
	var own v1alpha1.MachineList
	if err := reader.List(ctx, &own, client.InNamespace(to.Namespace), client.MatchingFields{fieldReference: referenceValue(kind, to.Name)}); err != nil {
		return nil, fmt.Errorf("list Machines that refer to %s %s: %w", kind, to, err)
	}
	requests := requestsFor(own.Items)
	profiles, err := profilesReferring(ctx, reader, kind, to)
	if err != nil {
		return nil, err
	}
	for _, profile := range profiles {
		machines, err := machinesOf(ctx, reader, profile.NamespacedName)
		if err != nil {
			return nil, err
		}
		requests = append(requests, requestsFor(machines)...)
	}
	return requests, nil
}
