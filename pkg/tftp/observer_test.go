// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package tftp

import (
	"testing"
	"testing/synctest"
	"time"
)

// Each record is handed on once, in order, soon, and the last ones when it ends; an observer that hangs costs records, not
// memory.
func TestObserver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newObserver()
		var got []int64
		blocked := make(chan struct{})
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			o.run(func(r Record) {
				got = append(got, r.Bytes)
				if r.Bytes == 3 {
					<-blocked
				}
			})
		}()
		taken := 0
		add := func(n int64) {
			if o.add(Record{Bytes: n}) {
				taken++
			}
		}
		for n := range int64(3) {
			add(n)
			time.Sleep(observeEvery) //nolint:forbidigo // virtual time
			synctest.Wait()
			if len(got) != int(n)+1 {
				t.Errorf("%d records handed on after %v, want %d", len(got), observeEvery, n+1)
			}
		}
		add(3)
		time.Sleep(observeEvery) //nolint:forbidigo // virtual time
		synctest.Wait()
		for n := range int64(maxUnobserved + 5) {
			add(n + 4)
		}
		if want := 4 + maxUnobserved; taken != want {
			t.Errorf("%d records were taken, want %d", taken, want)
		}
		o.close()
		close(blocked)
		<-ended
		for i, n := range got {
			if int64(i) != n {
				t.Fatalf("record %d came in place of %d", n, i)
			}
		}
		if len(got) != taken {
			t.Errorf("%d records were handed on, want %d", len(got), taken)
		}
	})
}
