// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/netboot-operator/netboot-operator/api/v1alpha1"
)

// MachineReporter writes into a Machine's status what the indexers make of it. It acts in the leader only.
type MachineReporter struct {
	Client     client.Client
	Events     eventRecorder
	references *referenceReader
	changes    *referenceWatch
	leader     *Leader
}

// +kubebuilder:rbac:groups=netboot.dev,resources=machines/status;bootprofiles/status,verbs=patch
// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create;patch

// Reconcile brings one Machine's status up to date.
func (r *MachineReporter) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	if !r.leader.leads() {
		return ctrl.Result{}, nil // when it does, it looks at every object
	}
	m, profile, err := fetch(ctx, r.Client, req)
	if m == nil || err != nil {
		return ctrl.Result{}, err
	}
	rivals, err := rivalsOf(ctx, r.Client, m)
	if err != nil {
		return ctrl.Result{}, err
	}
	from, unread := r.references.read(ctx, req.Namespace, referencesOf(m, profile))
	if ctx.Err() != nil {
		return ctrl.Result{}, context.Cause(ctx)
	}
	before := m.DeepCopy()
	reportMachine(m, profile, from, rivals)
	if equality.Semantic.DeepEqual(before.Status, m.Status) {
		return ctrl.Result{}, unread
	}
	if result, err := patchStatus(ctx, r.Client, m, before); err != nil || result.RequeueAfter > 0 {
		return result, err
	}
	r.Events.readyChanged(m, kindMachine, before.Status.Conditions, m.Status.Conditions)
	return ctrl.Result{}, unread
}

// reportMachine writes a Machine's status from what it is, the profile that it names (nil: none of that name), what the two
// refer to, and the Machines that share an identity with it.
func reportMachine(m *v1alpha1.Machine, profile *v1alpha1.BootProfile, from referents, rivals []v1alpha1.Machine) {
	_, v := resolve(m, profile, from)
	if lost := conflict(m, rivals); lost != "" && v.accepted.ok() {
		v.accepted = no(v1alpha1.ReasonIdentityConflict, "%s", lost)
	}
	var artifacts *metav1.Condition
	m.Status.Profile = nil
	if profile != nil {
		artifacts = artifactsCondition(profile)
		m.Status.Profile = &v1alpha1.ObservedProfile{Name: profile.Name, Generation: profile.Generation}
	}
	m.Status.ObservedGeneration = m.Generation
	setMachineConditions(m, v, artifacts)
	setBootConditions(m)
}

// conflictRetry is how long to wait after somebody else wrote, for the cache to see it.
const conflictRetry = 100 * time.Millisecond

// patchStatus writes the status of an object that nobody changed meanwhile; else it says when to try again. The lists of
// conditions would overwrite each other otherwise: the leader and the pods that fetch write to the same one.
func patchStatus(ctx context.Context, c client.Client, after, before client.Object) (ctrl.Result, error) {
	patch := client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
	switch err := c.Status().Patch(ctx, after, patch); {
	case err == nil, apierrors.IsNotFound(err):
		return ctrl.Result{}, nil
	case apierrors.IsConflict(err):
		return ctrl.Result{RequeueAfter: conflictRetry}, nil
	default:
		return ctrl.Result{}, fmt.Errorf("patch status of %s: %w", client.ObjectKeyFromObject(after), err)
	}
}

func (r *MachineReporter) setup(mgr ctrl.Manager) error {
	return ctrl.NewControllerManagedBy(mgr).
		Named("machine-reporter").
		For(&v1alpha1.Machine{}).
		Watches(&v1alpha1.Machine{}, machinesSharing(mgr.GetClient())).
		Watches(&v1alpha1.BootProfile{}, machinesUsing(mgr.GetClient()), builder.WithPredicates(profileChanged())).
		WatchesRawSource(source.Channel(r.leader.machines, &handler.EnqueueRequestForObject{})).
		WatchesRawSource(r.changes.changes(kindConfigMap, machinesReferring)).
		WatchesRawSource(r.changes.changes(kindSecret, machinesReferring)).
		WithOptions(everyPod()).
		Complete(r)
}
