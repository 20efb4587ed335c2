// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
)

// allowDescriptors lets this process, and those that it starts, have n open files.
func allowDescriptors(t *testing.T, n uint64) {
	t.Helper()
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	limit.Cur, limit.Max = max(limit.Cur, n), max(limit.Max, n)
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatalf("this test needs %d descriptors: %v; raise the hard limit (ulimit -Hn)", n, err)
	}
}

// dialFrom connects from an address of the loopback network.
func dialFrom(ctx context.Context, from net.IP, address string) (net.Conn, error) {
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: from}}
	c, err := dialer.DialContext(ctx, "tcp", address)
	if err == nil {
		err = c.SetDeadline(time.Now().Add(patience))
	}
	return c, err
}

// ask sends a request on a connection and reads the answer.
func ask(c net.Conn, method, path string) (string, error) {
	if _, err := fmt.Fprintf(c, "%s %s HTTP/1.1\r\nHost: x\r\n\r\n", method, path); err != nil {
		return "", err
	}
	r, err := http.ReadResponse(bufio.NewReaderSize(c, 512), &http.Request{Method: method})
	if err != nil {
		return "", err
	}
	defer func() { _ = r.Body.Close() }() // it was only read
	b, err := io.ReadAll(r.Body)
	if err == nil && r.StatusCode != http.StatusOK {
		err = fmt.Errorf("status %d: %s", r.StatusCode, b)
	}
	return string(b), err
}

// metric returns what /metrics says of one series, written as there.
func (s *service) metric(series string) float64 {
	s.t.Helper()
	_, text := s.getHTTP(s.api, "/metrics")
	m := regexp.MustCompile("(?m)^" + regexp.QuoteMeta(series) + " (.*)$").FindStringSubmatch(text)
	if m == nil {
		s.t.Fatalf("/metrics has no %s", series)
	}
	value, err := strconv.ParseFloat(m[1], 64)
	if err != nil {
		s.t.Fatal(err)
	}
	return value
}

// resident returns the memory of the process in KiB; 0 where the system does not tell.
func (s *service) resident() int {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	if m := regexp.MustCompile(`VmRSS:\s+(\d+) kB`).FindSubmatch(text); m != nil {
		n, _ := strconv.Atoi(string(m[1]))
		return n
	}
	return 0
}

// TestTenThousandIdleConnections fills the server with connections that were used once. A new client is served: the one
// that has been idle longest makes room.
func TestTenThousandIdleConnections(t *testing.T) {
	const all, workers = 10_000, 20 // each worker is a client of its own
	allowDescriptors(t, all+1000)
	dir, files := sample(t)
	s := start(t, "--manifests="+dir, "--files-dir="+files, fmt.Sprintf("--http-max-connections=%d", all), "--http-idle-timeout=1h")
	kernel := "/artifacts/sha256/" + digest("kernel") + "/vmlinuz"
	if status, body := s.getHTTP(s.http, kernel); status != http.StatusOK {
		t.Fatal(status, body)
	}
	http.DefaultClient.CloseIdleConnections()
	waiting := func(want float64) {
		t.Helper()
		eventually(t, func() string {
			if got := s.metric(`netboot_http_connections{state="waiting"}`); got != want {
				return fmt.Sprintf("%v connections wait, want %v", got, want)
			}
			return ""
		})
	}
	waiting(0)

	before := s.resident()
	conns := make([]net.Conn, all)
	defer func() {
		for _, c := range conns {
			if c != nil {
				_ = c.Close() // nothing is under way
			}
		}
	}()
	open := func(i int) (err error) {
		if conns[i], err = dialFrom(t.Context(), net.IPv4(127, 0, 1, byte(1+i%workers)), s.http); err != nil {
			return err
		}
		_, err = ask(conns[i], http.MethodHead, kernel)
		return err
	}
	if err := open(0); err != nil { // this one waits longest
		t.Fatal(err)
	}
	began := time.Now()
	var group errgroup.Group
	for worker := range workers {
		group.Go(func() error {
			for i := worker; i < all; i += workers {
				if i == 0 {
					continue
				}
				if err := open(i); err != nil {
					return fmt.Errorf("connection %d: %w", i, err)
				}
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	waiting(all)
	after := s.resident()
	t.Logf("%d idle connections within %v: %d MiB resident before, %d MiB with them, %.1f KiB for each",
		all, time.Since(began).Round(time.Millisecond), before>>10, after>>10, float64(after-before)/all)

	fresh, err := dialFrom(t.Context(), net.IPv4(127, 0, 2, 1), s.http)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = fresh.Close() }()
	if body, err := ask(fresh, http.MethodGet, kernel); body != "kernel" || err != nil {
		t.Errorf("a new client got %q, %v", body, err)
	}
	if n, err := conns[0].Read(make([]byte, 1)); n != 0 || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the connection that waited longest: %d, %v; want it closed", n, err)
	}
	for _, i := range []int{1, all / 2, all - 1} {
		if body, err := ask(conns[i], http.MethodGet, kernel); body != "kernel" || err != nil {
			t.Errorf("connection %d got %q, %v", i, body, err)
		}
	}
	if got := s.metric(`netboot_http_connections_evicted_total{limit="total"}`); got != 1 {
		t.Errorf("%v connections had to make room, want 1", got)
	}
}

// A siege is how many connections attackers may still open. More than the server has room for, between a machine's connection
// and its request, would put the machine out: how many that are is a matter of the computer's speed.
type siege struct {
	mu   sync.RWMutex // held for reading while one is opened
	left atomic.Int64
}

// allow returns when none is being opened that was allowed before.
func (s *siege) allow(n int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.left.Store(n)
}

func (s *siege) dial(ctx context.Context, from net.IP, address string) (net.Conn, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.left.Add(-1) < 0 {
		return nil, errors.New("not now")
	}
	return dialFrom(ctx, from, address)
}

// TestSlowloris has clients hold as many connections as they can, by requests that trickle in. Others are served meanwhile,
// every time.
func TestSlowloris(t *testing.T) {
	const attackers, limit, machines = 400, 200, 15
	allowDescriptors(t, 4000)
	dir, files := sample(t)
	s := start(t, "--manifests="+dir, "--files-dir="+files, fmt.Sprintf("--http-max-connections=%d", limit), "--http-header-timeout=20s")
	kernel := "/artifacts/sha256/" + digest("kernel") + "/vmlinuz"

	ctx, stop := context.WithCancel(t.Context())
	var group sync.WaitGroup
	defer group.Wait()
	defer stop()
	var attack siege
	for i := range attackers {
		group.Go(func() {
			tick := time.NewTicker(50 * time.Millisecond)
			defer tick.Stop()
			for ctx.Err() == nil {
				attack.trickle(ctx, net.IPv4(127, 0, 3, byte(1+i%100)), s.http, tick.C)
				<-tick.C
			}
		})
	}
	evicted := `netboot_http_connections_evicted_total{limit="total"}`
	began := time.Now()
	for i := range machines {
		before := s.metric(evicted)
		attack.allow(1 << 40)
		eventually(t, func() string {
			if s.metric(evicted) == before {
				return "no connection has to make room"
			}
			return ""
		})
		attack.allow(limit / 2)
		c, err := dialFrom(t.Context(), net.IPv4(127, 0, 4, byte(1+i)), s.http)
		if err != nil {
			t.Fatal(err)
		}
		body, err := ask(c, http.MethodGet, kernel)
		_ = c.Close() // it was used
		if body != "kernel" || err != nil {
			t.Fatalf("machine %d got %q, %v", i, body, err)
		}
	}
	t.Logf("%d machines were served in %v beside %d slow clients; %v connections had to make room",
		machines, time.Since(began).Round(time.Millisecond), attackers, s.metric(evicted))
}

// trickle opens a connection, and sends a byte of a request that never ends with each tick, until the server closes.
func (s *siege) trickle(ctx context.Context, from net.IP, address string, tick <-chan time.Time) {
	c, err := s.dial(ctx, from, address)
	if err != nil {
		return // not now, or the test is over
	}
	defer func() { _ = c.Close() }() // nothing was asked for
	if _, err := io.WriteString(c, "GET /pxelinux.0 HTTP/1.1\r\nX: "); err != nil {
		return
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick:
		}
		if _, err := c.Write([]byte("a")); err != nil {
			return
		}
	}
}

// TestClientsThatReadNothing ask for a large file. The server gives up each of them, and keeps nothing open for it.
func TestClientsThatReadNothing(t *testing.T) {
	const clients, size = 64, 64 << 20
	files := t.TempDir()
	large, err := os.Create(filepath.Join(files, "large.img"))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(large.Truncate(size), large.Close()); err != nil {
		t.Fatal(err)
	}
	dir := manifests(t, map[string]string{"profile.yaml": `
apiVersion: netboot.dev/v1alpha1
kind: BootProfile
metadata: {name: large}
spec:
  platforms:
  - architecture: amd64
    kernel: {url: "file:///large.img", insecureSkipVerify: true}
  files:
  - {path: large.img, url: "file:///large.img", insecureSkipVerify: true}
`})
	s := start(t, "--manifests="+dir, "--files-dir="+files, "--http-stall-timeout=200ms")
	for i := range clients {
		c, err := dialFrom(t.Context(), net.IPv4(127, 0, 5, byte(1+i)), s.http)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = c.Close() }()
		if _, err := io.WriteString(c, "GET /default/large/large.img HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, func() string {
		stalled, open := s.metric("netboot_http_stalled_total"), s.metric(`netboot_http_connections{state="serving"}`)
		if stalled != clients || open != 0 {
			return fmt.Sprintf("%v clients were given up, %v are being served; want %d and 0", stalled, open, clients)
		}
		return ""
	})
}
