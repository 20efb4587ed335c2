// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package artifact

import (
	"cmp"
	"math"
	"net/url"
	"slices"
	"sync"
	"time"
)

const (
	// healingTime is how long it takes until the memory of failures has half its weight.
	healingTime = 5 * time.Minute
	// healthyBelow is the weight at which a host counts like one that never failed: one failure is forgotten after it.
	healthyBelow = 0.5
	// maxWeight bounds what is to be forgotten: that takes 15 minutes.
	maxWeight = 4
	// maxHosts bounds the hosts that are remembered.
	maxHosts = 256
)

// health remembers which hosts failed lately, so that others are asked before them.
type health struct {
	mu    sync.Mutex
	hosts map[string]illness
}

// An illness is the weight of a host's failures at a time.
type illness struct {
	weight float64
	at     time.Time
}

func (i illness) now() float64 {
	return i.weight * math.Exp2(-float64(time.Since(i.at))/float64(healingTime))
}

// order returns the numbers of urls in the order in which they shall be asked: that of the list, but those of hosts that
// failed lately after the others, the worst last.
func (h *health) order(urls []string) []int {
	order, weights := make([]int, len(urls)), make([]float64, len(urls))
	h.mu.Lock()
	for i, from := range urls {
		order[i] = i
		if w := h.hosts[hostIn(from)].now(); w > healthyBelow {
			weights[i] = w
		}
	}
	h.mu.Unlock()
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(weights[a], weights[b]) })
	return order
}

// failed notes that a host could not deliver.
func (h *health) failed(from string) {
	host := hostIn(from)
	if host == "" {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if _, known := h.hosts[host]; !known && len(h.hosts) >= maxHosts {
		h.forget()
	}
	h.hosts[host] = illness{min(h.hosts[host].now()+1, maxWeight), time.Now()}
}

// forget makes room: the one that is least ill goes. h.mu is held.
func (h *health) forget() {
	best, least := "", math.Inf(1)
	for host, i := range h.hosts {
		if w := i.now(); w < least {
			best, least = host, w
		}
	}
	delete(h.hosts, best)
}

// well notes that a host has delivered.
func (h *health) well(from string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.hosts, hostIn(from))
}

// hostIn returns the host and port in a URL; empty: none, as in those of files.
func hostIn(from string) string {
	u, err := url.Parse(from)
	if err != nil || u.Host == "" {
		return ""
	}
	return hostOf(u)
}
