// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package tftp

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"runtime/debug"
	"sync/atomic"
	"time"
)

// Causes of a transfer's context ending early.
var (
	errReplaced = errors.New("another request came from the same port")
	errShutdown = errors.New("the server stops")
)

// A session answers one read request.
type session struct {
	server  *Server
	request Request
	packet  string // the request as it came, to know it again
	arrived time.Time
	cancel  context.CancelCauseFunc

	// lapsed says that the same packet again is a new request: see courier.
	lapsed atomic.Bool
	conn   net.Conn // nil before the first answer
}

// run answers the request and returns how that went. It owns all that the session opens.
func (s *session) run(ctx context.Context) Record {
	record := Record{Request: s.request}
	record.Outcome, record.Err = s.serve(ctx, &record)
	switch record.Outcome {
	case OutcomeNotFound, OutcomeRefused:
		s.say(ctx, wireError(record.Err))
	case OutcomeFailed:
		s.say(ctx, &Error{CodeUndefined, "internal error"})
	case OutcomeShutdown:
		s.say(ctx, &Error{CodeUndefined, "server stops"})
	}
	s.lapsed.Store(true)
	s.close()
	record.Duration = time.Since(s.arrived)
	return record
}

// refuse answers the request with an ERROR and returns its record.
func (s *session) refuse(ctx context.Context, outcome Outcome, e *Error) Record {
	s.say(ctx, e)
	s.close()
	return Record{Request: s.request, Outcome: outcome, Err: e, Duration: time.Since(s.arrived)}
}

func (s *session) close() {
	if s.conn != nil {
		_ = s.conn.Close()
	}
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

// serve opens the file and sends it.
func (s *session) serve(ctx context.Context, record *Record) (outcome Outcome, err error) {
	defer func() {
		if p := recover(); p != nil {
			outcome, err = OutcomeFailed, fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	file, err := s.server.handler.ServeTFTP(ctx, &s.request)
	if file != nil {
		defer func() { _ = file.Close() }() // nothing was written that could be lost
	}
	switch {
	case ctx.Err() != nil:
		return stopped(ctx), nil
	case err != nil:
		return verdict(err), err
	case file == nil:
		return OutcomeFailed, errors.New("handler returned neither a file nor an error")
	}

	size := file.Size()
	if size < 0 {
		return OutcomeFailed, fmt.Errorf("size of the file is %d", size)
	}
	sent := size // what goes over the wire
	if s.request.Mode == NetASCII {
		sent = unknownSize
	}
	agreed := negotiate(s.request.Options, s.server.limits, sent)
	record.Accepted = agreed.accepted
	if err := s.dial(ctx); err != nil {
		return OutcomeFailed, err
	}
	c := &courier{
		conn:     s.conn,
		transfer: newTransfer(agreed, s.server.retry(agreed.timeout), sent),
		oack:     newOACK(agreed.accepted),
		blocks:   newSource(file, size, s.request.Mode, agreed.window),
		lapsed:   &s.lapsed,
	}
	outcome, err = c.carry(ctx)
	record.Blocks, record.Bytes = c.transfer.progress()
	record.Retransmits = c.transfer.resent
	return outcome, err
}

// stopped returns the outcome of a transfer whose context ended.
func stopped(ctx context.Context) Outcome {
	if errors.Is(context.Cause(ctx), errReplaced) {
		return OutcomeReplaced
	}
	return OutcomeShutdown
}

// say sends an ERROR. It tries once: whoever misses it asks again.
func (s *session) say(ctx context.Context, e *Error) {
	if s.conn == nil {
		if err := s.dial(ctx); err != nil {
			// Forged addresses fail here, too: not worth a line each.
			s.server.log.V(1).Info("TFTP client can't be answered", "client", s.request.Client, "cause", err)
			return
		}
	}
	_, _ = s.conn.Write(appendError(nil, e))
}

func (s *session) dial(ctx context.Context) error {
	conn, err := dial(ctx, s.request.Local, s.request.Client)
	if err != nil {
		return err // s.conn stays a nil interface
	}
	s.conn = conn
	return nil
}

// dial opens a socket on a port of its own at the address that the client asked: PXE stacks drop what comes from
// another.
func dial(ctx context.Context, local netip.Addr, client netip.AddrPort) (net.Conn, error) {
	if local.IsLinkLocalUnicast() {
		local = local.WithZone(client.Addr().Zone())
	}
	// A context that has ended must not stop the last ERROR; dialling UDP waits for nothing.
	conn, err := new(net.Dialer).DialUDP(context.WithoutCancel(ctx), "udp", netip.AddrPortFrom(local, 0), client)
	if err != nil {
		return nil, fmt.Errorf("open a socket to %v: %w", client, err)
	}
	return conn, nil
}
