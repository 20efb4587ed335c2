// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"container/list"
	"sync"

	"github.com/netboot-operator/netboot-operator/pkg/attempt"
	"github.com/netboot-operator/netboot-operator/pkg/index"
)

// A bootQueue holds the Machines whose latest boot is to be written, the one that has waited longest first, each once. It is
// bounded, and safe for concurrent use.
type bootQueue struct {
	most int
	bell chan struct{} // holds a token when there may be something

	mu    sync.Mutex
	order *list.List // of queuedBoot
	at    map[index.Key]*list.Element
}

// A queuedBoot is what there is to tell of a Machine: its latest boot, or nil, and what stands in the ledger.
type queuedBoot struct {
	machine index.Key
	attempt *attempt.Attempt
}

func newBootQueue(most int) *bootQueue {
	return &bootQueue{most: most, bell: make(chan struct{}, 1), order: list.New(), at: map[index.Key]*list.Element{}}
}

// put adds a boot at the end, or in the place of an older one of the same Machine. It returns how many had to go for it.
func (q *bootQueue) put(b queuedBoot) (dropped int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	defer q.ring()
	if e := q.at[b.machine]; e != nil {
		if b.attempt != nil {
			e.Value = b
		}
		return 0
	}
	for q.order.Len() >= q.most {
		delete(q.at, q.order.Remove(q.order.Front()).(queuedBoot).machine)
		dropped++
	}
	q.at[b.machine] = q.order.PushBack(b)
	return dropped
}

// again puts back what was taken and could not be written, unless something newer of the Machine is there or there is no room:
// at the front, or at the end when it was its own fault.
func (q *bootQueue) again(b queuedBoot, atEnd bool) (dropped int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if e := q.at[b.machine]; e != nil {
		if e.Value.(queuedBoot).attempt == nil {
			e.Value = b
		}
		return 0
	}
	if q.order.Len() >= q.most {
		return 1
	}
	if atEnd {
		q.at[b.machine] = q.order.PushBack(b)
	} else {
		q.at[b.machine] = q.order.PushFront(b)
	}
	q.ring()
	return 0
}

// take returns what has waited longest.
func (q *bootQueue) take() (b queuedBoot, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	first := q.order.Front()
	if first == nil {
		return b, false
	}
	b = q.order.Remove(first).(queuedBoot)
	delete(q.at, b.machine)
	return b, true
}

// remove takes a Machine out.
func (q *bootQueue) remove(machine index.Key) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if e := q.at[machine]; e != nil {
		q.order.Remove(e)
		delete(q.at, machine)
	}
}

func (q *bootQueue) len() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.order.Len()
}

// ring tells that there is something. It is called with mu held.
func (q *bootQueue) ring() {
	select {
	case q.bell <- struct{}{}:
	default:
	}
}
