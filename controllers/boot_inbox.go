// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"time"

	"github.com/netboot-operator/netboot-operator/pkg/attempt"
	"github.com/netboot-operator/netboot-operator/pkg/index"
)

// A bootInbox holds attempts of which there is news, each once. Its zero value is empty.
type bootInbox struct {
	order []attempt.Attempt // as they came
	at    map[attemptKey]int
}

// An attemptKey tells boots apart.
type attemptKey struct {
	machine index.Key
	start   time.Time
}

func keyOfAttempt(a *attempt.Attempt) attemptKey { return attemptKey{a.Machine, a.Start} }

// put adds an attempt, or puts it in the place of what was told of it before. It returns how many had to go for it: of more than
// most, the oldest that means nothing for the ledger, and only of twice as many the oldest.
func (q *bootInbox) put(a attempt.Attempt, most int) (dropped int) {
	if q.at == nil {
		q.at = map[attemptKey]int{}
	}
	if at, waits := q.at[keyOfAttempt(&a)]; waits {
		a.Counts = a.Counts || q.order[at].Counts
		q.order[at] = a
		return 0
	}
	if len(q.order) >= most {
		dropped = q.drop(most)
	}
	q.at[keyOfAttempt(&a)] = len(q.order)
	q.order = append(q.order, a)
	return dropped
}

// drop makes room, if it may, for a number at once: it looks at all.
func (q *bootInbox) drop(most int) (dropped int) {
	many := 1 + most/8
	kept := q.order[:0]
	for i := range q.order {
		if dropped < many && (!forLedger(&q.order[i]) || len(q.order) >= 2*most) {
			dropped++
			continue
		}
		kept = append(kept, q.order[i])
	}
	clear(q.order[len(kept):])
	q.order = kept
	clear(q.at)
	for i := range q.order {
		q.at[keyOfAttempt(&q.order[i])] = i
	}
	return dropped
}
