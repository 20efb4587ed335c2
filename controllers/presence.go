// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/time/rate"
	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/uuid"
	coordinationv1ac "k8s.io/client-go/applyconfigurations/coordination/v1"
	metav1ac "k8s.io/client-go/applyconfigurations/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// What the Lease of a pod is told by.
const (
	presencePrefix     = "netboot-operator-"         // of its name
	presenceLabel      = "netboot.dev/pod"           // "true"
	holdingsAnnotation = "artifacts.netboot.dev/pod" // holdings, as JSON
	presenceOwner      = "netboot-operator-presence" // of its fields
)

// maxHoldings bounds the annotation, in bytes: the API server takes 256 KiB of them in all.
const maxHoldings = 200 << 10

// +kubebuilder:rbac:groups=coordination.k8s.io,resources=leases,verbs=create;list;watch;patch;delete,namespace=system

// timing says how often pods and leader write. Tests that can't wait have others.
type timing struct {
	renew    time.Duration // a pod renews its Lease, and tells with it how far it is
	lasts    time.Duration // a pod whose Lease is not renewed so long is gone
	coalesce time.Duration // what changes within this time is told at once
	progress time.Duration // the leader writes what is only progress not more often than so, for each BootProfile
	step     int64         // nor does it when that is fewer percent points
}

func defaultTiming() timing {
	return timing{renew: 10 * time.Second, lasts: 40 * time.Second, coalesce: 250 * time.Millisecond, progress: 10 * time.Second, step: 5}
}

// Writes of a pod besides those of each renewal, a second and at once.
const (
	presencePerSecond = 1
	presenceAtOnce    = 5
)

// presence tells the leader that this pod is there, and what it has: it keeps a Lease in the operator's namespace, with
// holdings in an annotation. It starts when the pod's index is filled.
type presence struct {
	client    client.Client
	namespace string
	name      string // of the Lease
	pulls     *pulls
	changed   <-chan struct{}
	timing    timing
	log       logr.Logger
	snapshot  *Snapshot               // is told when the API server has answered; nil: nobody is
	owners    []metav1.OwnerReference // of the Lease
	caches    staleness
}

// presenceName returns the name of the Lease of a pod, or of a process that is none.
func presenceName(pod string) (string, error) {
	if pod == "" {
		host, err := os.Hostname()
		if err != nil {
			return "", fmt.Errorf("name this process among the pods: %w", err)
		}
		pod = host + "-" + string(uuid.NewUUID())[:8]
	}
	clean := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-' {
			return r
		}
		return '-'
	}, strings.ToLower(pod))
	const maxName = 253 // of a Kubernetes object
	clean = clean[max(0, len(clean)+len(presencePrefix)-maxName):]
	return presencePrefix + strings.Trim(clean, "-"), nil
}

// run renews the Lease until ctx ends, and then deletes it; or until caches are stale.
func (p *presence) run(ctx context.Context) error {
	goesOn := false // with the next manager, soon
	defer func() {
		if !goesOn {
			p.leave(ctx)
		}
	}()
	limit := rate.NewLimiter(presencePerSecond, presenceAtOnce)
	due := time.NewTimer(p.timing.renew)
	defer due.Stop()
	told := "" // what the Lease holds; empty: not known
	failed := false
	for renew := true; ; {
		text, left := encodeHoldings(p.pulls.holdings())
		if renew || text != told {
			version, err := p.write(ctx, text)
			if stale := p.caches.judge(version, err); stale != nil && ctx.Err() == nil {
				goesOn = true
				return stale
			}
			switch {
			case err == nil:
				told = text
				due.Reset(p.timing.renew)
			case ctx.Err() == nil:
				told = ""
				due.Reset(min(p.timing.renew, retryPeriod))
			}
			p.logOnce(&failed, err, left)
		}
		renew = false
		select {
		case <-ctx.Done():
			return nil
		case <-due.C:
			renew = true
			continue
		case <-p.changed:
		}
		// What belongs together comes together: the files of one profile, the profiles of one edit.
		if !wait(ctx, p.timing.coalesce) || limit.Wait(ctx) != nil {
			return nil
		}
	}
}

// logOnce logs that the Lease can't be written, and that not all fits into it; not again while it stays so.
func (p *presence) logOnce(failed *bool, err error, left int) {
	bad := err != nil || left > 0
	switch {
	case bad && *failed:
	case err != nil:
		p.log.Info("Lease of this pod is not renewed; it is tried again", "lease", p.name, "reason", err.Error())
	case left > 0:
		p.log.Info("Not all artifacts of this pod fit into its Lease; they are told as pending", "lease", p.name, "artifacts", left)
	}
	*failed = bad
}

func (p *presence) write(ctx context.Context, text string) (version uint64, err error) {
	ctx, cancel := context.WithTimeout(ctx, p.timing.renew)
	defer cancel()
	lease := coordinationv1ac.Lease(p.name, p.namespace).
		WithLabels(map[string]string{presenceLabel: "true"}).
		WithAnnotations(map[string]string{holdingsAnnotation: text}).
		WithSpec(coordinationv1ac.LeaseSpec().
			WithHolderIdentity(p.name).
			WithLeaseDurationSeconds(int32(max(p.timing.lasts/time.Second, 1))).
			WithRenewTime(metav1.NowMicro()))
	for _, o := range p.owners {
		lease.WithOwnerReferences(metav1ac.OwnerReference().WithAPIVersion(o.APIVersion).WithKind(o.Kind).WithName(o.Name).WithUID(o.UID))
	}
	if err := p.client.Apply(ctx, lease, client.FieldOwner(presenceOwner), client.ForceOwnership); err != nil {
		return 0, fmt.Errorf("renew Lease %s/%s: %w", p.namespace, p.name, err)
	}
	p.snapshot.contact()
	return versionOf(lease), nil
}

// leaveWithin bounds the farewell. Without one, the leader waits until the Lease has expired.
const leaveWithin = 2 * time.Second

func (p *presence) leave(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaveWithin)
	defer cancel()
	lease := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: p.namespace, Name: p.name}}
	if err := p.client.Delete(ctx, lease); err != nil && !apierrors.IsNotFound(err) {
		p.log.Info("Lease of this pod is not deleted; it expires", "lease", p.name, "reason", err.Error())
	}
}

// wait returns false when ctx ended before the time was over.
func wait(ctx context.Context, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}

// encodeHoldings returns as much as fits into an annotation, what is missing first, and how many did not fit.
func encodeHoldings(all holdings) (text string, left int) {
	rank := func(id shortID) int {
		if all[id].Cached {
			return 1
		}
		return 0
	}
	ids := slices.SortedFunc(maps.Keys(all), func(a, b shortID) int {
		if d := rank(a) - rank(b); d != 0 {
			return d
		}
		if a < b {
			return -1
		}
		return 1
	})
	fits := make(holdings, len(all))
	size := len("{}")
	for _, id := range ids {
		one, err := json.Marshal(holdings{id: all[id]})
		if err != nil || size+len(one) > maxHoldings {
			left++
			continue
		}
		size += len(one) - 1 // one brace is a comma
		fits[id] = all[id]
	}
	out, err := json.Marshal(fits)
	if err != nil {
		return "", len(all)
	}
	return string(out), left
}

// decodeHoldings is the other way round. What can't be read is as good as nothing: that pod has another version.
func decodeHoldings(text string) holdings {
	var all holdings
	if err := json.Unmarshal([]byte(text), &all); err != nil {
		return nil
	}
	return all
}
