// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package e2e boots real firmware in QEMU from the real binary and compares what the guest's kernel was told with what
// the server rendered. Its tests have the build tag e2e and need root; README.md says how to run them.
package e2e
