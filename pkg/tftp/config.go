// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package tftp

import (
	"fmt"
	"time"

	"github.com/go-logr/logr"
)

// maxWait is the longest wait between two tries, in a transfer whose client did not name its own timeout.
const maxWait = 5 * time.Second

// Options configure a [Server]. The zero value is a usable set.
type Options struct {
	// MaxTransfers is how many requests are under way at once, in the handler or as a transfer; further ones get
	// ERROR 0 "server busy". Default 4096, at least 1.
	MaxTransfers int
	// MaxTransfersPerClient is the same for one IP address. A transfer that another request has replaced counts until
	// its handler has returned. Default: no limit, because many machines may come from one address behind a NAT.
	MaxTransfersPerClient int
	// MaxBlockSize is the largest block size agreed to, in bytes. Default 1468, which fits IPv4 on an Ethernet;
	// 8 to 65464 (RFC 2348).
	MaxBlockSize int
	// MaxWindowSize is the largest window agreed to, in blocks. Default 64; 1 to 65535 (RFC 7440).
	MaxWindowSize int
	// RetransmitTimeout is how long an ACK is waited for at first; the wait doubles with each try, up to 5 s or what is
	// set here. A client may ask for another longest wait, shorter ones than this included. Default 1 s, at least 1 ms.
	RetransmitTimeout time.Duration
	// Attempts is how often a packet is sent before the client is given up. Default 6, 1 to 100.
	Attempts int
	// ShutdownGrace is how long transfers may go on when the server stops. Default 60 s, not negative.
	ShutdownGrace time.Duration
	// Log gets our own faults as errors, and the end of each transfer at V(1). Default: nothing is logged.
	Log logr.Logger
	// Observe is called when a read request has been dealt with, once for each that was answered or given up. It is
	// called from many goroutines at once, among them the one that receives, and must not block. Default: none.
	Observe func(Record)
}

// withDefaults returns o with its zero values replaced, or says which value is out of bounds.
func (o Options) withDefaults() (Options, error) {
	for _, b := range []struct {
		name        string
		value       *int
		preset      int
		least, most int
		source      string
	}{
		{"MaxTransfers", &o.MaxTransfers, 4096, 1, 1 << 20, ""},
		{"MaxTransfersPerClient", &o.MaxTransfersPerClient, 1 << 20, 1, 1 << 20, ""},
		{"MaxBlockSize", &o.MaxBlockSize, 1468, minBlockSize, maxBlockSize, " (RFC 2348)"},
		{"MaxWindowSize", &o.MaxWindowSize, 64, 1, maxWindowSize, " (RFC 7440)"},
		{"Attempts", &o.Attempts, 6, 1, 100, ""},
	} {
		if *b.value == 0 {
			*b.value = b.preset
		}
		if *b.value < b.least || *b.value > b.most {
			return o, fmt.Errorf("%s=%d: outside %d-%d%s", b.name, *b.value, b.least, b.most, b.source)
		}
	}
	for _, b := range []struct {
		name   string
		value  *time.Duration
		preset time.Duration
		least  time.Duration
	}{
		{"RetransmitTimeout", &o.RetransmitTimeout, time.Second, time.Millisecond},
		{"ShutdownGrace", &o.ShutdownGrace, time.Minute, 0},
	} {
		if *b.value == 0 {
			*b.value = b.preset
		}
		if *b.value < b.least {
			return o, fmt.Errorf("%s=%v: less than %v", b.name, *b.value, b.least)
		}
	}
	if o.Log.GetSink() == nil {
		o.Log = logr.Discard()
	}
	if o.Observe == nil {
		o.Observe = func(Record) {}
	}
	return o, nil
}
