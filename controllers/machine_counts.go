// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/predicate"

	"github.com/netboot-operator/netboot-operator/api/v1alpha1"
)

// countMachines counts the Machines that name a BootProfile.
func countMachines(ctx context.Context, reader client.Reader, profile client.ObjectKey) (v1alpha1.MachineCounts, error) {
	var counts v1alpha1.MachineCounts
	var machines v1alpha1.MachineList
	// Without copies: there may be thousands, and they are only read.
	if err := reader.List(ctx, &machines, client.InNamespace(profile.Namespace), client.MatchingFields{fieldProfile: profile.Name},
		client.UnsafeDisableDeepCopy); err != nil {
		return counts, fmt.Errorf("count the Machines of BootProfile %s: %w", profile, err)
	}
	for i := range machines.Items {
		count(&counts, &machines.Items[i])
	}
	return counts, nil
}

// count adds a Machine.
func count(counts *v1alpha1.MachineCounts, m *v1alpha1.Machine) {
	c := countedAs(m)
	counts.Total++
	if c.armed {
		counts.Armed++
	}
	if c.booted {
		counts.Booted++
	}
	if c.stuck {
		counts.Stuck++
	}
}

// counted is what a Machine counts as.
type counted struct{ armed, booted, stuck bool }

func countedAs(m *v1alpha1.Machine) counted {
	return counted{armed: armed(m).ok(), booted: completed(m) || booted(m).Status == metav1.ConditionTrue, stuck: stuck(m)}
}

// countChanged passes the changes of a Machine that change what is counted of it: most of its status says how far a boot is.
func countChanged() predicate.Predicate {
	return predicate.Or(specChanged(), predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		before, ok := e.ObjectOld.(*v1alpha1.Machine)
		after, ok2 := e.ObjectNew.(*v1alpha1.Machine)
		return ok && ok2 && countedAs(before) != countedAs(after)
	}})
}

// bootableChanged passes the changes of a Machine that change what it boots: the spec, and what its status says of the boots of
// its present bootID.
func bootableChanged() predicate.Predicate {
	return predicate.Or(specChanged(), predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		before, ok := e.ObjectOld.(*v1alpha1.Machine)
		after, ok2 := e.ObjectNew.(*v1alpha1.Machine)
		return ok && ok2 && (before.Status.BootID != after.Status.BootID ||
			bootsOf(before, before.Spec.BootID) != bootsOf(after, after.Spec.BootID))
	}})
}
