// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package attempt makes boot attempts out of requests: which machine boots, how far it came, and, when it stops or goes round
// in circles, why.
//
// A [Tracker] is a pure state machine. It is driven by [Event]s and by the time, has no goroutine, clock, file or network, and
// tells what changed as [Attempt] values. A [Recorder] runs one beside the servers, which never wait for it.
//
// It never guesses: a cause is named only from evidence that no other known cause leaves, else it is CauseUnknown. Which
// machine a request without an identity belongs to is told by its client's address, as learned from an earlier request of
// the same boot; where that is ambiguous, the request belongs to nobody.
package attempt
