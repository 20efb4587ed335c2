// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package web

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
)

// lastRequests is how long connections that wait for a request stay open when the server stops. To close one at the moment when
// its client sends would lose that request.
const lastRequests = time.Second

// A Server answers HTTP requests.
type Server struct {
	options Options
	handler http.Handler
	metrics *metrics
	conns   *connections
}

// New returns a Server. The error names the option that is out of bounds.
func New(handler http.Handler, o Options) (*Server, error) {
	o, err := o.complete()
	if err != nil {
		return nil, err
	}
	m, err := newMetrics(o.Registerer)
	if err != nil {
		return nil, err
	}
	return &Server{options: o, handler: handler, metrics: m, conns: newConnections(o, m)}, nil
}

// Serve answers what comes to l until ctx ends, and then waits for answers under way up to the grace. It closes l at once: with
// [ListenShared], the others who have it take what comes then. Clients that are about to send another request on a connection
// get a moment to, and are told to open another the next time. With a configuration, clients are to speak TLS. It may be called for several listeners: the limits hold for all together.
func (s *Server) Serve(ctx context.Context, l net.Listener, config *tls.Config) error {
	l = newListener(l, s.conns)
	if config != nil {
		config = config.Clone()
		config.NextProtos = []string{"http/1.1"}
		l = tls.NewListener(l, config)
	}
	var draining atomic.Bool
	server := &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if draining.Load() {
				w.Header().Set("Connection", "close")
			}
			s.answer(w, r)
		}),
		ReadHeaderTimeout: s.options.HeaderTimeout,
		IdleTimeout:       s.options.IdleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ConnContext:       withConn,
		ErrorLog:          log.New(errorLog{s.options.Log}, "", 0),
		Protocols:         new(http.Protocols),

		DisableGeneralOptionsHandler: true, // OPTIONS is the handler's, like all else
	}
	server.Protocols.SetHTTP1(true)

	drained := make(chan error, 1)
	stop := context.AfterFunc(ctx, func() {
		deadline, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.options.ShutdownGrace)
		defer cancel()
		draining.Store(true)
		_ = l.Close() // what is in its queue is the others', or lost
		s.conns.empty(deadline, lastRequests)
		err := server.Shutdown(deadline)
		if errors.Is(err, context.DeadlineExceeded) {
			err = server.Close() // the grace is over: cut what still runs
		}
		drained <- err
	})
	err := server.Serve(l)
	if stop() { // Serve failed before ctx ended
		return fmt.Errorf("serve HTTP: %w", err)
	}
	return <-drained
}

// answer handles one request.
func (s *Server) answer(w http.ResponseWriter, r *http.Request) {
	c, _ := r.Context().Value(connKey{}).(*conn)
	if c == nil || !s.conns.begin(c) {
		panic(http.ErrAbortHandler) // it had to make room at this very moment
	}
	defer s.conns.end(c)
	if r.ContentLength != 0 {
		// net/http reads what is left of a body before it sends an answer, however long that takes.
		_ = c.SetReadDeadline(time.Now().Add(s.options.HeaderTimeout)) // an error shows when something is read
	}
	response := &response{ResponseWriter: w}
	if r.TLS == nil {
		response.conn = c
	}
	defer func() { s.metrics.answered(r.Method, response.status) }()
	s.handler.ServeHTTP(response, r)
	if response.status == 0 {
		response.status = http.StatusOK // which net/http sends
	}
}

// connKey is the key of a connection in the contexts of its requests.
type connKey struct{}

func withConn(ctx context.Context, c net.Conn) context.Context {
	if over, ok := c.(*tls.Conn); ok {
		c = over.NetConn()
	}
	return context.WithValue(ctx, connKey{}, c)
}

// errorLog is where net/http writes to.
type errorLog struct{ log logr.Logger }

// Write logs one message. What clients cause is of interest only to who looks for it.
func (l errorLog) Write(b []byte) (int, error) {
	text := strings.TrimPrefix(strings.TrimSpace(string(b)), "http: ")
	if strings.HasPrefix(text, "panic ") || strings.HasPrefix(text, "Accept error") {
		l.log.Info("HTTP server", "reason", text)
	} else {
		l.log.V(1).Info("HTTP connection", "reason", text)
	}
	return len(b), nil
}
