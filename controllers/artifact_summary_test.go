// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/netboot-operator/netboot-operator/api/v1alpha1"
	"github.com/netboot-operator/netboot-operator/pkg/artifact"
	"github.com/netboot-operator/netboot-operator/pkg/index"
)

func TestSummarise(t *testing.T) {
	const mib = 1 << 20
	there := func(n int64) holding { return holding{Cached: true, Bytes: n * mib} }
	coming := func(n, of int64) holding { return holding{Fetching: true, Received: n * mib, Bytes: of * mib} }
	bad := func(reason, message string) holding { return holding{Reason: reason, Message: message} }
	profile := &index.Profile{Platforms: []index.Platform{{
		Kernel:  &index.Artifact{Field: `BootProfile "lab/linux" spec.platforms[0].kernel`, URLs: []string{"http://m/k"}, SHA256: strings.Repeat("a", 64)},
		Initrds: []index.Artifact{{Field: `BootProfile "lab/linux" spec.platforms[0].initrds[0]`, URLs: []string{"http://m/i"}}},
	}}}
	kernel, initrd := shortIDOf(profile.Platforms[0].Kernel), shortIDOf(&profile.Platforms[0].Initrds[0])
	if kernel != "aaaaaaaaaaaaaaaaaaaa" || !strings.HasPrefix(string(initrd), "u") || len(initrd) != 21 {
		t.Fatalf("short ids are %q and %q", kernel, initrd)
	}
	both := func(k, i holding) holdings { return holdings{kernel: k, initrd: i} }

	for name, tc := range map[string]struct {
		pods map[string]holdings

		wantStatus  metav1.ConditionStatus
		wantReason  string
		wantMessage string
		wantCached  string
		want        string // of each artifact: state, pods, size in MiB, message
	}{
		"nobody has begun": {
			pods:       map[string]holdings{"a": nil, "b": nil},
			wantStatus: metav1.ConditionUnknown, wantReason: "Fetching", wantCached: "0/2 (0%)",
			wantMessage: "0 of 2 artifacts are cached on 2 of 2 pods; it is not known yet how much is to come",
			want:        "Pending 0/2 0 ; Pending 0/2 0 ",
		},
		"one pod comes along": {
			pods:       map[string]holdings{"a": both(coming(3, 4), holding{Fetching: true, Received: 5}), "b": nil},
			wantStatus: metav1.ConditionUnknown, wantReason: "Fetching", wantCached: "0/2 (37%)",
			wantMessage: "0 of 2 artifacts are cached on 2 of 2 pods; 37% (3.0 MiB of 8.0 MiB) has come, not counting 1 of unknown size",
			want: "Fetching 0/2 4 37% (3.0 MiB of 8.0 MiB) has come; " +
				"Fetching 0/2 0 it is not known yet how much is to come",
		},
		"one artifact is everywhere": {
			pods:       map[string]holdings{"a": both(there(4), there(4)), "b": both(there(4), coming(3, 4))},
			wantStatus: metav1.ConditionUnknown, wantReason: "Fetching", wantCached: "1/2 (93%)",
			wantMessage: "1 of 2 artifacts are cached on 2 of 2 pods; 93% (15.0 MiB of 16.0 MiB) has come",
			want:        "Cached 2/2 4 ; Fetching 1/2 4 87% (7.0 MiB of 8.0 MiB) has come",
		},
		"the last byte is not all": {
			pods:       map[string]holdings{"a": both(there(4), coming(4, 4))},
			wantStatus: metav1.ConditionUnknown, wantReason: "Fetching", wantCached: "1/2 (100%)",
			wantMessage: "1 of 2 artifacts are cached on 1 of 1 pods; 100% (8.0 MiB of 8.0 MiB) has come",
			want:        "Cached 1/1 4 ; Fetching 0/1 4 100% (4.0 MiB of 4.0 MiB) has come",
		},
		"a pod that is new": {
			pods:       map[string]holdings{"a": both(there(4), there(4)), "b": nil},
			wantStatus: metav1.ConditionUnknown, wantReason: "Fetching", wantCached: "0/2 (50%)",
			wantMessage: "0 of 2 artifacts are cached on 2 of 2 pods; 50% (8.0 MiB of 16.0 MiB) has come",
			want:        "Fetching 1/2 4 50% (4.0 MiB of 8.0 MiB) has come; Fetching 1/2 4 50% (4.0 MiB of 8.0 MiB) has come",
		},
		"all there": {
			pods:       map[string]holdings{"a": both(there(4), there(0)), "b": both(there(4), there(0))},
			wantStatus: metav1.ConditionTrue, wantReason: "Fetched", wantCached: "2/2",
			wantMessage: "all 2 artifacts are cached on 2 of 2 pods",
			want:        "Cached 2/2 4 ; Cached 2/2 0 ",
		},
		"all fail alike": {
			pods: map[string]holdings{
				"a": both(bad("DigestMismatch", "from http://m/k: wrong"), there(1)),
				"b": both(bad("DigestMismatch", "from http://m/k: wrong"), there(1)),
			},
			wantStatus: metav1.ConditionFalse, wantReason: "DigestMismatch", wantCached: "1/2",
			wantMessage: "spec.platforms[0].kernel from http://m/k: wrong",
			want:        "Failed 0/2 0 DigestMismatch: from http://m/k: wrong; Cached 2/2 1 ",
		},
		"each fails in its own way": {
			pods: map[string]holdings{
				"a": both(there(4), bad("UpstreamUnavailable", "from http://m/i: refused")),
				"b": both(there(4), bad("StorageFailed", "from http://m/i: disk full")),
				"c": both(coming(1, 4), there(1)),
			},
			wantStatus: metav1.ConditionFalse, wantReason: "UpstreamUnavailable", wantCached: "0/2",
			wantMessage: "spec.platforms[0].initrds[0] from http://m/i: refused (on 1 of 3 pods: a); from http://m/i: disk full (on 1 of 3 pods: b)",
			want: "Fetching 2/3 4 75% (9.0 MiB of 12.0 MiB) has come; " +
				"Failed 1/3 1 UpstreamUnavailable: from http://m/i: refused (on 1 of 3 pods: a); from http://m/i: disk full (on 1 of 3 pods: b)",
		},
		"many fail": {
			pods: map[string]holdings{
				"a": both(bad("X", "x"), there(1)), "b": both(bad("X", "x"), there(1)), "c": both(bad("X", "x"), there(1)),
				"d": both(bad("X", "x"), there(1)), "e": both(bad("X", "x"), there(1)), "f": both(there(1), there(1)),
			},
			wantStatus: metav1.ConditionFalse, wantReason: "X", wantCached: "1/2",
			wantMessage: "spec.platforms[0].kernel x (on 5 of 6 pods: a, b, c and 2 more)",
			want:        "Failed 1/6 1 X: x (on 5 of 6 pods: a, b, c and 2 more); Cached 6/6 1 ",
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := summarise(profile, tc.pods)
			if diff := cmp.Diff(finding{tc.wantStatus, tc.wantReason, tc.wantMessage}, s.condition); diff != "" {
				t.Errorf("ArtifactsReady: want (-), got (+):\n%s", diff)
			}
			if s.cached != tc.wantCached {
				t.Errorf("artifactsCached is %q, want %q", s.cached, tc.wantCached)
			}
			var told []string
			for _, a := range s.artifacts {
				told = append(told, strings.Join([]string{string(a.State), a.Pods, mebibytesOnly(a.SizeBytes), a.Message}, " "))
			}
			if got := strings.Join(told, "; "); got != tc.want {
				t.Errorf("artifacts:\n%s\nwant:\n%s", got, tc.want)
			}
		})
	}
}

func mebibytesOnly(n int64) string { return strings.TrimSuffix(mebibytes(n), ".0 MiB") }

func TestHoldingOf(t *testing.T) {
	fault := &artifact.Error{Reason: artifact.ReasonDigestMismatch, Field: `BootProfile "lab/a" spec.x`, URL: "http://m/k", Err: errors.New("wrong")}
	long := &artifact.Error{Reason: artifact.ReasonDigestMismatch, URL: "http://m/k", Err: errors.New(strings.Repeat("ü", maxFault))}
	for name, tc := range map[string]struct {
		state artifact.State
		want  holding
	}{
		"nothing":                          {want: holding{}},
		"there":                            {artifact.State{Cached: true, Bytes: 7}, holding{Cached: true, Bytes: 7}},
		"on its way":                       {artifact.State{Fetching: true, Received: 3, Total: 7}, holding{Fetching: true, Received: 3, Bytes: 7}},
		"of unknown size":                  {artifact.State{Fetching: true, Received: 3, Total: -1}, holding{Fetching: true, Received: 3}},
		"failed":                           {artifact.State{Err: fault}, holding{Reason: "DigestMismatch", Message: "from http://m/k: wrong"}},
		"failed, and is tried again":       {artifact.State{Fetching: true, Err: fault}, holding{Reason: "DigestMismatch", Message: "from http://m/k: wrong"}},
		"failed for a reason of our own":   {artifact.State{Err: errors.New("x")}, holding{Reason: v1alpha1.ReasonStorageFailed, Message: "x"}},
		"failed, with too much to be told": {artifact.State{Err: long}, holding{Reason: "DigestMismatch", Message: "from http://m/k: " + strings.Repeat("ü", (maxFault-len("from http://m/k: ")-3)/2) + "..."}},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, holdingOf(tc.state)); diff != "" {
				t.Errorf("want (-), got (+):\n%s", diff)
			}
		})
	}
}
