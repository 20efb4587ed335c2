// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package ledger remembers, beyond the life of the process, what became of boots and does not stand in the Machines' status
// yet: that one was begun, completed, or has failed.
package ledger
