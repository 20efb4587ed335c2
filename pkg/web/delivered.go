// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package web

import (
	"net/http"
	"time"
)

// How long Undelivered waits between two looks at a connection.
const (
	firstLook = 100 * time.Microsecond
	slowLook  = 20 * time.Millisecond
)

// lastWord is how long Undelivered waits for the acknowledgement of an end that was sent. It may never come: iPXE starts a kernel
// in the moment in which it has all of it, and was seen to leave the last 80 KiB unacknowledged. It has them all the same.
const lastWord = 3 * time.Second

// Sent returns what tells, while r is answered, how many bytes of the answer were sent, in steps of up to 1 MiB and with its
// headers; nil where r is not of a [Server].
func Sent(r *http.Request) func() int64 {
	c, _ := r.Context().Value(connKey{}).(*conn)
	if c == nil {
		return nil
	}
	return c.answered.Load
}

// Undelivered returns how many bytes of what was written in answer to r, which a [Server] handles, its client has not
// acknowledged. It waits for that as long as the client goes on taking: what was written may be in a queue of the kernel, of
// some megabytes, and the client be gone with it. It returns 0 when the end was sent and nothing more is heard, and where the
// system does not tell, which only Linux does.
//
// gone says that the client has closed the connection.
func Undelivered(r *http.Request) (bytes int64, gone bool) {
	c, _ := r.Context().Value(connKey{}).(*conn)
	if c == nil {
		return 0, false
	}
	timer := time.NewTimer(firstLook)
	defer timer.Stop()
	wait, last, since := firstLook, int64(0), time.Now()
	for {
		queued, unsent, open := sendQueue(c.Conn)
		if queued == 0 || !open {
			return queued, !open
		}
		switch silent := time.Since(since); {
		case queued != last:
			last, since = queued, time.Now()
		case unsent == 0 && silent > lastWord:
			return 0, false
		case silent > c.owner.options.StallTimeout:
			return queued, false
		}
		select {
		case <-timer.C:
			wait = min(2*wait, slowLook)
			timer.Reset(wait)
		case <-r.Context().Done(): // the client has closed, or the server
			queued, _, _ = sendQueue(c.Conn)
			return queued, true
		}
	}
}
