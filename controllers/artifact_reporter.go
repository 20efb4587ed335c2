// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"errors"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/netboot-operator/netboot-operator/api/v1alpha1"
	"github.com/netboot-operator/netboot-operator/pkg/artifact"
	"github.com/netboot-operator/netboot-operator/pkg/index"
)

// An ArtifactStates tells what is known about artifacts without asking anybody.
type ArtifactStates interface {
	State(id index.ID) artifact.State
}

// ArtifactReporter writes the condition ArtifactsReady of BootProfiles. It runs in every pod, since every pod fetches
// for itself, and looks when a fetch of this pod ended or the spec changed: the latest word is that of the pod that asked
// last.
type ArtifactReporter struct {
	Client    client.Client
	Artifacts ArtifactStates
	// Changed gets the profiles whose artifacts changed; see ArtifactEvents.
	Changed <-chan event.GenericEvent
}

// Reconcile brings the condition of one BootProfile up to date.
func (r *ArtifactReporter) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	profile, err := fetchProfile(ctx, r.Client, req.NamespacedName)
	if profile == nil || err != nil {
		return ctrl.Result{}, err
	}
	before := profile.DeepCopy()
	reportArtifacts(profile, r.Artifacts)
	if equality.Semantic.DeepEqual(before.Status, profile.Status) {
		return ctrl.Result{}, nil
	}
	return patchStatus(ctx, r.Client, profile, before)
}

// reportArtifacts writes the condition ArtifactsReady of a profile that can be used. Who knows nothing does not contradict
// who does: another pod, or this one before it was started again.
func reportArtifacts(profile *v1alpha1.BootProfile, states ArtifactStates) {
	compiled, _ := compile(profile)
	if compiled == nil {
		return
	}
	found := artifactsReady(compiled, states)
	if found.Status == metav1.ConditionUnknown && artifactsCondition(profile) != nil {
		return
	}
	set(&profile.Status.Conditions, v1alpha1.ConditionArtifactsReady, profile.Generation, found)
}

// artifactsCondition returns the condition ArtifactsReady of a profile if it speaks of today's spec, else nil.
func artifactsCondition(profile *v1alpha1.BootProfile) *metav1.Condition {
	c := meta.FindStatusCondition(profile.Status.Conditions, v1alpha1.ConditionArtifactsReady)
	if c == nil || c.ObservedGeneration != profile.Generation {
		return nil
	}
	return c
}

// artifactsReady sums up the artifacts of a profile: the first failure's reason and all messages; else whether all are
// there already.
func artifactsReady(p *index.Profile, states ArtifactStates) finding {
	var reason string
	var messages []string
	cached := 0
	all := p.Artifacts()
	for _, a := range all {
		state := states.State(a.ID())
		if state.Cached {
			cached++
		}
		if state.Err == nil {
			continue
		}
		if fault, ok := errors.AsType[*artifact.Error](state.Err); ok && reason == "" {
			reason = string(fault.Reason)
		}
		messages = append(messages, state.Err.Error())
	}
	switch {
	case len(messages) > 0:
		if reason == "" {
			reason = v1alpha1.ReasonStorageFailed
		}
		return no(reason, "%s", strings.Join(messages, "; "))
	case cached == len(all):
		return yes(v1alpha1.ReasonFetched, "all %d artifacts are cached and verified", len(all))
	}
	return finding{
		metav1.ConditionUnknown, v1alpha1.ReasonFetchedOnFirstUse,
		"artifacts are fetched when a machine first asks for them",
	}
}

// maxChanged bounds the fetches whose report is waited for. When it is full the latest are not reported; the next fetch
// of the same profile is.
const maxChanged = 1024

// ArtifactEvents turns the ends of fetches into events for ArtifactReporter. It implements artifact.Observer.
type ArtifactEvents struct {
	Index *index.Index
	C     chan event.GenericEvent
}

// NewArtifactEvents returns ArtifactEvents with a bounded channel.
func NewArtifactEvents(x *index.Index) *ArtifactEvents {
	return &ArtifactEvents{Index: x, C: make(chan event.GenericEvent, maxChanged)}
}

// ArtifactFetched implements artifact.Observer.
func (e *ArtifactEvents) ArtifactFetched(a *index.Artifact, _ int64, _ time.Duration) { e.tell(a) }

// ArtifactFailed implements artifact.Observer.
func (e *ArtifactEvents) ArtifactFailed(a *index.Artifact, _ error) { e.tell(a) }

func (e *ArtifactEvents) tell(a *index.Artifact) {
	_, profiles := e.Index.Artifacts(a.ID())
	for _, key := range profiles {
		namespace, name, _ := strings.Cut(string(key), "/")
		select {
		case e.C <- event.GenericEvent{Object: &v1alpha1.BootProfile{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}}:
		default:
		}
	}
}

func (r *ArtifactReporter) setup(mgr ctrl.Manager) error {
	return ctrl.NewControllerManagedBy(mgr).
		Named("artifact-reporter").
		For(&v1alpha1.BootProfile{}, builder.WithPredicates(specChanged())).
		WatchesRawSource(source.Channel(r.Changed, &handler.EnqueueRequestForObject{})).
		WithOptions(everyPod()).
		Complete(r)
}
