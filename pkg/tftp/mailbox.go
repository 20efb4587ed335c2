// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package tftp

import "sync"

// A mailbox takes what other goroutines want a loop to do. What is posted is bounded by who may post: each handler, each
// read of a file and each port has at most one message under way.
type mailbox struct {
	wake func()        // ends the loop's wait for datagrams
	bell chan struct{} // of capacity 1; rings when there is something, for who waits for nothing else

	mu     sync.Mutex
	posted []func()
	spare  []func()
}

// post has the loop call f. It returns at once.
func (m *mailbox) post(f func()) {
	m.mu.Lock()
	m.posted = append(m.posted, f)
	first := len(m.posted) == 1
	m.mu.Unlock()
	if !first {
		return
	}
	select {
	case m.bell <- struct{}{}:
	default:
	}
	m.wake()
}

// deliver calls what was posted before.
func (m *mailbox) deliver() {
	m.mu.Lock()
	posted := m.posted
	m.posted, m.spare = m.spare[:0], nil
	m.mu.Unlock()
	for _, f := range posted {
		f()
	}
	clear(posted)
	m.spare = posted
}
