// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"fmt"

	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/manager"

	"github.com/netboot-operator/netboot-operator/pkg/index"
)

// Setup adds the controllers of a pod to mgr. serve opens the servers' sockets and answers until its context ends; it is
// called once the index holds every object that was there at the start.
func Setup(ctx context.Context, mgr ctrl.Manager, x *index.Index, states ArtifactStates, changed *ArtifactEvents, serve func(context.Context) error) error {
	if err := setupFieldIndexes(ctx, mgr); err != nil {
		return err
	}
	filled := newFill()
	recorder := eventRecorder{mgr.GetEventRecorder("netboot-operator")}
	for _, c := range []interface{ setup(ctrl.Manager) error }{
		&MachineIndexer{Reader: mgr.GetClient(), Index: x, fill: filled},
		&BootProfileIndexer{Reader: mgr.GetClient(), Index: x, fill: filled},
		&MachineReporter{Client: mgr.GetClient(), Events: recorder},
		&BootProfileReporter{Client: mgr.GetClient(), Events: recorder},
		&ArtifactReporter{Client: mgr.GetClient(), Index: x, Artifacts: states, Changed: changed.C},
	} {
		if err := c.setup(mgr); err != nil {
			return fmt.Errorf("set up %T: %w", c, err)
		}
	}
	if err := mgr.Add(everyPodRunnable(func(ctx context.Context) error {
		if !mgr.GetCache().WaitForCacheSync(ctx) {
			return context.Cause(ctx)
		}
		if err := filled.wait(ctx, mgr.GetClient()); err != nil {
			return fmt.Errorf("fill the index: %w", err)
		}
		return serve(ctx)
	})); err != nil {
		return fmt.Errorf("add the servers: %w", err)
	}
	return nil
}

// everyPodRunnable runs whether or not this pod leads.
type everyPodRunnable func(context.Context) error

// Start implements manager.Runnable.
func (f everyPodRunnable) Start(ctx context.Context) error { return f(ctx) }

// NeedLeaderElection implements manager.LeaderElectionRunnable.
func (everyPodRunnable) NeedLeaderElection() bool { return false }

var _ manager.LeaderElectionRunnable = everyPodRunnable(nil)
