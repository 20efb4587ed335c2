// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package load

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"
)

// A Config says who asks whom for what. Zero values are none, or the default that stands there.
type Config struct {
	// TFTP and HTTP are the servers, HOST:PORT. Clients are dealt out over them.
	TFTP, HTTP []string

	// TFTPClients and HTTPClients are how many transfers are under way at once.
	TFTPClients, HTTPClients int
	// TFTPName and HTTPPath are what they ask for.
	TFTPName, HTTPPath string
	// TFTPContent and HTTPContent are what they must get. Nil: what is fetched before the load begins.
	TFTPContent, HTTPContent []byte
	// TFTPTime and HTTPTime are how long a transfer is made to take. 0: as fast as the server sends.
	TFTPTime, HTTPTime time.Duration
	// BlockSize and WindowSize are what the TFTP clients ask for. Default 1428 and 8.
	BlockSize, WindowSize int

	// ProbeName is what the TFTP probes ask for, ProbePath what those of HTTP do; empty: no probes. A probe counts as
	// answered with the first packet, or with the status.
	ProbeName, ProbePath string
	// ProbeEvery is the time between two probes of a kind. Default 10 ms.
	ProbeEvery time.Duration

	// RetryAfter is when a TFTP client that got no answer asks again; each further wait is twice as long, up to four times
	// that. Default 1 s, the shortest that firmware is known for. Tries is how often it asks before it gives up. Default 6.
	RetryAfter time.Duration
	Tries      int
	// StallTimeout is how long an HTTP client waits for a byte. Default 30 s.
	StallTimeout time.Duration

	// Duration is how long transfers begin; those under way then come to their end. Default 1 min.
	Duration time.Duration
}

func (c Config) complete() (Config, error) {
	for _, n := range []struct {
		value  *int
		preset int
	}{{&c.BlockSize, 1428}, {&c.WindowSize, 8}, {&c.Tries, 6}} {
		if *n.value == 0 {
			*n.value = n.preset
		}
	}
	for _, d := range []struct {
		value  *time.Duration
		preset time.Duration
	}{
		{&c.ProbeEvery, 10 * time.Millisecond}, {&c.RetryAfter, time.Second},
		{&c.StallTimeout, 30 * time.Second}, {&c.Duration, time.Minute},
	} {
		if *d.value == 0 {
			*d.value = d.preset
		}
	}
	switch {
	case (c.TFTPClients > 0 || c.ProbeName != "") && len(c.TFTP) == 0:
		return c, errors.New("TFTP clients or probes, but no TFTP server")
	case (c.HTTPClients > 0 || c.ProbePath != "") && len(c.HTTP) == 0:
		return c, errors.New("HTTP clients or probes, but no HTTP server")
	case c.TFTPClients > 0 && c.TFTPName == "":
		return c, errors.New("TFTP clients, but no name that they ask for")
	case c.HTTPClients > 0 && c.HTTPPath == "":
		return c, errors.New("HTTP clients, but no path that they ask for")
	}
	for _, server := range append(append([]string{}, c.TFTP...), c.HTTP...) {
		if _, _, err := net.SplitHostPort(server); err != nil {
			return c, fmt.Errorf("server %q: must be HOST:PORT", server)
		}
	}
	return c, nil
}

// Run puts the load on until the duration is over or ctx ends, and then waits for the transfers under way. The error says why
// it could not begin; what failed in the load is in the report.
func Run(ctx context.Context, c Config) (*Report, error) {
	c, err := c.complete()
	if err != nil {
		return nil, err
	}
	transport := &http.Transport{DisableKeepAlives: true, DisableCompression: true}
	l := &load{Config: c, http: &http.Client{Transport: transport}, report: newReport()}
	if err := l.fetchContents(ctx); err != nil {
		return nil, err
	}
	begins, stop := context.WithTimeout(ctx, c.Duration) // transfers begin as long as this lasts
	defer stop()
	var group sync.WaitGroup
	for i := range c.TFTPClients {
		group.Go(func() { l.repeat(begins, i, c.TFTPClients, c.TFTPTime, l.fetchTFTP) })
	}
	for i := range c.HTTPClients {
		group.Go(func() { l.repeat(begins, i, c.HTTPClients, c.HTTPTime, l.fetchHTTP) })
	}
	if c.ProbeName != "" {
		group.Go(func() { l.probe(begins, &l.report.TFTPProbes, l.probeTFTP) })
	}
	if c.ProbePath != "" {
		group.Go(func() { l.probe(begins, &l.report.HTTPProbes, l.probeHTTP) })
	}
	group.Wait()
	l.report.finish()
	return l.report, nil
}

// A load is one that runs.
type load struct {
	Config
	http   *http.Client
	report *Report
}

// fetchContents finds out what the files hold, where that was not told.
func (l *load) fetchContents(ctx context.Context) error {
	if l.HTTPClients > 0 && l.HTTPContent == nil {
		body, err := l.wholeHTTP(ctx, l.HTTP[0])
		if err != nil {
			return fmt.Errorf("fetch what the clients are to compare with: %w", err)
		}
		l.HTTPContent = body
	}
	if l.TFTPClients > 0 && l.TFTPContent == nil {
		t := l.newTFTP(l.TFTP[0], l.TFTPName)
		if err := t.fetch(ctx, nil, 0); err != nil {
			return fmt.Errorf("fetch what the clients are to compare with: %s: %w", l.TFTPName, err)
		}
		l.TFTPContent = t.got
	}
	return nil
}

// repeat has one client fetch again and again while ctx lasts. The first transfers begin spread over the time that one takes,
// so that there is always one that has just begun, and one that is about to end.
func (l *load) repeat(ctx context.Context, i, clients int, takes time.Duration, fetch func(ctx context.Context, i int)) {
	first := time.NewTimer(min(takes, l.Duration/4) * time.Duration(i) / time.Duration(clients))
	defer first.Stop()
	select {
	case <-first.C:
	case <-ctx.Done():
		return
	}
	for ctx.Err() == nil {
		fetch(context.WithoutCancel(ctx), i)
	}
}

// until waits for a moment.
func until(moment time.Time) {
	if wait := time.Until(moment); wait > 0 {
		<-time.After(wait)
	}
}
