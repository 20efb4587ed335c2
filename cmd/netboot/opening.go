// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"

	"github.com/netboot-operator/netboot-operator/controllers"
)

// An opening knows when the servers may begin: when the index holds what the API server has; or, if that does not answer, when
// there is a snapshot to serve from.
type opening struct {
	snapshot *controllers.Snapshot
	restored bool // there is something to serve from

	full     chan struct{} // closed when the index holds what the API server has
	close    func()        // closes it
	noAnswer chan error    // why the API server can't be reached
}

func newOpening(snapshot *controllers.Snapshot, restored bool) *opening {
	full := make(chan struct{})
	return &opening{
		snapshot: snapshot, restored: restored, full: full, close: sync.OnceFunc(func() { close(full) }), noAnswer: make(chan error, 1),
	}
}

// filled tells that the index holds what the API server has.
func (o *opening) filled() { o.close() }

// refused tells why the API server can't be followed yet. That nothing listens there, or that there is no way to it, need not
// be waited for.
func (o *opening) refused(err error) {
	if _, network := errors.AsType[*net.OpError](err); !network {
		return
	}
	select {
	case o.noAnswer <- err:
	default: // it is known
	}
}

// wait returns when there is something to serve, and false when ctx ended before.
func (o *opening) wait(ctx context.Context, atMost time.Duration) bool {
	var late <-chan time.Time // never, when there is nothing to serve
	var noAnswer <-chan error
	if o.restored {
		late, noAnswer = time.After(atMost), o.noAnswer
	}
	select {
	case <-o.full:
	case <-ctx.Done():
		return false
	case err := <-noAnswer:
		o.snapshot.Begin(err.Error())
	case <-late:
		o.snapshot.Begin("no answer within " + atMost.String())
	}
	return true
}
