// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package tftp

import (
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestOptionsDefaults(t *testing.T) {
	got, err := Options{}.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	want := Options{
		MaxTransfers: 16384, MaxUnproven: 12288, MaxUnprovenBytesPerSecond: 1 << 20,
		MaxBlockSize: 65464, MaxWindowSize: 64, Attempts: 6, CacheBytes: 64 << 20,
		RetransmitTimeout: time.Second, MinRetransmitTimeout: 50 * time.Millisecond,
		IdleTimeout: 30 * time.Second, BodyTimeout: 15 * time.Second, ShutdownGrace: time.Minute,
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(Ports{}), cmpopts.IgnoreFields(Options{}, "Log", "Observe")); diff != "" {
		t.Errorf("zero Options become (-want +got):\n%s", diff)
	}
	got.Log.Info("a log that drops this")
	got.Observe(Record{})

	again, err := got.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(got, again, cmp.AllowUnexported(Ports{}), cmpopts.IgnoreFields(Options{}, "Log", "Observe")); diff != "" {
		t.Errorf("defaults, given as values, become (-want +got):\n%s", diff)
	}
}

func TestShortRetransmitTimeoutLowersTheFloor(t *testing.T) {
	got, err := Options{RetransmitTimeout: 20 * time.Millisecond}.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	if got.MinRetransmitTimeout != 20*time.Millisecond {
		t.Errorf("MinRetransmitTimeout is %v, want 20ms", got.MinRetransmitTimeout)
	}
}

func TestOptionsOutOfBounds(t *testing.T) {
	for wantErr, o := range map[string]Options{
		"MaxTransfers=-1: outside 1-1048576":                              {MaxTransfers: -1},
		"MaxTransfers=1048577: outside 1-1048576":                         {MaxTransfers: 1<<20 + 1},
		"MaxUnproven=-1: outside 1-1048576":                               {MaxUnproven: -1},
		"MaxTransfersPerClient=-1: outside 0-1048576":                     {MaxTransfersPerClient: -1},
		"MaxRequestsPerSecond=-1: outside 0-1048576":                      {MaxRequestsPerSecond: -1},
		"MaxRequestsPerClient=1048577: outside 0-1048576":                 {MaxRequestsPerClient: 1<<20 + 1},
		"MaxUnprovenBytesPerSecond=1023: outside 1024-1073741824":         {MaxUnprovenBytesPerSecond: 1023},
		"AllowedNetworks[1]=invalid Prefix: is no network":                {AllowedNetworks: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), {}}},
		"MaxBlockSize=7: outside 8-65464 (RFC 2348)":                      {MaxBlockSize: 7},
		"MaxBlockSize=65465: outside 8-65464 (RFC 2348)":                  {MaxBlockSize: 65465},
		"MaxWindowSize=32768: outside 1-32767":                            {MaxWindowSize: 32768},
		"RetransmitTimeout=999µs: outside 1ms-1m0s":                       {RetransmitTimeout: 999 * time.Microsecond},
		"RetransmitTimeout=1m0.000000001s: outside 1ms-1m0s":              {RetransmitTimeout: time.Minute + 1},
		"MinRetransmitTimeout=-1ns: outside 1ms-1s (RetransmitTimeout)":   {MinRetransmitTimeout: -1},
		"MinRetransmitTimeout=30ms: outside 1ms-20ms (RetransmitTimeout)": {MinRetransmitTimeout: 30 * time.Millisecond, RetransmitTimeout: 20 * time.Millisecond},
		"Attempts=101: outside 1-100":                                     {Attempts: 101},
		"IdleTimeout=2h0m0s: outside 1ms-1h0m0s":                          {IdleTimeout: 2 * time.Hour},
		"BodyTimeout=1µs: outside 1ms-1h0m0s":                             {BodyTimeout: time.Microsecond},
		"CacheBytes=1048575: outside 1048576-1099511627776":               {CacheBytes: 1<<20 - 1},
		"ShutdownGrace=-1s: outside 1ns-24h0m0s":                          {ShutdownGrace: -time.Second},
	} {
		t.Run(wantErr, func(t *testing.T) {
			_, err := o.withDefaults()
			if err == nil || err.Error() != wantErr {
				t.Errorf("withDefaults() error = %v, want %s", err, wantErr)
			}
		})
	}
}

func TestAllowedNetworksAreMadePlain(t *testing.T) {
	given := []netip.Prefix{
		netip.MustParsePrefix("10.1.2.3/8"), netip.MustParsePrefix("::ffff:192.0.2.0/120"), netip.MustParsePrefix("2001:db8::1/64"),
	}
	got, err := Options{AllowedNetworks: given}.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	want := []netip.Prefix{
		netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("2001:db8::/64"),
	}
	if diff := cmp.Diff(want, got.AllowedNetworks, cmpopts.EquateComparable(netip.Prefix{})); diff != "" {
		t.Errorf("networks (-want +got):\n%s", diff)
	}
	if given[0].String() != "10.1.2.3/8" {
		t.Errorf("the caller's slice was changed: %v", given)
	}
}

func TestParsePorts(t *testing.T) {
	for text, tc := range map[string]struct {
		want    Ports
		wantErr string
	}{
		"shared":      {want: Ports{}},
		"ephemeral":   {want: Ports{mode: portsEphemeral}},
		"1-65535":     {want: Ports{mode: portsRange, first: 1, last: 65535}},
		"2000-2000":   {want: Ports{mode: portsRange, first: 2000, last: 2000}},
		"":            {wantErr: "must be shared, ephemeral or FIRST-LAST"},
		"Shared":      {wantErr: "must be shared, ephemeral or FIRST-LAST"},
		"2000":        {wantErr: "must be shared, ephemeral or FIRST-LAST"},
		"-":           {wantErr: `port "" is outside 1-65535`},
		"0-5":         {wantErr: `port "0" is outside 1-65535`},
		"5-65536":     {wantErr: `port "65536" is outside 1-65535`},
		"1-2-3":       {wantErr: `port "2-3" is outside 1-65535`},
		"2001-2000":   {wantErr: "2001 is more than 2000"},
		"2000 - 2001": {wantErr: `port "2000 " is outside 1-65535`},
	} {
		t.Run(text, func(t *testing.T) {
			got, err := ParsePorts(text)
			var told string
			if err != nil {
				told = err.Error()
			}
			if got != tc.want || told != tc.wantErr {
				t.Fatalf("ParsePorts(%q) = %+v, %q, want %+v, %q", text, got, told, tc.want, tc.wantErr)
			}
			if err == nil && got.String() != text {
				t.Errorf("ParsePorts(%q).String() = %q", text, got)
			}
		})
	}
}
