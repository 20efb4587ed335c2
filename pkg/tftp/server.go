// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package tftp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/go-logr/logr"
)

// lastCall is how long a handler may take to return after its context has ended for good.
const lastCall = time.Second

// A Server answers read requests with the files that its handler opens. Make one with New.
type Server struct {
	handler Handler
	options Options
	limits  limits
	log     logr.Logger

	mu        sync.Mutex
	running   map[netip.AddrPort]*session // by client; without those that were replaced and have not ended
	total     int                         // with those
	perClient map[netip.Addr]int          // with those
}

// New returns a server that asks h for files. The error names the option that is out of bounds.
func New(h Handler, o Options) (*Server, error) {
	if h == nil {
		return nil, errors.New("TFTP server: no handler")
	}
	o, err := o.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("TFTP server: option %w", err)
	}
	return &Server{
		handler:   h,
		options:   o,
		limits:    limits{blockSize: o.MaxBlockSize, window: o.MaxWindowSize},
		log:       o.Log,
		running:   map[netip.AddrPort]*session{},
		perClient: map[netip.Addr]int{},
	}, nil
}

// retry returns when to send again to a client that asked for the given timeout; 0: for none.
func (s *Server) retry(asked time.Duration) retry {
	first := s.options.RetransmitTimeout
	r := retry{first: first, most: max(first, maxWait), attempts: s.options.Attempts}
	if asked > 0 {
		r.most = asked
	}
	return r
}

// Serve answers the requests that come in on conn, which it closes, until ctx ends. It then lets the transfers under way
// go on for the grace, ends what is left with ERROR 0, and returns nil when all have ended. The error says what broke
// conn, or that a handler did not return although its context had ended.
//
// Serve may be called for several connections at once; the limits hold for all of them together.
func (s *Server) Serve(ctx context.Context, conn *net.UDPConn) error {
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()

	// Transfers outlive ctx by the grace.
	transfers, stop := context.WithCancelCause(context.WithoutCancel(ctx))
	defer stop(nil)
	var running sync.WaitGroup
	err := receive(conn, func(packet []byte, client netip.AddrPort, local netip.Addr) {
		s.accept(transfers, &running, packet, client, local)
	})
	if ctx.Err() != nil {
		err = nil // conn was closed for it
	}
	_ = conn.Close() // now, so that no request queues up that nobody will read
	return errors.Join(err, s.drain(&running, stop))
}

// accept decides what becomes of one packet. It does not wait.
func (s *Server) accept(
	ctx context.Context, running *sync.WaitGroup, packet []byte, client netip.AddrPort, local netip.Addr,
) {
	r, ok := parseRequest(packet)
	if !ok || !answerable(client) {
		return
	}
	x := &session{
		server:  s,
		request: Request{Name: r.name, Mode: r.mode, Options: r.options, Client: client, Local: local},
		packet:  string(packet),
		arrived: time.Now(),
	}
	switch {
	case r.opcode == opWrite:
		x.say(ctx, &Error{CodeAccessViolation, "read only"})
		x.close()
		return
	case r.mode != Octet && r.mode != NetASCII:
		s.report(x.refuse(ctx, OutcomeRefused, &Error{CodeIllegal, "mode is not octet or netascii"}))
		return
	}
	ctx, x.cancel = context.WithCancelCause(ctx)
	switch s.admit(x) {
	case admitted:
		running.Go(func() {
			defer x.cancel(nil)
			defer s.release(x)
			s.report(x.run(ctx))
		})
	case busy:
		x.cancel(nil)
		s.report(x.refuse(ctx, OutcomeBusy, &Error{CodeUndefined, "server busy"}))
	case repeated:
		x.cancel(nil)
	}
}

// admission is what becomes of a request.
type admission int

const (
	admitted admission = iota
	repeated           // it is being answered
	busy
)

// admit enters a request into the books, from which release takes it.
func (s *Server) admit(x *session) admission {
	s.mu.Lock()
	defer s.mu.Unlock()
	client := x.request.Client
	if old := s.running[client]; old != nil {
		if old.packet == x.packet && !old.lapsed.Load() {
			return repeated
		}
		old.cancel(errReplaced)
		delete(s.running, client)
	}
	if s.total >= s.options.MaxTransfers || s.perClient[client.Addr()] >= s.options.MaxTransfersPerClient {
		return busy
	}
	s.running[client] = x
	s.total++
	s.perClient[client.Addr()]++
	return admitted
}

func (s *Server) release(x *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	client := x.request.Client
	if s.running[client] == x {
		delete(s.running, client)
	}
	s.total--
	s.perClient[client.Addr()]--
	if s.perClient[client.Addr()] == 0 {
		delete(s.perClient, client.Addr())
	}
}

func (s *Server) report(r Record) {
	log := s.log.WithValues("client", r.Request.Client, "file", r.Request.Name)
	if r.Outcome == OutcomeFailed {
		log.Error(r.Err, "TFTP request failed")
	} else {
		log.V(1).Info("TFTP request ended", "reason", r.Outcome, "bytes", r.Bytes, "took", r.Duration, "cause", r.Err)
	}
	s.options.Observe(r)
}

// drain waits for the transfers under way: for the grace, and then until they have noticed that it is over.
func (s *Server) drain(running *sync.WaitGroup, stop context.CancelCauseFunc) error {
	done := make(chan struct{})
	go func() {
		running.Wait()
		close(done)
	}()
	for _, patience := range []time.Duration{s.options.ShutdownGrace, lastCall} {
		select {
		case <-done:
			return nil
		case <-time.After(patience):
			stop(errShutdown)
		}
	}
	return fmt.Errorf("TFTP server: handlers still run %v after their context ended", lastCall)
}
