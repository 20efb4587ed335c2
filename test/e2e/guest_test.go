// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e

import (
	"context"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/netboot-operator/netboot-operator/test/lab"
)

// bootDeadline is when a boot that has not come to an end has failed. Without KVM one takes 10 to 40 seconds, where nothing
// else goes on.
const bootDeadline = 10 * time.Minute

// boot boots a machine from the network to its end and returns the command line that its kernel was given. The machine
// must have seen both initrds.
func (l *site) boot(t *testing.T, f lab.Firmware) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), bootDeadline)
	defer cancel()
	started := time.Now()
	<-l.Boot(ctx, t, f, "-no-reboot") // the guest powers itself off

	console := l.Console(t)
	// The bracket that ends it is the line's last: the command line itself may hold some.
	line := regexp.MustCompile(`NETBOOT-CMDLINE \[(.*)\]\r?\n`).FindStringSubmatch(console)
	if line == nil {
		t.Fatalf("no kernel printed its command line within %v", time.Since(started).Round(time.Second))
	}
	if !strings.Contains(console, "NETBOOT-SECOND [from the second initrd]") {
		t.Error("the kernel did not get the second initrd")
	}
	t.Logf("booted in %v: %s", time.Since(started).Round(time.Second), line[1])
	return line[1]
}
