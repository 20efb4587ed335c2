// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/netboot-operator/netboot-operator/api/v1alpha1"
	"github.com/netboot-operator/netboot-operator/pkg/index"
)

// LabelDiscovered is on the Machines that Discovery made.
const LabelDiscovered = "netboot.dev/discovered"

// The bounds of Discovery.Max.
const (
	DefaultMaxDiscovered = 100
	MaxMaxDiscovered     = 100_000
)

const (
	// Machines are made no faster, in a second and at once: who asks for them may have made up who they are.
	discoveriesPerSecond = 5
	discoveriesAtOnce    = 10
	// maxStrangers is how many may wait to become Machines.
	maxStrangers = 256
	// discoveryRetry is how long an API server that does not answer is left alone.
	discoveryRetry = 5 * time.Second
	// discoveryTimeout bounds one request to it.
	discoveryTimeout = 10 * time.Second
	// cacheLag is when a Machine that was made is in the cache, or is gone.
	cacheLag = time.Minute
)

// eventDiscovered is the reason of the Event of a Machine that was made.
const eventDiscovered = "Discovered"

// Discovery makes Machines of those who ask and are none: under --unknown-machines=Register. Such a Machine is not armed and
// names no profile. It is safe for concurrent use.
type Discovery struct {
	namespace string
	most      int
	log       logr.Logger
	metrics   *discoveryMetrics
	said      *rate.Limiter // of the log
	pace      *rate.Limiter
	wake      chan struct{} // holds one token when the queue is not empty

	mu      sync.Mutex
	waiting []index.MAC // without duplicates, the oldest first
	known   map[index.MAC]stranger
}

// A stranger is what one told who waits to become a Machine.
type stranger struct {
	id   index.Identity
	arch index.Arch
}

// NewDiscovery returns a Discovery that makes Machines in a namespace while fewer than most of them are not enrolled. They are
// made while a manager runs that it was given to by Pod.Setup.
func NewDiscovery(namespace string, most int, log logr.Logger, registry prometheus.Registerer) (*Discovery, error) {
	metrics, err := newDiscoveryMetrics(registry)
	if err != nil {
		return nil, err
	}
	return &Discovery{
		namespace: namespace, most: most, log: log, metrics: metrics,
		said: rate.NewLimiter(rate.Every(time.Minute), 1), pace: rate.NewLimiter(discoveriesPerSecond, discoveriesAtOnce),
		wake: make(chan struct{}, 1), known: map[index.MAC]stranger{},
	}, nil
}

// Unknown takes who asked for a boot configuration and is no Machine. It never blocks. Who tells no MAC address is nobody that
// a Machine could be made of; loaders that ask without one first tell it in a later name.
func (d *Discovery) Unknown(id index.Identity, arch index.Arch) {
	if id.MAC.IsZero() || id.MAC[0]&1 == 1 { // a multicast address is no interface's
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	s, waits := d.known[id.MAC]
	if !waits && len(d.known) >= maxStrangers {
		d.refuse(refusedQueue, "too many wait to become Machines", nil)
		return
	}
	s.id.MAC = id.MAC
	if uuid := plausibleUUID(id.UUID); uuid != "" {
		s.id.UUID = uuid
	}
	if serial := plausibleSerial(id.Serial); serial != "" {
		s.id.Serial = serial
	}
	if isArch(arch) {
		s.arch = arch
	}
	d.known[id.MAC] = s
	if !waits {
		d.waiting = append(d.waiting, id.MAC)
		d.wakeUp()
	}
}

func (d *Discovery) wakeUp() {
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

// refuse counts one who does not become a Machine, and says so once a minute.
func (d *Discovery) refuse(why discoveryRefusal, text string, err error) {
	d.metrics.refused.WithLabelValues(string(why)).Inc()
	if !d.said.Allow() {
		return
	}
	reason := text
	if err != nil {
		reason = fmt.Sprintf("%s: %v", text, err)
	}
	d.log.Info("Unknown machines do not become Machines", "namespace", d.namespace, "reason", reason)
}

// first returns who has waited longest.
func (d *Discovery) first() (s stranger, ok bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.waiting) == 0 {
		return s, false
	}
	return d.known[d.waiting[0]], true
}

// done takes the one who has waited longest out of the queue.
func (d *Discovery) done() {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.known, d.waiting[0])
	d.waiting = d.waiting[1:]
}

// run makes Machines until ctx ends.
func (d *Discovery) run(ctx context.Context, api client.Client, events eventRecorder) error {
	d.wakeUp()                     // an earlier manager may have left some
	made := map[string]time.Time{} // that the cache may not have yet
	for {
		s, ok := d.first()
		if !ok {
			select {
			case <-d.wake:
			case <-ctx.Done():
				return nil
			}
			continue
		}
		err := d.register(ctx, api, events, s, made)
		if ctx.Err() != nil {
			return nil // another manager goes on
		}
		if err != nil {
			d.log.Info("A Machine is not made yet", "namespace", d.namespace, "reason", err.Error())
			if !wait(ctx, discoveryRetry) {
				return nil
			}
			continue
		}
		d.done()
	}
}

// register makes the Machine of one, if it may. The error is of the API server, and may pass.
func (d *Discovery) register(ctx context.Context, api client.Client, events eventRecorder, s stranger, made map[string]time.Time) error {
	ctx, cancel := context.WithTimeout(ctx, discoveryTimeout)
	defer cancel()
	m := discovered(d.namespace, s)
	taken, err := exists(ctx, api, m)
	if err != nil || taken {
		return err
	}
	n, err := d.count(ctx, api, made)
	if err != nil {
		return err
	}
	if n >= d.most {
		d.refuse(refusedLimit, fmt.Sprintf("there are %d that nobody has enrolled, as many as --max-discovered allows; enrol or delete some", n), nil)
		return nil
	}
	if err := d.pace.Wait(ctx); err != nil {
		return err
	}
	err = api.Create(ctx, m)
	switch {
	case err == nil:
		made[m.Name] = time.Now()
		d.metrics.made.Inc()
		d.log.Info("Machine discovered", kindMachine, keyOf(m))
		events.record(m, kindMachine, corev1.EventTypeNormal, eventDiscovered, "RegisterMachine",
			"a machine that was not known asked for a boot configuration; to boot it, set spec.profileRef and spec.bootPolicy")
	case apierrors.IsAlreadyExists(err): // another pod was faster
	case apierrors.IsForbidden(err), apierrors.IsNotFound(err), apierrors.IsInvalid(err), apierrors.IsBadRequest(err),
		apierrors.IsMethodNotSupported(err), apierrors.IsRequestEntityTooLargeError(err): // a webhook's word, say
		d.refuse(refusedAPI, "the API server refuses", err)
	default:
		return fmt.Errorf("create Machine %s: %w", keyOf(m), err)
	}
	return nil
}

// exists says whether there is a Machine of m's name, or one that claims what m would.
func exists(ctx context.Context, api client.Client, m *v1alpha1.Machine) (bool, error) {
	err := api.Get(ctx, client.ObjectKeyFromObject(m), &v1alpha1.Machine{})
	if err == nil {
		return true, nil
	}
	if !apierrors.IsNotFound(err) {
		return false, fmt.Errorf("look for Machine %s: %w", keyOf(m), err)
	}
	rivals, err := rivalsOf(ctx, api, m)
	return len(rivals) > 0, err
}

// count returns how many Machines were made and not enrolled, with those that the cache does not have yet.
func (d *Discovery) count(ctx context.Context, api client.Client, made map[string]time.Time) (n int, err error) {
	var all v1alpha1.MachineList
	if err := api.List(ctx, &all, client.InNamespace(d.namespace), client.MatchingLabels{LabelDiscovered: "true"}); err != nil {
		return 0, fmt.Errorf("count the Machines that were made: %w", err)
	}
	for i := range all.Items {
		delete(made, all.Items[i].Name)
		if all.Items[i].Spec.ProfileRef == nil {
			n++
		}
	}
	maps.DeleteFunc(made, func(_ string, at time.Time) bool { return time.Since(at) > cacheLag }) // was deleted before the cache had it
	return n + len(made), nil
}
