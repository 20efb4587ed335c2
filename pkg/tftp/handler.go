// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package tftp

import (
	"context"
	"net/netip"
	"time"
)

// A Request is a read request.
type Request struct {
	// Name is the file's name: the bytes as they were sent, up to the first NUL. It may hold anything: backslashes, a
	// drive letter, "..", a trailing 0xFF. It may be empty.
	Name string
	// Mode is Octet or NetASCII.
	Mode Mode
	// Options are the options asked for, in the order asked, known or not, sensible or not.
	Options []Option
	// Client is where the request came from; an IPv4 address is never in its IPv6 form.
	Client netip.AddrPort
	// Local is the address that the request was sent to. Zero: not known, or a broadcast or multicast address.
	Local netip.Addr
}

// A Handler finds what a read request names.
//
// ServeTFTP may block until ctx ends, and must return soon after: ctx ends when the client has asked for something else
// from the same port, when the request makes room for others (Options.MaxUnproven), when Options.BodyTimeout has passed, and
// when the server stops. Clients repeat their request meanwhile; it is answered once. The server
// closes the Body when it needs it no more, however the transfer ends.
//
// An [*Error] in the error's tree is sent as it is, but for control characters and length. An error wrapping
// [io/fs.ErrNotExist] becomes ERROR 1 "file not found". Any other error, a panic, and an error of the Body later on,
// becomes ERROR 0 "internal error" and is logged: causes are never sent.
//
// ServeTFTP is called from many goroutines at once and must not change r.
type Handler interface {
	ServeTFTP(ctx context.Context, r *Request) (*Body, error)
}

// HandlerFunc is a function that is a [Handler].
type HandlerFunc func(ctx context.Context, r *Request) (*Body, error)

// ServeTFTP calls f.
func (f HandlerFunc) ServeTFTP(ctx context.Context, r *Request) (*Body, error) { return f(ctx, r) }

// A Record tells how a read request ended.
type Record struct {
	Request  Request
	Served   string   // Body.Name
	Tag      any      // what Body.Begin has returned
	Accepted []Option // the options of the OACK; empty: none was sent

	BlockSize  int // bytes, as agreed; 0: no transfer began
	WindowSize int // blocks, as agreed; 0: no transfer began

	Bytes         int64 // of the file, in the form sent, that the client acknowledged
	Blocks        int64 // that the client acknowledged
	Repeats       int64 // of the request by the client, before its answer had arrived
	Retransmits   int64 // DATA and OACK packets sent more than once
	DuplicateACKs int64 // that acknowledged nothing new

	RoundTrip time.Duration // smoothed (SRTT), from DATA or OACK to its ACK; 0: never measured
	FirstByte time.Duration // from the request's arrival to the first DATA; 0: none was sent
	Duration  time.Duration // from the request's arrival
	Outcome   Outcome
	// Err is what is known of the cause, nil if nothing is. For client-error and probe it is an *Error with the client's
	// own words, which are not to be trusted.
	Err error
}

// Outcome says how a read request ended. The values below are the complete set.
type Outcome string

// The outcomes.
const (
	OutcomeComplete      Outcome = "complete"               // the client acknowledged the last block
	OutcomeLastACKLost   Outcome = "complete-last-ack-lost" // all was sent, and then the client was gone; most close at once
	OutcomeProbe         Outcome = "probe"                  // the client sent ERROR on the OACK: UEFI only wanted the size
	OutcomeClientError   Outcome = "client-error"           // the client sent ERROR later on
	OutcomeTimeout       Outcome = "timeout"                // the client went silent
	OutcomeNeverAnswered Outcome = "never-answered"         // the client, if there is one, acknowledged nothing at all
	OutcomeReplaced      Outcome = "replaced"               // the client asked for something else from the same port
	OutcomeNotFound      Outcome = "not-found"              // the handler has no such file: ERROR 1
	OutcomeRefused       Outcome = "refused"                // the handler, or the mode, refused it: another ERROR
	OutcomeShutdown      Outcome = "shutdown"               // the server's grace ran out: ERROR 0
	OutcomeFailed        Outcome = "failed"                 // our fault: ERROR 0, logged
)

// outcomes returns all of them.
func outcomes() []Outcome {
	return []Outcome{
		OutcomeComplete, OutcomeLastACKLost, OutcomeProbe, OutcomeClientError, OutcomeTimeout,
		OutcomeNeverAnswered, OutcomeReplaced, OutcomeNotFound, OutcomeRefused, OutcomeShutdown, OutcomeFailed,
	}
}
