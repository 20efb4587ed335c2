// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package tftp is a TFTP server as a library, read only: RFC 1350 with the options of RFC 2348 (blksize), RFC 2349 (tsize,
// timeout) and RFC 7440 (windowsize), agreed on as in RFC 2347.
//
// It knows nothing of what it serves: a [Handler] finds the [Body] that a [Request] names, which may be bytes made for this
// client, a file, or a stream. It never writes a file, and has neither multicast nor a directory to serve from (see
// examples/directory for one).
//
// Its invariants:
//
//   - One socket has one loop and one map of clients (shard.go). A transfer has neither a goroutine nor a descriptor, and by
//     default no port of its own: all of it runs over the port that was asked, as NAT, firewalls and Kubernetes expect.
//   - The loop waits for nothing but datagrams. Handlers run in goroutines, files are read ahead by goroutines; what they
//     have comes in through a mailbox.
//   - The listening port answers read requests, and write requests with ERROR 2. Anything else is met with silence, and no
//     ERROR is ever answered (two servers would go on for ever).
//   - A client that has not answered yet may not exist. It gets 3 OACKs or 2 DATA at most, and all of them together no more
//     bytes than a budget has (limits.go).
//   - A transfer is keyed by the client's address and port. The same request again is a retransmission, which joins the
//     transfer; another request from there takes the transfer's place, and so does the same one from a client that had
//     answered and then fell silent.
//   - How long an ACK is waited for follows the client's round trip (roundtrip.go). A storm of ACKs can't multiply what is
//     sent (transfer.go; RFC 1123, 4.2.3.1).
//
// Packets (packet.go), option negotiation (options.go) and the state of a transfer (transfer.go) are pure: values in,
// values out. shard.go moves datagrams between a socket (wire.go) and sessions (session.go), which read bodies through
// content.go.
package tftp
