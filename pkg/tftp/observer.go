// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package tftp

import (
	"sync"
	"time"
)

const (
	// observeEvery is how often records are handed on. To wake a goroutine for each of them would cost a loop more than a
	// small transfer does.
	observeEvery = 5 * time.Millisecond
	// maxUnobserved is how many records wait for an observer that is slower than the transfers.
	maxUnobserved = 4096
)

// An observer takes records from a loop and hands them on in a goroutine of its own.
type observer struct {
	bell chan struct{} // rings when there is something; closed at the end

	mu      sync.Mutex
	records []Record
}

func newObserver() *observer { return &observer{bell: make(chan struct{}, 1)} }

// add takes a record, or returns false: there are too many.
func (o *observer) add(r Record) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.records) >= maxUnobserved {
		return false
	}
	o.records = append(o.records, r)
	if len(o.records) == 1 {
		select {
		case o.bell <- struct{}{}:
		default:
		}
	}
	return true
}

// run hands records on until close was called.
func (o *observer) run(observe func(Record)) {
	for open := true; open; {
		if _, open = <-o.bell; open {
			<-time.After(observeEvery) // others will have come
		}
		for _, r := range o.take() {
			observe(r)
		}
	}
}

func (o *observer) take() []Record {
	o.mu.Lock()
	defer o.mu.Unlock()
	records := o.records
	o.records = nil
	return records
}

// close ends run when what was added is handed on. Nothing may be added afterwards.
func (o *observer) close() { close(o.bell) }
