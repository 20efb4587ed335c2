// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"fmt"

	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/manager"

	"github.com/netboot-operator/netboot-operator/pkg/index"
	"github.com/netboot-operator/netboot-operator/pkg/token"
)

// Pod is what the controllers of one pod work with.
type Pod struct {
	// Name is that of the pod. Empty: this process is none; it gets the name of the computer and a suffix.
	Name      string
	Index     *index.Index
	Artifacts ArtifactStore
	Changed   *ArtifactEvents
	// Namespace is where the lease of the leader and the key of tokens lie.
	Namespace string
	// Watched is the one namespace that is followed; empty: all.
	Watched string
	// Tokens gets the key of tokens. Nil: it is not looked for.
	Tokens *token.Keyring
	// Filled is called once the index holds every object that was there at the start, and nothing else. It must not block.
	Filled func()
	// Snapshot keeps what the index is made of for the next start. Nil: nothing is kept.
	Snapshot *Snapshot
	// Metrics measure how soon edits are served. Nil: they are not measured.
	Metrics *IndexMetrics
	// Discovery makes Machines of those who ask and are none. Nil: nobody does.
	Discovery *Discovery

	// Boots writes what became of boots into the status of Machines. Nil: nobody does.
	Boots *BootReporter

	timing timing // the zero value: the default
}

// Setup adds the controllers to mgr, which must not elect a leader itself; see Leader.
func (p *Pod) Setup(ctx context.Context, mgr ctrl.Manager) error {
	if err := setupFieldIndexes(ctx, mgr); err != nil {
		return err
	}
	if p.timing == (timing{}) {
		p.timing = defaultTiming()
	}
	filled, full := newFill(), make(chan struct{})
	pulls := newPulls(p.Artifacts, p.Changed.wake)
	name, err := presenceName(p.Name)
	if err != nil {
		return err
	}
	owners, err := findOwners(mgr.GetConfig(), p.Namespace)
	if err != nil {
		return err
	}
	leader, err := newLeader(mgr.GetConfig(), p.Namespace, owners.account, mgr.GetClient(), mgr.GetLogger())
	if err != nil {
		return err
	}
	leader.pods = newPodWatch(mgr, p.Namespace, p.timing, func(ctx context.Context, artifacts map[shortID]bool) {
		for _, key := range pulls.naming(artifacts) {
			send(ctx, leader.profiles, profileNamed(key))
		}
	})
	references := newReferenceReader(mgr.GetAPIReader())
	references.snapshot = p.Snapshot
	changes, err := newReferenceWatch(ctx, mgr, p.Watched, references)
	if err != nil {
		return err
	}
	keys := newTokenKeys(mgr, p.Namespace, p.Tokens)
	keys.Snapshot, keys.Owners = p.Snapshot, owners.account
	// What is in the index already comes from the snapshot, or from a manager that has ended. The indexers look at it too, and
	// take out what is no more.
	machines, profiles := p.Index.Keys()
	filled.known(kindMachine, machines)
	filled.known(kindBootProfile, profiles)
	recorder := newEventRecorder(mgr.GetEventRecorder("netboot-operator"))
	for _, c := range []interface{ setup(ctrl.Manager) error }{
		&MachineIndexer{
			Reader: mgr.GetClient(), Index: p.Index, references: references, changes: changes, fill: filled, snapshot: p.Snapshot,
			metrics: p.Metrics, known: machines,
		},
		&BootProfileIndexer{
			Reader: mgr.GetClient(), Index: p.Index, Keeper: pulls, references: references, changes: changes, fill: filled,
			snapshot: p.Snapshot, metrics: p.Metrics, known: profiles,
		},
		&MachineReporter{Client: mgr.GetClient(), Events: recorder, references: references, changes: changes, leader: leader},
		&BootProfileReporter{Client: mgr.GetClient(), Events: recorder, pods: leader.pods, pace: newPace(p.timing), leader: leader},
	} {
		if err := c.setup(mgr); err != nil {
			return fmt.Errorf("set up %T: %w", c, err)
		}
	}
	if err := mgr.Add(leader); err != nil {
		return fmt.Errorf("add the election: %w", err)
	}
	if err := mgr.Add(changes); err != nil {
		return fmt.Errorf("add the watch of ConfigMaps and Secrets: %w", err)
	}
	if p.Tokens != nil {
		if err := mgr.Add(keys); err != nil {
			return fmt.Errorf("add the key of tokens: %w", err)
		}
	}
	if err := mgr.Add(everyPodRunnable(func(ctx context.Context) error {
		if !mgr.GetCache().WaitForCacheSync(ctx) {
			return context.Cause(ctx)
		}
		if err := filled.wait(ctx, mgr.GetClient()); err != nil {
			return fmt.Errorf("fill the index: %w", err)
		}
		close(full)
		if p.Tokens != nil {
			keys.waitForFirst(ctx)
		}
		p.Filled()
		if p.Snapshot == nil {
			return nil
		}
		p.Snapshot.end()
		p.Snapshot.touch()
		return p.Snapshot.run(ctx, mgr.GetClient())
	})); err != nil {
		return fmt.Errorf("add the snapshot: %w", err)
	}
	if p.Discovery != nil {
		if err := mgr.Add(everyPodRunnable(func(ctx context.Context) error {
			select {
			case <-full: // else a Machine that is there may not be seen yet
				return p.Discovery.run(ctx, mgr.GetClient(), recorder)
			case <-ctx.Done():
				return nil
			}
		})); err != nil {
			return fmt.Errorf("add the discovery of machines: %w", err)
		}
	}
	if p.Boots != nil {
		if err := mgr.Add(everyPodRunnable(func(ctx context.Context) error {
			select {
			case <-full: // a Machine that is not in the index yet can't be learned of
				return p.reportBoots(ctx, mgr, recorder)
			case <-ctx.Done():
				return nil
			}
		})); err != nil {
			return fmt.Errorf("add the reporter of boots: %w", err)
		}
	}
	here := &presence{
		client: mgr.GetClient(), namespace: p.Namespace, name: name, pulls: pulls, changed: p.Changed.changed,
		timing: p.timing, log: mgr.GetLogger().WithName("presence"), snapshot: p.Snapshot, owners: owners.pod,
	}
	if err := mgr.Add(everyPodRunnable(func(ctx context.Context) error {
		select {
		case <-full: // a pod that has just started has not lost what it had
			return here.run(ctx)
		case <-ctx.Done():
			return nil
		}
	})); err != nil {
		return fmt.Errorf("add the Lease of this pod: %w", err)
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
