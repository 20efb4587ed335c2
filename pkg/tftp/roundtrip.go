// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package tftp

import "time"

// A roundTrip estimates how long the client takes to answer, as TCP does (RFC 6298): a smoothed mean and how far the
// measurements stray from it.
type roundTrip struct {
	smoothed time.Duration // SRTT; 0: not known
	strays   time.Duration // RTTVAR
	least    time.Duration // the shortest ever measured
}

func (r *roundTrip) known() bool { return r.smoothed > 0 }

// measure takes the time from a packet that was sent once to its ACK.
func (r *roundTrip) measure(took time.Duration) {
	took = max(took, 1) // 0 means not known
	if !r.known() {
		*r = roundTrip{smoothed: took, strays: took / 2, least: took}
		return
	}
	r.least = min(r.least, took)
	r.strays += ((took - r.smoothed).Abs() - r.strays) / 4
	r.smoothed = max(r.smoothed+(took-r.smoothed)/8, 1)
}

// timeout returns after how long an ACK is late.
func (r *roundTrip) timeout() time.Duration { return r.smoothed + 4*r.strays }

// usual says whether a packet that was answered after so long was answered as promptly as the others.
func (r *roundTrip) usual(took time.Duration) bool {
	return r.known() && took >= r.least && took <= r.timeout()
}
