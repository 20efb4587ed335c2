// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package tftp

import (
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// A dropReason says why a packet was met with silence. The values below are the complete set of the "reason" label.
type dropReason uint8

// The reasons. A client that is dropped for a limit repeats its request and gets in later.
const (
	dropNotARequest     dropReason = iota // is no request, nor part of a transfer under way
	dropSource                            // comes from an address or a port that is no client's, so that it is forged
	dropNetwork                           // comes from outside AllowedNetworks
	dropDraining                          // is a request, and the server stops
	dropTransfers                         // is a request beyond MaxTransfers
	dropClientTransfers                   // is a request beyond MaxTransfersPerClient
	dropRate                              // is a request beyond MaxRequestsPerSecond
	dropClientRate                        // is a request beyond MaxRequestsPerClient
	dropUnproven                          // is a request that was under way, and gave its place among MaxUnproven to a newer one
	dropBudget                            // is an answer beyond MaxUnprovenBytesPerSecond
	dropPorts                             // is a request for which no port was left (Options.Ports)
	dropReasons                           // how many there are
)

// String returns the value of the label.
func (d dropReason) String() string {
	return [dropReasons]string{
		dropNotARequest:     "not-a-request",
		dropSource:          "source",
		dropNetwork:         "network",
		dropDraining:        "draining",
		dropTransfers:       "transfers",
		dropClientTransfers: "client-transfers",
		dropRate:            "rate",
		dropClientRate:      "client-rate",
		dropUnproven:        "unproven",
		dropBudget:          "budget",
		dropPorts:           "ports",
	}[d]
}

// What is remembered of clients.
const (
	provenFor      = 10 * time.Minute // an address that answered is taken for real
	rememberAtMost = 16384            // addresses, of each kind of what is remembered
)

// freeAnswer is how many times as long as a request the answers to it may be before they count as amplification (RFC 9000,
// section 8.1, has the same bound).
const freeAnswer = 3

// books say who may be served. One set belongs to all shards of a server. They are asked when a request begins and when it
// ends, and about packets to clients that never answered; never about any other packet.
//
// Times come from the callers, who need not agree to the microsecond.
type books struct {
	networks     []netip.Prefix
	unlimited    []netip.Prefix
	maxTransfers int
	maxPerClient int // 0: no limit
	maxRate      int // of one client, per second; 0: no limit

	mu        sync.Mutex
	transfers int
	perClient map[netip.Addr]int     // by clientOf; nil without a limit
	requests  *rate.Limiter          // nil without a limit
	rates     *recent[*rate.Limiter] // by clientOf; nil without a limit
	proven    *recent[time.Time]     // when an address answered last
	budget    *rate.Limiter          // of bytes to clients that have not answered
}

// newBooks takes Options with their defaults.
func newBooks(o Options) *books {
	b := &books{
		networks:     o.AllowedNetworks,
		unlimited:    o.UnlimitedNetworks,
		maxTransfers: o.MaxTransfers,
		maxPerClient: o.MaxTransfersPerClient,
		maxRate:      o.MaxRequestsPerClient,
		proven:       newRecent[time.Time](rememberAtMost),
		budget:       rate.NewLimiter(rate.Limit(o.MaxUnprovenBytesPerSecond), 2*o.MaxUnprovenBytesPerSecond),
	}
	if b.maxPerClient > 0 {
		b.perClient = map[netip.Addr]int{}
	}
	if o.MaxRequestsPerSecond > 0 {
		b.requests = perSecond(o.MaxRequestsPerSecond)
	}
	if b.maxRate > 0 {
		b.rates = newRecent[*rate.Limiter](rememberAtMost)
	}
	return b
}

// admit decides whether a new request is taken up, which one that repeats another under way is not. If it is not, the
// reason says why; if it is, release must be called when it has ended.
func (b *books) admit(from netip.AddrPort, now time.Time) (reason dropReason, ok bool) {
	if !answerable(from) {
		return dropSource, false
	}
	unlimited := contain(b.unlimited, from.Addr())
	if !unlimited && len(b.networks) > 0 && !contain(b.networks, from.Addr()) {
		return dropNetwork, false
	}
	client := clientOf(from.Addr())

	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case unlimited:
	case b.transfers >= b.maxTransfers:
		return dropTransfers, false
	case b.perClient != nil && b.perClient[client] >= b.maxPerClient:
		return dropClientTransfers, false
	case !b.inRate(client, now): // before the rate of all, which the excess of one client must not use up
		return dropClientRate, false
	case b.requests != nil && !b.requests.AllowN(now, 1):
		return dropRate, false
	}
	b.transfers++
	if b.perClient != nil {
		b.perClient[client]++
	}
	return 0, true
}

// release tells that a request of a client, which was admitted, has ended.
func (b *books) release(from netip.Addr) {
	client := clientOf(from)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.transfers--
	if b.perClient == nil {
		return
	}
	if b.perClient[client]--; b.perClient[client] == 0 {
		delete(b.perClient, client)
	}
}

// proved tells that a client has answered, so that its address is not forged.
func (b *books) proved(client netip.Addr, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.proven.put(client, now)
}

// afford says whether n bytes may be sent to a client that has not answered yet. asked is how long its request was, and
// answered how much was sent for it before. If the answer is no, what was to be sent is as good as lost: the client repeats
// its request.
func (b *books) afford(client netip.Addr, asked, answered, n int, now time.Time) bool {
	charge := min(n, answered+n-freeAnswer*asked)
	if charge <= 0 {
		return true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if last, ok := b.proven.get(client); ok && now.Sub(last) < provenFor {
		return true
	}
	return b.budget.AllowN(now, charge)
}

// inRate counts a request of one client, unless it is one too many.
func (b *books) inRate(client netip.Addr, now time.Time) bool {
	if b.rates == nil {
		return true
	}
	limiter, ok := b.rates.get(client)
	if !ok {
		limiter = perSecond(b.maxRate)
		b.rates.put(client, limiter)
	}
	return limiter.AllowN(now, 1)
}

func contain(networks []netip.Prefix, client netip.Addr) bool {
	client = client.WithZone("") // a network contains no address with a zone
	for _, n := range networks {
		if n.Contains(client) {
			return true
		}
	}
	return false
}

// perSecond returns a limiter that allows n in a second, also all at once.
func perSecond(n int) *rate.Limiter { return rate.NewLimiter(rate.Limit(n), n) }

// clientOf returns what counts as one client: an IPv4 address, or a /64 of IPv6, of which a host has all addresses. All
// hosts of a link are in one /64 by their link-local addresses, which therefore count singly.
func clientOf(addr netip.Addr) netip.Addr {
	if addr.Is4() || addr.IsLinkLocalUnicast() {
		return addr
	}
	network, err := addr.Prefix(64)
	if err != nil {
		return addr
	}
	return network.Addr()
}

// answerable says whether a request's source may be answered. A source that is no host's, or the port of a service that
// answers whatever it gets, is forged, to make two servers talk to each other or to flood a third: echo (7), chargen (19),
// DNS (53), TFTP (69), NTP (123).
func answerable(client netip.AddrPort) bool {
	switch client.Port() {
	case 0, 7, 19, 53, 69, 123:
		return false
	}
	addr := client.Addr()
	return addr.IsValid() && !addr.IsUnspecified() && !addr.IsMulticast() && addr != limitedBroadcast()
}

func limitedBroadcast() netip.Addr { return netip.AddrFrom4([4]byte{255, 255, 255, 255}) }

// A recent holds what is known of addresses. It forgets those that were not used lately, so that forged ones can't fill it:
// it holds half of its size, of those used last, at least, and all of it at most.
type recent[V any] struct {
	half       int
	young, old map[netip.Addr]V
}

func newRecent[V any](size int) *recent[V] {
	return &recent[V]{half: size / 2, young: map[netip.Addr]V{}, old: map[netip.Addr]V{}}
}

// get returns what is known of an address, and counts as its use.
func (r *recent[V]) get(addr netip.Addr) (V, bool) {
	v, ok := r.young[addr]
	if ok {
		return v, true
	}
	if v, ok = r.old[addr]; ok {
		r.put(addr, v)
	}
	return v, ok
}

func (r *recent[V]) put(addr netip.Addr, v V) {
	if _, ok := r.young[addr]; !ok && len(r.young) >= r.half {
		r.young, r.old = r.old, r.young
		clear(r.young)
	}
	r.young[addr] = v
}
