// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package load puts a steady load of machines on netboot servers, and tells of each transfer that failed why.
//
// Its clients do what firmware and boot loaders do: each transfer has a port of its own, a TFTP client asks again after a
// second, and again after longer; an HTTP client opens a connection for each file and never resumes. They are slow on
// purpose, so that there is always something under way that an upgrade, or a node that drains, may break. Every byte is
// compared with what the file holds.
//
// Probes ask for a small file every few milliseconds, from new ports. They find the longest time that a machine had to wait
// for its first answer.
package load
