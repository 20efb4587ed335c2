// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"

	"github.com/netboot-operator/netboot-operator/api/v1alpha1"
	"github.com/netboot-operator/netboot-operator/pkg/index"
)

// MachineIndexer keeps this pod's boot index equal to the API server's Machines.
// It runs in every pod, leader or not, and never writes to the API server.
type MachineIndexer struct {
	Reader     client.Reader
	Index      *index.Index
	references *referenceReader
	changes    *referenceWatch
	fill       *fill
	snapshot   *Snapshot
	metrics    *IndexMetrics
	known      []index.Key // what was in the index before
}

// +kubebuilder:rbac:groups=netboot.dev,resources=machines;bootprofiles,verbs=list;watch

// Reconcile brings one Machine's index entry up to date.
func (r *MachineIndexer) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	m, profile, err := fetch(ctx, r.Reader, req)
	if err != nil {
		return ctrl.Result{}, err // the workqueue retries with backoff
	}
	from, err := r.references.read(ctx, req.Namespace, referencesOf(m, profile))
	if ctx.Err() != nil {
		return ctrl.Result{}, context.Cause(ctx)
	}
	key := index.Key(req.String())
	switch entry, _ := resolveOrNil(m, profile, from); {
	case err != nil && r.Index.Machine(key) != nil:
		// What is there goes on until the API server answers again. A machine that is not there yet gets what can be had.
	case entry == nil:
		r.Index.Delete(key) // a fact to report, not an error to retry: MachineReporter says why
	default:
		r.Index.Put(entry)
	}
	switch {
	case m == nil:
		r.metrics.gone(kindMachine, req.NamespacedName)
	case err == nil:
		r.metrics.served(kindMachine, req.NamespacedName, m.Generation)
	}
	r.fill.note(kindMachine, req.NamespacedName)
	r.snapshot.touch()
	return ctrl.Result{}, err
}

// resolveOrNil is resolve, and nil for a Machine that does not exist.
func resolveOrNil(m *v1alpha1.Machine, profile *v1alpha1.BootProfile, from referents) (*index.Machine, verdict) {
	if m == nil {
		return nil, verdict{}
	}
	return resolve(m, profile, from)
}

func (r *MachineIndexer) setup(mgr ctrl.Manager) error {
	return ctrl.NewControllerManagedBy(mgr).
		Named("machine-indexer").
		For(&v1alpha1.Machine{}, builder.WithPredicates(bootableChanged())).
		Watches(&v1alpha1.BootProfile{}, machinesUsing(mgr.GetClient()), builder.WithPredicates(specChanged())).
		WatchesRawSource(r.changes.changes(kindConfigMap, machinesReferring)).
		WatchesRawSource(r.changes.changes(kindSecret, machinesReferring)).
		WatchesRawSource(enqueue(r.known)).
		WithOptions(everyPod()).
		Complete(r)
}

// everyPod are the options of the controllers that run in every pod. The priority queue is off: it puts the initial list
// behind every later event, and a pod that starts on a busy cluster would not serve for a long time.
func everyPod() controller.Options {
	return controller.Options{NeedLeaderElection: new(false), UsePriorityQueue: new(false)}
}

// fetch gets a Machine and the BootProfile that it names. Each is nil when it does not exist.
func fetch(ctx context.Context, reader client.Reader, req ctrl.Request) (*v1alpha1.Machine, *v1alpha1.BootProfile, error) {
	m := &v1alpha1.Machine{}
	if err := reader.Get(ctx, req.NamespacedName, m); apierrors.IsNotFound(err) {
		return nil, nil, nil
	} else if err != nil {
		return nil, nil, fmt.Errorf("get Machine %s: %w", req, err)
	}
	if m.Spec.ProfileRef == nil {
		return m, nil, nil
	}
	profile, err := fetchProfile(ctx, reader, client.ObjectKey{Namespace: m.Namespace, Name: m.Spec.ProfileRef.Name})
	return m, profile, err
}

// fetchProfile gets a BootProfile, or nil when it does not exist.
func fetchProfile(ctx context.Context, reader client.Reader, key client.ObjectKey) (*v1alpha1.BootProfile, error) {
	profile := &v1alpha1.BootProfile{}
	if err := reader.Get(ctx, key, profile); apierrors.IsNotFound(err) {
		return nil, nil
	} else if err != nil {
		return nil, fmt.Errorf("get BootProfile %s: %w", key, err)
	}
	return profile, nil
}
