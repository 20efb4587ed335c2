// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/netboot-operator/netboot-operator/api/v1alpha1"
)

func TestProfileConditions(t *testing.T) {
	const fetching, fetched = v1alpha1.ReasonFetching, v1alpha1.ReasonFetched
	good, invalid := yes(v1alpha1.ReasonAccepted, "good"), no(v1alpha1.ReasonInvalidSpec, "invalid")
	coming := finding{metav1.ConditionUnknown, fetching, "45%"}
	there, failed := yes(fetched, "there"), no(v1alpha1.ReasonDigestMismatch, "digest")
	for name, tc := range map[string]struct {
		before    string // ArtifactsReady as it was, of this generation: its reason; empty: none
		accepted  finding
		artifacts *finding
		want      string // conditions as "TYPE STATUS REASON MESSAGE"
	}{
		"not accepted": {fetched, invalid, nil,
			"Accepted False InvalidSpec invalid, Ready False InvalidSpec invalid, Stalled True InvalidSpec invalid"},
		"nothing known yet": {"", good, nil,
			"Accepted True Accepted good, Ready True Ready good"},
		"coming": {"", good, &coming,
			"Accepted True Accepted good, ArtifactsReady Unknown Fetching 45%, Reconciling True Fetching 45%, Ready True Ready good"},
		"there": {fetching, good, &there,
			"Accepted True Accepted good, ArtifactsReady True Fetched there, Ready True Ready good"},
		"failed": {fetching, good, &failed,
			"Accepted True Accepted good, ArtifactsReady False DigestMismatch digest, Ready False DigestMismatch digest"},
		"a new leader that knows nothing does not contradict": {v1alpha1.ReasonDigestMismatch, good, nil,
			"Accepted True Accepted good, ArtifactsReady False DigestMismatch before, Ready False DigestMismatch before"},
	} {
		t.Run(name, func(t *testing.T) {
			p := someProfile()
			switch tc.before {
			case "":
			case fetching:
				set(&p.Status.Conditions, v1alpha1.ConditionArtifactsReady, p.Generation, finding{metav1.ConditionUnknown, fetching, "before"})
				set(&p.Status.Conditions, v1alpha1.ConditionReconciling, p.Generation, yes(fetching, "before"))
			case fetched:
				set(&p.Status.Conditions, v1alpha1.ConditionArtifactsReady, p.Generation, yes(fetched, "before"))
			default:
				set(&p.Status.Conditions, v1alpha1.ConditionArtifactsReady, p.Generation, no(tc.before, "before"))
			}
			setProfileConditions(p, tc.accepted, tc.artifacts)
			got := map[string]bool{}
			for _, c := range p.Status.Conditions {
				got[strings.Join([]string{c.Type, string(c.Status), c.Reason, c.Message}, " ")] = true
			}
			want := map[string]bool{}
			for c := range strings.SplitSeq(tc.want, ", ") {
				want[c] = true
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("want (-), got (+):\n%s", diff)
			}
		})
	}
}
