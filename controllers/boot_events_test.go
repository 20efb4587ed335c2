// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"strings"
	"testing"
	"time"

	"github.com/netboot-operator/netboot-operator/api/v1alpha1"
	"github.com/netboot-operator/netboot-operator/pkg/attempt"
	"github.com/netboot-operator/netboot-operator/pkg/ledger"
)

// TestBootEvents has a machine's story told by Events: not each stage, and nothing twice.
func TestBootEvents(t *testing.T) {
	stopped := func(after time.Duration, id attempt.CauseID, message string) attempt.Attempt {
		a := atStage(after, attempt.StageKernel)
		a.Over, a.Cause = true, &attempt.Finding{ID: id, Message: message}
		return a
	}
	looping := atStage(0, attempt.StageKernel)
	looping.Cause = &attempt.Finding{ID: attempt.CauseUpstream, Message: "gone"}
	for name, tc := range map[string]struct {
		policy v1alpha1.BootPolicy
		boots  int // that were not completed before
		story  []attempt.Attempt
		want   string // "TYPE REASON NOTE", separated by "; "
	}{
		"stages": {story: []attempt.Attempt{atStage(0, attempt.StageFirmware), atStage(0, attempt.StageConfig), atStage(0, attempt.StageInitrd)}},
		"done": {story: []attempt.Attempt{atStage(0, attempt.StageKernel), atStage(0, attempt.StageDone), toDisk(time.Hour)},
			want: "Normal Booted the machine reported that its boot is completed (bootID 1)"},
		"always done": {policy: v1alpha1.BootPolicyContinuous, story: []attempt.Attempt{atStage(0, attempt.StageDone), atStage(time.Hour, attempt.StageDone)},
			want: "Normal Booted the machine reported that its boot is completed (bootID 1); Normal Booted the machine reported that its boot is completed (bootID 1)"},
		"stopped": {story: []attempt.Attempt{atStage(0, attempt.StageKernel), stopped(0, attempt.CauseOutOfMemory, "Too little."), stopped(0, attempt.CauseOutOfMemory, "Too little.")},
			want: "Warning BootStopped OutOfMemory: Too little. (bootID 1)"},
		"something is wrong, and it goes on": {story: []attempt.Attempt{looping, atStage(0, attempt.StageInitrd)}},
		"failed": {story: []attempt.Attempt{stopped(0, attempt.CauseInstallerFailed, "No disk.")},
			want: "Warning BootFailed No disk. (bootID 1)"},
		"the third one in vain": {boots: 3, story: []attempt.Attempt{atStage(0, attempt.StageKernel), stopped(0, attempt.CauseLoop, "Again."), toDisk(time.Hour)},
			want: "Warning BootStopped BootLoop: Again. (bootID 1); Warning HeldBootLoop 3 boots of bootID \"1\" were begun and none was completed: " +
				"the machine boots from its own disk; see status.lastBoot, and set a new spec.bootID to let it boot its profile again"},
	} {
		t.Run(name, func(t *testing.T) {
			m := bootableMachine()
			if tc.policy != "" {
				m.Spec.BootPolicy = tc.policy
			}
			n, memory := &notebook{}, bootMemory{}
			r := newEventRecorder(n)
			for i := range tc.story {
				e := ledger.Entry{Boot: ledger.Boot{Machine: "lab/n1", BootID: "1"}}
				if i == 0 {
					e.Unwritten = tc.boots
				}
				before := m.DeepCopy()
				applyBoot(m, bootNews{attempt: &tc.story[i], entry: e, node: "a", now: bootTime()}, &memory)
				memory.wrote = markOf(m.Status.LastBoot)
				r.bootChanged(m, before)
			}
			if got := strings.Join(n.notes, "; "); got != tc.want {
				t.Errorf("Events:\n%s, want\n%s", got, tc.want)
			}
		})
	}
}
