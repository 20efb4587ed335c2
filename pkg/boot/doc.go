// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package boot is the seam between the servers and what they serve: who asks for which name goes in, bytes come out.
//
// A [Handler] answers TFTP and HTTP alike. It works out from the name what is asked for (names.go), looks the machine up
// in the index, and renders its configuration, opens an artifact, or opens a loader from a folder. It never calls the API
// server and never waits for a reconciler; it may wait for an artifact's first download.
//
// Its invariants:
//
//   - A name that can't be answered gets a refusal with a reason at once, never silence: loaders try ten names in a row.
//   - A machine's policy holds on every route to a configuration, because there is one route: [Handler.Open].
//   - What goes out on the wire is a [Refusal] written for the person at the console, or "internal error". Causes and
//     local paths are logged.
package boot
