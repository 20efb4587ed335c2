// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package tftp

import "net"

// enlarge asks for large queues of a socket. What came of it is not known.
func enlarge(conn *net.UDPConn) (received int) {
	_ = conn.SetReadBuffer(socketBuffer)
	_ = conn.SetWriteBuffer(socketBuffer)
	return 0
}
