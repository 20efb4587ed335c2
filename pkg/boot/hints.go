// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package boot

import (
	"net/netip"
	"sync"

	"github.com/netboot-operator/netboot-operator/pkg/index"
)

// maxHints bounds the hints that are kept; the oldest go first.
const maxHints = 4096

// hints remember which machine last asked from an address. An address is never proof: a hint may only lead to saying
// less, not to giving a machine what belongs to another.
type hints struct {
	mu    sync.Mutex
	byIP  map[netip.Addr]index.Key
	order []netip.Addr // ring of the addresses in byIP, by arrival
	next  int
}

func newHints() *hints {
	return &hints{byIP: map[netip.Addr]index.Key{}}
}

func (h *hints) learn(client netip.Addr, key index.Key) {
	if !client.IsValid() {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if _, known := h.byIP[client]; !known {
		if len(h.order) < maxHints {
			h.order = append(h.order, client)
		} else {
			delete(h.byIP, h.order[h.next])
			h.order[h.next] = client
			h.next = (h.next + 1) % maxHints
		}
	}
	h.byIP[client] = key
}

// recall returns the machine that last asked from client, or "".
func (h *hints) recall(client netip.Addr) index.Key {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.byIP[client]
}
