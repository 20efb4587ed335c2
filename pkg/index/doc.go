// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package index is what the servers answer from: machines by MAC address, UUID and serial number, and profiles, in memory.
//
// It does no I/O, reads no clock and knows nothing of Kubernetes. Its invariants:
//
//   - Entries are immutable. Put replaces; nobody changes what Lookup returned.
//   - An identity that two machines claim belongs to the one that was created first; with equal times, to the one whose
//     Key sorts first. When the owner goes, the next one has it at once.
//   - The lock is private, and nothing is called, sent or logged while it is held.
package index
