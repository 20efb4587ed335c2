// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/netboot-operator/netboot-operator/api/v1alpha1"
)

// maxNote is the API server's bound on the text of an Event, in bytes; a longer one would be lost.
const maxNote = 1024

// An eventRecorder tells people what they must act on.
type eventRecorder struct {
	events.EventRecorder
}

// readyChanged records that an object became ready, or why it is not. Nothing is recorded when neither status nor reason
// changed, nor when a new object is ready at once.
func (r eventRecorder) readyChanged(o client.Object, kind string, before, after []metav1.Condition) {
	was, is := meta.FindStatusCondition(before, v1alpha1.ConditionReady), meta.FindStatusCondition(after, v1alpha1.ConditionReady)
	if is == nil || was != nil && was.Status == is.Status && was.Reason == is.Reason {
		return
	}
	eventType, action := corev1.EventTypeWarning, "RefuseBoot"
	if is.Status == metav1.ConditionTrue {
		if was == nil {
			return
		}
		eventType, action = corev1.EventTypeNormal, "ServeBoot"
	}
	note := is.Message
	if len(note) > maxNote {
		note = note[:maxNote-3] + "..."
	}
	// Without resourceVersion: it is part of what Events are merged by, and changes with each status we write.
	regarding := &corev1.ObjectReference{
		APIVersion: v1alpha1.GroupVersion.String(), Kind: kind,
		Namespace: o.GetNamespace(), Name: o.GetName(), UID: o.GetUID(),
	}
	r.Eventf(regarding, nil, eventType, is.Reason, action, "%s", note)
}
