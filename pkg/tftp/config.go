// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package tftp

import (
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
)

// maxWait is the longest wait between two tries, in a transfer whose client did not name its own timeout.
const maxWait = 5 * time.Second

// defaultFloor is what MinRetransmitTimeout is if it is not set, and RetransmitTimeout is not shorter.
const defaultFloor = 50 * time.Millisecond

// Options configure a [Server]. The zero value is a usable set: in each field, 0 stands for the default.
//
// A request that is over one of the limits is dropped, not refused: its client repeats it in a second or four and gets in
// then, while an ERROR would end its boot.
type Options struct {
	// MaxTransfers is how many requests are under way at once, in the handler or as a transfer. Each costs about
	// 2 KiB, besides what its handler takes. Default 16384; 1 to 1048576.
	MaxTransfers int
	// MaxUnproven is how many of them, for each call of Serve, may be of clients that have not answered yet, which may not
	// exist: further ones take the place of the oldest. So do, at MaxTransfers, those that come later than RetransmitTimeout
	// after the oldest. Default 12288; 1 to 1048576.
	MaxUnproven int
	// MaxTransfersPerClient is how many requests of one client are under way at once: of one IPv4 address, or of one /64 of
	// IPv6, because a host may take as many addresses there as it likes. Default: no limit but MaxTransfers, because many
	// machines may come from one address behind a NAT; up to 1048576.
	MaxTransfersPerClient int
	// MaxRequestsPerSecond is how many requests are taken in a second; so many may come at once. Those that repeat one
	// under way do not count. Default: no limit; up to 1048576.
	MaxRequestsPerSecond int
	// MaxRequestsPerClient is the same for one client, per second. Default: no limit; up to 1048576.
	MaxRequestsPerClient int
	// MaxUnprovenBytesPerSecond bounds what is sent to clients that have not answered yet, all together, so that forged
	// requests alone can't turn the server against somebody: bytes of UDP payload per second, twice as many at once. What is at
	// most three times as long as the request is free, and so are clients that have answered in the last ten minutes.
	// Default 1048576; 1024 to 1073741824.
	MaxUnprovenBytesPerSecond int
	// AllowedNetworks are where clients may be; requests from elsewhere are dropped. Default: everywhere.
	AllowedNetworks []netip.Prefix
	// UnlimitedNetworks are where clients may be whom no limit and no AllowedNetworks keep out, such as this host, for a
	// probe of its own: a server at its limits is not sick. Default: nowhere.
	UnlimitedNetworks []netip.Prefix

	// MaxBlockSize is the largest block size agreed to, in bytes. Default 65464; 8 to 65464 (RFC 2348). Without
	// AllowFragments the way to the client bounds it, too.
	MaxBlockSize int
	// AllowFragments agrees to blocks that do not fit a packet on the way to the client. Default: such a block size is
	// lowered to what fits, for one lost fragment loses the block, and much firmware can't put fragments together.
	AllowFragments bool
	// MaxWindowSize is the largest window agreed to, in blocks. Default 64; 1 to 32767: with more, an old
	// ACK could be taken for a new one.
	MaxWindowSize int
	// RetransmitTimeout is how long an ACK is waited for until the client's round trip is known. The wait doubles with each
	// try, up to 5 s or what is set here; a client may ask for another longest wait. Default 1 s; 1 ms to 1 min.
	RetransmitTimeout time.Duration
	// MinRetransmitTimeout is the shortest wait for an ACK, when the round trip is known. Default 50 ms, or
	// RetransmitTimeout if that is less; 1 ms to RetransmitTimeout.
	MinRetransmitTimeout time.Duration
	// Attempts is how often a packet is sent, at least, before a client is given up. Default 6; 1 to 100. A client that has
	// not answered at all gets fewer: 3 OACKs or 2 DATA.
	Attempts int
	// IdleTimeout is how long, at least, a client that has answered may be silent before it is given up. Default 30 s; 1 ms
	// to 1 h.
	IdleTimeout time.Duration
	// BodyTimeout is how long a Handler may take to find a Body, and how long its data may be late, before the transfer
	// fails. Default 15 s; 1 ms to 1 h.
	BodyTimeout time.Duration
	// CacheBytes is how much memory each call of Serve uses for what was read of Files. Default 64 MiB; 1 MiB to 1 TiB.
	CacheBytes int
	// Ports says from which ports transfers are served. Default: all from the listening port.
	Ports Ports

	// Neighbours is a name under which sockets with the same address find each other, those of other processes with the same
	// user too: see [ListenShared]. Packets then reach the transfer that they belong to whichever socket gets them, and a
	// server that stops hands on the requests that still come in. All of them must serve the same files. On Linux they find
	// each other in the network namespace. Default: none, and each socket is on its own; at most 32 letters, digits and "-".
	Neighbours string

	// ShutdownGrace is how long transfers may go on when the server stops. Default 1 min; 1 ns to 24 h.
	ShutdownGrace time.Duration
	// Log gets our own faults as errors, and the end of each transfer at V(1). Default: nothing is logged.
	Log logr.Logger
	// LogName returns the name of a file as it may stand in Log: what is secret in it cut out. Default: names stand as they
	// are.
	LogName func(string) string
	// Observe is called when a read request has been dealt with, once for each that was answered or given up. Each call of
	// Serve has one goroutine that calls it; if it falls thousands behind, records are dropped and counted. A panic is logged. Default: none.
	Observe func(Record)
	// Registerer gets the metrics, which docs/metrics.md lists. One server can register there. Default: none are kept.
	Registerer prometheus.Registerer
}

// bound is the range of an option, and the value that 0 stands for.
type bound struct {
	name                string
	preset, least, most int64
	source              string
}

var reNeighbours = regexp.MustCompile("^[A-Za-z0-9-]{0,32}$")

// withDefaults returns o with its zero values replaced, or says which value is out of bounds.
func (o Options) withDefaults() (Options, error) {
	const many = 1 << 20
	counts := []struct {
		value *int
		bound
	}{
		{&o.MaxTransfers, bound{"MaxTransfers", 16384, 1, many, ""}},
		{&o.MaxUnproven, bound{"MaxUnproven", 12288, 1, many, ""}},
		{&o.MaxTransfersPerClient, bound{"MaxTransfersPerClient", 0, 0, many, ""}},
		{&o.MaxRequestsPerSecond, bound{"MaxRequestsPerSecond", 0, 0, many, ""}},
		{&o.MaxRequestsPerClient, bound{"MaxRequestsPerClient", 0, 0, many, ""}},
		{&o.MaxUnprovenBytesPerSecond, bound{"MaxUnprovenBytesPerSecond", 1 << 20, 1 << 10, 1 << 30, ""}},
		{&o.MaxBlockSize, bound{"MaxBlockSize", maxBlockSize, minBlockSize, maxBlockSize, " (RFC 2348)"}},
		{&o.MaxWindowSize, bound{"MaxWindowSize", 64, 1, maxWindow, ""}},
		{&o.Attempts, bound{"Attempts", 6, 1, 100, ""}},
		{&o.CacheBytes, bound{"CacheBytes", 64 << 20, 1 << 20, 1 << 40, ""}},
	}
	for _, c := range counts {
		if err := settle(c.value, c.bound); err != nil {
			return o, err
		}
	}
	if err := o.settleTimes(); err != nil {
		return o, err
	}
	if !reNeighbours.MatchString(o.Neighbours) {
		return o, fmt.Errorf("%s=%q: must be at most 32 letters, digits and -", "Neighbours", o.Neighbours)
	}
	var err error
	if o.UnlimitedNetworks, err = plainNetworks("UnlimitedNetworks", o.UnlimitedNetworks); err != nil {
		return o, err
	}
	if o.AllowedNetworks, err = plainNetworks("AllowedNetworks", o.AllowedNetworks); err != nil {
		return o, err
	}
	if o.Log.GetSink() == nil {
		o.Log = logr.Discard()
	}
	if o.Observe == nil {
		o.Observe = func(Record) {}
	}
	return o, nil
}

func (o *Options) settleTimes() error {
	const least = int64(time.Millisecond)
	if err := settle(&o.RetransmitTimeout, bound{
		"RetransmitTimeout", int64(time.Second), least, int64(time.Minute), "",
	}); err != nil {
		return err
	}
	first := int64(o.RetransmitTimeout)
	times := []struct {
		value *time.Duration
		bound
	}{
		{&o.MinRetransmitTimeout, bound{
			"MinRetransmitTimeout", min(int64(defaultFloor), first), least, first, " (RetransmitTimeout)",
		}},
		{&o.IdleTimeout, bound{"IdleTimeout", int64(30 * time.Second), least, int64(time.Hour), ""}},
		{&o.BodyTimeout, bound{"BodyTimeout", int64(15 * time.Second), least, int64(time.Hour), ""}},
		{&o.ShutdownGrace, bound{"ShutdownGrace", int64(time.Minute), 1, int64(24 * time.Hour), ""}},
	}
	for _, t := range times {
		if err := settle(t.value, t.bound); err != nil {
			return err
		}
	}
	return nil
}

// settle replaces 0 by the default, and refuses what is out of bounds.
func settle[T int | time.Duration](value *T, b bound) error {
	if *value == 0 {
		*value = T(b.preset)
	}
	if int64(*value) < b.least || int64(*value) > b.most {
		return fmt.Errorf("%s=%v: outside %v-%v%s", b.name, *value, T(b.least), T(b.most), b.source)
	}
	return nil
}

// plainNetworks returns networks as clients' addresses are compared with them: without bits of a host, and IPv4 never in its
// IPv6 form.
func plainNetworks(field string, networks []netip.Prefix) ([]netip.Prefix, error) {
	networks = slices.Clone(networks)
	for i, n := range networks {
		if !n.IsValid() {
			return nil, fmt.Errorf("%s[%d]=%v: is no network", field, i, n)
		}
		if addr, bits := n.Addr(), n.Bits(); addr.Is4In6() && bits >= 96 {
			n = netip.PrefixFrom(addr.Unmap(), bits-96)
		}
		networks[i] = n.Masked()
	}
	return networks, nil
}

// Ports say from which ports transfers are served. The zero value stands for the listening port: then a transfer is one
// conversation between two ports, as NAT, firewalls and Kubernetes services expect. See [ParsePorts].
type Ports struct {
	mode        portsMode
	first, last uint16 // of portsRange
}

type portsMode uint8

const (
	portsShared    portsMode = iota // the listening port
	portsEphemeral                  // a port of its own for each transfer, which the system chooses (RFC 1350)
	portsRange                      // a port of its own out of a range
)

// ParsePorts reads what String writes: "shared" for the listening port; "ephemeral" for a port of its own for each
// transfer, as RFC 1350 has it; "FIRST-LAST" for the same out of a range, which firewalls may need.
func ParsePorts(s string) (Ports, error) {
	switch s {
	case "shared":
		return Ports{}, nil
	case "ephemeral":
		return Ports{mode: portsEphemeral}, nil
	}
	from, to, found := strings.Cut(s, "-")
	if !found {
		return Ports{}, errors.New("must be shared, ephemeral or FIRST-LAST")
	}
	p := Ports{mode: portsRange}
	for _, end := range []struct {
		text string
		port *uint16
	}{{from, &p.first}, {to, &p.last}} {
		n, err := strconv.ParseUint(end.text, 10, 16)
		if err != nil || n == 0 {
			return Ports{}, fmt.Errorf("port %q is outside 1-65535", end.text)
		}
		*end.port = uint16(n)
	}
	if p.first > p.last {
		return Ports{}, fmt.Errorf("%d is more than %d", p.first, p.last)
	}
	return p, nil
}

// String returns "shared", "ephemeral" or "FIRST-LAST".
func (p Ports) String() string {
	switch p.mode {
	case portsEphemeral:
		return "ephemeral"
	case portsRange:
		return fmt.Sprintf("%d-%d", p.first, p.last)
	}
	return "shared"
}
