// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"net/netip"
	"time"

	"github.com/spf13/pflag"

	"github.com/netboot-operator/netboot-operator/pkg/tftp"
)

// tftpOptions are the flags of the TFTP server. Those that are numbers or durations go right into its Options, which have
// the same names and bounds.
type tftpOptions struct {
	server          tftp.Options
	allowedNetworks []string
	ports           string
	shards          int
}

// A tftpCount is a flag that is a number.
type tftpCount struct {
	flag                string
	value               *int
	preset, least, most int
	source              string
	usage               string
}

func (o *tftpOptions) counts() []tftpCount {
	const many = 1 << 20
	x := &o.server
	return []tftpCount{
		{"tftp-max-transfers", &x.MaxTransfers, 16384, 1, many, "",
			"`COUNT` of TFTP requests under way; further ones are dropped"},
		{"tftp-max-unproven", &x.MaxUnproven, 12288, 1, many, "",
			"`COUNT` of them whose client has not answered yet; further ones take the place of the oldest"},
		{"tftp-max-transfers-per-client", &x.MaxTransfersPerClient, 0, 0, many, "",
			"`COUNT` of them from one IPv4 address or IPv6 /64; 0: no limit"},
		{"tftp-max-requests-per-second", &x.MaxRequestsPerSecond, 0, 0, many, "",
			"`COUNT` of TFTP requests taken in a second; 0: no limit"},
		{"tftp-max-requests-per-client", &x.MaxRequestsPerClient, 0, 0, many, "",
			"`COUNT` of them from one IPv4 address or IPv6 /64; 0: no limit"},
		{"tftp-max-unproven-bytes-per-second", &x.MaxUnprovenBytesPerSecond, 1 << 20, 1 << 10, 1 << 30, "",
			"`BYTES` sent in a second to clients that have not answered yet, beyond three times their request"},
		{"tftp-max-block-size", &x.MaxBlockSize, 65464, 8, 65464, " (RFC 2348)",
			"`BYTES` of the largest block agreed to; without --tftp-allow-fragments never more than fits a packet"},
		{"tftp-max-window-size", &x.MaxWindowSize, 64, 1, 32767, "", "`COUNT` of blocks of the largest window agreed to"},
		{"tftp-attempts", &x.Attempts, 6, 1, 100, "", "`COUNT` of times, at least, that a packet is sent before a client is given up"},
		{"tftp-cache-bytes", &x.CacheBytes, 64 << 20, 1 << 20, 1 << 40, "",
			"`BYTES` of memory for files that TFTP clients read, for each of --tftp-shards"},
		{"tftp-shards", &o.shards, 1, 1, 64, "", "`COUNT` of TFTP sockets, each with a loop that may use a CPU"},
	}
}

// A tftpTime is a flag that is a duration.
type tftpTime struct {
	flag                string
	value               *time.Duration
	preset, least, most time.Duration
	source              string
	usage               string
}

func (o *tftpOptions) times() []tftpTime {
	x := &o.server
	return []tftpTime{
		{"tftp-retransmit-timeout", &x.RetransmitTimeout, time.Second, time.Millisecond, time.Minute, "",
			"`TIME` that an ACK is waited for before the client's round trip is known"},
		{"tftp-min-retransmit-timeout", &x.MinRetransmitTimeout, 50 * time.Millisecond, time.Millisecond, x.RetransmitTimeout,
			" (--tftp-retransmit-timeout)", "shortest `TIME` that an ACK is waited for"},
		{"tftp-idle-timeout", &x.IdleTimeout, 30 * time.Second, time.Millisecond, time.Hour, "",
			"`TIME`, at least, that a client may be silent before it is given up"},
	}
}

func (o *tftpOptions) addFlags(flags *pflag.FlagSet) {
	for _, c := range o.counts() {
		flags.IntVar(c.value, c.flag, c.preset, c.usage)
	}
	for _, t := range o.times() {
		flags.DurationVar(t.value, t.flag, t.preset, t.usage)
	}
	flags.BoolVar(&o.server.AllowFragments, "tftp-allow-fragments", false,
		"agree to blocks that do not fit a packet on the way to the client")
	flags.StringSliceVar(&o.allowedNetworks, "tftp-allowed-networks", nil,
		"`NETWORKS` that TFTP clients may be in, as 192.0.2.0/24,2001:db8::/32 (default: all)")
	flags.StringVar(&o.ports, "tftp-ports", "shared",
		"`PORTS` that transfers are served from: shared, the port that is listened on; ephemeral, one of its own for each; or FIRST-LAST")
}

// complete reads what is not a number, and refuses what can't be used. 0 never stands for a default here.
func (o *tftpOptions) complete() error {
	for _, c := range o.counts() {
		if *c.value < c.least || *c.value > c.most {
			return usagef("--%s=%d: outside %d-%d%s", c.flag, *c.value, c.least, c.most, c.source)
		}
	}
	for _, t := range o.times() {
		if *t.value < t.least || *t.value > t.most {
			return usagef("--%s=%v: outside %v-%v%s", t.flag, *t.value, t.least, t.most, t.source)
		}
	}
	for _, text := range o.allowedNetworks {
		network, err := netip.ParsePrefix(text)
		if err != nil {
			return usagef("--tftp-allowed-networks=%s: must be networks such as 192.0.2.0/24 or 2001:db8::/32", text)
		}
		o.server.AllowedNetworks = append(o.server.AllowedNetworks, network)
	}
	var err error
	if o.server.Ports, err = tftp.ParsePorts(o.ports); err != nil {
		return usagef("--tftp-ports=%s: %w", o.ports, err)
	}
	return nil
}
