// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package boot

import (
	"net/netip"
	"sync"
	"time"

	"github.com/netboot-operator/netboot-operator/pkg/index"
)

// maxHints bounds the hints that are kept; the oldest go first.
const maxHints = 4096

// hintLife is how long a hint is believed: longer than PXELINUX needs for its ten names when packets are lost, shorter
// than a DHCP server takes to give an address to another machine.
const hintLife = 2 * time.Minute

// hints remember which machine last asked from an address. An address is never proof: a hint may only lead to saying
// less, not to giving a machine what belongs to another.
type hints struct {
	mu    sync.Mutex
	byIP  map[netip.Addr]hint
	order []netip.Addr // ring of the addresses in byIP, by arrival
	next  int
}

type hint struct {
	key index.Key
	at  time.Time
}

func newHints() *hints {
	return &hints{byIP: map[netip.Addr]hint{}}
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
	h.byIP[client] = hint{key, time.Now()}
}

// recall returns the machine that last asked from client, not long ago, or "".
func (h *hints) recall(client netip.Addr) index.Key {
	h.mu.Lock()
	defer h.mu.Unlock()
	last := h.byIP[client]
	if time.Since(last.at) > hintLife {
		return ""
	}
	return last.key
}
