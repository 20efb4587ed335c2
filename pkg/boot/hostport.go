// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package boot

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"strconv"
)

var reHostName = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?$`)

// ParseHostPort reads HOST or HOST:PORT, a DNS name or an IP address, as a person writes where machines reach a server; of an IPv6
// address alone, the brackets may be left out. port is 0 when it is not given.
func ParseHostPort(text string) (host string, port uint16, err error) {
	if addr, err := netip.ParseAddr(text); err == nil {
		return addr.String(), 0, nil
	}
	host = text
	if h, p, err := net.SplitHostPort(text); err == nil {
		n, err := strconv.ParseUint(p, 10, 16)
		if err != nil || n == 0 {
			return "", 0, fmt.Errorf("port %q is outside 1-65535", p)
		}
		host, port = h, uint16(n)
	}
	if _, err := netip.ParseAddr(host); err != nil && !reHostName.MatchString(host) {
		return "", 0, errors.New("must be HOST or HOST:PORT, a DNS name or an IP address (IPv6 in brackets)")
	}
	return host, port, nil
}
