// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"net/netip"
	"sync"
	"time"

	"github.com/pin/tftp/v3"

	"github.com/netboot-operator/netboot-operator/pkg/boot"
)

// How the TFTP server is asked. All tries together take less than the second that Kubernetes gives a readiness probe, if
// it is not told otherwise.
const (
	probeTries    = 3
	probePatience = 300 * time.Millisecond // for each
	probeEvery    = 5 * time.Second        // more often it is not asked, however often /readyz is
)

// A tftpProbe asks the own TFTP server for a file, as a machine would: by another's client, over the network. That a socket
// is open does not say that anybody reads from it.
type tftpProbe struct {
	server netip.AddrPort

	mu    sync.Mutex
	asked time.Time // when the last try ended
	err   error     // of the last try
}

// newTFTPProbe returns a probe of the server that listens on an address; one on all addresses is asked over loopback.
func newTFTPProbe(listens netip.AddrPort) *tftpProbe {
	if listens.Addr().IsUnspecified() { // on IPv4 too: see anyFamily
		listens = netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), listens.Port())
	}
	return &tftpProbe{server: listens}
}

// network returns where the probe comes from: from the address that it asks, because both are of this host.
func (p *tftpProbe) network() netip.Prefix {
	addr := p.server.Addr().Unmap().WithZone("")
	return netip.PrefixFrom(addr, addr.BitLen())
}

// check returns nil if the server answers. Who calls while somebody else does waits for the same answer. A nil probe has no
// server to ask.
func (p *tftpProbe) check() error {
	if p == nil {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.asked.IsZero() || time.Since(p.asked) >= probeEvery {
		p.err = p.ask()
		p.asked = time.Now()
	}
	return p.err
}

func (p *tftpProbe) ask() error {
	client, err := tftp.NewClient(p.server.String())
	if err != nil {
		return fmt.Errorf("ask the TFTP server at %v: %w", p.server, err)
	}
	client.SetTimeout(probePatience)
	client.SetRetries(probeTries - 1)
	client.SetBackoff(func(int) time.Duration { return 0 })
	file, err := client.Receive(boot.ProbeName, "octet")
	if err == nil {
		_, err = file.WriteTo(io.Discard)
	}
	if err != nil {
		return fmt.Errorf("ask the TFTP server at %v: %w", p.server, err)
	}
	return nil
}
