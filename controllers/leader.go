// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/uuid"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"

	"github.com/netboot-operator/netboot-operator/api/v1alpha1"
)

// leaderLease is the name of the Lease that its holder leads with.
const leaderLease = "netboot-operator"

// Timing of the election, the defaults of Kubernetes' own components.
const (
	leaseDuration = 15 * time.Second
	renewDeadline = 10 * time.Second
	retryPeriod   = 2 * time.Second
)

// +kubebuilder:rbac:groups=coordination.k8s.io,resources=leases,verbs=create,namespace=system
// +kubebuilder:rbac:groups=coordination.k8s.io,resources=leases,resourceNames=netboot-operator,verbs=get;update,namespace=system

// Leader takes part in the election of the pod that reports. It is not the manager's own election because that one ends
// the process when the lease can't be renewed; a pod that lost the API server must go on serving.
//
// The reporters run in every pod and do nothing where leads is false. A pod that becomes the leader looks at every object.
type Leader struct {
	log     logr.Logger
	reader  client.Reader
	config  leaderelection.LeaderElectionConfig
	leading atomic.Bool

	machines, profiles chan event.GenericEvent // all objects, at the start of a term
	pods               *podWatch               // that goes on during a term
}

// newLeader returns a Leader that has not yet stood for election. namespace is that of the lease.
func newLeader(config *rest.Config, namespace string, owners []metav1.OwnerReference, api client.Client, log logr.Logger) (*Leader, error) {
	host, err := os.Hostname()
	if err != nil {
		return nil, fmt.Errorf("name this pod for the election: %w", err)
	}
	lock, err := resourcelock.NewFromKubeconfig(resourcelock.LeasesResourceLock, namespace, leaderLease,
		resourcelock.ResourceLockConfig{Identity: host + "_" + string(uuid.NewUUID())}, config, renewDeadline)
	if err != nil {
		return nil, fmt.Errorf("prepare the election: %w", err)
	}
	l := &Leader{
		log: log.WithName("leader"), reader: api,
		machines: make(chan event.GenericEvent), profiles: make(chan event.GenericEvent),
	}
	l.config = leaderelection.LeaderElectionConfig{
		Name: leaderLease, ReleaseOnCancel: true,
		Lock:          &ownedLock{Interface: lock, client: api, namespace: namespace, name: leaderLease, owners: owners},
		LeaseDuration: leaseDuration, RenewDeadline: renewDeadline, RetryPeriod: retryPeriod,
		Callbacks: leaderelection.LeaderCallbacks{
			OnStartedLeading: l.lead,
			OnStoppedLeading: func() {
				if l.leading.Swap(false) {
					l.log.Info("This pod no longer reports")
				}
			},
		},
	}
	return l, nil
}

// leads says whether this pod reports now.
func (l *Leader) leads() bool { return l.leading.Load() }

// Start stands for election, again and again, until ctx ends.
func (l *Leader) Start(ctx context.Context) error {
	for ctx.Err() == nil {
		elector, err := leaderelection.NewLeaderElector(l.config)
		if err != nil {
			return fmt.Errorf("prepare the election: %w", err)
		}
		elector.Run(ctx) // until the lease is lost
	}
	return nil
}

// NeedLeaderElection implements manager.LeaderElectionRunnable.
func (*Leader) NeedLeaderElection() bool { return false }

// lead begins a term: what the last leader did not get to is done now.
func (l *Leader) lead(ctx context.Context) {
	l.leading.Store(true)
	l.log.Info("This pod reports from now on")
	var watching sync.WaitGroup
	defer watching.Wait()
	watching.Go(func() { l.pods.follow(ctx) })
	var machines v1alpha1.MachineList
	var profiles v1alpha1.BootProfileList
	for _, list := range []client.ObjectList{&machines, &profiles} {
		if err := l.reader.List(ctx, list); err != nil {
			l.log.Error(err, "Objects are not looked at again") // each is when it next changes
		}
	}
	for i := range profiles.Items {
		send(ctx, l.profiles, &profiles.Items[i])
	}
	for i := range machines.Items {
		send(ctx, l.machines, &machines.Items[i])
	}
}

func send(ctx context.Context, c chan<- event.GenericEvent, o client.Object) {
	select {
	case c <- event.GenericEvent{Object: o}:
	case <-ctx.Done():
	}
}
