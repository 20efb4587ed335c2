// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package tftp

import "net"

// openWire returns a wire that takes one datagram at a time, whatever n.
func openWire(conn *net.UDPConn, _ int) (wire, error) { return newPortableWire(conn), nil }
