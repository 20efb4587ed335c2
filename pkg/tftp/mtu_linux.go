// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package tftp

import (
	"net/netip"

	"golang.org/x/sys/unix"
)

// discard9 is the port that stands in for the client's: nothing is sent to it.
const discard9 = 9

// routeMTU returns the MTU of the way from local, which may be zero, to client, in bytes. A socket that is connected to the
// client has it from the route, or from the interface where the route says nothing.
func routeMTU(local, client netip.Addr) (int, bool) {
	if !client.IsValid() {
		return 0, false
	}
	client = client.Unmap()
	family, level, option := unix.AF_INET, unix.SOL_IP, unix.IP_MTU
	if client.Is6() {
		family, level, option = unix.AF_INET6, unix.SOL_IPV6, unix.IPV6_MTU
	}
	fd, err := unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, false
	}
	defer func() { _ = unix.Close(fd) }() // nothing was sent
	if local = local.Unmap(); local.IsValid() && local.Is4() == client.Is4() {
		if local.IsLinkLocalUnicast() {
			local = local.WithZone(client.Zone()) // an IPv4 address takes none
		}
		if err := unix.Bind(fd, sockaddr(local, 0)); err != nil {
			return 0, false
		}
	}
	if err := unix.Connect(fd, sockaddr(client, discard9)); err != nil {
		return 0, false
	}
	mtu, err := unix.GetsockoptInt(fd, level, option)
	return mtu, err == nil && mtu > 0
}

func sockaddr(addr netip.Addr, port int) unix.Sockaddr {
	if addr.Is4() {
		return &unix.SockaddrInet4{Port: port, Addr: addr.As4()}
	}
	s := &unix.SockaddrInet6{Port: port, Addr: addr.As16()}
	if zone := addr.Zone(); zone != "" {
		s.ZoneId = new(scopes).index(zone)
	}
	return s
}
