// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package tftp

import (
	"net"
	"net/netip"
)

// routeMTU returns the MTU of the interface that has the address local, in bytes.
func routeMTU(local, _ netip.Addr) (int, bool) {
	interfaces, err := net.Interfaces()
	if err != nil {
		return 0, false
	}
	for _, i := range interfaces {
		addrs, err := i.Addrs()
		if err != nil {
			continue
		}
		for _, a := range addrs {
			prefix, err := netip.ParsePrefix(a.String())
			if err == nil && prefix.Addr().WithZone("") == local.Unmap().WithZone("") {
				return i.MTU, i.MTU > 0
			}
		}
	}
	return 0, false
}
