// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package web_test

import (
	"bufio"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/netboot-operator/netboot-operator/pkg/web"
)

// patience bounds the wait for what takes milliseconds, but where others have all the processors.
const patience = 2 * time.Minute

// A lab is a server on a socket of the loopback interface.
type lab struct {
	address  string
	registry *prometheus.Registry

	stop  context.CancelFunc
	ended chan error

	mu  sync.Mutex
	log strings.Builder
}

// newLab starts a server. When the test ends, it stops, and has left no goroutine behind.
func newLab(t *testing.T, handler http.HandlerFunc, o web.Options) *lab {
	t.Helper()
	return newLabOn(t, handler, o, nil, func(l net.Listener) net.Listener { return l })
}

func newLabOn(t *testing.T, handler http.HandlerFunc, o web.Options, config *tls.Config, wrap func(net.Listener) net.Listener) *lab {
	t.Helper()
	before := runtime.NumGoroutine()
	t.Cleanup(func() {
		eventually(t, func() string {
			if n := runtime.NumGoroutine(); n > before {
				stacks := make([]byte, 1<<20)
				return fmt.Sprintf("%d goroutines run, %d did before:\n%s", n, before, stacks[:runtime.Stack(stacks, true)])
			}
			return ""
		})
	})
	s := &lab{registry: prometheus.NewRegistry(), ended: make(chan error, 1)}
	o.Registerer, o.Log = s.registry, s.logger()
	server, err := web.New(handler, o)
	if err != nil {
		t.Fatal(err)
	}
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.address = l.Addr().String()
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	s.stop = stop
	go func() { s.ended <- server.Serve(ctx, wrap(l), config) }()
	t.Cleanup(func() {
		stop()
		if err := <-s.ended; err != nil {
			t.Errorf("Serve() = %v", err)
		}
	})
	return s
}

func (s *lab) logger() logr.Logger {
	return funcr.New(func(_, line string) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.log.WriteString(line + "\n")
	}, funcr.Options{Verbosity: 1})
}

func (s *lab) logged() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.log.String()
}

// dial connects, from an address of the loopback network if one is given. The connection is closed with the test.
func (s *lab) dial(t *testing.T, from string) net.Conn {
	t.Helper()
	dialer := net.Dialer{}
	if from != "" {
		dialer.LocalAddr = &net.TCPAddr{IP: net.ParseIP(from)}
	}
	c, err := dialer.DialContext(t.Context(), "tcp", s.address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() }) // it may be closed
	_ = c.SetDeadline(time.Now().Add(patience))
	return c
}

// ask sends a request on a connection, and returns its status and its answer.
func ask(t *testing.T, c net.Conn, path string) (int, string) {
	t.Helper()
	send(t, c, "GET "+path+" HTTP/1.1\r\nHost: x\r\n\r\n")
	return hear(t, c)
}

func send(t *testing.T, c net.Conn, text string) {
	t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
}

// hear reads an answer.
func hear(t *testing.T, c net.Conn) (int, string) {
	t.Helper()
	r, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Body.Close() }() // it was only read
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return r.StatusCode, string(body)
}

// wantClosed waits until the server has closed a connection on which it had nothing to say.
func wantClosed(t *testing.T, c net.Conn) {
	t.Helper()
	if got, err := io.ReadAll(c); errors.Is(err, os.ErrDeadlineExceeded) || len(got) > 0 {
		t.Errorf("the connection brought %q, %v; want it closed", got, err)
	}
}

// eventually waits until check returns "", and fails with what it returned last.
func eventually(t *testing.T, check func() string) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); ; <-tick.C {
		problem := check()
		if problem == "" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("after %v still: %s", patience, problem)
		}
	}
}

// wantMetrics waits until metrics have values. Their names are without the common beginning, with labels.
func (s *lab) wantMetrics(t *testing.T, want map[string]float64) {
	t.Helper()
	eventually(t, func() string {
		got := s.values(t)
		for name, value := range want {
			if got[name] != value {
				return fmt.Sprintf("%s is %v, want %v", name, got[name], value)
			}
		}
		return ""
	})
}

// values returns all metrics, as "name label label".
func (s *lab) values(t *testing.T) map[string]float64 {
	t.Helper()
	families, err := s.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			name := []string{strings.TrimPrefix(f.GetName(), "netboot_http_")}
			for _, l := range m.GetLabel() {
				name = append(name, l.GetValue())
			}
			all[strings.Join(name, " ")] = m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	return all
}

func hello(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/status/404":
		w.WriteHeader(http.StatusNotFound)
	case "/status/418":
		w.WriteHeader(http.StatusTeapot)
	case "/abort":
		panic(http.ErrAbortHandler)
	case "/silent":
	default:
		_, _ = io.WriteString(w, "hello")
	}
}

func TestRequestsAreCounted(t *testing.T) {
	s := newLab(t, hello, web.Options{})
	c := s.dial(t, "")
	for path, want := range map[string]int{"/": 200, "/silent": 200, "/status/404": 404, "/status/418": 418} {
		if status, _ := ask(t, c, path); status != want {
			t.Errorf("GET %s: %d, want %d", path, status, want)
		}
	}
	send(t, c, "HEAD / HTTP/1.1\r\nHost: x\r\n\r\nBREW / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
	_, _ = io.ReadAll(c) // until it is closed
	cut := s.dial(t, "")
	send(t, cut, "GET /abort HTTP/1.1\r\nHost: x\r\n\r\n")
	wantClosed(t, cut)

	s.wantMetrics(t, map[string]float64{
		"requests_total 200 GET": 2, "requests_total 404 GET": 1, "requests_total other GET": 1, "requests_total none GET": 1,
		"requests_total 200 HEAD": 1, "requests_total 200 other": 1,
		"connections_total": 2, "connections waiting": 0, "connections serving": 0,
	})
	if sent := s.values(t)["sent_bytes_total"]; sent < 5*100 || sent > 3000 {
		t.Errorf("sent_bytes_total is %v", sent)
	}
}

func TestMetricsAreAsPrometheusWantsThem(t *testing.T) {
	s := newLab(t, hello, web.Options{})
	problems, err := testutil.GatherAndLint(s.registry)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
	if got, err := testutil.GatherAndCount(s.registry, "netboot_http_requests_total"); got != 39 || err != nil {
		t.Errorf("netboot_http_requests_total has %d series from the start, %v, want 39", got, err)
	}
}

func TestOptionsOutOfBounds(t *testing.T) {
	for name, o := range map[string]web.Options{
		"MaxConnections":          {MaxConnections: -1},
		"MaxConnectionsPerClient": {MaxConnectionsPerClient: web.MaxConnections + 1},
		"HeaderTimeout":           {HeaderTimeout: -time.Second},
		"IdleTimeout":             {IdleTimeout: time.Microsecond},
		"StallTimeout":            {StallTimeout: 2 * time.Hour},
	} {
		if _, err := web.New(http.NotFoundHandler(), o); err == nil || !strings.HasPrefix(err.Error(), name+" is ") {
			t.Errorf("New() with %s out of bounds: %v", name, err)
		}
	}
}

// A recorder notes what the connections that it takes are given to send. What reaches the ReadFrom of a TCP connection as
// an [os.File], or as a part of one, the kernel sends (sendfile).
type recorder struct {
	net.Listener

	mu    sync.Mutex
	files int64 // bytes
}

func (l *recorder) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &recorded{c.(*net.TCPConn), l}, nil
}

type recorded struct {
	*net.TCPConn
	by *recorder
}

func (c *recorded) ReadFrom(r io.Reader) (int64, error) {
	part, _ := r.(*io.LimitedReader)
	_, isFile := part.R.(*os.File)
	n, err := c.TCPConn.ReadFrom(r)
	if isFile {
		c.by.mu.Lock()
		c.by.files += n
		c.by.mu.Unlock()
	}
	return n, err
}

// TestFilesAreSentByTheKernel serves a file that is longer than several strides, with an odd end.
func TestFilesAreSentByTheKernel(t *testing.T) {
	content := make([]byte, 5<<20+12345)
	for i := range content {
		content[i] = byte(i * i >> 7)
	}
	file := filepath.Join(t.TempDir(), "kernel")
	if err := os.WriteFile(file, content, 0o600); err != nil {
		t.Fatal(err)
	}
	var calls *recorder
	s := newLabOn(t, func(w http.ResponseWriter, r *http.Request) {
		f, err := os.Open(file)
		if err != nil {
			t.Error(err)
			return
		}
		defer func() { _ = f.Close() }() // it was only read
		http.ServeContent(w, r, "kernel", time.Time{}, f)
	}, web.Options{}, nil, func(l net.Listener) net.Listener {
		calls = &recorder{Listener: l}
		return calls
	})
	status, body := ask(t, s.dial(t, ""), "/")
	if status != http.StatusOK || sha256.Sum256([]byte(body)) != sha256.Sum256(content) {
		t.Errorf("status %d, %d bytes; want 200 and the file", status, len(body))
	}
	calls.mu.Lock()
	defer calls.mu.Unlock()
	if want := int64(len(content)); calls.files != want {
		t.Errorf("%d bytes were sent from the file, want %d", calls.files, want)
	}
}

// Answers under way end within the grace, and no new request is taken.
func TestShutdown(t *testing.T) {
	for name, tc := range map[string]struct {
		grace  time.Duration
		finish bool
		want   string
	}{
		"an answer that ends in time":   {grace: patience, finish: true, want: "the end"},
		"an answer that takes too long": {grace: time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			began, finish := make(chan struct{}), make(chan struct{})
			s := newLab(t, func(w http.ResponseWriter, r *http.Request) {
				close(began)
				select {
				case <-finish:
					_, _ = io.WriteString(w, "the end")
				case <-r.Context().Done():
				}
			}, web.Options{ShutdownGrace: tc.grace})
			busy, idle := s.dial(t, ""), s.dial(t, "")
			send(t, busy, "GET / HTTP/1.0\r\n\r\n")
			<-began
			s.stop()
			if tc.finish {
				eventually(t, func() string {
					if c, err := net.Dial("tcp", s.address); err == nil { //nolint:noctx // refused at once
						_ = c.Close()
						return "connections are taken"
					}
					return ""
				})
				close(finish)
			}
			got, _ := io.ReadAll(busy) // cut, or not
			if _, body, _ := strings.Cut(string(got), "\r\n\r\n"); body != tc.want {
				t.Errorf("the answer is %q, want %q", body, tc.want)
			}
			if !tc.finish {
				wantClosed(t, idle)
			}
		})
	}
}
