// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package token makes and checks the tokens in the URLs of configs that only their machine may read.
//
// A token says nothing but when it expires. It is an HMAC-SHA256 (RFC 2104) over the machine, its bootID, what it opens
// and the time, made with a key that all pods have: any of them can check what another one made, and nothing is stored.
//
// Its invariants:
//
//   - A token opens one thing of one machine for one bootID, until it expires.
//   - It is compared in constant time, and its time is believed only when its HMAC is right.
//   - Neither a key nor a token stands in an error, and a key prints as REDACTED.
package token
