// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package web

import (
	"container/list"
	"context"
	"net"
	"net/netip"
	"sync"
	"time"
)

// A state says what a connection does.
type state string

const (
	waiting state = "waiting" // for a request, or the rest of one
	serving state = "serving" // a request is being answered
	gone    state = "gone"
)

// A limit is why a connection was closed for another, or not taken.
type limit string

const (
	limitTotal       limit = "total"       // Options.MaxConnections
	limitClient      limit = "client"      // Options.MaxConnectionsPerClient
	limitDescriptors limit = "descriptors" // of the process, or the system
)

func limits() []limit { return []limit{limitTotal, limitClient, limitDescriptors} }

// connections are all that are open, on all listeners.
//
// The ones that wait are ordered by since when: a new connection from its start, another from the end of its last answer. A
// request that trickles in is one that still waits. Of those that have waited longest, one of the client with the most
// connections makes room. So whoever opens many to block others closes his own, and a machine that comes with a request
// keeps its only one until the request is there.
type connections struct {
	options Options
	metrics *metrics

	mu      sync.Mutex
	open    int
	clients map[netip.Prefix]*client
	waiting *list.List    // of *conn, the longest first
	room    chan struct{} // closed when there may be room again; nil: nobody waits for that
	logged  time.Time     // when a connection was last refused in the log
}

// A client is an address, or a network that is likely one machine's.
type client struct {
	open    int
	waiting *list.List // of *conn, the longest first
}

func newConnections(o Options, m *metrics) *connections {
	return &connections{options: o, metrics: m, clients: map[netip.Prefix]*client{}, waiting: list.New()}
}

// admit takes a new connection among those that are open, and closes another for it where a limit is reached. It may wait
// until there is room, or stop is closed: the clients behind it wait in the system's queue meanwhile, which their firmware
// takes for a slow network, not for a refusal. It returns nil, with raw closed, when there is no room for this client, or
// no time.
func (x *connections) admit(raw net.Conn, stop <-chan struct{}) *conn {
	c := &conn{Conn: raw, owner: x, client: clientOf(raw.RemoteAddr())}
	for {
		full, room, victim := x.enter(c)
		if victim != nil {
			_ = victim.Conn.Close() // it asked for nothing
		}
		switch full {
		case "":
			return c
		case limitClient:
			_ = raw.Close()
			return nil
		}
		select {
		case <-room:
		case <-stop:
			_ = raw.Close()
			return nil
		}
	}
}

// enter tries once. It returns the limit that leaves no room, what tells when there may be some, and the connection to close.
func (x *connections) enter(c *conn) (full limit, room <-chan struct{}, victim *conn) {
	x.mu.Lock()
	defer x.mu.Unlock()
	from := x.clients[c.client]
	if from == nil {
		from = &client{waiting: list.New()}
	}
	if from.open >= x.options.MaxConnectionsPerClient {
		if victim = x.drop(from.waiting.Front(), limitClient); victim == nil {
			x.refused(c)
			return limitClient, nil, nil
		}
	}
	if x.open >= x.options.MaxConnections {
		if victim = x.drop(x.candidate(), limitTotal); victim == nil {
			if x.room == nil {
				x.room = make(chan struct{})
			}
			return limitTotal, x.room, nil
		}
	}
	from = x.clients[c.client] // the victim may have been its last
	if from == nil {
		from = &client{waiting: list.New()}
		x.clients[c.client] = from
	}
	x.open++
	from.open++
	x.wait(c)
	return "", nil, victim
}

// shed closes a connection that has waited long. It returns false when none waits.
func (x *connections) shed() bool {
	x.mu.Lock()
	victim := x.drop(x.candidate(), limitDescriptors)
	x.mu.Unlock()
	if victim == nil {
		return false
	}
	_ = victim.Conn.Close() // it asked for nothing
	return true
}

// candidates is how many connections are looked at for one that makes room.
const candidates = 64

// candidate returns the one of those that have waited longest whose client has the most open. Nil: none waits.
func (x *connections) candidate() (best *list.Element) {
	most := 0
	for e, n := x.waiting.Front(), 0; e != nil && n < candidates; e, n = e.Next(), n+1 {
		if open := x.clients[e.Value.(*conn).client].open; open > most {
			best, most = e, open
		}
	}
	return best
}

// drop takes out a connection that waits. The caller closes it, when it has let the lock go. Without one it returns nil.
func (x *connections) drop(waits *list.Element, why limit) *conn {
	if waits == nil {
		return nil
	}
	c := waits.Value.(*conn)
	x.leave(c)
	x.metrics.closedFor(why)
	return c
}

// refused counts a client that has too many, and logs that once a minute.
func (x *connections) refused(c *conn) {
	x.metrics.refusal(limitClient)
	if now := time.Now(); now.Sub(x.logged) >= time.Minute {
		x.logged = now
		x.options.Log.Info("Connection refused", "client", c.RemoteAddr().String(),
			"reason", "this client is being answered on as many as one may have", "limit", x.options.MaxConnectionsPerClient)
	}
}

// begin notes that a request is being answered. It returns false when the connection is closed.
func (x *connections) begin(c *conn) bool {
	c.fresh()
	x.mu.Lock()
	defer x.mu.Unlock()
	if c.state != waiting {
		return false
	}
	x.unwait(c)
	x.become(c, serving)
	return true
}

// end notes that it has been.
func (x *connections) end(c *conn) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if c.state == serving {
		x.wait(c)
		x.tell()
	}
}

// remove forgets a connection that was closed.
func (x *connections) remove(c *conn) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if c.state != gone {
		x.leave(c)
		x.tell()
	}
}

// leave takes a connection out.
func (x *connections) leave(c *conn) {
	if c.state == waiting {
		x.unwait(c)
	}
	x.become(c, gone)
	x.open--
	from := x.clients[c.client]
	if from.open--; from.open == 0 {
		delete(x.clients, c.client)
	}
}

// wait puts a connection behind those that wait longer.
func (x *connections) wait(c *conn) {
	x.become(c, waiting)
	c.among = x.waiting.PushBack(c)
	c.amongOf = x.clients[c.client].waiting.PushBack(c)
}

func (x *connections) unwait(c *conn) {
	x.waiting.Remove(c.among)
	x.clients[c.client].waiting.Remove(c.amongOf)
	c.among, c.amongOf = nil, nil
}

func (x *connections) become(c *conn, s state) {
	x.metrics.became(c.state, s)
	c.state = s
}

// empty waits until no connection waits for a request, for a time at most.
func (x *connections) empty(ctx context.Context, most time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		x.mu.Lock()
		n := x.waiting.Len()
		x.mu.Unlock()
		if n == 0 {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// tell wakes up who waits for room.
func (x *connections) tell() {
	if x.room != nil {
		close(x.room)
		x.room = nil
	}
}

// clientOf is the client behind an address. The hosts of IPv6 have at least a /64 each to take addresses from.
func clientOf(a net.Addr) netip.Prefix {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.Prefix{}
	}
	addr := tcp.AddrPort().Addr().Unmap().WithZone("")
	bits := addr.BitLen()
	if addr.Is6() {
		bits = 64
	}
	prefix, _ := addr.Prefix(bits) // zero, where there is no address
	return prefix
}
