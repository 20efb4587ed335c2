// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/netboot-operator/netboot-operator/api/v1alpha1"
	"github.com/netboot-operator/netboot-operator/pkg/index"
)

// fill knows when the index holds every object that was there at the start. Only then may the servers answer: a machine
// that is told "unknown" because its entry is still in a queue does not boot. That the cache has synced is not enough,
// the indexers must have handled what is in it.
type fill struct {
	mu      sync.Mutex
	before  []fillKey        // what was in the index before anything was handled
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

// known tells what is in the index already. It must be handled too: it may be gone.
func (f *fill) known(kind string, keys []index.Key) {
	for _, request := range requestsOf(keys) {
		f.before = append(f.before, fillKey{kind, request.NamespacedName})
	}
}

// requestsOf returns a request for each key.
func requestsOf(keys []index.Key) []reconcile.Request {
	requests := make([]reconcile.Request, 0, len(keys))
	for _, key := range keys {
		namespace, name, _ := strings.Cut(string(key), "/")
		requests = append(requests, reconcile.Request{NamespacedName: types.NamespacedName{Namespace: namespace, Name: name}})
	}
	return requests
}

// enqueue gives a controller the requests for keys when it starts.
func enqueue(keys []index.Key) source.Source {
	return source.Func(func(_ context.Context, queue workqueue.TypedRateLimitingInterface[reconcile.Request]) error {
		for _, request := range requestsOf(keys) {
			queue.Add(request)
		}
		return nil
	})
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
	keys := slices.Clone(f.before)
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
