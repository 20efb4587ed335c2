// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package web

import (
	"io"
	"net/http"
)

// response notes the status of an answer. It passes ReadFrom on: without that net/http would not use sendfile.
type response struct {
	http.ResponseWriter
	status int   // 0: not told yet
	conn   *conn // nil with TLS: what is written there is no beginning of anything, but whole records
}

// WriteHeader notes the status.
func (r *response) WriteHeader(status int) {
	if r.status == 0 && status >= http.StatusOK { // below are answers that precede the answer
		r.status = status
	}
	r.ResponseWriter.WriteHeader(status)
}

// Write passes on.
func (r *response) Write(b []byte) (int, error) {
	r.implicit()
	return r.ResponseWriter.Write(b)
}

// large is the size from which on a file is worth a system call for its headers alone.
const large = 64 << 10

// ReadFrom passes on. Without headers that went before, net/http would read the first bytes itself to send them along. So
// they go before, but wait in the system for what follows them, so as not to make a packet of their own.
func (r *response) ReadFrom(from io.Reader) (int64, error) {
	if part, ok := from.(*io.LimitedReader); ok && part.N >= large && r.status != 0 && r.conn != nil {
		r.conn.more = true
		err := http.NewResponseController(r.ResponseWriter).Flush()
		r.conn.more = false
		if err != nil {
			return 0, err
		}
	}
	r.implicit()
	return io.Copy(r.ResponseWriter, from)
}

// implicit is what net/http does: who writes without a status means 200.
func (r *response) implicit() {
	if r.status == 0 {
		r.status = http.StatusOK
	}
}

// Unwrap is for http.ResponseController.
func (r *response) Unwrap() http.ResponseWriter { return r.ResponseWriter }
