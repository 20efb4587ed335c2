// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"fmt"
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/netboot-operator/netboot-operator/api/v1alpha1"
	"github.com/netboot-operator/netboot-operator/pkg/index"
)

// NeededArtifacts returns what the BootProfiles name, with the credentials that go with it, in the order of the profiles'
// names; and says of each profile that can't be used why.
func (s *Standalone) NeededArtifacts() (needed []*index.Artifact, unusable []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, key := range slices.Sorted(maps.Keys(s.profiles)) {
		if profile := s.Index.Profile(key); profile != nil {
			needed = append(needed, profile.Artifacts()...)
			continue
		}
		why := "it is not accepted"
		if c := meta.FindStatusCondition(s.profiles[key].Status.Conditions, v1alpha1.ConditionAccepted); c != nil {
			why = c.Reason + ": " + c.Message
		}
		unusable = append(unusable, fmt.Sprintf("%s %s: %s", kindBootProfile, key, why))
	}
	return needed, unusable
}
