// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package tftp

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

var soakSessions = flag.Int("soak", 20_000, "sessions of TestSoak; 10000 and more") //nolint:gochecknoglobals // a flag of the test binary

const (
	soakWorkers = 128
	soakSockets = 2
	// soakPatience is how long a client that must be served tries: there may be more to do than the machine can.
	soakPatience = 5 * patience
	// soakSlack is how much more memory may be in use afterwards, in bytes: for what has a bound of its own, such as the
	// addresses that a server remembers.
	soakSlack = 12 << 20
)

// A soak has one server and many clients, of which most mean no good. Each has a number, which is in the names that it asks
// for, so that its requests can be counted: the bad ones from 1 to sessions, the good ones share sessions+1. 0 stands for
// names without a number.
type soak struct {
	t        *testing.T
	sessions int
	ports    Ports
	port     uint16
	data     []byte
	next     atomic.Int64 // number
	used     atomic.Int64 // ports that clients have had
	counts   []soakCount  // by number
	bodies   atomic.Int64 // open ones

	mu       sync.Mutex
	outcomes map[Outcome]int
}

// A soakCount is what became of the requests with one number. Of those that are taken up without asking the handler, an
// overfull socket may lose some: that one came in is known only when the client hears so.
type soakCount struct {
	opened  atomic.Int32 // by the handler
	unasked atomic.Int32 // sent, that are taken up without asking the handler, or may be
	refused atomic.Int32 // of those, the client was told
	records atomic.Int32
}

// Clients that lie, vanish, flood and babble, and handlers and bodies that fail in every way, do no harm: a well-behaved
// client gets its bytes all the while, each request that was taken up gets one record, and in the end all that was taken is
// given back.
func TestSoak(t *testing.T) {
	for name, tc := range map[string]struct {
		ports Ports
		share int // of the sessions: one in so many
	}{
		"shared port":        {Ports{}, 1},
		"ports of their own": {Ports{mode: portsEphemeral}, 10},
	} {
		t.Run(name, func(t *testing.T) {
			sessions := *soakSessions / tc.share
			s := &soak{
				t: t, sessions: sessions, ports: tc.ports, data: contents(300_000), counts: make([]soakCount, sessions+2),
				outcomes: map[Outcome]int{},
			}
			s.run()
		})
	}
}

func (s *soak) run() {
	s.used.Store(rand.Int64N(1 << 32)) // away from those of this test elsewhere
	before := takeStock(s.t)
	server, stop := s.serve()
	good := make(chan struct{})
	var goodClient, workers sync.WaitGroup
	goodClient.Go(func() { s.behave(good) })
	for n := range soakWorkers {
		workers.Go(func() { s.misbehave(rand.New(rand.NewPCG(1, uint64(n)))) })
	}
	workers.Wait()
	close(good)
	goodClient.Wait()
	s.catchUp()
	stop()

	s.checkCounts(server)
	before.checkBack(s.t)
	s.t.Logf("%d sessions: %v; %v packets lost", s.sessions, s.outcomes, testutil.ToFloat64(server.metrics.overflows))
	runtime.KeepAlive(server) // what it holds counts
}

// serve starts the server. stop stops it while clients are still being served.
func (s *soak) serve() (server *Server, stop func()) {
	s.t.Helper()
	server, err := New(s, Options{
		MaxUnproven: 1024, MaxTransfersPerClient: 1 << 20,
		RetransmitTimeout: 100 * time.Millisecond, MinRetransmitTimeout: 10 * time.Millisecond,
		Attempts: 3, IdleTimeout: time.Second, BodyTimeout: 5 * time.Second, ShutdownGrace: 300 * time.Millisecond,
		Ports: s.ports, CacheBytes: 4 << 20, Observe: s.observe, Registerer: prometheus.NewRegistry(),
	})
	if err != nil {
		s.t.Fatal(err)
	}
	conns, err := Listen(s.t.Context(), ":0", soakSockets)
	if err != nil {
		s.t.Fatal(err)
	}
	s.port = conns[0].LocalAddr().(*net.UDPAddr).AddrPort().Port()
	ctx, cancel := context.WithCancel(s.t.Context())
	var serving sync.WaitGroup
	for _, conn := range conns {
		serving.Go(func() {
			if err := server.Serve(ctx, conn); err != nil {
				s.t.Errorf("Serve() = %v", err)
			}
		})
	}
	return server, func() {
		cancel()
		serving.Wait()
	}
}

func (s *soak) observe(r Record) {
	n, _ := s.numberIn(r.Request.Name)
	s.counts[n].records.Add(1)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.outcomes[r.Outcome]++
}

// checkCounts compares the books.
func (s *soak) checkCounts(server *Server) {
	s.t.Helper()
	wrong := 0
	for n := range s.counts {
		c := &s.counts[n]
		got, opened := c.records.Load(), c.opened.Load()
		if least, most := opened+c.refused.Load(), opened+c.unasked.Load(); got < least || got > most {
			if wrong++; wrong <= 5 {
				s.t.Errorf("number %d: %d records for %d to %d requests", n, got, least, most)
			}
		}
	}
	if wrong > 5 {
		s.t.Errorf("%d more numbers have other records than requests", wrong-5)
	}
	for _, o := range []Outcome{
		OutcomeComplete, OutcomeLastACKLost, OutcomeProbe, OutcomeClientError, OutcomeTimeout, OutcomeNeverAnswered, OutcomeReplaced,
		OutcomeNotFound, OutcomeRefused, OutcomeShutdown, OutcomeFailed,
	} {
		if s.outcomes[o] == 0 {
			s.t.Errorf("no request ended with outcome %q", o)
		}
	}
	if n := s.bodies.Load(); n != 0 {
		s.t.Errorf("%d bodies were not closed, or closed twice", n)
	}
	if b := server.books; b.transfers != 0 || len(b.perClient) != 0 {
		s.t.Errorf("books hold %d transfers of %d clients", b.transfers, len(b.perClient))
	}
	m := server.metrics
	for name, c := range map[string]prometheus.Collector{
		"active transfers": m.active, "unproven transfers": m.unproven, "observations dropped": m.lostObservations,
	} {
		if n := testutil.ToFloat64(c); n != 0 {
			s.t.Errorf("%s: %v, want 0", name, n)
		}
	}
}

// A stock is what a process has.
type stock struct {
	goroutines, descriptors int
	heap                    uint64 // bytes
}

func takeStock(t *testing.T) stock {
	t.Helper()
	open, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	runtime.GC()
	runtime.GC() // the first one runs what was to be cleaned up
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return stock{runtime.NumGoroutine(), len(open), m.HeapAlloc}
}

// checkBack fails the test if there is more than before. A goroutine that has done its work takes a moment to be gone.
func (before stock) checkBack(t *testing.T) {
	t.Helper()
	for deadline := time.Now().Add(patience); runtime.NumGoroutine() > before.goroutines && time.Now().Before(deadline); {
		runtime.Gosched()
	}
	now := takeStock(t)
	if now.goroutines > before.goroutines || now.descriptors > before.descriptors || now.heap > before.heap+soakSlack {
		t.Errorf("%+v in use, before it were %+v", now, before)
	}
	t.Logf("in use before %+v, after %+v", before, now)
}

// behave fetches files one after the other.
func (s *soak) behave(until <-chan struct{}) {
	random := rand.New(rand.NewPCG(2, 2))
	for n := 0; ; n++ {
		select {
		case <-until:
			return
		default:
		}
		c := s.client(random, netip.MustParseAddr("127.0.0.1"), s.sessions+1)
		c.mustFetch(plainBodies()[n%len(plainBodies())], c.send)
		c.close()
	}
}

// catchUp asks from many ports, and so each socket, for a last answer: what came in before has then been dealt with.
func (s *soak) catchUp() {
	random := rand.New(rand.NewPCG(3, 3))
	for range 64 {
		c := s.client(random, netip.MustParseAddr("127.0.0.1"), s.sessions+1)
		c.mustFetch("memory", c.send)
		c.close()
	}
	// And this one is under way when the server stops: it has come in, and its handler waits.
	c := s.client(random, netip.MustParseAddr("127.0.0.1"), s.sessions+1)
	defer c.close()
	before := s.counts[s.sessions+1].opened.Load()
	for deadline := time.Now().Add(soakPatience); s.counts[s.sessions+1].opened.Load() == before; {
		if time.Now().After(deadline) {
			s.t.Error("a request that was sent again and again did not come in")
			return
		}
		c.request("blocks")
		c.hear(10 * time.Millisecond)
	}
}

// misbehave has one session after the other.
func (s *soak) misbehave(random *rand.Rand) {
	all := conducts()
	for {
		n := int(s.next.Add(1))
		if n > s.sessions {
			return
		}
		local := netip.AddrFrom4([4]byte{127, byte(random.IntN(256)), byte(random.IntN(256)), 1 + byte(random.IntN(250))})
		if random.IntN(8) == 0 {
			local = netip.IPv6Loopback()
		}
		c := s.client(random, local, n)
		all[random.IntN(len(all))](c)
		c.close()
	}
}

// soakName is a name that leads to a kind of body. What was cut off it is another.
func soakName(kind string, number int) string { return fmt.Sprintf("%s/%d/", kind, number) }

// numberIn returns the number in a name, and the kind of body.
func (s *soak) numberIn(name string) (number int, kind string) {
	kind, rest, _ := strings.Cut(name, "/")
	digits, empty, found := strings.Cut(rest, "/")
	n, err := strconv.Atoi(digits)
	if err != nil || !found || empty != "" || n < 0 || n > s.sessions+1 {
		return 0, ""
	}
	return n, kind
}

// sizeOf returns the size of the files with a number. Few are large.
func (s *soak) sizeOf(number int) int {
	switch {
	case number > s.sessions:
		return 50_000
	case number%100 == 1:
		return len(s.data) - number%1000
	}
	return number * 7919 % 5000
}

// file returns the bytes of the files with a number.
func (s *soak) file(number int) []byte { return s.data[:s.sizeOf(number)] }
