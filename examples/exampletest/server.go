// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package exampletest asks the examples for files, as a machine would.
package exampletest

import (
	"context"
	"fmt"
	"net"
	"regexp"
	"strings"
	"testing"

	pin "github.com/pin/tftp/v3"

	"github.com/netboot-operator/netboot-operator/pkg/tftp"
)

// A Server is an example that serves at a port of its own.
type Server struct{ address string }

// Start serves h until the test ends.
func Start(t *testing.T, h tftp.Handler) *Server {
	t.Helper()
	server, err := tftp.New(h, tftp.Options{})
	if err != nil {
		t.Fatal(err)
	}
	conns, err := tftp.Listen(t.Context(), "127.0.0.1:0", 1)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- server.Serve(ctx, conns[0]) }()
	t.Cleanup(func() {
		cancel()
		if err := <-served; err != nil {
			t.Errorf("Serve() = %v", err)
		}
	})
	return &Server{conns[0].LocalAddr().(*net.UDPAddr).String()}
}

var reErrorCode = regexp.MustCompile(`code: (\d+)`)

// Fetch returns the file of that name, or "ERROR", the code and what else the server said.
func (s *Server) Fetch(t *testing.T, name string) string {
	t.Helper()
	client, err := pin.NewClient(s.address)
	if err != nil {
		t.Fatal(err)
	}
	body, err := client.Receive(name, "octet")
	if err != nil {
		code := reErrorCode.FindStringSubmatch(err.Error())
		if code == nil {
			t.Fatalf("%q: %v", name, err)
		}
		return fmt.Sprintf("ERROR %s: %v", code[1], err)
	}
	var text strings.Builder
	if _, err := body.WriteTo(&text); err != nil {
		t.Fatalf("%q: %v", name, err)
	}
	return text.String()
}
