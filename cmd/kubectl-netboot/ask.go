// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"syscall"
	"time"

	"github.com/pin/tftp/v3"

	"github.com/netboot-operator/netboot-operator/pkg/boot"
)

// probeBlockSize is what a loader on an Ethernet asks for; more would need fragments.
const probeBlockSize = 1428

// probeRetries is how often a TFTP request is repeated.
const probeRetries = 2

// reInstance is what an answer to boot.ProbeName looks like.
var reInstance = regexp.MustCompile(`^[A-Z2-7]{26}$`)

// instanceIn returns the text of an answer if it is of a netboot.
func instanceIn(text []byte) string {
	if reInstance.Match(text) {
		return string(text)
	}
	return ""
}

// counter keeps the first bytes of what is written to it, and counts all.
type counter struct {
	begin bytes.Buffer
	bytes int64
}

// Write implements io.Writer.
func (c *counter) Write(b []byte) (int, error) {
	const kept = 64
	c.begin.Write(b[:min(len(b), max(kept-c.begin.Len(), 0))])
	c.bytes += int64(len(b))
	return len(b), nil
}

func overTFTP() protocol { return protocol{name: "TFTP", ask: askTFTP, help: helpTFTP} }

// askTFTP asks once. The library knows no context; its patience ends it.
func askTFTP(_ context.Context, address, file string, patience time.Duration) (string, int64, error) {
	c, err := tftp.NewClient(address)
	if err != nil {
		return "", 0, err
	}
	c.SetTimeout(patience)
	c.SetRetries(probeRetries)
	c.SetBackoff(func(int) time.Duration { return 0 }) // the patience is the wait
	name := boot.ProbeName
	if file != "" {
		name = file
		c.SetBlockSize(probeBlockSize)
		c.RequestTSize(true)
	}
	from, err := c.Receive(name, "octet")
	if err != nil {
		return "", 0, err
	}
	var got counter
	if _, err := from.WriteTo(&got); err != nil {
		return "", 0, fmt.Errorf("after %s: %w", size(got.bytes), err)
	}
	return instanceIn(got.begin.Bytes()), got.bytes, nil
}

// helpTFTP says what to do.
func helpTFTP(err error, file bool) string {
	var network net.Error
	switch {
	case errors.As(err, &network) && network.Timeout() && file:
		return "Small packets get through and this transfer does not: packets of " + strconv.Itoa(probeBlockSize+32) + " bytes may be lost on the way. " +
			"Look for a smaller MTU (tunnels, VLANs) and for firewalls that drop fragments."
	case errors.As(err, &network) && network.Timeout():
		return "No answer: nothing serves this UDP port there, or a firewall or NAT between here and the node drops the request or its answer. " +
			"See whether a pod runs on the node (kubectl get pods -A -o wide -l app.kubernetes.io/name=netboot-operator), then capture on both sides: " +
			"tcpdump -ni any udp"
	case file:
		return "The server does not have this file, or the name is another one: give it as DHCP names it."
	}
	return "Something else than this version of netboot answers there. See what has this UDP port on the node: ss -ulpn"
}

func overHTTP() protocol { return protocol{name: "HTTP", ask: askHTTP, help: helpHTTP} }

// errStatus is an answer of HTTP that is not the file.
var errStatus = errors.New("answered")

// askHTTP asks once, on a connection of its own and past all proxies, as a machine would.
func askHTTP(ctx context.Context, address, file string, patience time.Duration) (string, int64, error) {
	transport := &http.Transport{DisableKeepAlives: true, ResponseHeaderTimeout: patience, DialContext: (&net.Dialer{Timeout: patience}).DialContext}
	defer transport.CloseIdleConnections()
	c := &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }, // firmware follows none
	}
	path := boot.ProbeName
	if file != "" {
		path = file
	} else {
		c.Timeout = patience
	}
	at := url.URL{Scheme: "http", Host: address, Path: "/" + path}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, at.String(), http.NoBody)
	if err != nil {
		return "", 0, err
	}
	response, err := c.Do(request)
	if err != nil {
		return "", 0, err
	}
	defer func() { _ = response.Body.Close() }() // it was only read
	var got counter
	if _, err := io.Copy(&got, response.Body); err != nil {
		return "", 0, fmt.Errorf("after %s: %w", size(got.bytes), err)
	}
	if file != "" && response.StatusCode != http.StatusOK {
		return "", 0, fmt.Errorf("%w %s: %.64q", errStatus, response.Status, got.begin.String())
	}
	return instanceIn(got.begin.Bytes()), got.bytes, nil
}

// helpHTTP says what to do.
func helpHTTP(err error, file bool) string {
	switch {
	case errors.Is(err, errStatus):
		return "The server does not have this file, or the name is another one."
	case errors.Is(err, syscall.ECONNREFUSED):
		return "The node is there, and nothing listens at this port: see whether a pod runs on it, and --http-bind-address; --http-port asks another one."
	case file:
		return "The connection works and the file does not come whole: look for loss and for a smaller MTU on the way."
	}
	return "No answer: the address is not the node's, or a firewall between here and there drops TCP to this port."
}
