// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/netboot-operator/netboot-operator/api/v1alpha1"
)

// BootProfileReporter writes into a BootProfile's status what the indexers make of it, and how far the pods are with its
// artifacts. It acts in the leader only: nobody else writes to that status.
type BootProfileReporter struct {
	Client client.Client
	Events eventRecorder
	pods   *podWatch
	pace   *pace
	leader *Leader
}

// Reconcile brings one BootProfile's status up to date.
func (r *BootProfileReporter) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	if !r.leader.leads() {
		return ctrl.Result{}, nil // when it does, it looks at every object
	}
	profile, err := fetchProfile(ctx, r.Client, req.NamespacedName)
	if profile == nil || err != nil {
		r.pace.forget(req.NamespacedName)
		return ctrl.Result{}, err
	}
	counts, err := countMachines(ctx, r.Client, req.NamespacedName)
	if err != nil {
		return ctrl.Result{}, err
	}
	before := profile.DeepCopy()
	percent := reportProfile(profile, counts, r.pods.holdings())
	// While something is missing it looks again by itself: what is told of an artifact may come before the profile does.
	again := ctrl.Result{RequeueAfter: r.pace.every}
	if meta.IsStatusConditionTrue(profile.Status.Conditions, v1alpha1.ConditionArtifactsReady) {
		again = ctrl.Result{}
	}
	if equality.Semantic.DeepEqual(before.Status, profile.Status) {
		return again, nil
	}
	if turn := r.pace.turn(req.NamespacedName, &before.Status, &profile.Status, percent); turn.skip {
		return again, nil
	} else if turn.after > 0 {
		return ctrl.Result{RequeueAfter: turn.after}, nil
	}
	if result, err := patchStatus(ctx, r.Client, profile, before); err != nil || result.RequeueAfter > 0 {
		return result, err
	}
	r.pace.wrote(req.NamespacedName, percent)
	r.Events.profileChanged(profile, &before.Status, &profile.Status)
	return again, nil
}

// reportProfile writes a BootProfile's status from what it is, a count of the Machines that name it, and what the pods have of its
// artifacts; what it says of these stays as it is when pods is nil, which is not known. It returns how much of the
// artifacts has come, in percent.
func reportProfile(profile *v1alpha1.BootProfile, machines v1alpha1.MachineCounts, pods map[string]holdings) int64 {
	compiled, accepted := compile(profile, nil) // whether it is accepted does not hang on what it refers to
	profile.Status.ObservedGeneration = profile.Generation
	profile.Status.Machines = &machines
	var percent int64
	var artifacts *finding
	switch {
	case compiled == nil:
		profile.Status.Artifacts, profile.Status.ArtifactsCached = nil, ""
	case len(pods) > 0:
		s := summarise(compiled, pods)
		profile.Status.Artifacts, profile.Status.ArtifactsCached = s.artifacts, s.cached
		artifacts, percent = &s.condition, s.percent
	}
	setProfileConditions(profile, accepted, artifacts)
	return percent
}

func (r *BootProfileReporter) setup(mgr ctrl.Manager) error {
	return ctrl.NewControllerManagedBy(mgr).
		Named("bootprofile-reporter").
		For(&v1alpha1.BootProfile{}).
		Watches(&v1alpha1.Machine{}, profileOf(), builder.WithPredicates(countChanged())).
		WatchesRawSource(source.Channel(r.leader.profiles, &handler.EnqueueRequestForObject{})).
		WithOptions(everyPod()).
		Complete(r)
}
