// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"

	"k8s.io/apimachinery/pkg/api/equality"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/netboot-operator/netboot-operator/api/v1alpha1"
)

// BootProfileReporter writes into a BootProfile's status what the indexers make of it. It acts in the leader only.
type BootProfileReporter struct {
	Client client.Client
	Events eventRecorder
	leader *Leader
}

// Reconcile brings one BootProfile's status up to date.
func (r *BootProfileReporter) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	if !r.leader.leads() {
		return ctrl.Result{}, nil // when it does, it looks at every object
	}
	profile, err := fetchProfile(ctx, r.Client, req.NamespacedName)
	if profile == nil || err != nil {
		return ctrl.Result{}, err
	}
	machines, err := machinesOf(ctx, r.Client, req.NamespacedName)
	if err != nil {
		return ctrl.Result{}, err
	}
	before := profile.DeepCopy()
	reportProfile(profile, len(machines))
	if equality.Semantic.DeepEqual(before.Status, profile.Status) {
		return ctrl.Result{}, nil
	}
	if result, err := patchStatus(ctx, r.Client, profile, before); err != nil || result.RequeueAfter > 0 {
		return result, err
	}
	r.Events.readyChanged(profile, kindBootProfile, before.Status.Conditions, profile.Status.Conditions)
	return ctrl.Result{}, nil
}

// reportProfile writes a BootProfile's status from what it is and how many Machines name it.
func reportProfile(profile *v1alpha1.BootProfile, machines int) {
	_, accepted := compile(profile)
	profile.Status.ObservedGeneration = profile.Generation
	profile.Status.Machines = &v1alpha1.MachineCounts{Total: int32(min(machines, 1<<31-1))}
	setProfileConditions(profile, accepted)
}

func (r *BootProfileReporter) setup(mgr ctrl.Manager) error {
	return ctrl.NewControllerManagedBy(mgr).
		Named("bootprofile-reporter").
		For(&v1alpha1.BootProfile{}).
		Watches(&v1alpha1.Machine{}, profileOf()).
		WatchesRawSource(source.Channel(r.leader.profiles, &handler.EnqueueRequestForObject{})).
		WithOptions(everyPod()).
		Complete(r)
}
