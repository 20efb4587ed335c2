// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	logf "sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/netboot-operator/netboot-operator/api/v1alpha1"
)

// The kinds, for messages and keys.
const (
	kindMachine     = "Machine"
	kindBootProfile = "BootProfile"
)

// The field indexes of the cache.
const (
	fieldProfile  = "spec.profileRef.name"
	fieldIdentity = "identity" // each of identities()

	fieldReference = "reference" // each referenceValue()
)

func setupFieldIndexes(ctx context.Context, mgr ctrl.Manager) error {
	indexer := mgr.GetFieldIndexer()
	if err := indexer.IndexField(ctx, &v1alpha1.Machine{}, fieldProfile, func(o client.Object) []string {
		if m, ok := o.(*v1alpha1.Machine); ok && m.Spec.ProfileRef != nil {
			return []string{m.Spec.ProfileRef.Name}
		}
		return nil
	}); err != nil {
		return fmt.Errorf("index Machines by profile: %w", err)
	}
	if err := indexer.IndexField(ctx, &v1alpha1.Machine{}, fieldIdentity, func(o client.Object) []string {
		if m, ok := o.(*v1alpha1.Machine); ok {
			return identities(m)
		}
		return nil
	}); err != nil {
		return fmt.Errorf("index Machines by identity: %w", err)
	}
	if err := indexer.IndexField(ctx, &v1alpha1.Machine{}, fieldReference, func(o client.Object) []string {
		m, _ := o.(*v1alpha1.Machine)
		return referenceValues(referencesOf(m, nil))
	}); err != nil {
		return fmt.Errorf("index Machines by what they refer to: %w", err)
	}
	if err := indexer.IndexField(ctx, &v1alpha1.BootProfile{}, fieldReference, func(o client.Object) []string {
		p, _ := o.(*v1alpha1.BootProfile)
		return referenceValues(referencesOf(nil, p))
	}); err != nil {
		return fmt.Errorf("index BootProfiles by what they refer to: %w", err)
	}
	return nil
}

// referenceValue is how the cache's index names a ConfigMap or Secret, in the namespace of who refers to it.
func referenceValue(kind, name string) string { return kind + "/" + name }

func referenceValues(refs []reference) []string {
	values := make([]string, 0, len(refs))
	for _, to := range refs {
		values = append(values, referenceValue(to.kind, to.name))
	}
	return values
}

// identities returns a text for each thing that only one machine may have.
func identities(m *v1alpha1.Machine) []string {
	entry, _ := identify(m)
	if entry == nil {
		return nil
	}
	var all []string
	for _, mac := range entry.MACs {
		all = append(all, "mac/"+mac.String())
	}
	if entry.SystemUUID != "" {
		all = append(all, "uuid/"+entry.SystemUUID)
	}
	if entry.SerialNumber != "" {
		all = append(all, "serial/"+entry.SerialNumber)
	}
	return all
}

// machinesUsing enqueues the Machines that name a BootProfile.
func machinesUsing(reader client.Reader) handler.EventHandler {
	return handler.EnqueueRequestsFromMapFunc(func(ctx context.Context, o client.Object) []reconcile.Request {
		machines, err := machinesOf(ctx, reader, client.ObjectKeyFromObject(o))
		if err != nil {
			logf.FromContext(ctx).Error(err, "Machines of a changed BootProfile are not looked at", kindBootProfile, client.ObjectKeyFromObject(o))
			return nil
		}
		return requestsFor(machines)
	})
}

func machinesOf(ctx context.Context, reader client.Reader, profile client.ObjectKey) ([]v1alpha1.Machine, error) {
	var machines v1alpha1.MachineList
	err := reader.List(ctx, &machines, client.InNamespace(profile.Namespace), client.MatchingFields{fieldProfile: profile.Name})
	if err != nil {
		return nil, fmt.Errorf("list Machines of BootProfile %s: %w", profile, err)
	}
	return machines.Items, nil
}

// machinesSharing enqueues the other Machines that claim an identity of a changed one: one of them may have lost or won
// it.
func machinesSharing(reader client.Reader) handler.EventHandler {
	return handler.EnqueueRequestsFromMapFunc(func(ctx context.Context, o client.Object) []reconcile.Request {
		m, ok := o.(*v1alpha1.Machine)
		if !ok {
			return nil
		}
		sharing, err := rivalsOf(ctx, reader, m)
		if err != nil {
			logf.FromContext(ctx).Error(err, "Rivals of a changed Machine are not looked at", kindMachine, client.ObjectKeyFromObject(o))
			return nil
		}
		return requestsFor(sharing)
	})
}

// rivalsOf returns the other Machines that claim an identity of m.
func rivalsOf(ctx context.Context, reader client.Reader, m *v1alpha1.Machine) ([]v1alpha1.Machine, error) {
	var rivals []v1alpha1.Machine
	seen := map[types.NamespacedName]bool{client.ObjectKeyFromObject(m): true}
	for _, identity := range identities(m) {
		var found v1alpha1.MachineList
		if err := reader.List(ctx, &found, client.MatchingFields{fieldIdentity: identity}); err != nil {
			return nil, fmt.Errorf("list Machines with %s: %w", identity, err)
		}
		for i := range found.Items {
			if key := client.ObjectKeyFromObject(&found.Items[i]); !seen[key] {
				seen[key] = true
				rivals = append(rivals, found.Items[i])
			}
		}
	}
	return rivals, nil
}

func requestsFor(machines []v1alpha1.Machine) []reconcile.Request {
	requests := make([]reconcile.Request, 0, len(machines))
	for i := range machines {
		requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&machines[i])})
	}
	return requests
}

// profileOf enqueues the BootProfile that a Machine names, for its count of machines.
func profileOf() handler.EventHandler {
	return handler.EnqueueRequestsFromMapFunc(func(_ context.Context, o client.Object) []reconcile.Request {
		m, ok := o.(*v1alpha1.Machine)
		if !ok || m.Spec.ProfileRef == nil {
			return nil
		}
		return []reconcile.Request{{NamespacedName: types.NamespacedName{Namespace: m.Namespace, Name: m.Spec.ProfileRef.Name}}}
	})
}

// specChanged passes what may change the spec: all but updates of one and the same object with the same generation. After
// a watch was interrupted, an object that was replaced meanwhile comes as an update, with a generation that starts anew.
func specChanged() predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		return e.ObjectOld.GetUID() != e.ObjectNew.GetUID() || e.ObjectOld.GetGeneration() != e.ObjectNew.GetGeneration()
	}}
}

// profileChanged passes what of a BootProfile a Machine's status speaks of: the spec, and whether its artifacts can be had.
func profileChanged() predicate.Predicate {
	return predicate.Or(specChanged(), predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		before, ok := e.ObjectOld.(*v1alpha1.BootProfile)
		after, ok2 := e.ObjectNew.(*v1alpha1.BootProfile)
		if !ok || !ok2 {
			return false
		}
		was, is := artifactsCondition(before), artifactsCondition(after)
		if was == nil || is == nil {
			return was != is
		}
		return was.Status != is.Status || was.Reason != is.Reason
	}})
}
