// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"

	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/netboot-operator/netboot-operator/api/v1alpha1"
	"github.com/netboot-operator/netboot-operator/pkg/index"
)

// BootProfileIndexer keeps the profiles of this pod's boot index, and with them the artifacts and files that may be
// served, equal to the API server's BootProfiles. It runs in every pod and never writes to the API server.
type BootProfileIndexer struct {
	Reader     client.Reader
	Index      *index.Index
	Keeper     ArtifactKeeper
	references *referenceReader
	changes    *referenceWatch
	fill       *fill
	snapshot   *Snapshot
	metrics    *IndexMetrics
	known      []index.Key // what was in the index before
}

// Reconcile brings one BootProfile's index entry up to date.
func (r *BootProfileIndexer) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	profile, err := fetchProfile(ctx, r.Reader, req.NamespacedName)
	if err != nil {
		return ctrl.Result{}, err // the workqueue retries with backoff
	}
	var refs []reference
	if profile != nil {
		refs = referencesOfArtifacts(profile)
	}
	from, err := r.references.read(ctx, req.Namespace, refs)
	if ctx.Err() != nil {
		return ctrl.Result{}, context.Cause(ctx)
	}
	indexProfile(r.Index, r.Keeper, index.Key(req.String()), profile, from)
	if profile == nil {
		r.metrics.gone(kindBootProfile, req.NamespacedName)
	} else {
		r.metrics.served(kindBootProfile, req.NamespacedName, profile.Generation)
	}
	r.fill.note(kindBootProfile, req.NamespacedName)
	r.snapshot.touch()
	return ctrl.Result{}, err
}

// indexProfile puts a profile into the index and has its artifacts kept, or takes it out when it is gone or can't be used.
func indexProfile(x *index.Index, keeper ArtifactKeeper, key index.Key, profile *v1alpha1.BootProfile, from referents) {
	if profile != nil {
		if compiled, _ := compile(profile, from); compiled != nil {
			x.PutProfile(compiled)
			keeper.Keep(key, compiled.Artifacts())
			return
		}
	}
	x.DeleteProfile(key)
	keeper.Keep(key, nil)
}

func (r *BootProfileIndexer) setup(mgr ctrl.Manager) error {
	return ctrl.NewControllerManagedBy(mgr).
		Named("bootprofile-indexer").
		For(&v1alpha1.BootProfile{}, builder.WithPredicates(specChanged())).
		WatchesRawSource(r.changes.changes(kindSecret, profilesReferring)).
		WatchesRawSource(enqueue(r.known)).
		WithOptions(everyPod()).
		Complete(r)
}
