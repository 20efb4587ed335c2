// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package tftp

import (
	"bytes"
	"context"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// Files that hang take all loads only until these are overdue; and so may further ones, but not without end.
func TestCacheOverdue(t *testing.T) {
	const hangingFiles = maxLoads / maxFileLoads
	synctest.Test(t, func(t *testing.T) {
		l := newHandLoop(t)
		c := l.newCache(64 << 20)
		stuck := make(chan struct{})
		release := sync.OnceFunc(func() { close(stuck) })
		defer l.settle()
		defer release()
		var hanging []*download
		hang := func() {
			for range hangingFiles {
				f := newTestFile(t, contents(maxFileLoads*chunkSize))
				f.slow = stuck
				hanging = append(hanging, l.download(c, f.body(""), maxBlockSize, 64))
			}
		}
		hang()
		good := newTestFile(t, contents(3*chunkSize))
		d := l.download(c, good.body(""), 1468, 4)
		l.settle()
		c.tick(loadPatience - 1)
		if l.settle(); d.advance() || c.pause(loadPatience-1) != 1 {
			t.Fatalf("beside loads that are not overdue: got %d bytes, pause %v", len(d.got), c.pause(loadPatience-1))
		}
		c.check(t)
		c.tick(loadPatience)
		if l.settle(); !d.advance() {
			t.Fatal("overdue loads still take all")
		}
		if got, err := d.all(); err != nil || !bytes.Equal(got, good.bytes) {
			t.Errorf("beside overdue loads: %d bytes, %v", len(got), err)
		}
		c.check(t)
		if c.overdue != maxLoads || c.pause(loadPatience) != -1 {
			t.Errorf("%d loads are overdue, want %d; pause %v", c.overdue, maxLoads, c.pause(loadPatience))
		}
		for n := range 2 * maxAllLoads / maxLoads {
			hang()
			c.tick(time.Duration(n+2) * loadPatience)
			c.check(t)
		}
		if c.loading != maxAllLoads {
			t.Errorf("%d loads, want %d", c.loading, maxAllLoads)
		}
		for _, o := range append(hanging, d) {
			o.content.release()
		}
		release()
		l.settle()
		c.check(t)
		if l.pending != 0 || c.loading != 0 || c.overdue != 0 || len(c.chunks) != 0 {
			t.Errorf("left over: %d goroutines, %d loads, %d chunks", l.pending, c.loading, len(c.chunks))
		}
	})
}

// The loop does not wait for anything else to happen when loads are overdue.
func TestOverdueLoadsMakeRoom(t *testing.T) {
	const hangs, bodyTimeout, later = time.Hour, 15 * time.Second, 5 * time.Second
	handler := HandlerFunc(func(_ context.Context, r *Request) (*Body, error) {
		if strings.HasPrefix(r.Name, "hangs") {
			return &Body{File: slowFile(hangs), Size: maxFileLoads * chunkSize}, nil
		}
		return &Body{File: slowFile(0), Size: 100}, nil
	})
	o := Options{BodyTimeout: bodyTimeout, MaxBlockSize: maxBlockSize, AllowFragments: true}
	inVirtualTime(t, handler, o, func(peer, string) {}, func(t *testing.T, v *virtual) {
		t.Helper()
		begin := time.Now()
		for n := range maxLoads / maxFileLoads {
			v.send(n, "\x00\x01hangs"+strconv.Itoa(n)+"\x00octet\x00blksize\x0065464\x00windowsize\x0016\x00")
			synctest.Wait()
			v.send(n, "\x00\x05\x00\x00enough\x00") // the client leaves, and with it its deadline: its reads stay
			if r := <-v.records; r.Outcome != OutcomeProbe {
				t.Fatalf("outcome = %q", r.Outcome)
			}
		}
		time.Sleep(later) //nolint:forbidigo // virtual time
		v.send(100, "\x00\x01good\x00octet\x00")
		time.Sleep(bodyTimeout - later + time.Millisecond) //nolint:forbidigo // virtual time
		synctest.Wait()
		v.send(100, "\x00\x04\x00\x01")
		r := <-v.records
		if took := time.Since(begin); r.Outcome != OutcomeComplete || took > bodyTimeout+time.Second {
			t.Errorf("outcome = %q after %v", r.Outcome, took)
		}
		time.Sleep(hangs) //nolint:forbidigo // virtual time: the reads end
	})
}
