// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package tftp

import (
	"net/netip"
	"slices"
	"sync"
	"time"
)

// answerWithin is how long [Server.Transfers] waits for the loops, of all sockets together.
const answerWithin = 250 * time.Millisecond

// A Transfer is a read request under way.
type Transfer struct {
	Client netip.AddrPort
	Name   string // that was asked for, as Options.LogName has it
	Served string // Body.Name; empty: the handler has not returned, or gave none

	Bytes int64     // of the file, in the form sent, that the client has acknowledged
	Size  int64     // of the file in bytes; UnknownSize: not known, or not yet
	Start time.Time // when the request came

	BlockSize   int           // bytes, as agreed; 0: the handler has not returned
	WindowSize  int           // blocks, as agreed; 0: the handler has not returned
	Repeats     int64         // of the request by the client
	Retransmits int64         // DATA and OACK packets sent more than once
	RoundTrip   time.Duration // smoothed (SRTT); 0: not measured yet
}

// Transfers returns the requests under way, oldest first, without those whose [Body] is Unrecorded.
//
// Each loop is asked by a message, which it answers between two batches of datagrams. The transfers of one that is too busy
// to answer within a quarter of a second are left out. Callers wait for each other.
func (s *Server) Transfers() []Transfer {
	all := s.live.ask(answerWithin)
	slices.SortFunc(all, func(a, b Transfer) int { return a.Start.Compare(b.Start) })
	if s.options.LogName == nil {
		return all
	}
	for i := range all {
		name := all[i].Name
		all[i].Name = "" // if LogName panics
		_ = guarded(func() error {
			all[i].Name = s.options.LogName(name)
			return nil
		})
	}
	return all
}

// live knows the shards that can be asked what they do. A shard has one question under way at most: one that was given up is
// still in its mailbox, and no other is put there.
type live struct {
	asking sync.Mutex // held by who asks, for as long as it takes

	mu     sync.Mutex // held for moments
	shards map[*shard]*question
}

// A question is what a shard has been asked.
type question struct {
	open   bool            // under live.mu: not answered
	answer chan []Transfer // of capacity 1
}

func newLive() *live { return &live{shards: map[*shard]*question{}} }

func (l *live) join(s *shard) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.shards[s] = &question{answer: make(chan []Transfer, 1)}
}

// leave takes out a shard whose loop has ended. What it was asked before is answered when its mailbox is emptied; nothing is
// put there afterwards.
func (l *live) leave(s *shard) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.shards, s)
}

// ask asks all shards, and returns what those tell that answer in time.
func (l *live) ask(within time.Duration) (all []Transfer) {
	l.asking.Lock()
	defer l.asking.Unlock()
	asked := l.post()
	deadline := time.NewTimer(within)
	defer deadline.Stop()
	for _, q := range asked {
		select {
		case transfers := <-q.answer:
			all = append(all, transfers...)
		case <-deadline.C:
			return append(all, answered(asked)...)
		}
	}
	return all
}

// answered takes the answers that are there.
func answered(asked []*question) (all []Transfer) {
	for _, q := range asked {
		select {
		case transfers := <-q.answer:
			all = append(all, transfers...)
		default:
		}
	}
	return all
}

// post puts a question to each shard that has answered the one before.
func (l *live) post() (asked []*question) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for s, q := range l.shards {
		if q.open {
			continue
		}
		answered([]*question{q}) // too late for who asked before
		q.open = true
		s.mail.post(func() {
			transfers := s.underWay()
			l.mu.Lock()
			defer l.mu.Unlock()
			q.open = false
			q.answer <- transfers
		})
		asked = append(asked, q)
	}
	return asked
}

// underWay returns what the shard's sessions have come to.
func (s *shard) underWay() []Transfer {
	all := make([]Transfer, 0, len(s.sessions))
	for _, x := range s.sessions {
		if x.body == nil || !x.body.Unrecorded {
			all = append(all, x.underWay())
		}
	}
	return all
}

func (x *session) underWay() Transfer {
	t := Transfer{
		Client: x.request.Client, Name: x.request.Name, Start: x.shard.epoch.Add(x.arrived), Size: UnknownSize, Repeats: x.repeats,
	}
	if x.body == nil {
		return t
	}
	t.Served, t.BlockSize, t.WindowSize = x.body.Name, x.agreed.blockSize, x.agreed.window
	t.Size = x.transfer.size
	_, t.Bytes = x.transfer.progress()
	t.Retransmits, t.RoundTrip = x.transfer.resent, x.transfer.rtt.smoothed
	return t
}
