// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package tftp

import "net"

// systemWires returns what openWire chooses.
func systemWires() map[string]func(*net.UDPConn) (wire, error) {
	return map[string]func(*net.UDPConn) (wire, error){
		"system": func(conn *net.UDPConn) (wire, error) { return openWire(conn, batch) },
	}
}
