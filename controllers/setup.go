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

// Pod is what the controllers of one pod work with.
type Pod struct {
	Index     *index.Index
	Artifacts ArtifactStates
	Changed   *ArtifactEvents
	// Namespace is where the lease of the leader lies.
	Namespace string
	// Serve opens the servers' sockets and answers until its context ends. It is called once the index holds every
	// object that was there at the start.
	Serve func(context.Context) error
}

// Setup adds the controllers to mgr, which must not elect a leader itself; see Leader.
func (p *Pod) Setup(ctx context.Context, mgr ctrl.Manager) error {
	if err := setupFieldIndexes(ctx, mgr); err != nil {
		return err
	}
	filled := newFill()
	leader, err := newLeader(mgr.GetConfig(), p.Namespace, mgr.GetClient(), mgr.GetLogger())
	if err != nil {
		return err
	}
	recorder := newEventRecorder(mgr.GetEventRecorder("netboot-operator"))
	for _, c := range []interface{ setup(ctrl.Manager) error }{
		&MachineIndexer{Reader: mgr.GetClient(), Index: p.Index, fill: filled},
		&BootProfileIndexer{Reader: mgr.GetClient(), Index: p.Index, fill: filled},
		&MachineReporter{Client: mgr.GetClient(), Events: recorder, leader: leader},
		&BootProfileReporter{Client: mgr.GetClient(), Events: recorder, leader: leader},
		&ArtifactReporter{Client: mgr.GetClient(), Artifacts: p.Artifacts, Changed: p.Changed.C},
	} {
		if err := c.setup(mgr); err != nil {
			return fmt.Errorf("set up %T: %w", c, err)
		}
	}
	if err := mgr.Add(leader); err != nil {
		return fmt.Errorf("add the election: %w", err)
	}
	if err := mgr.Add(everyPodRunnable(func(ctx context.Context) error {
		if !mgr.GetCache().WaitForCacheSync(ctx) {
			return context.Cause(ctx)
		}
		if err := filled.wait(ctx, mgr.GetClient()); err != nil {
			return fmt.Errorf("fill the index: %w", err)
		}
		return p.Serve(ctx)
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
