// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"strings"

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
	if !r.limit.Allow() {
		return
	}
	note := is.Message
	if len(note) > maxNote {
		note = strings.ToValidUTF8(note[:maxNote-3], "") + "..." // the cut may go through a character
	}
	// Without resourceVersion: it is part of what Events are merged by, and changes with each status we write.
	regarding := &corev1.ObjectReference{
		APIVersion: v1alpha1.GroupVersion.String(), Kind: kind,
		Namespace: o.GetNamespace(), Name: o.GetName(), UID: o.GetUID(),
	}
	r.Eventf(regarding, nil, eventType, is.Reason, action, "%s", note)
}
