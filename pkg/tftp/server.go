// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package tftp

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"net"
	"runtime/debug"
	"sync"
	"time"
)

const (
	// lastCall is how long handlers may take to return after their context has ended for good.
	lastCall = time.Second
)

// A Server answers read requests with what its handler opens. Make one with New.
type Server struct {
	handler Handler
	options Options
	books   *books
	metrics *metrics
	mtus    *mtuCache
	drains  *drains
	live    *live
}

// New returns a server that asks h for what requests name. The error tells which option is out of bounds.
func New(h Handler, o Options) (*Server, error) {
	if h == nil {
		return nil, errors.New("TFTP server: no handler")
	}
	o, err := o.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("TFTP server: option %w", err)
	}
	m, err := newMetrics(o.Registerer)
	if err != nil {
		return nil, fmt.Errorf("TFTP server: %w", err)
	}
	return &Server{handler: h, options: o, books: newBooks(o), metrics: m, mtus: newMTUCache(), drains: newDrains(), live: newLive()}, nil
}

// timing returns when to send again to a client that asked for the given timeout; 0: for none.
func (s *Server) timing(asked time.Duration) timing {
	t := timing{
		first: s.options.RetransmitTimeout, floor: s.options.MinRetransmitTimeout,
		most: max(s.options.RetransmitTimeout, maxWait),
		idle: s.options.IdleTimeout, body: s.options.BodyTimeout, attempts: s.options.Attempts,
	}
	if asked > 0 {
		t.most = asked
		t.floor = min(t.floor, asked)
	}
	return t
}

// Serve answers the requests that come in on conn, which it closes, until ctx ends. New requests are then met with silence,
// so that the client's next try may find another server; the transfers under way go on for the grace, what is left gets
// ERROR 0, and Serve returns nil when all have ended. The error says what broke conn, or that a handler did not return
// although its context had ended.
//
// With [Options.Neighbours], requests go to a neighbour instead, and Serve takes the socket out of those that Linux shares the
// clients out among before it closes it, so that no packet is lost.
//
// Serve may be called for several connections at once (see [Listen]), which then share the limits. Each is served by a loop
// and a cache of its own. Those of one address should get the same ctx: calls whose ctx has ended keep their sockets until all
// of them have ended their transfers, because Linux shares the clients out anew when one socket of several closes.
func (s *Server) Serve(ctx context.Context, conn *net.UDPConn) error {
	defer func() { _ = conn.Close() }() // all was sent
	s.noteBuffer(conn.LocalAddr(), enlarge(conn))
	w, err := openWire(conn, batch)
	if err != nil {
		return fmt.Errorf("serve TFTP on %v: %w", conn.LocalAddr(), err)
	}
	defer w.close()
	defer context.AfterFunc(ctx, w.wake)()

	records := newObserver()
	var observing sync.WaitGroup
	observing.Go(func() { records.run(s.observe) })

	x := newShard(context.WithoutCancel(ctx), s, w, records.add)
	part := s.join(ctx, x, conn.LocalAddr())
	s.live.join(x)
	err = x.run(ctx, s.options.ShutdownGrace)
	s.live.leave(x)
	part()
	if err != nil {
		err = fmt.Errorf("serve TFTP on %v: %w", conn.LocalAddr(), err)
	}
	err = errors.Join(err, x.drain())
	records.close()
	observing.Wait()
	return err
}

// join has a shard find its neighbours. The caller calls part when the shard's loop has ended.
func (s *Server) join(ctx context.Context, x *shard, address net.Addr) (part func()) {
	if s.options.Neighbours == "" {
		return func() {}
	}
	p, err := openPost(ctx, s.options.Neighbours, address.String())
	if err != nil {
		s.options.Log.Info("Other servers of this address can't be found: transfers may be lost when one of them starts or stops",
			"address", address.String(), "reason", err.Error())
		return func() {}
	}
	x.neighbours = newNeighbours(p, &x.tally)
	x.do(func() func() { //nolint:contextcheck // transfers outlive ctx
		x.correspond(p)
		return nil
	})
	return func() {
		p.close()
		x.neighbours, x.tally.neighbours = nil, 0
	}
}

// noteBuffer takes the size of a socket's receive queue, which Linux bounds for who has no CAP_NET_ADMIN. 0: not known.
func (s *Server) noteBuffer(address fmt.Stringer, size int) {
	s.metrics.received(size)
	if 0 < size && size < socketBuffer/2 {
		s.options.Log.Info("Receive queue is small: many requests at once may overflow it; raise net.core.rmem_max",
			"address", address.String(), "bytes", size, "wanted", socketBuffer)
	}
}

// ListenAndServe serves h at an address such as ":69" until ctx ends; see [Server.Serve].
func ListenAndServe(ctx context.Context, address string, h Handler, o Options) error {
	s, err := New(h, o)
	if err != nil {
		return err
	}
	conns, err := Listen(ctx, address, 1)
	if err != nil {
		return err
	}
	return s.Serve(ctx, conns[0])
}

// newShard returns a shard whose transfers run in a context that outlives that of Serve.
func newShard(transfers context.Context, s *Server, w wire, record func(Record) (taken bool)) *shard {
	x := &shard{
		server: s, wire: w, epoch: time.Now(), transfers: transfers, sessions: map[peer]*session{}, record: record,
		mail: mailbox{wake: w.wake, bell: make(chan struct{}, 1)}, header: [headerLen]byte{0, byte(opData)},
	}
	x.cache = newCache(s.options.CacheBytes, s.options.BodyTimeout, x.do, w.flush)
	x.fresh = fresh{cache: x.cache, bodies: map[freshKey]freshBody{}}
	return x
}

// observe logs and hands on what a transfer reports.
func (s *Server) observe(r Record) {
	for _, tell := range []func(Record){s.log, s.options.Observe} {
		err := guarded(func() error {
			tell(r)
			return nil
		})
		if err != nil {
			// It may be the log that panics: then nobody can be told.
			_ = guarded(func() error {
				s.options.Log.Error(err, "Observer of a TFTP request panicked")
				return nil
			})
		}
	}
}

func (s *Server) log(r Record) {
	name := r.Request.Name
	if s.options.LogName != nil {
		name = s.options.LogName(name)
	}
	log := s.options.Log.WithValues("client", r.Request.Client, "file", name)
	if r.Outcome == OutcomeFailed {
		log.Error(r.Err, "TFTP request failed")
	} else if log := log.V(1); log.Enabled() {
		log.Info("TFTP request ended", "reason", r.Outcome, "bytes", r.Bytes, "took", r.Duration,
			"options", r.Request.Options, "accepted", r.Accepted, "retransmits", r.Retransmits,
			"duplicateACKs", r.DuplicateACKs, "roundTrip", r.RoundTrip, "firstByte", r.FirstByte, "cause", r.Err)
	}
}

// An opening is what a handler found for a request, or why nothing.
type opening struct {
	body *Body
	most limits
	port *port // nil: the shared one
	err  error
}

// open asks the handler. It may take long.
func (s *Server) open(ctx context.Context, r *Request) (o opening) {
	defer func() {
		if p := recover(); p != nil {
			o.err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	if o.body, o.err = s.handler.ServeTFTP(ctx, r); o.err != nil {
		return o
	}
	if o.body, o.err = prepare(ctx, r, o.body); o.err != nil {
		return o
	}
	return s.opening(r, o.body)
}

// opening finds the way to the client for a body.
func (s *Server) opening(r *Request, b *Body) opening {
	o := opening{body: b, most: s.limits(r, b)}
	if s.options.Ports.mode != portsShared {
		o.port, o.err = s.openPort(r.Local, r.Client)
	}
	return o
}

// limits returns the largest block and window to agree to: what the server and the body allow and, unless fragments are
// wanted, what fits the way to the client in one packet.
func (s *Server) limits(r *Request, b *Body) limits {
	most := limits{blockSize: s.options.MaxBlockSize, window: s.options.MaxWindowSize}
	if b.MaxBlockSize != 0 {
		most.blockSize = min(most.blockSize, max(b.MaxBlockSize, minBlockSize))
	}
	if b.MaxWindowSize > 0 {
		most.window = min(most.window, b.MaxWindowSize)
	}
	if !s.options.AllowFragments && wantsBlocksOver(r.Options, certainRoom) {
		room := certainRoom
		if mtu, ok := s.mtus.lookup(r.Local, r.Client.Addr(), time.Now()); ok {
			room = max(minBlockSize, payloadRoom(mtu, r.Client.Addr()))
		}
		most.blockSize = min(most.blockSize, room)
	}
	return most
}

// certainRoom is a block size that fits every way: IPv6 asks for an MTU of 1280 (RFC 8200, section 5), and 40 bytes of IP,
// 8 of UDP and 4 of TFTP go off.
const certainRoom = 1228

// wantsBlocksOver says whether a client may get blocks of more than n bytes.
func wantsBlocksOver(asked []Option, n int) bool {
	return negotiate(asked, limits{blockSize: math.MaxInt, window: 1}, UnknownSize).blockSize > n
}

// verdict returns what a handler's error means.
func verdict(err error) Outcome {
	if e, ok := errors.AsType[*Error](err); ok && e.Code != CodeNotFound {
		return OutcomeRefused
	} else if ok || errors.Is(err, fs.ErrNotExist) {
		return OutcomeNotFound
	}
	return OutcomeFailed
}

// wireError returns what the client is told of a handler's error that is not our fault.
func wireError(err error) *Error {
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	return &Error{CodeNotFound, "file not found"}
}
