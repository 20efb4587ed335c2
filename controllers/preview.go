// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"github.com/netboot-operator/netboot-operator/api/v1alpha1"
	"github.com/netboot-operator/netboot-operator/pkg/index"
)

// Preview returns the entry that the servers answer a Machine from, as far as it shapes the boot configuration: neither the texts of
// configs that come from ConfigMaps and Secrets are in it, nor credentials. profile is the BootProfile that the Machine names, or
// nil when there is none of that name. The entry is nil when the Machine has no valid identity.
func Preview(m *v1alpha1.Machine, profile *v1alpha1.BootProfile) *index.Machine {
	entry, _ := resolve(m, profile, nil)
	return entry
}
