// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package attempt

import (
	"fmt"
	"slices"
	"time"

	"github.com/netboot-operator/netboot-operator/pkg/index"
)

// addresses are the MAC addresses of all Machines, as of a while ago: to gather them for each unknown client would let
// clients that make up addresses keep the tracker busy.
type addresses struct {
	at  time.Time
	all []claimed
}

type claimed struct {
	mac index.MAC
	key index.Key
}

// addressesLife is how long the addresses are used before they are gathered anew.
const addressesLife = 5 * time.Second

func (a *addresses) refresh(x *index.Index, now time.Time) {
	if !a.at.IsZero() && now.Sub(a.at) < addressesLife && !now.Before(a.at) {
		return
	}
	a.at, a.all = now, a.all[:0]
	keys, _ := x.Keys()
	for _, key := range keys {
		if m := x.Machine(key); m != nil {
			for _, mac := range m.MACs {
				a.all = append(a.all, claimed{mac, key})
			}
		}
	}
}

// A nearest is the only Machine's MAC address that differs from one that is unknown in one or two digits.
type nearest struct {
	claimed

	digits int // that differ
	first  int // the place of the first of them, from 1, without the colons
}

// maxDigits is in how many hex digits a mistyped address may differ: two also stand for a pair that was swapped.
const maxDigits = 2

// nearest returns the nearest known address, if there is only one at its distance.
func (a *addresses) nearest(mac index.MAC) *nearest {
	var found *nearest
	alone := false
	for _, c := range a.all {
		digits, first := distance(mac, c.mac)
		switch {
		case digits == 0 || digits > maxDigits:
		case found == nil || digits < found.digits:
			found, alone = &nearest{c, digits, first}, true
		case digits == found.digits:
			alone = alone && found.mac == c.mac
		}
	}
	if !alone {
		return nil
	}
	return found
}

// distance returns how many hex digits differ, and the place of the first that does, from 1.
func distance(a, b index.MAC) (digits, first int) {
	for i := range a {
		for j, half := range []byte{0xf0, 0x0f} {
			if (a[i]^b[i])&half != 0 {
				digits++
				if digits == 1 {
					first = 2*i + j + 1
				}
			}
		}
	}
	return digits, first
}

// nearestTo returns the Machine whose address an unknown one was probably meant to be, or nil: one that has booted with its
// own address has it right.
func (t *Tracker) nearestTo(mac index.MAC, now time.Time) *nearest {
	t.macs.refresh(t.o.Index, now)
	n := t.macs.nearest(mac)
	if n == nil {
		return nil
	}
	m := t.o.Index.Machine(n.key)
	if m == nil || !slices.Contains(m.MACs, n.mac) {
		return nil
	}
	if o := t.owners[identity{machine: n.key}]; o != nil && o.boot != nil && o.boot.a.MAC == n.mac {
		return nil
	}
	return n
}

// sentence says how an address differs from the nearest.
func (n *nearest) sentence(mac index.MAC) string {
	text, digits := mac.String(), "one digit"
	if n.digits > 1 {
		digits = fmt.Sprintf("%d digits", n.digits)
	}
	at := n.first - 1
	at += at / 2 // the colons
	return fmt.Sprintf("Machine %s has %s, which differs in %s: digit %d is %c there and %c here.",
		n.key, n.mac, digits, n.first, n.mac.String()[at], text[at])
}
