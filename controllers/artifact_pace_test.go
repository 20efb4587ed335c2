// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/netboot-operator/netboot-operator/api/v1alpha1"
)

func TestPace(t *testing.T) {
	status := func(edit ...func(*v1alpha1.BootProfileStatus)) *v1alpha1.BootProfileStatus {
		s := &v1alpha1.BootProfileStatus{
			ArtifactsCached: "0/1 (10%)",
			Artifacts:       []v1alpha1.ArtifactStatus{{Field: "x", State: v1alpha1.ArtifactFetching, Pods: "0/3", Message: "10%"}},
			Conditions: []metav1.Condition{
				{Type: v1alpha1.ConditionReady, Status: metav1.ConditionTrue, Reason: "Ready", Message: "fine"},
				{Type: v1alpha1.ConditionArtifactsReady, Status: metav1.ConditionUnknown, Reason: "Fetching", Message: "10%"},
				{Type: v1alpha1.ConditionReconciling, Status: metav1.ConditionTrue, Reason: "Fetching", Message: "10%"},
			},
		}
		for _, e := range edit {
			e(s)
		}
		return s
	}
	words := func(s *v1alpha1.BootProfileStatus) {
		s.ArtifactsCached, s.Artifacts[0].Message = "0/1 (11%)", "11%"
		s.Conditions[1].Message, s.Conditions[2].Message = "11%", "11%"
	}
	step := func(s *v1alpha1.BootProfileStatus) { words(s); s.Artifacts[0].Pods = "1/3" }
	failed := func(message string) func(*v1alpha1.BootProfileStatus) {
		return func(s *v1alpha1.BootProfileStatus) {
			s.Conditions[0] = metav1.Condition{Type: v1alpha1.ConditionReady, Status: metav1.ConditionFalse, Reason: "X", Message: message}
			s.Conditions[1] = metav1.Condition{Type: v1alpha1.ConditionArtifactsReady, Status: metav1.ConditionFalse, Reason: "X", Message: message}
			s.Artifacts[0].State, s.Artifacts[0].Message = v1alpha1.ArtifactFailed, message
		}
	}
	for name, tc := range map[string]struct {
		before, after *v1alpha1.BootProfileStatus
		percent       int64 // 10 was written
		since         time.Duration
		want          turn
	}{
		"a little more":                 {status(), status(words), 14, time.Minute, turn{skip: true}},
		"much more, but a moment later": {status(), status(words), 90, 2 * time.Second, turn{after: 8 * time.Second}},
		"much more, and it is time":     {status(), status(words), 90, 10 * time.Second, turn{}},
		"a little less: a pod came":     {status(), status(words), 5, time.Minute, turn{}},
		"a pod more has it":             {status(), status(step), 11, time.Minute, turn{}},
		"that, a moment later":          {status(), status(step), 11, 2 * time.Second, turn{after: 8 * time.Second}},
		"it fails":                      {status(), status(failed("x")), 0, 0, turn{}},
		"it fails in other words":       {status(failed("x")), status(failed("y")), 10, 2 * time.Second, turn{after: 8 * time.Second}},
		"and it is time":                {status(failed("x")), status(failed("y")), 10, time.Minute, turn{}},
		"a machine more uses it": {status(), status(func(s *v1alpha1.BootProfileStatus) {
			words(s)
			s.Machines = &v1alpha1.MachineCounts{Total: 1}
		}), 11, 0, turn{}},
		"all is there": {status(), status(func(s *v1alpha1.BootProfileStatus) { words(s); s.Conditions[1].Status = metav1.ConditionTrue }), 100, 0, turn{}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, key := newPace(defaultTiming()), client.ObjectKey{Name: "linux"}
				p.wrote(key, 10)
				<-time.After(tc.since) // virtual time
				if got := p.turn(key, tc.before, tc.after, tc.percent); got != tc.want {
					t.Errorf("turn() = %+v, want %+v", got, tc.want)
				}
			})
		})
	}
	t.Run("all profiles together are bounded", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			p, writes := newPace(defaultTiming()), 0
			const profiles = 1000
			for i := range profiles {
				p.wrote(client.ObjectKey{Name: strconv.Itoa(i)}, 10)
			}
			<-time.After(time.Minute) // virtual time
			for i := range profiles {
				if p.turn(client.ObjectKey{Name: strconv.Itoa(i)}, status(), status(words), 90) == (turn{}) {
					writes++
				}
			}
			if writes != progressAtOnce {
				t.Errorf("%d of %d writes at once, want %d", writes, profiles, progressAtOnce)
			}
			p.forget(client.ObjectKey{Name: "0"})
			if len(p.last) != profiles-1 {
				t.Errorf("%d profiles are remembered, want %d", len(p.last), profiles-1)
			}
		})
	})
}
