// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package boot

import (
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/netboot-operator/netboot-operator/pkg/index"
)

// A Transfer is a file on its way to a client by HTTP. Of those by TFTP, tftp.Server tells.
type Transfer struct {
	Client  netip.AddrPort
	Machine index.Key // for which it was rendered; empty: that is not known, or it is the same for all
	Name    string    // without a token, at most 128 bytes
	Bytes   int64     // that were sent
	Size    int64     // of the file, of which the client may want a part
	Start   time.Time
}

// transfers are those that go on.
type transfers struct {
	mu    sync.Mutex
	going map[uint64]going // by the request's ID
}

type going struct {
	Transfer
	sent func() int64 // nil: not known
}

// begin notes a transfer until end is called.
func (t *transfers) begin(id uint64, g going) (end func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.going == nil {
		t.going = map[uint64]going{}
	}
	t.going[id] = g
	return func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		delete(t.going, id)
	}
}

// Transfers returns what is on its way by HTTP, the oldest first.
func (h *Handler) Transfers() []Transfer {
	h.transfers.mu.Lock()
	defer h.transfers.mu.Unlock()
	all := make([]Transfer, 0, len(h.transfers.going))
	for _, g := range h.transfers.going {
		if g.sent != nil {
			g.Bytes = min(g.sent(), g.Size) // headers count, too
		}
		all = append(all, g.Transfer)
	}
	slices.SortFunc(all, func(a, b Transfer) int { return a.Start.Compare(b.Start) })
	return all
}

// goes notes that the answer to a request is on its way until end is called.
func (h *Handler) goes(e *event, r *http.Request, machine index.Key, size int64) (end func()) {
	g := going{Transfer: Transfer{Client: e.Client, Machine: machine, Name: e.Name, Size: size, Start: e.Time}}
	if h.sent != nil {
		g.sent = h.sent(r)
	}
	return h.transfers.begin(e.ID, g)
}
