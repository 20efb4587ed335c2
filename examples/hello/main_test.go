// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"testing"

	"github.com/netboot-operator/netboot-operator/examples/exampletest"
	"github.com/netboot-operator/netboot-operator/pkg/tftp"
)

func TestGreet(t *testing.T) {
	server := exampletest.Start(t, tftp.HandlerFunc(greet))
	if got, want := server.Fetch(t, "n7"), "hello 127.0.0.1, this is \"n7\"\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
