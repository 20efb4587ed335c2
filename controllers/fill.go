// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"fmt"
	"sync"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/netboot-operator/netboot-operator/api/v1alpha1"
)

// fill knows when the index holds every object that was there at the start. Only then may the servers answer: a machine
// that is told "unknown" because its entry is still in a queue does not boot. That the cache has synced is not enough,
// the indexers must have handled what is in it.
type fill struct {
	mu      sync.Mutex
	handled map[fillKey]bool // until waiting starts: what was handled so far
	missing map[fillKey]bool // then: what must still be handled
	done    chan struct{}
}

type fillKey struct {
	kind string
	client.ObjectKey
}

func newFill() *fill {
	return &fill{handled: map[fillKey]bool{}, done: make(chan struct{})}
}

// note tells that an indexer has handled an object.
func (f *fill) note(kind string, key client.ObjectKey) {
	f.mu.Lock()
	defer f.mu.Unlock()
	k := fillKey{kind, key}
	if f.missing == nil {
		f.handled[k] = true
		return
	}
	if len(f.missing) == 0 {
		return
	}
	delete(f.missing, k)
	if len(f.missing) == 0 {
		close(f.done)
	}
}

// expect starts the waiting for the given objects. It is called once.
func (f *fill) expect(keys []fillKey) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.missing = map[fillKey]bool{}
	for _, k := range keys {
		if !f.handled[k] {
			f.missing[k] = true
		}
	}
	f.handled = nil
	if len(f.missing) == 0 {
		close(f.done)
	}
}

// wait lists all objects from a synced cache and returns when each was handled, or when ctx ends.
func (f *fill) wait(ctx context.Context, reader client.Reader) error {
	var machines v1alpha1.MachineList
	if err := reader.List(ctx, &machines); err != nil {
		return fmt.Errorf("list Machines: %w", err)
	}
	var profiles v1alpha1.BootProfileList
	if err := reader.List(ctx, &profiles); err != nil {
		return fmt.Errorf("list BootProfiles: %w", err)
	}
	keys := make([]fillKey, 0, len(machines.Items)+len(profiles.Items))
	for i := range machines.Items {
		keys = append(keys, fillKey{kindMachine, client.ObjectKeyFromObject(&machines.Items[i])})
	}
	for i := range profiles.Items {
		keys = append(keys, fillKey{kindBootProfile, client.ObjectKeyFromObject(&profiles.Items[i])})
	}
	f.expect(keys)
	select {
	case <-f.done:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
