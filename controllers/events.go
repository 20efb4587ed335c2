// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"golang.org/x/time/rate"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/netboot-operator/netboot-operator/api/v1alpha1"
)

// maxNote is the API server's bound on the text of an Event, in bytes; a longer one would be lost.
const maxNote = 1024

// Events are bounded, in events a second and at once: a profile that is deleted may concern thousands of Machines. What is
// left out stands in their conditions all the same.
const (
	eventsPerSecond = 10
	eventsAtOnce    = 100
)

// An eventRecorder tells people what they must act on.
type eventRecorder struct {
	events.EventRecorder
	limit *rate.Limiter
}

func newEventRecorder(r events.EventRecorder) eventRecorder {
	return eventRecorder{r, rate.NewLimiter(eventsPerSecond, eventsAtOnce)}
}

// readyChanged records that an object became ready, or why it is not. Nothing is recorded when neither status nor reason
// changed, nor when a new object is ready at once, nor of a Machine what its BootProfile's Event tells.
func (r eventRecorder) readyChanged(o client.Object, kind string, before, after []metav1.Condition) {
	was, is := meta.FindStatusCondition(before, v1alpha1.ConditionReady), meta.FindStatusCondition(after, v1alpha1.ConditionReady)
	if is == nil || was != nil && was.Status == is.Status && was.Reason == is.Reason {
		return
	}
	wasArtifacts := was != nil && was.Reason == v1alpha1.ReasonArtifactsNotReady
	if is.Reason == v1alpha1.ReasonArtifactsNotReady || wasArtifacts && is.Status == metav1.ConditionTrue {
		return
	}
	eventType, action := corev1.EventTypeWarning, "RefuseBoot"
	if is.Status == metav1.ConditionTrue {
		if was == nil {
			return
		}
		eventType, action = corev1.EventTypeNormal, "ServeBoot"
	}
	r.record(o, kind, eventType, is.Reason, action, is.Message)
}

// The reasons of Events about the artifacts of a BootProfile.
const (
	eventFetching = "ArtifactFetching"
	eventFetched  = "ArtifactFetched"
	eventFailed   = "ArtifactFailed"
)

// profileChanged records of a BootProfile that its artifacts begin to come, are all there, or can't be had; and what
// readyChanged does if that is something else.
func (r eventRecorder) profileChanged(p *v1alpha1.BootProfile, before, after *v1alpha1.BootProfileStatus) {
	was := meta.FindStatusCondition(before.Conditions, v1alpha1.ConditionArtifactsReady)
	is := meta.FindStatusCondition(after.Conditions, v1alpha1.ConditionArtifactsReady)
	if is != nil && (was == nil || was.Status != is.Status || was.Reason != is.Reason) {
		switch is.Status {
		case metav1.ConditionTrue:
			r.record(p, kindBootProfile, corev1.EventTypeNormal, eventFetched, "FetchArtifacts", is.Message)
		case metav1.ConditionFalse:
			// The reason is the action: of two Events that differ in the note only, the second would be lost.
			r.record(p, kindBootProfile, corev1.EventTypeWarning, eventFailed, is.Reason, is.Reason+": "+is.Message)
		default:
			r.record(p, kindBootProfile, corev1.EventTypeNormal, eventFetching, "FetchArtifacts", is.Message)
		}
	}
	if !notReadyByArtifacts(before.Conditions) && !notReadyByArtifacts(after.Conditions) {
		r.readyChanged(p, kindBootProfile, before.Conditions, after.Conditions)
	}
}

// notReadyByArtifacts says whether Ready only repeats ArtifactsReady.
func notReadyByArtifacts(conditions []metav1.Condition) bool {
	ready := meta.FindStatusCondition(conditions, v1alpha1.ConditionReady)
	artifacts := meta.FindStatusCondition(conditions, v1alpha1.ConditionArtifactsReady)
	return ready != nil && artifacts != nil && ready.Status == metav1.ConditionFalse &&
		artifacts.Status == metav1.ConditionFalse && ready.Reason == artifacts.Reason
}

func (r eventRecorder) record(o client.Object, kind, eventType, reason, action, note string) {
	if !r.limit.Allow() {
		return
	}
	// Without resourceVersion: it is part of what Events are merged by, and changes with each status we write.
	regarding := &corev1.ObjectReference{
		APIVersion: v1alpha1.GroupVersion.String(), Kind: kind,
		Namespace: o.GetNamespace(), Name: o.GetName(), UID: o.GetUID(),
	}
	r.Eventf(regarding, nil, eventType, reason, action, "%s", cut(note, maxNote))
}
