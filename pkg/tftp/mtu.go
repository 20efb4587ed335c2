// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package tftp

import (
	"net/netip"
	"sync"
	"time"
)

const (
	mtuLifetime   = 30 * time.Second
	mtuMaxEntries = 16384

	ipv4HeaderLen = 20
	ipv6HeaderLen = 40
	udpHeaderLen  = 8
)

// payloadRoom returns the largest block, in bytes, that goes to a client in one packet.
func payloadRoom(mtu int, client netip.Addr) int {
	ip := ipv6HeaderLen
	if client.Unmap().Is4() {
		ip = ipv4HeaderLen
	}
	return mtu - ip - udpHeaderLen - headerLen
}

// An mtuCache remembers for a while what routeMTU has found out. Any goroutine may use it.
type mtuCache struct {
	measure func(local, client netip.Addr) (mtu int, known bool)

	mu    sync.Mutex
	found map[mtuKey]mtuEntry
}

type mtuKey struct{ local, client netip.Addr }

type mtuEntry struct {
	mtu   int
	known bool
	until time.Time
}

func newMTUCache() *mtuCache { return &mtuCache{measure: routeMTU, found: map[mtuKey]mtuEntry{}} }

// lookup returns the MTU of the way from local, which may be zero, to client. It is false when nothing tells. A full cache
// begins anew.
func (c *mtuCache) lookup(local, client netip.Addr, now time.Time) (int, bool) {
	key := mtuKey{local, client}
	c.mu.Lock()
	e, ok := c.found[key]
	c.mu.Unlock()
	if ok && now.Before(e.until) {
		return e.mtu, e.known
	}
	e.mtu, e.known = c.measure(local, client)
	e.until = now.Add(mtuLifetime)
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.found) >= mtuMaxEntries {
		clear(c.found)
	}
	c.found[key] = e
	return e.mtu, e.known
}
