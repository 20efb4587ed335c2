// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package web

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"
)

// The write deadline moves with what a client takes: slow is fine, too slow is not, however often a byte is taken.
func TestDeadlineMovesWithProgress(t *testing.T) {
	const bite = 64 << 10 // what the client takes at once
	for name, tc := range map[string]struct {
		pause     time.Duration // between two bites
		wantTook  time.Duration
		wantError bool
	}{
		"at once":                   {},
		"as slowly as allowed":      {pause: time.Minute/16 - time.Millisecond, wantTook: 4 * (time.Minute - 16*time.Millisecond)},
		"too slowly":                {pause: time.Minute/16 + 5*time.Second, wantTook: time.Minute, wantError: true},
		"nothing":                   {pause: time.Hour, wantTook: time.Minute, wantError: true},
		"a byte before each minute": {pause: 59 * time.Second, wantTook: time.Minute, wantError: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				mine, theirs := net.Pipe()
				defer func() { _ = theirs.Close() }()
				o, err := Options{}.complete()
				if err != nil {
					t.Fatal(err)
				}
				x := newConnections(o, nil)
				c := x.admit(mine, nil)
				defer func() { _ = c.Close() }()
				ended := make(chan struct{})
				defer close(ended)
				go func() {
					for b := make([]byte, bite); ; {
						select {
						case <-time.After(tc.pause):
						case <-ended:
							return
						}
						if _, err := io.ReadFull(theirs, b); err != nil {
							return
						}
					}
				}()
				began := time.Now()
				x.begin(c)
				_, err = c.Write(make([]byte, 4<<20))
				if took := time.Since(began); took != tc.wantTook {
					t.Errorf("took %v, want %v", took, tc.wantTook)
				}
				if errors.Is(err, os.ErrDeadlineExceeded) != tc.wantError {
					t.Errorf("Write() error = %v, want one: %v", err, tc.wantError)
				}
			})
		})
	}
}

// A stride that an answer has begun is not a burden for the next one.
func TestEachAnswerHasTheWholeTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mine, theirs := net.Pipe()
		defer func() { _ = theirs.Close() }()
		o, err := Options{}.complete()
		if err != nil {
			t.Fatal(err)
		}
		x := newConnections(o, nil)
		c := x.admit(mine, nil)
		defer func() { _ = c.Close() }()
		go func() { _, _ = io.Copy(io.Discard, theirs) }()
		for range 3 {
			x.begin(c)
			if _, err := c.ReadFrom(bytes.NewReader(make([]byte, 1000))); err != nil {
				t.Fatal(err)
			}
			x.end(c)
			<-time.After(time.Minute)
		}
	})
}

func TestClientOf(t *testing.T) {
	for address, want := range map[string]string{
		"192.0.2.7:80":              "192.0.2.7/32",
		"[::ffff:192.0.2.7]:80":     "192.0.2.7/32",
		"[2001:db8:1:2:3:4:5:6]:80": "2001:db8:1:2::/64",
		"[fe80::1%eth0]:80":         "fe80::/64",
	} {
		addr, err := net.ResolveTCPAddr("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		if got := clientOf(addr).String(); got != want {
			t.Errorf("clientOf(%s) = %s, want %s", address, got, want)
		}
	}
}
