// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// GroupVersion is netboot.dev/v1alpha1.
var GroupVersion = schema.GroupVersion{Group: "netboot.dev", Version: "v1alpha1"}

// AddToScheme registers the kinds of this package.
func AddToScheme(scheme *runtime.Scheme) error {
	scheme.AddKnownTypes(GroupVersion, &Machine{}, &MachineList{}, &BootProfile{}, &BootProfileList{})
	metav1.AddToGroupVersion(scheme, GroupVersion)
	return nil
}
