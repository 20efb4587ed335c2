// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"github.com/netboot-operator/netboot-operator/pkg/boot"
)

// How the TFTP server is asked. All tries together take less than the second that Kubernetes gives a readiness probe, if
// it is not told otherwise.
const (
	probeTries    = 3
	probePatience = 300 * time.Millisecond // for each
	probeEvery    = 5 * time.Second        // more often it is not asked, however often /readyz is
	// probePorts is how many ports are asked from, at each try, where processes share an address: each request reaches one
	// of them, by chance.
	probePorts = 8
)

// A tftpProbe asks the own TFTP server for a file, as a machine would: over the network. That a socket is open does not say
// that anybody reads from it.
type tftpProbe struct {
	server   netip.AddrPort
	instance string        // what the file holds, if it is this process that answers
	ports    int           // to ask from
	patience time.Duration // for each try

	mu    sync.Mutex
	asked time.Time // when the last try ended
	err   error     // of the last try
}

// newTFTPProbe returns a probe of the server that listens on an address; one on all addresses is asked over loopback.
func newTFTPProbe(listens netip.AddrPort, instance string, shared bool) *tftpProbe {
	if listens.Addr().IsUnspecified() { // on IPv4 too: see anyFamily
		listens = netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), listens.Port())
	}
	p := &tftpProbe{server: listens, instance: instance, ports: 1, patience: probePatience}
	if shared {
		p.ports = probePorts
	}
	return p
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

// errOther: processes share the address, and another one got the request.
var errOther = errors.New("another process answered")

// ask asks until this process has answered. What another server says ends it.
func (p *tftpProbe) ask() (err error) {
	for range probeTries {
		if err = p.try(); err == nil {
			return nil
		}
		if !errors.Is(err, errOther) && !errors.Is(err, os.ErrDeadlineExceeded) {
			break
		}
	}
	return fmt.Errorf("ask the TFTP server at %v: %w", p.server, err)
}

// try asks once from all ports at once, and returns nil when this process has answered one of them.
func (p *tftpProbe) try() (err error) {
	answers := make(chan error, p.ports)
	for range p.ports {
		go func() { answers <- p.askOnce() }()
	}
	mine := false
	for range p.ports {
		answer := <-answers
		mine = mine || answer == nil
		if err == nil || errors.Is(err, errOther) {
			err = answer // anything else tells more
		}
	}
	if mine {
		return nil
	}
	return err
}

// askOnce asks from one port.
func (p *tftpProbe) askOnce() error {
	conn, err := net.ListenUDP("udp", nil) // not connected: the answer may come from another port
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }() // the answer is here, or was waited for
	if _, err = conn.WriteToUDPAddrPort([]byte("\x00\x01"+boot.ProbeName+"\x00octet\x00"), p.server); err != nil {
		return err
	}
	_ = conn.SetReadDeadline(time.Now().Add(p.patience)) // an error shows when something is read
	answer := make([]byte, 1024)
	n, from, err := conn.ReadFromUDPAddrPort(answer)
	if err != nil {
		return err
	}
	return p.judge(conn, from, answer[:n])
}

// judge says whether an answer is this process's.
func (p *tftpProbe) judge(conn *net.UDPConn, from netip.AddrPort, answer []byte) error {
	content, isData := bytes.CutPrefix(answer, []byte("\x00\x03\x00\x01"))
	if !isData {
		return fmt.Errorf("it answered %q", answer)
	}
	_, _ = conn.WriteToUDPAddrPort([]byte("\x00\x04\x00\x01"), from) // it tries again if that is lost, and gives up
	if string(content) != p.instance {
		return errOther
	}
	return nil
}
