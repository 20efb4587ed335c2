// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package tftp

import (
	"context"
	"sync"
)

// drains has the shards of a server that stop together keep their sockets until the transfers of all of them have ended:
// when one socket of several with one address closes, Linux shares the clients out anew, and a client whose ACKs then reach
// another shard is lost.
type drains struct {
	mu   sync.Mutex
	busy map[*shard]func() error // those that have transfers, or may get some; an error says that one stops
	idle map[*shard]struct{}     // those that stop and have none left
}

func newDrains() *drains {
	return &drains{busy: map[*shard]func() error{}, idle: map[*shard]struct{}{}}
}

// begin takes a shard that serves until ctx ends.
func (d *drains) begin(ctx context.Context, s *shard) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.busy[s] = ctx.Err
}

// drained takes the news that a shard which stops has no transfers left, and says whether its socket may close. If not, the
// shard is woken when it is worth asking again.
func (d *drains) drained(s *shard) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, was := d.busy[s]; was {
		d.leave(s)
		d.idle[s] = struct{}{}
	}
	for _, stops := range d.busy {
		if stops() != nil {
			return false
		}
	}
	return true
}

// end takes a shard whose socket closes.
func (d *drains) end(s *shard) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.idle, s)
	d.leave(s)
}

// leave takes a shard out of those that have transfers, and tells those who wait for that.
func (d *drains) leave(s *shard) {
	delete(d.busy, s)
	for other := range d.idle {
		other.wire.wake()
	}
}
