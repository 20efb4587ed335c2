// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package v1alpha1 holds the API of the netboot operator, group netboot.dev.
//
// A [BootProfile] says what to boot: kernel, initrds, arguments, loaders, configurations. A [Machine] says who boots it,
// by the MAC addresses of its network interfaces. Everything that the schema and its CEL rules can refuse is refused at
// apply; what needs more than one object is told by conditions (conditions.go).
//
// +kubebuilder:object:generate=true
// +groupName=netboot.dev
package v1alpha1
