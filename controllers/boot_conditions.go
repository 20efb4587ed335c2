// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/netboot-operator/netboot-operator/api/v1alpha1"
	"github.com/netboot-operator/netboot-operator/pkg/attempt"
	"github.com/netboot-operator/netboot-operator/pkg/ledger"
)

// setBootConditions writes NetbootArmed and Booted. They follow from a Machine's spec and the rest of its status alone: the
// leader and the pod that served a boot both write them, and find nothing to do after each other.
//
//	bootPolicy  the boot of spec.bootID                 | NetbootArmed           Booted
//	any         no profile                              | False, NoProfile       (as below)
//	Disabled    any                                     | False, Disabled        (as below)
//	Continuous  any                                     | True, Continuous       (as below)
//	Once        completed                               | False, Completed       True
//	Once        three begun, none runs nor is completed | False, HeldBootLoop    False
//	Once        else                                    | True, Armed            (as below)
//
//	Unknown NotBooted: none of this bootID; False NotCompleted: it runs; False BootStopped, BootFailed; True: completed.
func setBootConditions(m *v1alpha1.Machine) {
	set(&m.Status.Conditions, v1alpha1.ConditionNetbootArmed, m.Generation, armed(m))
	set(&m.Status.Conditions, v1alpha1.ConditionBooted, m.Generation, booted(m))
}

// completed says whether the boot of the present bootID is.
func completed(m *v1alpha1.Machine) bool {
	return m.Status.BootID != "" && m.Status.BootID == m.Spec.BootID
}

// bootsOf returns how many boots of a bootID the status counts that were not completed.
func bootsOf(m *v1alpha1.Machine, bootID string) int {
	if m.Status.LastBoot == nil || m.Status.LastBoot.BootID != bootID {
		return 0
	}
	return int(m.Status.BootsSinceCompletion)
}

// boots says whether a boot of the Machine's profile is under way.
func boots(m *v1alpha1.Machine) bool {
	b := m.Status.LastBoot
	return b != nil && b.BootID == m.Spec.BootID && b.Action == v1alpha1.BootActionNetboot && b.EndTime == nil
}

// held says whether a Machine boots its own disk because three boots in a row were not completed. While the third one goes on
// it may be the good one.
func held(m *v1alpha1.Machine) bool {
	return m.Spec.BootPolicy != v1alpha1.BootPolicyContinuous && m.Spec.BootPolicy != v1alpha1.BootPolicyDisabled &&
		m.Spec.ProfileRef != nil && !completed(m) && bootsOf(m, m.Spec.BootID) >= ledger.MaxBoots && !boots(m)
}

// armed says whether the Machine boots its profile when it next asks.
func armed(m *v1alpha1.Machine) finding {
	switch {
	case m.Spec.ProfileRef == nil:
		return no(v1alpha1.ReasonNoProfile, "spec.profileRef is not set: the machine boots from its own disk")
	case m.Spec.BootPolicy == v1alpha1.BootPolicyDisabled:
		return no(v1alpha1.ReasonDisabled, "spec.bootPolicy is Disabled: the machine boots from its own disk")
	case m.Spec.BootPolicy == v1alpha1.BootPolicyContinuous:
		return yes(v1alpha1.ReasonContinuous, "the machine boots its profile each time it asks")
	case completed(m):
		return no(v1alpha1.ReasonCompleted,
			"the boot of bootID %q is completed: the machine boots from its own disk; a new spec.bootID arms it again", m.Spec.BootID)
	case held(m):
		return no(v1alpha1.ReasonHeldBootLoop, "%d boots of bootID %q were begun and none was completed: the machine boots from its own disk; "+
			"see status.lastBoot, and set a new spec.bootID to let it boot its profile again", bootsOf(m, m.Spec.BootID), m.Spec.BootID)
	}
	if n := bootsOf(m, m.Spec.BootID); n >= ledger.MaxBoots {
		return yes(v1alpha1.ReasonArmed, "this is the last of %d boots of bootID %q: if it is not completed, the machine boots from its own disk", n, m.Spec.BootID)
	}
	return yes(v1alpha1.ReasonArmed, "the machine boots its profile until a boot of bootID %q is completed", m.Spec.BootID)
}

// booted says how the latest boot of the Machine's present bootID went.
func booted(m *v1alpha1.Machine) finding {
	b := m.Status.LastBoot
	was := finding{}
	if c := meta.FindStatusCondition(m.Status.Conditions, v1alpha1.ConditionBooted); c != nil {
		was = finding{c.Status, c.Reason, c.Message}
	}
	if b == nil || b.BootID != m.Spec.BootID {
		if completed(m) {
			return stillBooted(m, was)
		}
		return finding{metav1.ConditionUnknown, v1alpha1.ReasonNotBooted, "the machine has not booted yet with the present spec.bootID"}
	}
	switch {
	case b.Stage == string(attempt.StageDone):
		return bootedBy(b.CompleteOn)
	case m.Spec.BootPolicy != v1alpha1.BootPolicyContinuous && completed(m):
		return stillBooted(m, was)
	case b.Action == v1alpha1.BootActionBootLocal:
		if was.Status == metav1.ConditionFalse && was.Reason != v1alpha1.ReasonNotCompleted {
			return was // that it booted from its own disk since does not change it
		}
		if held(m) {
			return no(v1alpha1.ReasonNotCompleted, "%d boots were begun and none was completed", bootsOf(m, m.Spec.BootID))
		}
		return finding{metav1.ConditionUnknown, v1alpha1.ReasonNotBooted, "the machine was told to boot from its own disk"}
	case b.Cause == string(attempt.CauseInstallerFailed):
		return no(v1alpha1.ReasonBootFailed, "%s", b.Message)
	case b.EndTime == nil:
		return no(v1alpha1.ReasonNotCompleted, "the boot goes on; it is at stage %s", b.Stage)
	case b.Cause == "":
		return no(v1alpha1.ReasonNotCompleted, "the machine has got all that it asked for, and has not reported that its boot is completed")
	}
	return no(v1alpha1.ReasonBootStopped, "%s: %s", b.Cause, b.Message)
}

// stillBooted is what is said of a boot that was completed earlier: what was said then.
func stillBooted(m *v1alpha1.Machine, was finding) finding {
	if was.ok() {
		return was
	}
	return bootedBy(m.Spec.CompleteOn)
}

func bootedBy(by v1alpha1.CompleteOn) finding {
	if by == v1alpha1.CompleteOnPayloadServed {
		return yes(v1alpha1.ReasonPayloadServed, "all files of the boot were sent")
	}
	return yes(v1alpha1.ReasonCompletedByCallback, "the machine reported that its boot is completed")
}

// stuck says whether the Machine did not get through its last boot.
func stuck(m *v1alpha1.Machine) bool {
	switch booted(m).Reason {
	case v1alpha1.ReasonBootStopped, v1alpha1.ReasonBootFailed:
		return true
	}
	return held(m)
}
