// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package index

import (
	"encoding/hex"
	"fmt"
	"strings"
)

// MAC is the hardware address of an Ethernet interface. It is comparable; the zero value is no interface's address.
type MAC [6]byte

// ParseMAC reads six pairs of hex digits in any case, separated by ":", by "-", or by nothing.
func ParseMAC(s string) (MAC, error) {
	var m MAC
	digits := s
	if len(s) == 17 {
		sep := s[2]
		if sep != ':' && sep != '-' {
			return MAC{}, fmt.Errorf("MAC address %q: six pairs of hex digits are separated by ':' or '-'", s)
		}
		for at := 5; at < len(s); at += 3 {
			if s[at] != sep {
				return MAC{}, fmt.Errorf("MAC address %q: not six pairs of hex digits", s)
			}
		}
		digits = strings.ReplaceAll(s, s[2:3], "")
	}
	if len(digits) != 2*len(m) {
		return MAC{}, fmt.Errorf("MAC address %q: not six pairs of hex digits", s)
	}
	if _, err := hex.Decode(m[:], []byte(digits)); err != nil {
		return MAC{}, fmt.Errorf("MAC address %q: not six pairs of hex digits", s)
	}
	return m, nil
}

// String returns the address in lower case with colons.
func (m MAC) String() string { return m.join(":") }

// Hyphens returns the address in lower case with hyphens, as loaders write it in file names.
func (m MAC) Hyphens() string { return m.join("-") }

func (m MAC) join(sep string) string {
	h := hex.EncodeToString(m[:])
	return h[0:2] + sep + h[2:4] + sep + h[4:6] + sep + h[6:8] + sep + h[8:10] + sep + h[10:12]
}

// IsZero reports whether m is the zero address.
func (m MAC) IsZero() bool { return m == MAC{} }
