// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package kind installs the operator in a real cluster as docs/install.md says, boots machines in QEMU from its pods, and
// puts a load on them while it is upgraded, while nodes drain and while the API server is away. Its test has the build tag
// kind; README.md says how to run it.
package kind
