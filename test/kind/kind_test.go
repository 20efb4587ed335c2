// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build kind

package kind

import (
	"flag"
	"testing"
)

// The test of `make e2e-kind` is smaller than what was promised to users; that of -full is not.
var full = flag.Bool("full", false, "slow transfers of 64 MiB, and an API server that is away for 5 minutes") //nolint:gochecknoglobals // a flag of the test binary

// TestKind is one story: what a part leaves behind, the next one finds.
func TestKind(t *testing.T) {
	c := newCluster(t)
	before := c.inventory(t)
	for _, part := range []struct {
		name string
		run  func(t *testing.T)
	}{
		{"install as documented", c.install},
		{"pod security", c.podSecurity},
		{"boot from two nodes", c.boots},
		{"kubectl plugin", c.plugin},
		{"samples", c.samples},
		{"upgrade under load", c.upgrade},
		{"drain a node under load", c.drain},
		{"a thousand machines", c.thousand},
		{"API server away under load", c.outage},
		{"uninstall as documented", func(t *testing.T) {
			t.Helper()
			c.uninstall(t, before)
		}},
	} {
		if !t.Run(part.name, part.run) {
			t.FailNow() // the next part would fail for this one's reason
		}
	}
	c.printUsage(t)
}
