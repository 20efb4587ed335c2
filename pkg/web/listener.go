// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package web

import (
	"errors"
	"net"
	"sync"
	"syscall"
)

// A listener takes connections as far as the limits allow.
type listener struct {
	net.Listener
	conns *connections
	stop  chan struct{}
	once  *sync.Once
}

func newListener(l net.Listener, x *connections) net.Listener {
	return &listener{Listener: l, conns: x, stop: make(chan struct{}), once: new(sync.Once)}
}

// Accept returns the next connection that there is room for.
func (l *listener) Accept() (net.Conn, error) {
	for {
		raw, err := l.Listener.Accept()
		if noDescriptors(err) && l.conns.shed() {
			continue
		}
		if err != nil {
			return nil, err // net/http tries again, more and more seldom, if that may help
		}
		if c := l.conns.admit(raw, l.stop); c != nil {
			return c, nil
		}
	}
}

// Close stops Accept, also where it waits for room. Only the first call does anything: net/http has one of its own.
func (l *listener) Close() (err error) {
	l.once.Do(func() {
		close(l.stop)
		err = l.Listener.Close()
	})
	return err
}

func noDescriptors(err error) bool {
	return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE)
}
