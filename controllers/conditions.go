// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/netboot-operator/netboot-operator/api/v1alpha1"
	"github.com/netboot-operator/netboot-operator/pkg/index"
)

// A finding is what a condition says, without type and time.
type finding struct {
	Status  metav1.ConditionStatus
	Reason  string
	Message string
}

func (f finding) ok() bool { return f.Status == metav1.ConditionTrue }

func yes(reason, format string, args ...any) finding {
	return finding{metav1.ConditionTrue, reason, fmt.Sprintf(format, args...)}
}

func no(reason, format string, args ...any) finding {
	return finding{metav1.ConditionFalse, reason, fmt.Sprintf(format, args...)}
}

// maxMessage is the API server's bound on a condition's message, in bytes.
const maxMessage = 32768

// set writes one condition. The time of its last change is kept while its status stays the same.
func set(conditions *[]metav1.Condition, conditionType string, generation int64, f finding) {
	if len(f.Message) > maxMessage {
		f.Message = strings.ToValidUTF8(f.Message[:maxMessage], "") // the cut may go through a character
	}
	meta.SetStatusCondition(conditions, metav1.Condition{
		Type: conditionType, Status: f.Status, Reason: f.Reason, Message: f.Message, ObservedGeneration: generation,
	})
}

// setSummary writes Ready, and Stalled while only an edit of an object can help (kstatus reads both).
func setSummary(conditions *[]metav1.Condition, generation int64, ready finding, stalled bool) {
	set(conditions, v1alpha1.ConditionReady, generation, ready)
	if !stalled {
		meta.RemoveStatusCondition(conditions, v1alpha1.ConditionStalled)
		return
	}
	set(conditions, v1alpha1.ConditionStalled, generation, yes(ready.Reason, "%s", ready.Message))
}

// setMachineConditions writes what was found out about a Machine. artifacts is the condition ArtifactsReady of its
// profile, or nil when that has none.
//
//	Accepted ProfileResolved Rendered ArtifactsReady | Ready                     Stalled
//	False    any             any      any            | False, Accepted's         yes
//	True     False           any      any            | False, ProfileResolved's  yes
//	True     True            False    any            | False, Rendered's         yes  (no while a Secret can't be read)
//	True     True            True     False          | False, ArtifactsNotReady  no   (if it boots the profile)
//	True     True            True     else           | True                      no
func setMachineConditions(m *v1alpha1.Machine, v verdict, artifacts *metav1.Condition) {
	conditions, generation := &m.Status.Conditions, m.Generation
	set(conditions, v1alpha1.ConditionAccepted, generation, v.accepted)
	set(conditions, v1alpha1.ConditionProfileResolved, generation, v.profileResolved)
	set(conditions, v1alpha1.ConditionRendered, generation, v.rendered)
	for _, f := range []finding{v.accepted, v.profileResolved, v.rendered} {
		if !f.ok() {
			setSummary(conditions, generation, f, f.Reason != v1alpha1.ReasonSourceUnreadable)
			return
		}
	}
	if v.action == index.Netboot && artifacts != nil && artifacts.Status == metav1.ConditionFalse {
		// Not its message: that may change with each fetch, and thousands of Machines need not change with it.
		setSummary(conditions, generation, no(v1alpha1.ReasonArtifactsNotReady,
			"an artifact of the profile can't be had (%s): see the condition ArtifactsReady of the BootProfile", artifacts.Reason), false)
		return
	}
	setSummary(conditions, generation, yes(v1alpha1.ReasonReady, "%s", readyMessage(v.action)), false)
}

func readyMessage(action index.Action) string {
	if action == index.Netboot {
		return "boots its profile when it asks"
	}
	return "boots from its own disk when it asks"
}

// setProfileConditions writes what was found out about a BootProfile. artifacts is nil when nothing was, just now, about its
// artifacts: then what is known already counts.
//
//	Accepted ArtifactsReady | Ready                   Reconciling Stalled
//	False    (removed)      | False, Accepted's       no          yes
//	True     False          | False, ArtifactsReady's no          no
//	True     Unknown        | True                    yes         no
//	True     True           | True                    no          no
func setProfileConditions(p *v1alpha1.BootProfile, accepted finding, artifacts *finding) {
	conditions, generation := &p.Status.Conditions, p.Generation
	set(conditions, v1alpha1.ConditionAccepted, generation, accepted)
	switch {
	case !accepted.ok():
		meta.RemoveStatusCondition(conditions, v1alpha1.ConditionArtifactsReady)
	case artifacts != nil:
		set(conditions, v1alpha1.ConditionArtifactsReady, generation, *artifacts)
	}
	known := artifactsCondition(p)
	if known != nil && known.Reason == v1alpha1.ReasonFetching {
		set(conditions, v1alpha1.ConditionReconciling, generation, yes(known.Reason, "%s", known.Message))
	} else {
		meta.RemoveStatusCondition(conditions, v1alpha1.ConditionReconciling)
	}
	switch {
	case !accepted.ok():
		setSummary(conditions, generation, accepted, true)
	case known != nil && known.Status == metav1.ConditionFalse:
		setSummary(conditions, generation, no(known.Reason, "%s", known.Message), false)
	default:
		// Also while artifacts come: a machine that asks for one waits for it and gets it.
		setSummary(conditions, generation, yes(v1alpha1.ReasonReady, "%s", accepted.Message), false)
	}
}

// artifactsCondition returns the condition ArtifactsReady of a profile if it speaks of today's spec, else nil.
func artifactsCondition(profile *v1alpha1.BootProfile) *metav1.Condition {
	c := meta.FindStatusCondition(profile.Status.Conditions, v1alpha1.ConditionArtifactsReady)
	if c == nil || c.ObservedGeneration != profile.Generation {
		return nil
	}
	return c
}
