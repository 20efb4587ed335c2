// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package tftp

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr/funcr"
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

// Whoever observes may panic: that is logged, if it can be, and the next record comes all the same.
func TestObserverPanics(t *testing.T) {
	for name, tc := range map[string]struct {
		observe, sink, logName bool // it panics
		wantLog                string
	}{
		"nothing panics": {},
		"the observer":   {observe: true, wantLog: "panic: observe"},
		"LogName":        {logName: true, wantLog: "panic: name"},
		"the log":        {sink: true},
		"all":            {true, true, true, ""},
	} {
		t.Run(name, func(t *testing.T) {
			var log strings.Builder
			observed := 0
			server, err := New(files{}, Options{
				Log: funcr.New(func(_, args string) {
					if tc.sink {
						panic("sink")
					}
					log.WriteString(args)
				}, funcr.Options{}),
				LogName: func(name string) string {
					if tc.logName {
						panic("name")
					}
					return name
				},
				Observe: func(Record) {
					observed++
					if tc.observe {
						panic("observe")
					}
				},
			})
			if err != nil {
				t.Fatal(err)
			}
			for range 2 {
				server.observe(Record{Outcome: OutcomeFailed, Err: errors.New("disk on fire")})
			}
			if observed != 2 {
				t.Errorf("%d records were observed, want 2", observed)
			}
			if !strings.Contains(log.String(), tc.wantLog) {
				t.Errorf("log = %q, want %q in it", log.String(), tc.wantLog)
			}
		})
	}
}
