// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/netboot-operator/netboot-operator/api/v1alpha1"
	"github.com/netboot-operator/netboot-operator/pkg/attempt"
)

// bootTime is when the boots of the tests begin: later than the API server makes any Machine.
func bootTime() time.Time { return time.Date(2126, 5, 4, 10, 0, 0, 0, time.UTC) }

// bootableMachine is one that boots a profile under the policy Once.
func bootableMachine() *v1alpha1.Machine {
	return &v1alpha1.Machine{
		ObjectMeta: metav1.ObjectMeta{Namespace: "lab", Name: "n1", Generation: 1},
		Spec: v1alpha1.MachineSpec{
			MACAddresses: []v1alpha1.MACAddress{"52:54:00:aa:bb:01"}, ProfileRef: &v1alpha1.ProfileReference{Name: "demo"},
			BootPolicy: v1alpha1.BootPolicyOnce, BootID: "1",
		},
	}
}

// told returns what a Machine's conditions say of its boots.
func told(m *v1alpha1.Machine) string {
	armed, booted := condition(m, v1alpha1.ConditionNetbootArmed), condition(m, v1alpha1.ConditionBooted)
	return string(armed.Status) + " " + armed.Reason + ", " + string(booted.Status) + " " + booted.Reason
}

func TestBootConditions(t *testing.T) {
	running := v1alpha1.LastBoot{StartTime: metav1.NewTime(bootTime()), BootID: "1", Action: v1alpha1.BootActionNetboot, Stage: "Kernel"}
	with := func(change func(*v1alpha1.LastBoot)) *v1alpha1.LastBoot {
		b := running
		change(&b)
		return &b
	}
	end := new(metav1.NewTime(bootTime().Add(time.Minute)))
	done := with(func(b *v1alpha1.LastBoot) {
		b.Stage, b.EndTime, b.CompleteOn = "Done", end, v1alpha1.CompleteOnCallback
	})
	stopped := with(func(b *v1alpha1.LastBoot) { b.Cause, b.EndTime = string(attempt.CauseOutOfMemory), end })
	local := with(func(b *v1alpha1.LastBoot) { b.Action, b.Stage, b.EndTime = v1alpha1.BootActionBootLocal, "Config", end })
	begun := with(func(b *v1alpha1.LastBoot) { b.Action, b.Stage = "", "Firmware" })
	const once, continuous, disabled = v1alpha1.BootPolicyOnce, v1alpha1.BootPolicyContinuous, v1alpha1.BootPolicyDisabled
	for name, tc := range map[string]struct {
		policy    v1alpha1.BootPolicy
		completed string // status.bootID
		count     int32
		last      *v1alpha1.LastBoot
		before    finding // the condition Booted
		want      string
	}{
		"new":                              {once, "", 0, nil, finding{}, "True Armed, Unknown NotBooted"},
		"new, always":                      {continuous, "", 0, nil, finding{}, "True Continuous, Unknown NotBooted"},
		"new, never":                       {disabled, "", 0, nil, finding{}, "False Disabled, Unknown NotBooted"},
		"boots":                            {once, "", 1, &running, finding{}, "True Armed, False NotCompleted"},
		"stopped":                          {once, "", 1, stopped, finding{}, "True Armed, False BootStopped"},
		"done":                             {once, "1", 0, done, finding{}, "False Completed, True CompletedByCallback"},
		"done, then its own disk":          {once, "1", 0, local, yes(v1alpha1.ReasonPayloadServed, "x"), "False Completed, True PayloadServed"},
		"done, then it asks once more":     {once, "1", 0, begun, yes(v1alpha1.ReasonPayloadServed, "x"), "False Completed, True PayloadServed"},
		"done with an earlier bootID":      {once, "0", 0, nil, yes(v1alpha1.ReasonPayloadServed, "x"), "True Armed, Unknown NotBooted"},
		"the third one goes on":            {once, "", 3, &running, finding{}, "True Armed, False NotCompleted"},
		"the third one stopped":            {once, "", 3, stopped, finding{}, "False HeldBootLoop, False BootStopped"},
		"held, and sent to its own disk":   {once, "", 3, local, finding{}, "False HeldBootLoop, False NotCompleted"},
		"held, and it asks again":          {once, "", 3, begun, finding{}, "False HeldBootLoop, False NotCompleted"},
		"held, and known why":              {once, "", 3, local, no(v1alpha1.ReasonBootStopped, "x"), "False HeldBootLoop, False BootStopped"},
		"held with an earlier bootID":      {once, "", 3, with(func(b *v1alpha1.LastBoot) { b.BootID = "0" }), finding{}, "True Armed, Unknown NotBooted"},
		"always, and three times in vain":  {continuous, "", 3, stopped, finding{}, "True Continuous, False BootStopped"},
		"always, done":                     {continuous, "1", 0, done, finding{}, "True Continuous, True CompletedByCallback"},
		"always, done, boots once more":    {continuous, "1", 1, &running, yes(v1alpha1.ReasonPayloadServed, "x"), "True Continuous, False NotCompleted"},
		"never, boots its own disk":        {disabled, "", 0, local, finding{}, "False Disabled, Unknown NotBooted"},
		"never, three times in vain since": {disabled, "", 3, stopped, finding{}, "False Disabled, False BootStopped"},
		"the installer failed": {once, "", 1, with(func(b *v1alpha1.LastBoot) { b.Cause, b.EndTime = string(attempt.CauseInstallerFailed), end }), finding{},
			"True Armed, False BootFailed"},
	} {
		t.Run(name, func(t *testing.T) {
			m := bootableMachine()
			m.Spec.BootPolicy, m.Status.BootID, m.Status.BootsSinceCompletion, m.Status.LastBoot = tc.policy, tc.completed, tc.count, tc.last
			if tc.before != (finding{}) {
				set(&m.Status.Conditions, v1alpha1.ConditionBooted, 1, tc.before)
			}
			setBootConditions(m)
			if got := told(m); got != tc.want {
				t.Errorf("NetbootArmed and Booted are %q, want %q", got, tc.want)
			}
			again := m.DeepCopy()
			setBootConditions(again)
			if diff := cmp.Diff(m.Status, again.Status); diff != "" {
				t.Errorf("who writes after the first finds something to do:\n%s", diff)
			}
		})
	}
	t.Run("no profile", func(t *testing.T) {
		m := bootableMachine()
		m.Spec.ProfileRef = nil
		setBootConditions(m)
		if got, want := told(m), "False NoProfile, Unknown NotBooted"; got != want {
			t.Errorf("NetbootArmed and Booted are %q, want %q", got, want)
		}
	})
}
