// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package tftp

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/go-logr/logr/funcr"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

// A receive queue that is much smaller than wanted is logged once for each socket, and any is a metric.
func TestReceiveBuffer(t *testing.T) {
	for name, tc := range map[string]struct {
		got       int
		wantLines int
	}{
		"as wanted":                 {socketBuffer, 0},
		"half of it":                {socketBuffer / 2, 0},
		"Linux without a privilege": {212992, 1},
		"not known":                 {0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			var lines []string
			server, err := New(files{}, Options{
				Registerer: prometheus.NewRegistry(),
				Log:        funcr.New(func(_, args string) { lines = append(lines, args) }, funcr.Options{}), // as of V(0)
			})
			if err != nil {
				t.Fatal(err)
			}
			server.noteBuffer(netip.MustParseAddrPort("192.0.2.1:69"), tc.got)
			if got := testutil.ToFloat64(server.metrics.receiveBuffer); got != float64(tc.got) {
				t.Errorf("metric = %v, want %d", got, tc.got)
			}
			if len(lines) != tc.wantLines {
				t.Errorf("logged %q, want %d lines", lines, tc.wantLines)
			}
			for _, line := range lines {
				for _, want := range []string{"192.0.2.1:69", "net.core.rmem_max", "212992", "4194304"} {
					if !strings.Contains(line, want) {
						t.Errorf("logged %q, want %q in it", line, want)
					}
				}
			}
		})
	}
}

// The socket that is served has been enlarged.
func TestServeEnlarges(t *testing.T) {
	registry := prometheus.NewRegistry()
	f := loopback(t, files{"a": []byte("x")}, Options{Registerer: registry})
	if _, err := fetch(t, f.addr, "a", "octet", 0); err != nil {
		t.Fatal(err)
	}
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if got := family.GetMetric()[0].GetGauge().GetValue(); family.GetName() == "netboot_tftp_receive_buffer_bytes" {
			if canShare && got <= 0 { // on Linux, that is
				t.Errorf("metric = %v", got)
			}
			return
		}
	}
	t.Error("no metric of the receive queue")
}
