// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package interop puts pkg/tftp into network namespaces of its own and asks it what real machines ask: by the TFTP clients
// of others, at each of a host's addresses, over links of several MTUs, and through a router that translates addresses. Its
// tests have the build tag e2e and need root; README.md says how to run them.
package interop
