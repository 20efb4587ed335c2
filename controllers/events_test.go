// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"strings"
	"testing"
	"testing/synctest"

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
	synctest.Test(t, func(t *testing.T) { // no time goes by
		n := &notebook{}
		r := newEventRecorder(n)
		for range 10 * eventsAtOnce {
			r.readyChanged(someMachine(), kindMachine, nil, []metav1.Condition{{Type: v1alpha1.ConditionReady, Status: metav1.ConditionFalse, Reason: "X"}})
		}
		if len(n.notes) != eventsAtOnce {
			t.Errorf("%d Events, want %d", len(n.notes), eventsAtOnce)
		}
	})
}

func TestProfileChanged(t *testing.T) {
	status := func(artifacts metav1.ConditionStatus, reason string, ready metav1.ConditionStatus, readyReason string) *v1alpha1.BootProfileStatus {
		return &v1alpha1.BootProfileStatus{Conditions: []metav1.Condition{
			{Type: v1alpha1.ConditionArtifactsReady, Status: artifacts, Reason: reason, Message: "artifacts"},
			{Type: v1alpha1.ConditionReady, Status: ready, Reason: readyReason, Message: "ready"},
		}}
	}
	none := &v1alpha1.BootProfileStatus{}
	coming := status(metav1.ConditionUnknown, v1alpha1.ReasonFetching, metav1.ConditionTrue, v1alpha1.ReasonReady)
	fetched := status(metav1.ConditionTrue, v1alpha1.ReasonFetched, metav1.ConditionTrue, v1alpha1.ReasonReady)
	digest := status(metav1.ConditionFalse, v1alpha1.ReasonDigestMismatch, metav1.ConditionFalse, v1alpha1.ReasonDigestMismatch)
	away := status(metav1.ConditionFalse, v1alpha1.ReasonUpstreamUnavailable, metav1.ConditionFalse, v1alpha1.ReasonUpstreamUnavailable)
	invalid := &v1alpha1.BootProfileStatus{Conditions: []metav1.Condition{
		{Type: v1alpha1.ConditionReady, Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonInvalidSpec, Message: "ready"},
	}}
	for name, tc := range map[string]struct {
		before, after *v1alpha1.BootProfileStatus
		want          string // empty: no Event
	}{
		"begins":                      {none, coming, "Normal ArtifactFetching artifacts"},
		"all there at once":           {none, fetched, "Normal ArtifactFetched artifacts"},
		"goes on":                     {coming, coming, ""},
		"all there":                   {coming, fetched, "Normal ArtifactFetched artifacts"},
		"fails":                       {coming, digest, "Warning ArtifactFailed DigestMismatch: artifacts"},
		"fails for another reason":    {digest, away, "Warning ArtifactFailed UpstreamUnavailable: artifacts"},
		"still fails":                 {away, away, ""},
		"recovers":                    {away, fetched, "Normal ArtifactFetched artifacts"},
		"another one comes":           {fetched, coming, "Normal ArtifactFetching artifacts"},
		"the spec is no longer right": {fetched, invalid, "Warning InvalidSpec ready"},
		"and is right again":          {invalid, fetched, "Normal ArtifactFetched artifacts\nNormal Ready ready"},
	} {
		t.Run(name, func(t *testing.T) {
			n := &notebook{}
			newEventRecorder(n).profileChanged(someProfile(), tc.before, tc.after)
			if got := strings.Join(n.notes, "\n"); got != tc.want {
				t.Errorf("Events: %q, want %q", got, tc.want)
			}
		})
	}
}
