// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package web_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/netboot-operator/netboot-operator/pkg/web"
)

// A gate is a handler whose answers to /wait come when it is opened.
type gate struct{ open chan struct{} }

func newGate() gate { return gate{make(chan struct{})} }

func (g gate) serve(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/wait" {
		select {
		case <-g.open:
		case <-r.Context().Done():
		}
	}
	hello(w, r)
}

// wait sends a request whose answer has to wait, and returns when the server knows.
func (s *lab) wait(t *testing.T, c net.Conn) {
	t.Helper()
	before := s.values(t)["connections serving"]
	send(t, c, "GET /wait HTTP/1.1\r\nHost: x\r\n\r\n")
	s.wantMetrics(t, map[string]float64{"connections serving": before + 1})
}

// The connection that has waited longest makes room for a new one, whether it is idle, was never used, or trickles in; one
// that is being served stays.
func TestTheOneThatWaitedLongestMakesRoom(t *testing.T) {
	g := newGate()
	s := newLab(t, g.serve, web.Options{MaxConnections: 4})
	served, idle, unused, trickle := s.dial(t, ""), s.dial(t, ""), s.dial(t, ""), s.dial(t, "")
	s.wantMetrics(t, map[string]float64{"connections waiting": 4})
	s.wait(t, served)
	send(t, trickle, "GET / HT")
	if status, _ := ask(t, idle, "/"); status != http.StatusOK { // it waits since now
		t.Fatal(status)
	}
	s.wantMetrics(t, map[string]float64{"connections waiting": 3, "connections serving": 1})

	for i, victim := range []net.Conn{unused, trickle, idle} {
		fresh := s.dial(t, "")
		if status, _ := ask(t, fresh, "/"); status != http.StatusOK {
			t.Errorf("new connection %d: status %d", i, status)
		}
		wantClosed(t, victim)
		s.wantMetrics(t, map[string]float64{"connections_evicted_total total": float64(i + 1), "connections waiting": 3, "connections serving": 1})
	}
	close(g.open)
	if status, body := hear(t, served); status != http.StatusOK || body != "hello" {
		t.Errorf("the one that was being served: %d %q", status, body)
	}
}

// A client that has one connection keeps it, however many others come and go.
func TestClientsWithManyMakeRoomFirst(t *testing.T) {
	s := newLab(t, hello, web.Options{MaxConnections: 4})
	modest := s.dial(t, "127.0.0.2")
	s.wantMetrics(t, map[string]float64{"connections waiting": 1})
	for i := range 10 {
		s.dial(t, "127.0.0.3")
		s.wantMetrics(t, map[string]float64{"connections_total": float64(i + 2), "connections_evicted_total total": float64(max(0, i-2))})
	}
	if status, _ := ask(t, modest, "/"); status != http.StatusOK {
		t.Errorf("the modest one: status %d", status)
	}
}

// Where all are being served, a new client waits until one has been, instead of being sent away.
func TestNewClientsWaitWhileAllAreServed(t *testing.T) {
	g := newGate()
	s := newLab(t, g.serve, web.Options{MaxConnections: 2})
	one, two := s.dial(t, ""), s.dial(t, "")
	s.wait(t, one)
	s.wait(t, two)
	third := s.dial(t, "")
	send(t, third, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	_ = third.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	if n, err := third.Read(make([]byte, 1)); n != 0 {
		t.Errorf("the third was answered: %v", err)
	}
	_ = third.SetReadDeadline(time.Now().Add(patience))
	s.wantMetrics(t, map[string]float64{"connections serving": 2, "connections_total": 2})

	close(g.open)
	if status, _ := hear(t, third); status != http.StatusOK {
		t.Errorf("the third: status %d", status)
	}
}

// A server that waits for room can stop.
func TestShutdownWhileAllAreServed(t *testing.T) {
	g := newGate()
	s := newLab(t, g.serve, web.Options{MaxConnections: 1, ShutdownGrace: patience})
	one := s.dial(t, "")
	s.wait(t, one)
	second := s.dial(t, "")
	s.stop()
	wantClosed(t, second)
	close(g.open)
	if status, _ := hear(t, one); status != http.StatusOK {
		t.Errorf("the one that was being served: status %d", status)
	}
}

// One client can't take more than its part, and takes it from nobody but itself.
func TestClientsHaveTheirPart(t *testing.T) {
	g := newGate()
	s := newLab(t, g.serve, web.Options{MaxConnections: 100, MaxConnectionsPerClient: 2})
	neighbour := s.dial(t, "127.0.0.2")
	s.wantMetrics(t, map[string]float64{"connections_total": 1}) // it has waited longest of all
	greedy := []net.Conn{s.dial(t, "127.0.0.3"), s.dial(t, "127.0.0.3"), s.dial(t, "127.0.0.3")}
	wantClosed(t, greedy[0])
	s.wantMetrics(t, map[string]float64{"connections_evicted_total client": 1, "connections waiting": 3})

	s.wait(t, greedy[1])
	s.wait(t, greedy[2])
	wantClosed(t, s.dial(t, "127.0.0.3"))
	s.wantMetrics(t, map[string]float64{"connections_refused_total client": 1})
	if !strings.Contains(s.logged(), "Connection refused") {
		t.Errorf("the log says %q", s.logged())
	}
	if status, _ := ask(t, neighbour, "/"); status != http.StatusOK {
		t.Errorf("the neighbour: status %d", status)
	}
	close(g.open)
	for _, c := range greedy[1:] {
		if status, _ := hear(t, c); status != http.StatusOK {
			t.Errorf("the greedy one: status %d", status)
		}
	}
}

// A poor listener has no descriptor now and then.
type poor struct {
	net.Listener
	failures atomic.Int32
}

func (l *poor) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err == nil && l.failures.Add(-1) >= 0 {
		_ = c.Close()
		return nil, &net.OpError{Op: "accept", Err: syscall.EMFILE}
	}
	return c, err
}

func TestWithoutDescriptorsTheOneThatWaitedLongestMakesRoom(t *testing.T) {
	var l *poor
	s := newLabOn(t, hello, web.Options{}, nil, func(inner net.Listener) net.Listener {
		l = &poor{Listener: inner}
		return l
	})
	idle := s.dial(t, "")
	s.wantMetrics(t, map[string]float64{"connections waiting": 1})
	l.failures.Store(1)
	wantClosed(t, s.dial(t, ""))
	wantClosed(t, idle)
	s.wantMetrics(t, map[string]float64{"connections_evicted_total descriptors": 1, "connections waiting": 0})
	if status, _ := ask(t, s.dial(t, ""), "/"); status != http.StatusOK {
		t.Errorf("status %d", status)
	}
}

// What a client does not send, or does not take, ends. The server needs no more than the timeouts for it; the test waits
// as long as it has to.
func TestSlowClients(t *testing.T) {
	const short = 100 * time.Millisecond
	for name, tc := range map[string]struct {
		options web.Options
		send    string
	}{
		"nothing is sent":        {options: web.Options{HeaderTimeout: short}},
		"half of a line":         {options: web.Options{HeaderTimeout: short}, send: "GET / HT"},
		"headers without an end": {options: web.Options{HeaderTimeout: short}, send: "GET / HTTP/1.1\r\nHost: x\r\n"},
		"a second request, half": {options: web.Options{HeaderTimeout: short}, send: "GET / HTTP/1.1\r\nHost: x\r\n\r\nGET /"},
		"idle":                   {options: web.Options{IdleTimeout: short}, send: "GET / HTTP/1.1\r\nHost: x\r\n\r\n"},
		"a body that is missing": {
			options: web.Options{HeaderTimeout: short}, send: "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n123",
		},
		"a body in chunks that is missing": {
			options: web.Options{HeaderTimeout: short}, send: "GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n123",
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newLab(t, hello, tc.options)
			c := s.dial(t, "")
			if _, err := io.WriteString(c, tc.send); err != nil && !errors.Is(err, syscall.EPIPE) && !errors.Is(err, syscall.ECONNRESET) {
				t.Fatal(err) // those two: its time was over before it had sent anything
			}
			if _, err := io.ReadAll(c); err != nil && !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("reading until the server closes: %v", err)
			}
			s.wantMetrics(t, map[string]float64{"connections_total": 1, "connections waiting": 0, "connections serving": 0})
		})
	}
}

// A header as long as the server allows is read, and a longer one is not.
func TestLongHeaders(t *testing.T) {
	s := newLab(t, hello, web.Options{})
	for size, want := range map[int]int{15 << 10: 200, 24 << 10: 431} {
		c := s.dial(t, "")
		send(t, c, "GET / HTTP/1.1\r\nHost: x\r\nX: "+strings.Repeat("a", size)+"\r\n\r\n")
		if status, _ := hear(t, c); status != want {
			t.Errorf("%d bytes: status %d, want %d", size, status, want)
		}
	}
}

// A client that takes nothing of its answer is cut off, whether the answer is a file or made.
func TestStalledReaders(t *testing.T) {
	const size = 64 << 20 // more than the system's buffers hold
	for name, content := range map[string]io.ReadSeeker{
		"a file":   sparse(t, size),
		"a stream": struct{ io.ReadSeeker }{bytes.NewReader(make([]byte, size))},
	} {
		t.Run(name, func(t *testing.T) {
			failed := make(chan error, 1)
			s := newLab(t, func(w http.ResponseWriter, _ *http.Request) {
				_, err := io.Copy(w, content)
				failed <- err
			}, web.Options{StallTimeout: 50 * time.Millisecond})
			c := s.dial(t, "")
			send(t, c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
			var err error
			select {
			case err = <-failed:
			case <-time.After(patience):
				t.Fatal("the answer has not ended")
			}
			if err == nil || !strings.Contains(err.Error(), "the client took less than 1 MiB in 50ms") {
				t.Errorf("the answer ended with %v", err)
			}
			s.wantMetrics(t, map[string]float64{"stalled_total": 1, "connections waiting": 0, "connections serving": 0})
		})
	}
}

// sparse returns an open file of zeros that takes no room.
func sparse(t *testing.T, size int64) *os.File {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "sparse"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() }) // nothing was written
	if err := f.Truncate(size); err != nil {
		t.Fatal(err)
	}
	return f
}
