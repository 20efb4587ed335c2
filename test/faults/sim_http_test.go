// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package faults

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// What real HTTP clients call themselves.
const (
	agentIPXE     = "iPXE/1.0.0+git-20190125.36a4c85-5.1"
	agentUEFI     = "UefiHttpBoot/1.0"
	agentAnaconda = "anaconda/37"
	agentBusybox  = "Wget"
)

// A browser is one HTTP client of a machine, with its connections.
type browser struct {
	agent     string
	transport *http.Transport
}

// newBrowser returns a client whose connections come from an address.
func newBrowser(from netip.Addr, agent string) *browser {
	dialer := &net.Dialer{
		LocalAddr: &net.TCPAddr{IP: from.AsSlice()},
		Control: func(_, _ string, c syscall.RawConn) error { // a loader has no megabytes for what it has not read
			return c.Control(func(fd uintptr) { _ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, 128<<10) })
		},
	}
	return &browser{agent: agent, transport: &http.Transport{DialContext: dialer.DialContext, DisableCompression: true}}
}

func (b *browser) close() { b.transport.CloseIdleConnections() }

// do sends a request and reads the answer, up to most bytes (0: all); then it closes the connection, as a machine does that
// has no room left.
func (b *browser) do(ctx context.Context, method, target string, form url.Values, most int64) ([]byte, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, method, target, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, err
	}
	request.Header.Set("User-Agent", b.agent)
	if form != nil {
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	response, err := b.transport.RoundTrip(request)
	if err != nil {
		return nil, err
	}
	defer func() { _ = response.Body.Close() }() // it was only read
	if most > 0 {
		n, _ := io.CopyN(io.Discard, response.Body, most)
		return nil, fmt.Errorf("cut after %d bytes", n)
	}
	content, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", response.Status, strings.TrimSpace(string(content)))
	}
	return content, nil
}

func (b *browser) get(ctx context.Context, target string) ([]byte, error) {
	return b.do(ctx, http.MethodGet, target, nil, 0)
}
