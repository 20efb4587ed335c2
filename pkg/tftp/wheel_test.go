// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package tftp

import (
	"math/rand/v2"
	"testing"
	"time"
)

// Each session is called once, at its last deadline or at most a tick later, whatever was scheduled before; and the pauses
// that the wheel allows never sleep past one.
func TestWheel(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	var w wheel
	sessions := make([]*session, 500)
	called := map[*session]time.Duration{}
	removed := map[*session]bool{}
	now := time.Duration(0)
	for i := range sessions {
		sessions[i] = &session{}
		sessions[i].transfer.deadline = time.Duration(r.Int64N(int64(5 * time.Second)))
		w.schedule(sessions[i])
	}
	for range 100_000 {
		pause := w.pause(now)
		if pause < 0 {
			break
		}
		now += max(pause, 1)
		w.advance(now, func(x *session) {
			if _, again := called[x]; again || removed[x] {
				t.Fatal("called again, or after remove")
			}
			called[x] = now
		})
		x := sessions[r.IntN(len(sessions))]
		if _, over := called[x]; over || removed[x] || now > 5*time.Second {
			continue
		}
		switch r.IntN(3) {
		case 0: // later or sooner, but not in the past
			x.transfer.deadline = now + time.Duration(r.Int64N(int64(3*time.Second)))
			w.schedule(x)
		case 1:
			w.remove(x)
			removed[x] = true
		}
	}
	for i, x := range sessions {
		at, ok := called[x]
		if removed[x] != !ok {
			t.Errorf("session %d: called %v, removed %v", i, ok, removed[x])
		}
		if late := at - x.transfer.deadline; ok && (late < 0 || late > 2*wheelTick) {
			t.Errorf("session %d: called %v after its deadline", i, late)
		}
	}
	if len(called) == 0 || len(removed) == 0 {
		t.Errorf("%d called, %d removed: too few to tell", len(called), len(removed))
	}
}
