// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package web

import (
	"cmp"
	"fmt"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
)

// The defaults of [Options].
const (
	DefaultMaxConnections          = 16384
	DefaultMaxConnectionsPerClient = 4096
	DefaultHeaderTimeout           = 10 * time.Second
	DefaultIdleTimeout             = 2 * time.Minute
	DefaultStallTimeout            = time.Minute
)

// The bounds of [Options].
const (
	MaxConnections = 1 << 20
	MinTimeout     = time.Millisecond
	MaxTimeout     = time.Hour
)

// maxHeaderBytes is for the line of the request and its headers. The longest URL that a loader sends has some 300 bytes.
const maxHeaderBytes = 16 << 10

// Options of a Server. The zero value is of use.
type Options struct {
	// MaxConnections that are open at once, 1 to [MaxConnections]. Default [DefaultMaxConnections].
	MaxConnections int
	// MaxConnectionsPerClient is how many of them one client may have: an IPv4 address, or a /64 of IPv6. Many machines
	// may be one client behind a NAT. 1 to [MaxConnections]. Default [DefaultMaxConnectionsPerClient].
	MaxConnectionsPerClient int

	// HeaderTimeout is what a client gets to send a request, from when it connects or from its first byte; and to shake
	// hands for TLS. [MinTimeout] to [MaxTimeout]. Default [DefaultHeaderTimeout].
	HeaderTimeout time.Duration
	// IdleTimeout is how long a connection may wait for the next request. [MinTimeout] to [MaxTimeout]. Default
	// [DefaultIdleTimeout].
	IdleTimeout time.Duration
	// StallTimeout is what a client gets to take each MiB of an answer, and what is left of it at the end. [MinTimeout] to
	// [MaxTimeout]. Default [DefaultStallTimeout].
	StallTimeout time.Duration
	// ShutdownGrace is what answers under way get to end. 0: none.
	ShutdownGrace time.Duration

	Log        logr.Logger           // zero: no log
	Registerer prometheus.Registerer // nil: no metrics
}

// complete fills in the defaults, and names what is out of bounds.
func (o Options) complete() (Options, error) {
	o.MaxConnections = cmp.Or(o.MaxConnections, DefaultMaxConnections)
	o.MaxConnectionsPerClient = cmp.Or(o.MaxConnectionsPerClient, DefaultMaxConnectionsPerClient)
	o.HeaderTimeout = cmp.Or(o.HeaderTimeout, DefaultHeaderTimeout)
	o.IdleTimeout = cmp.Or(o.IdleTimeout, DefaultIdleTimeout)
	o.StallTimeout = cmp.Or(o.StallTimeout, DefaultStallTimeout)
	for name, n := range map[string]int{
		"MaxConnections": o.MaxConnections, "MaxConnectionsPerClient": o.MaxConnectionsPerClient,
	} {
		if n < 1 || n > MaxConnections {
			return o, fmt.Errorf("%s is %d: outside 1-%d", name, n, MaxConnections)
		}
	}
	for name, d := range map[string]time.Duration{
		"HeaderTimeout": o.HeaderTimeout, "IdleTimeout": o.IdleTimeout, "StallTimeout": o.StallTimeout,
	} {
		if d < MinTimeout || d > MaxTimeout {
			return o, fmt.Errorf("%s is %v: outside %v-%v", name, d, MinTimeout, MaxTimeout)
		}
	}
	return o, nil
}
