// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package faults breaks boots on purpose and compares the cause that the real binary names with the one that was made.
// Its machines are real firmware in QEMU and simulated loaders, which speak as real ones were seen to: the same options,
// ports, names, order and patience. Its tests have the build tag e2e and need root; README.md says how to run them.
package faults
