// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package tftp serves files to boot firmware and loaders over TFTP, read only: RFC 1350 with the options of RFC 2348
// (blksize), RFC 2349 (tsize, timeout) and RFC 7440 (windowsize), agreed on as in RFC 2347.
//
// It knows nothing of what it serves: a [Handler] opens the file that a [Request] names. It never writes a file, and has
// neither multicast nor a directory to serve from.
//
// Its invariants:
//
//   - The listening socket answers read requests, and write requests with ERROR 2. Anything else is met with silence,
//     and no ERROR is ever answered (two servers would go on for ever).
//   - The receive loop never waits for a handler, a file or a client. Each transfer has one goroutine, one connected
//     socket bound to the address that the client asked, and one exit.
//   - A transfer is keyed by the client's address and port. The same request again is a retransmission and is answered
//     once; another request from there takes the transfer's place, and so does the same one from a client that had
//     answered and then fell silent.
//   - DATA is sent again when the server's own timer says so, or an ACK in the middle of a window, never because an ACK
//     came twice (RFC 1123, 4.2.3.1).
//
// Packets (packet.go), option negotiation (options.go) and the state of a transfer (transfer.go) are pure: values in,
// values out. receive.go reads requests, server.go admits them, session.go answers one, courier.go moves its blocks.
package tftp
