// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package boot_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/netboot-operator/netboot-operator/pkg/artifact"
	"github.com/netboot-operator/netboot-operator/pkg/boot"
	"github.com/netboot-operator/netboot-operator/pkg/index"
)

// A turnstile counts those who wait for an artifact.
type turnstile struct {
	boot.Artifacts

	waiting atomic.Int64
}

func (s *turnstile) Open(ctx context.Context, a *index.Artifact) (*artifact.File, error) {
	s.waiting.Add(1)
	return s.Artifacts.Open(ctx, a)
}

// TestStorm has a hall of machines that were switched on together ask for a file that is not in the cache. All of them wait
// before its first byte has come. Each byte that a client gets is compared with the original's: that says more than a digest.
func TestStorm(t *testing.T) {
	const clients, size = 1000, stormBytes
	content := make([]byte, size)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(content) // it doesn't fail
	gate := make(chan struct{})
	var asked atomic.Int64
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		<-gate
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(content))
	}))
	t.Cleanup(upstream.Close)
	queue := &turnstile{}
	s := newSite(t, nil, func(o *boot.Options) {
		queue.Artifacts = o.Artifacts
		o.Artifacts = queue
	})
	a := index.Artifact{Field: "kernel", URLs: []string{upstream.URL + "/vmlinuz"}, SHA256: digest(string(content))}
	s.index.PutProfile(&index.Profile{Key: "lab/storm", Files: []index.File{{Path: "vmlinuz", Artifact: a}}})

	buffers := make(chan *buffer, runtime.GOMAXPROCS(0))
	for range cap(buffers) {
		buffers <- new(buffer)
	}
	before := heap()
	var served sync.WaitGroup
	var failures atomic.Int64
	for range clients {
		served.Go(func() {
			if err := fetchAndCompare(buffers, s.http.String(), a.Path(), content); err != nil && failures.Add(1) <= 3 {
				t.Error(err)
			}
		})
	}
	if !eventually(func() bool { return queue.waiting.Load() == clients && asked.Load() == 1 }) {
		t.Errorf("%d clients wait and the upstream was asked %d times, want %d and once", queue.waiting.Load(), asked.Load(), clients)
	}
	close(gate)
	most, stop, watched := before, make(chan struct{}), make(chan struct{})
	go func() {
		defer close(watched)
		ticks := time.NewTicker(50 * time.Millisecond)
		defer ticks.Stop()
		for {
			select {
			case <-ticks.C:
				most = max(most, heap())
			case <-stop:
				return
			}
		}
	}()
	served.Wait()
	close(stop)
	<-watched

	if got := failures.Load(); got > 0 {
		t.Errorf("%d of %d clients did not get the file", got, clients)
	}
	if got := asked.Load(); got != 1 {
		t.Errorf("the upstream was asked %d times, want once", got)
	}
	// The clients' goroutines are in it, too.
	const room = 96 << 10 // for each client: net/http takes 40 KiB, also where sendfile does the work
	if grown := most - before; grown > clients*room {
		t.Errorf("the heap grew by %d KiB a client", grown>>10/clients)
	}
	t.Logf("%d clients of one file of %d MiB: heap %d MiB before (the original is in it), %d MiB at most; %s",
		clients, size>>20, before>>20, most>>20, residentSize(t))
}

// heap returns the bytes in use.
func heap() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapInuse + m.StackInuse
}

// residentSize returns what the system says about this process's memory.
func residentSize(t *testing.T) string {
	t.Helper()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	var said []string
	for line := range strings.Lines(string(status)) {
		if strings.HasPrefix(line, "VmRSS:") || strings.HasPrefix(line, "VmHWM:") {
			said = append(said, strings.Join(strings.Fields(line), " "))
		}
	}
	return strings.Join(said, ", ")
}

// A buffer is what a client reads into, which has one only while there is something to read: what the test counts is the
// server's memory.
type buffer [256 << 10]byte

// fetchAndCompare gets a file by HTTP.
func fetchAndCompare(buffers chan *buffer, server, path string, want []byte) error {
	conn, err := (&net.Dialer{}).DialContext(context.Background(), "tcp", server)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	if _, err := fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: netboot\r\nConnection: close\r\n\r\n", path); err != nil {
		return err
	}
	raw, err := conn.(*net.TCPConn).SyscallConn()
	if err != nil {
		return err
	}
	rest, inBody := want, false
	for ended := false; !ended; {
		var failed error
		if err := raw.Read(func(fd uintptr) bool {
			b := <-buffers
			defer func() { buffers <- b }()
			n, err := syscall.Read(int(fd), b[:])
			switch {
			case errors.Is(err, syscall.EAGAIN) || errors.Is(err, syscall.EINTR):
				return false
			case err != nil:
				failed = err
				return true
			}
			got := b[:n]
			if !inBody { // the head comes in one piece, for net/http buffers it
				head, body, _ := bytes.Cut(got, []byte("\r\n\r\n"))
				if !bytes.HasPrefix(head, []byte("HTTP/1.1 200 ")) || !bytes.Contains(head, fmt.Appendf(nil, "Content-Length: %d\r\n", len(want))) {
					failed = fmt.Errorf("answered %q", head)
				}
				got, inBody = body, true
			}
			if !bytes.HasPrefix(rest, got) && failed == nil {
				failed = fmt.Errorf("a wrong byte after %d", len(want)-len(rest))
			}
			rest, ended = rest[min(len(got), len(rest)):], n == 0
			return true
		}); err != nil {
			return err
		}
		if failed != nil {
			return failed
		}
	}
	if len(rest) > 0 {
		return fmt.Errorf("ended after %d bytes", len(want)-len(rest))
	}
	return nil
}
