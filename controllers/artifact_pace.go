// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"sync"
	"time"

	"golang.org/x/time/rate"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/netboot-operator/netboot-operator/api/v1alpha1"
)

// Writes that are only progress, of all BootProfiles together, a second and at once.
const (
	progressPerSecond = 10
	progressAtOnce    = 20
)

// A pace keeps the leader from writing each byte of progress, and each machine that boots. What changes for somebody who waits
// (a condition's status or reason, how many machines there are) is written at once.
type pace struct {
	every time.Duration // for one BootProfile
	step  int64         // the progress, in percent points, below which nothing is written
	limit *rate.Limiter

	mu   sync.Mutex
	last map[client.ObjectKey]written // of BootProfiles whose artifacts are not all there
}

type written struct {
	at      time.Time
	percent int64
}

func newPace(t timing) *pace {
	return &pace{every: t.progress, step: t.step, limit: rate.NewLimiter(progressPerSecond, progressAtOnce), last: map[client.ObjectKey]written{}}
}

// A turn says what to do with a change of status.
type turn struct {
	skip  bool          // it is not worth a write; the next change is looked at again
	after time.Duration // it is not yet time; 0: write
}

// turn decides about one change.
func (p *pace) turn(key client.ObjectKey, before, after *v1alpha1.BootProfileStatus, percent int64) turn {
	if !onlyProgress(before, after) {
		return turn{}
	}
	p.mu.Lock()
	last, known := p.last[key]
	p.mu.Unlock()
	if !known {
		return turn{}
	}
	if sameCounts(before, after) && sameSteps(before, after) && abs(percent-last.percent) < p.step {
		return turn{skip: true}
	}
	if rest := p.every - time.Since(last.at); rest > 0 {
		return turn{after: rest}
	}
	if !p.limit.Allow() {
		return turn{after: time.Second / progressPerSecond}
	}
	return turn{}
}

// wrote notes what stands in the status now.
func (p *pace) wrote(key client.ObjectKey, percent int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.last[key] = written{time.Now(), percent}
}

// forget drops a BootProfile that is gone.
func (p *pace) forget(key client.ObjectKey) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.last, key)
}

// onlyProgress says whether two statuses differ in nothing but how far artifacts are, and the words for it.
func onlyProgress(before, after *v1alpha1.BootProfileStatus) bool {
	return equality.Semantic.DeepEqual(withoutProgress(before), withoutProgress(after))
}

func withoutProgress(s *v1alpha1.BootProfileStatus) *v1alpha1.BootProfileStatus {
	out := s.DeepCopy()
	out.Artifacts, out.ArtifactsCached = nil, ""
	if out.Machines != nil {
		out.Machines = &v1alpha1.MachineCounts{Total: out.Machines.Total} // how far they are changes with each boot
	}
	artifacts := meta.FindStatusCondition(s.Conditions, v1alpha1.ConditionArtifactsReady)
	for i := range out.Conditions {
		c := &out.Conditions[i]
		switch {
		case c.Type == v1alpha1.ConditionArtifactsReady, c.Type == v1alpha1.ConditionReconciling,
			artifacts != nil && c.Type == v1alpha1.ConditionReady && c.Message == artifacts.Message:
			c.Message = ""
		}
	}
	return out
}

// sameSteps says whether each artifact is in the same state on as many pods.
func sameSteps(before, after *v1alpha1.BootProfileStatus) bool {
	if len(before.Artifacts) != len(after.Artifacts) {
		return false
	}
	for i := range after.Artifacts {
		was, is := &before.Artifacts[i], &after.Artifacts[i]
		if was.Field != is.Field || was.State != is.State || was.Pods != is.Pods ||
			is.State == v1alpha1.ArtifactFailed && was.Message != is.Message {
			return false
		}
	}
	return true
}

// sameCounts says whether as many machines are armed, booted and stuck.
func sameCounts(before, after *v1alpha1.BootProfileStatus) bool {
	return equality.Semantic.DeepEqual(before.Machines, after.Machines)
}

func abs(n int64) int64 { return max(n, -n) }
