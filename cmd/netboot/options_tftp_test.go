// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/spf13/pflag"

	"github.com/netboot-operator/netboot-operator/pkg/tftp"
)

// parseTFTP reads command lines of netboot serve, as far as they concern TFTP.
func parseTFTP(t *testing.T, args ...string) (*tftpOptions, error) {
	t.Helper()
	o := &tftpOptions{}
	flags := pflag.NewFlagSet("serve", pflag.ContinueOnError)
	flags.SetOutput(io.Discard)
	o.addFlags(flags)
	if err := flags.Parse(args); err != nil {
		t.Fatal(err)
	}
	return o, o.complete()
}

func TestTFTPFlags(t *testing.T) {
	ports, err := tftp.ParsePorts("2000-2999")
	if err != nil {
		t.Fatal(err)
	}
	presets := tftp.Options{
		MaxTransfers: 16384, MaxUnproven: 12288, MaxUnprovenBytesPerSecond: 1 << 20, MaxBlockSize: 65464, MaxWindowSize: 64,
		Attempts: 6, CacheBytes: 64 << 20, RetransmitTimeout: time.Second, MinRetransmitTimeout: 50 * time.Millisecond,
		IdleTimeout: 30 * time.Second,
	}
	for name, tc := range map[string]struct {
		args       []string
		want       tftp.Options
		wantShards int
	}{
		"none": {want: presets, wantShards: 1},
		"all": {
			args: []string{
				"--tftp-max-transfers=1", "--tftp-max-unproven=2", "--tftp-max-transfers-per-client=3",
				"--tftp-max-requests-per-second=4", "--tftp-max-requests-per-client=5", "--tftp-max-unproven-bytes-per-second=6000",
				"--tftp-allowed-networks=192.0.2.0/24,2001:db8::/32", "--tftp-allowed-networks=10.0.0.0/8",
				"--tftp-max-block-size=8", "--tftp-allow-fragments", "--tftp-max-window-size=9",
				"--tftp-retransmit-timeout=10s", "--tftp-min-retransmit-timeout=11ms", "--tftp-idle-timeout=12m",
				"--tftp-attempts=13", "--tftp-cache-bytes=1048576", "--tftp-ports=2000-2999", "--tftp-shards=14",
			},
			want: tftp.Options{
				MaxTransfers: 1, MaxUnproven: 2, MaxTransfersPerClient: 3, MaxRequestsPerSecond: 4, MaxRequestsPerClient: 5,
				MaxUnprovenBytesPerSecond: 6000,
				AllowedNetworks: []netip.Prefix{
					netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("2001:db8::/32"), netip.MustParsePrefix("10.0.0.0/8"),
				},
				MaxBlockSize: 8, AllowFragments: true, MaxWindowSize: 9, RetransmitTimeout: 10 * time.Second,
				MinRetransmitTimeout: 11 * time.Millisecond, IdleTimeout: 12 * time.Minute, Attempts: 13, CacheBytes: 1 << 20,
				Ports: ports,
			},
			wantShards: 14,
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := parseTFTP(t, tc.args...)
			if err != nil {
				t.Fatal(err)
			}
			comparable := cmpopts.EquateComparable(tftp.Ports{}, netip.Prefix{})
			if diff := cmp.Diff(tc.want, got.server, comparable, cmpopts.IgnoreFields(tftp.Options{}, "Log", "Observe")); diff != "" {
				t.Errorf("options (-want +got):\n%s", diff)
			}
			if got.shards != tc.wantShards {
				t.Errorf("%d shards, want %d", got.shards, tc.wantShards)
			}
		})
	}
}

func TestTFTPFlagsThatCannotBeUsed(t *testing.T) {
	for arg, want := range map[string]string{
		"--tftp-max-transfers=0":                 "--tftp-max-transfers=0: outside 1-1048576",
		"--tftp-max-transfers-per-client=-1":     "--tftp-max-transfers-per-client=-1: outside 0-1048576",
		"--tftp-max-block-size=70000":            "--tftp-max-block-size=70000: outside 8-65464 (RFC 2348)",
		"--tftp-max-window-size=0":               "--tftp-max-window-size=0: outside 1-32767",
		"--tftp-shards=65":                       "--tftp-shards=65: outside 1-64",
		"--tftp-retransmit-timeout=2m":           "--tftp-retransmit-timeout=2m0s: outside 1ms-1m0s",
		"--tftp-min-retransmit-timeout=2s":       "--tftp-min-retransmit-timeout=2s: outside 1ms-1s (--tftp-retransmit-timeout)",
		"--tftp-retransmit-timeout=20ms":         "--tftp-min-retransmit-timeout=50ms: outside 1ms-20ms (--tftp-retransmit-timeout)",
		"--tftp-idle-timeout=0":                  "--tftp-idle-timeout=0s: outside 1ms-1h0m0s",
		"--tftp-allowed-networks=10.0.0.0":       "--tftp-allowed-networks=10.0.0.0: must be networks such as 192.0.2.0/24 or 2001:db8::/32",
		"--tftp-allowed-networks=10.0.0.0/8,lan": "--tftp-allowed-networks=lan: must be networks such as 192.0.2.0/24 or 2001:db8::/32",
		"--tftp-ports=":                          "--tftp-ports=: must be shared, ephemeral or FIRST-LAST",
		"--tftp-ports=2999-2000":                 "--tftp-ports=2999-2000: 2999 is more than 2000",
	} {
		t.Run(arg, func(t *testing.T) {
			_, err := parseTFTP(t, arg)
			if err == nil || err.Error() != want {
				t.Errorf("complete() error = %v, want %s", err, want)
			}
		})
	}
}

func TestTFTPFlagsAreCheckedAtTheStart(t *testing.T) {
	t.Parallel()
	_, stderr, code := netboot(t, "serve", "--tftp-shards=65")
	if code != exitUsage || !strings.Contains(stderr, "--tftp-shards=65: outside 1-64") {
		t.Errorf("exit code %d, %q, want %d and the flag, its value and bounds", code, stderr, exitUsage)
	}
}

// TestTFTPFlagsHaveTheBoundsOfTheServer holds the bounds of the flags against those that the server has.
func TestTFTPFlagsHaveTheBoundsOfTheServer(t *testing.T) {
	handler := tftp.HandlerFunc(func(context.Context, *tftp.Request) (*tftp.Body, error) { return tftp.Text(""), nil })
	accepts := func(arg string, o tftp.Options, want bool) {
		t.Helper()
		if _, err := tftp.New(handler, o); (err == nil) != want {
			t.Errorf("--%s: the server says %v, want that it takes it: %v", arg, err, want)
		}
	}
	presets, err := parseTFTP(t)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range presets.counts() {
		if c.flag == "tftp-shards" {
			continue // is no option of a server
		}
		for value, want := range map[int]bool{c.least: true, c.most: true, c.least - 1: c.least == 1, c.most + 1: false} {
			*c.value = value // 0 is the server's default
			accepts(fmt.Sprintf("%s=%d", c.flag, value), presets.server, want)
		}
		*c.value = c.preset
	}
	for _, x := range presets.times() {
		for value, want := range map[time.Duration]bool{x.least: true, x.most: true, x.least - 1: false, x.most + 1: false} {
			if x.flag == "tftp-retransmit-timeout" {
				presets.server.MinRetransmitTimeout = 0 // it depends
			}
			*x.value = value
			accepts(fmt.Sprintf("%s=%v", x.flag, value), presets.server, want)
		}
		*x.value = x.preset
	}
}
