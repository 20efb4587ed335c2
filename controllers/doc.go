// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package controllers keeps the boot index equal to the Machines and BootProfiles, and tells people what became of them.
//
// Two sources, one rule. In a cluster the indexers follow the API server, in every pod; the reporters write status, in
// the leader only. Standalone, [Standalone] follows a folder of manifests and writes status to files. Both decide by the
// same pure functions: [resolve] for a Machine, [compile] for a BootProfile.
//
// Nothing here ever writes a spec, and nothing here is called by the servers.
package controllers
