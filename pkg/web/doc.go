// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package web serves an [http.Handler] to many clients that may be slow, silent or hostile. It knows nothing of netboot.
//
// What it adds to net/http:
//
//   - a limit of connections, and one for each client. Where one is reached, a connection that has waited long for a
//     request makes room, first of a client that has many; one that is being answered never does;
//   - an answer that a client does not take ends. Its deadline moves with each MiB taken, so that a large file may take as
//     long as it needs, and sendfile still sends it;
//   - metrics, and errors of net/http in the server's own log.
//
// It speaks HTTP/1.1, over TLS too. Firmware and boot loaders know nothing else; and one request at a time on a connection
// is what the limits rely on.
package web
