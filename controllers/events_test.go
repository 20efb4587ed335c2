// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/netboot-operator/netboot-operator/api/v1alpha1"
)

// notebook keeps Events as "TYPE REASON NOTE".
type notebook struct{ notes []string }

func (n *notebook) Eventf(_, _ runtime.Object, eventType, reason, _, _ string, args ...any) {
	n.notes = append(n.notes, eventType+" "+reason+" "+args[0].(string))
}

func TestReadyChanged(t *testing.T) {
	ready := func(status metav1.ConditionStatus, reason, message string) []metav1.Condition {
		return []metav1.Condition{{Type: v1alpha1.ConditionReady, Status: status, Reason: reason, Message: message}}
	}
	good := ready(metav1.ConditionTrue, v1alpha1.ReasonReady, "fine")
	bad := ready(metav1.ConditionFalse, v1alpha1.ReasonTemplateError, "a template")
	artifacts := ready(metav1.ConditionFalse, v1alpha1.ReasonArtifactsNotReady, "a digest")
	for name, tc := range map[string]struct {
		before, after []metav1.Condition
		want          string // empty: no Event
	}{
		"new and ready":                  {nil, good, ""},
		"new and not ready":              {nil, bad, "Warning TemplateError a template"},
		"still the same":                 {bad, bad, ""},
		"the same reason in other words": {bad, ready(metav1.ConditionFalse, v1alpha1.ReasonTemplateError, "another"), ""},
		"another reason":                 {bad, ready(metav1.ConditionFalse, v1alpha1.ReasonProfileNotFound, "gone"), "Warning ProfileNotFound gone"},
		"mended":                         {bad, good, "Normal Ready fine"},
		"what the profile's Event tells": {good, artifacts, ""},
		"and that it is over":            {artifacts, good, ""},
		"another fault after that":       {artifacts, bad, "Warning TemplateError a template"},
		"a note is cut to what is kept":  {nil, ready(metav1.ConditionFalse, "X", strings.Repeat("y", 5000)), "Warning X " + strings.Repeat("y", maxNote-3) + "..."},
	} {
		t.Run(name, func(t *testing.T) {
			n := &notebook{}
			newEventRecorder(n).readyChanged(someMachine(), kindMachine, tc.before, tc.after)
			if got := strings.Join(n.notes, "\n"); got != tc.want {
				t.Errorf("Events: %q, want %q", got, tc.want)
			}
		})
	}
}

func TestEventsAreBounded(t *testing.T) {
	n := &notebook{}
	r := newEventRecorder(n)
	for range 10 * eventsAtOnce {
		r.readyChanged(someMachine(), kindMachine, nil, []metav1.Condition{{Type: v1alpha1.ConditionReady, Status: metav1.ConditionFalse, Reason: "X"}})
	}
	if len(n.notes) < eventsAtOnce || len(n.notes) > 2*eventsAtOnce {
		t.Errorf("%d Events, want about %d", len(n.notes), eventsAtOnce)
	}
}
