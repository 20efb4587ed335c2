// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package lab makes small networks to boot machines in: two network namespaces, a DHCP server, the real binary on its real
// ports, and QEMU. It is for tests with the build tag e2e, and needs root.
package lab
