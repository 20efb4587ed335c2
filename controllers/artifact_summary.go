// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/netboot-operator/netboot-operator/api/v1alpha1"
	"github.com/netboot-operator/netboot-operator/pkg/index"
)

// Bounds of the schema.
const (
	maxArtifactStatuses = 512
	maxArtifactMessage  = 1024
)

// A summary is what a BootProfile's status says about its artifacts.
type summary struct {
	condition finding
	artifacts []v1alpha1.ArtifactStatus
	cached    string // how many of them are on all pods, and how much has come
	percent   int64  // of all bytes that has come, as far as sizes are known
}

// summarise sums up what the pods have of a profile's artifacts. There must be at least one pod.
//
//	a pod failed at one | every pod has all | ArtifactsReady
//	yes                 | no                | False, the first failure's reason
//	no                  | yes               | True, Fetched
//	no                  | no                | Unknown, Fetching
func summarise(p *index.Profile, pods map[string]holdings) summary {
	names := slices.Sorted(maps.Keys(pods))
	all := p.Artifacts()
	var s summary
	var faults []string
	var bytes progress
	complete := 0
	reason := ""
	for _, a := range all {
		spread := spreadOf(a, names, pods)
		bytes.add(spread.progress)
		if spread.cached == len(names) {
			complete++
		}
		status := spread.status(a, len(names))
		if status.State == v1alpha1.ArtifactFailed {
			if reason == "" {
				reason = spread.faults[0].reason
			}
			faults = append(faults, "spec."+fieldOf(a)+" "+spread.faultMessage(len(names)))
		}
		if len(s.artifacts) < maxArtifactStatuses {
			s.artifacts = append(s.artifacts, status)
		}
	}
	s.percent = bytes.percent()
	s.cached = fmt.Sprintf("%d/%d", complete, len(all))
	switch {
	case len(faults) > 0:
		s.condition = no(reason, "%s", strings.Join(faults, "; "))
	case complete == len(all):
		s.condition = yes(v1alpha1.ReasonFetched, "all %d artifacts are cached on %d of %d pods", len(all), len(names), len(names))
	default:
		s.cached += fmt.Sprintf(" (%d%%)", s.percent)
		s.condition = finding{
			metav1.ConditionUnknown, v1alpha1.ReasonFetching,
			fmt.Sprintf("%d of %d artifacts are cached on %d of %d pods; %s", complete, len(all), len(names), len(names), bytes),
		}
	}
	return s
}

// fieldOf returns the field of the spec that an artifact stands in: "platforms[0].kernel".
func fieldOf(a *index.Artifact) string {
	_, field, _ := strings.Cut(a.Field, " spec.")
	return field
}

// A spread is one artifact on all pods.
type spread struct {
	size     int64 // 0: no pod knows it
	cached   int   // pods that have it
	begun    bool  // a pod has it or is at it
	progress progress
	faults   []fault
}

// A fault is why some pods don't have it.
type fault struct {
	reason, message string
	pods            []string
}

func spreadOf(a *index.Artifact, names []string, pods map[string]holdings) spread {
	var s spread
	id := shortIDOf(a)
	for _, name := range names {
		s.size = max(s.size, pods[name][id].Bytes)
	}
	for _, name := range names {
		h := pods[name][id]
		switch {
		case h.Cached:
			s.cached++
			s.begun = true
			s.progress.received += s.size
		case h.Fetching:
			s.begun = true
			s.progress.received += min(h.Received, s.size)
		case h.Reason != "":
			s.addFault(h, name)
		}
		s.progress.total += s.size
	}
	if s.size == 0 && s.cached < len(names) {
		s.progress.unknown++
	}
	return s
}

func (s *spread) addFault(h holding, pod string) {
	for i := range s.faults {
		if s.faults[i].reason == h.Reason && s.faults[i].message == h.Message {
			s.faults[i].pods = append(s.faults[i].pods, pod)
			return
		}
	}
	s.faults = append(s.faults, fault{h.Reason, h.Message, []string{pod}})
}

func (s *spread) status(a *index.Artifact, pods int) v1alpha1.ArtifactStatus {
	out := v1alpha1.ArtifactStatus{Field: fieldOf(a), SizeBytes: s.size, Pods: fmt.Sprintf("%d/%d", s.cached, pods)}
	switch {
	case len(s.faults) > 0:
		out.State, out.Message = v1alpha1.ArtifactFailed, cut(s.faults[0].reason+": "+s.faultMessage(pods), maxArtifactMessage)
	case s.cached == pods:
		out.State = v1alpha1.ArtifactCached
	case s.begun:
		out.State, out.Message = v1alpha1.ArtifactFetching, s.progress.String()
	default:
		out.State = v1alpha1.ArtifactPending
	}
	return out
}

// faultMessage tells the faults, and on which pods when it is not all of them.
func (s *spread) faultMessage(pods int) string {
	told := make([]string, 0, len(s.faults))
	for _, f := range s.faults {
		text := f.message
		if len(f.pods) < pods {
			text += fmt.Sprintf(" (on %d of %d pods: %s)", len(f.pods), pods, some(f.pods))
		}
		told = append(told, text)
	}
	return strings.Join(told, "; ")
}

// some names the first of many.
func some(names []string) string {
	const enough = 3
	if len(names) <= enough {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:enough], ", "), len(names)-enough)
}

// A progress counts bytes on all pods together.
type progress struct {
	received, total int64
	unknown         int // artifacts of which no pod knows the size
}

func (p *progress) add(other progress) {
	p.received += other.received
	p.total += other.total
	p.unknown += other.unknown
}

// percent is 100 only when each byte has come.
func (p *progress) percent() int64 {
	switch {
	case p.total == 0 || p.received == 0:
		return 0
	case p.received == p.total && p.unknown == 0:
		return 100
	}
	return min(int64(float64(p.received)/float64(p.total)*100), 99)
}

// String returns "45% (12.0 MiB of 27.1 MiB) has come".
func (p progress) String() string {
	if p.total == 0 {
		return "it is not known yet how much is to come"
	}
	text := fmt.Sprintf("%d%% (%s of %s) has come", p.percent(), mebibytes(p.received), mebibytes(p.total))
	switch p.unknown {
	case 0:
		return text
	case 1:
		return text + ", not counting 1 of unknown size"
	}
	return fmt.Sprintf("%s, not counting %d of unknown size", text, p.unknown)
}

func mebibytes(n int64) string { return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20)) }
