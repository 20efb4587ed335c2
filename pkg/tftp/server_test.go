// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package tftp

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr/funcr"
	"github.com/google/go-cmp/cmp"
	pin "github.com/pin/tftp/v3"
)

// patience is how long a test waits for what must come.
const patience = 10 * time.Second

// memFile is a file in memory.
type memFile struct{ *bytes.Reader }

func (memFile) Close() error { return nil }

func newMemFile(b []byte) File { return memFile{bytes.NewReader(b)} }

// handlerFunc is a handler made of a function.
type handlerFunc func(ctx context.Context, r *Request) (File, error)

func (f handlerFunc) ServeTFTP(ctx context.Context, r *Request) (File, error) { return f(ctx, r) }

// files serves contents by name.
type files map[string][]byte

func (f files) ServeTFTP(_ context.Context, r *Request) (File, error) {
	b, ok := f[r.Name]
	if !ok {
		return nil, fmt.Errorf("open %q: %w", r.Name, fs.ErrNotExist)
	}
	return newMemFile(b), nil
}

// A fixture is a server on a port of its own. It is stopped at the end of the test, and then all its goroutines are gone.
type fixture struct {
	addr    netip.AddrPort
	records chan Record
	stop    func() error // may be called again
}

func start(t testing.TB, h Handler, o Options, network, address string) *fixture {
	t.Helper()
	before := runtime.NumGoroutine()
	f := &fixture{records: make(chan Record, 10_000)}
	o.Observe = func(r Record) { f.records <- r }
	server, err := New(h, o)
	if err != nil {
		t.Fatal(err)
	}
	udp, err := net.ResolveUDPAddr(network, address)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.ListenUDP(network, udp)
	if err != nil {
		t.Fatal(err)
	}
	local := conn.LocalAddr().(*net.UDPAddr).AddrPort()
	f.addr = netip.AddrPortFrom(local.Addr().Unmap(), local.Port())
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- server.Serve(ctx, conn) }()
	f.stop = sync.OnceValue(func() error {
		cancel()
		return <-served
	})
	t.Cleanup(func() {
		if err := f.stop(); err != nil {
			t.Errorf("Serve() = %v", err)
		}
		for deadline := time.Now().Add(patience); runtime.NumGoroutine() > before; runtime.Gosched() {
			if time.Now().After(deadline) {
				t.Errorf("%d goroutines, want the %d from before", runtime.NumGoroutine(), before)
				return
			}
		}
	})
	return f
}

func loopback(t testing.TB, h Handler, o Options) *fixture {
	t.Helper()
	return start(t, h, o, "udp", "127.0.0.1:0")
}

// record returns the next record.
func (f *fixture) record(t *testing.T) Record {
	t.Helper()
	select {
	case r := <-f.records:
		return r
	case <-time.After(patience):
		t.Fatal("no record")
		return Record{}
	}
}

// A client speaks packets.
type client struct {
	t    *testing.T
	conn *net.UDPConn
}

func newClient(t *testing.T) *client {
	t.Helper()
	conn, err := net.ListenUDP("udp", nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return &client{t, conn}
}

func (c *client) send(to netip.AddrPort, packet string) {
	c.t.Helper()
	if _, err := c.conn.WriteToUDPAddrPort([]byte(packet), to); err != nil {
		c.t.Fatal(err)
	}
}

// hear returns the next packet and where it came from.
func (c *client) hear() (string, netip.AddrPort) {
	c.t.Helper()
	packet, from, err := c.tryHear(patience)
	if err != nil {
		c.t.Fatal(err)
	}
	return packet, from
}

func (c *client) tryHear(within time.Duration) (string, netip.AddrPort, error) {
	_ = c.conn.SetReadDeadline(time.Now().Add(within))
	b := make([]byte, 70_000)
	n, from, err := c.conn.ReadFromUDPAddrPort(b)
	return string(b[:n]), netip.AddrPortFrom(from.Addr().Unmap(), from.Port()), err
}

// want fails the test if the next packet is another.
func (c *client) want(packet string) netip.AddrPort {
	c.t.Helper()
	got, from := c.hear()
	if diff := cmp.Diff(packet, got); diff != "" {
		c.t.Fatalf("packet (-want +got):\n%s", diff)
	}
	return from
}

// wantSilence fails the test if the server answers before it answers another client, whose request it got later.
func (c *client) wantSilence(f *fixture) {
	c.t.Helper()
	other := newClient(c.t)
	other.send(f.addr, "\x00\x01no such file\x00octet\x00")
	other.want("\x00\x05\x00\x01file not found\x00")
	if packet, _, err := c.tryHear(time.Millisecond); err == nil {
		c.t.Errorf("server sent %q, want silence", packet)
	}
}

func fetch(t testing.TB, addr netip.AddrPort, name, mode string, blockSize int) ([]byte, error) {
	t.Helper()
	c, err := pin.NewClient(addr.String())
	if err != nil {
		return nil, err
	}
	if blockSize != 0 {
		c.SetBlockSize(blockSize)
		c.RequestTSize(true)
	}
	w, err := c.Receive(name, mode)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	_, err = w.WriteTo(&b)
	return b.Bytes(), err
}

func TestFetch(t *testing.T) {
	served := files{
		"empty": nil, "small": contents(100), "even": contents(1024), "big": contents(300_001), "text": []byte("a\nb\r\n"),
	}
	type accepted map[string]string
	for name, tc := range map[string]struct {
		file, mode   string
		blockSize    int // to ask for; 0: no options
		wantBlocks   int64
		wantBytes    int64
		wantAccepted accepted
	}{
		"empty file":            {"empty", "octet", 0, 1, 0, accepted{}},
		"empty file, options":   {"empty", "octet", 1468, 1, 0, accepted{"blksize": "1468", "tsize": "0"}},
		"one block":             {"small", "octet", 0, 1, 100, accepted{}},
		"even number of blocks": {"even", "octet", 0, 3, 1024, accepted{}},
		"many blocks":           {"big", "octet", 0, 586, 300_001, accepted{}},
		"larger blocks":         {"big", "octet", 1400, 215, 300_001, accepted{"blksize": "1400", "tsize": "300001"}},
		"blocks up to the cap":  {"big", "octet", 9000, 205, 300_001, accepted{"blksize": "1468", "tsize": "300001"}},
		"netascii":              {"text", "netascii", 512, 1, 8, accepted{"blksize": "512"}},
	} {
		t.Run(name, func(t *testing.T) {
			f := loopback(t, served, Options{})
			got, err := fetch(t, f.addr, tc.file, tc.mode, tc.blockSize)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, served[tc.file]) {
				t.Errorf("got %d bytes that are not the file's %d", len(got), len(served[tc.file]))
			}
			r := f.record(t)
			if r.Outcome != OutcomeComplete || r.Err != nil || r.Blocks != tc.wantBlocks || r.Bytes != tc.wantBytes {
				t.Errorf("record = %+v, want %d blocks, %d bytes", r, tc.wantBlocks, tc.wantBytes)
			}
			if r.Duration <= 0 || r.Request.Name != tc.file || r.Request.Local != f.addr.Addr() {
				t.Errorf("record = %+v", r)
			}
			gotAccepted := accepted{} // the client asks in any order
			for _, o := range r.Accepted {
				gotAccepted[o.Name] = o.Value
			}
			if diff := cmp.Diff(tc.wantAccepted, gotAccepted); diff != "" {
				t.Errorf("accepted options (-want +got):\n%s", diff)
			}
		})
	}
}

func TestErrors(t *testing.T) {
	const badMode = "\x00\x05\x00\x04mode is not octet or netascii\x00"
	for name, tc := range map[string]struct {
		handler func() (File, error)
		packet  string // default: a read request
		want    string
		outcome Outcome // empty: not recorded
		wantLog string
	}{
		"file not there": {
			handler: func() (File, error) { return nil, &fs.PathError{Op: "open", Path: "/secret", Err: fs.ErrNotExist} },
			want:    "\x00\x05\x00\x01file not found\x00", outcome: OutcomeNotFound,
		},
		"handler's own words": {
			handler: func() (File, error) { return nil, fmt.Errorf("why: %w", &Error{CodeNotFound, "no \"a\"\n here"}) },
			want:    "\x00\x05\x00\x01no \"a\" here\x00", outcome: OutcomeNotFound,
		},
		"handler's own code": {
			handler: func() (File, error) { return nil, &Error{CodeAccessViolation, "not yours"} },
			want:    "\x00\x05\x00\x02not yours\x00", outcome: OutcomeRefused,
		},
		"our fault stays with us": {
			handler: func() (File, error) { return nil, errors.New("open /secret: disk on fire") },
			want:    "\x00\x05\x00\x00internal error\x00", outcome: OutcomeFailed, wantLog: "disk on fire",
		},
		"panic": {
			handler: func() (File, error) { panic("boom") },
			want:    "\x00\x05\x00\x00internal error\x00", outcome: OutcomeFailed, wantLog: "panic: boom",
		},
		"neither file nor error": {
			handler: func() (File, error) { return nil, nil },
			want:    "\x00\x05\x00\x00internal error\x00", outcome: OutcomeFailed, wantLog: "neither a file nor an error",
		},
		"empty file, which is not even read": {
			handler: func() (File, error) { return brokenFile{0}, nil }, packet: "\x00\x01a\x00octet\x00",
			want: "\x00\x03\x00\x01", outcome: OutcomeComplete,
		},
		"file that can't be read": {
			handler: func() (File, error) { return brokenFile{1}, nil }, packet: "\x00\x01a\x00octet\x00",
			want: "\x00\x05\x00\x00internal error\x00", outcome: OutcomeFailed, wantLog: "disk on fire",
		},
		"write request":         {packet: "\x00\x02a\x00octet\x00", want: "\x00\x05\x00\x02read only\x00"},
		"mode mail":             {packet: "\x00\x01a\x00mail\x00", want: badMode, outcome: OutcomeRefused},
		"mode that is not one":  {packet: "\x00\x01a\x00binary\x00", want: badMode, outcome: OutcomeRefused},
		"write request in mail": {packet: "\x00\x02a\x00mail\x00", want: "\x00\x05\x00\x02read only\x00"},
	} {
		t.Run(name, func(t *testing.T) {
			var log strings.Builder // written before the record is sent, read after
			handler := handlerFunc(func(context.Context, *Request) (File, error) { return tc.handler() })
			f := loopback(t, handler, Options{Log: funcr.New(func(_, args string) { log.WriteString(args) }, funcr.Options{})})
			if tc.packet == "" {
				tc.packet = "\x00\x01a\x00octet\x00"
			}
			c := newClient(t)
			c.send(f.addr, tc.packet)
			from := c.want(tc.want)
			if from == f.addr {
				t.Error("the answer came from the listening port")
			}
			if tc.outcome == "" {
				return
			}
			c.send(from, "\x00\x04\x00\x01") // the empty file waits for it
			if r := f.record(t); r.Outcome != tc.outcome {
				t.Errorf("outcome = %q, want %q", r.Outcome, tc.outcome)
			}
			if !strings.Contains(log.String(), tc.wantLog) || (tc.wantLog == "") != (log.Len() == 0) {
				t.Errorf("log = %q, want %q in it", log.String(), tc.wantLog)
			}
		})
	}
}

func TestSilence(t *testing.T) {
	f := loopback(t, files{}, Options{})
	for name, packet := range map[string]string{
		"nothing":        "",
		"one byte":       "\x00",
		"read, no name":  "\x00\x01",
		"read, no mode":  "\x00\x01a\x00",
		"data":           "\x00\x03\x00\x01data",
		"ack":            "\x00\x04\x00\x01",
		"error":          "\x00\x05\x00\x01file not found\x00",
		"oack":           "\x00\x06blksize\x00512\x00",
		"opcode 0":       "\x00\x00a\x00octet\x00",
		"opcode 7":       "\x00\x07a\x00octet\x00",
		"longer than ok": "\x00\x01a\x00octet\x00" + strings.Repeat("x", 60_000),
	} {
		t.Run(name, func(t *testing.T) {
			c := newClient(t)
			c.send(f.addr, packet)
			c.wantSilence(f)
		})
	}
}

func TestAnswerable(t *testing.T) {
	for source, want := range map[string]bool{
		"192.0.2.1:1024": true, "192.0.2.1:1": true, "[2001:db8::1]:2070": true, "[fe80::1%eth0]:2070": true,
		"192.0.2.1:0": false, "192.0.2.1:7": false, "192.0.2.1:19": false, "192.0.2.1:53": false, "192.0.2.1:69": false,
		"192.0.2.1:123": false, "0.0.0.0:1024": false, "[::]:1024": false, "224.0.0.1:1024": false, "[ff02::1]:1024": false,
		"255.255.255.255:1024": false,
	} {
		if got := answerable(netip.MustParseAddrPort(source)); got != want {
			t.Errorf("answerable(%s) = %v, want %v", source, got, want)
		}
	}
}

// Whatever comes, the server goes on serving.
func TestHostileDatagrams(t *testing.T) {
	f := loopback(t, files{"good": contents(5000)}, Options{Attempts: 2, RetransmitTimeout: 100 * time.Millisecond})
	c := newClient(t)
	r := rand.New(rand.NewPCG(1, 2))
	for n := range 600 {
		random := make([]byte, n)
		for i := range random {
			random[i] = byte(r.Uint32())
		}
		packets := []string{string(random), "\x00\x01" + string(random), "\x00\x02" + string(random)}
		packets = append(packets, "\x00\x01"+strings.Repeat("a", n), "\x00\x01"+strings.Repeat("\x00", n))
		packets = append(packets, "\x00\x01good\x00octet\x00blksize\x00"+string(random), "\x00\x05"+string(random))
		for _, p := range packets {
			c.send(f.addr, p)
		}
		if n%100 != 0 {
			continue
		}
		if got, err := fetch(t, f.addr, "good", "octet", 512); err != nil || !bytes.Equal(got, contents(5000)) {
			t.Fatalf("after packets of %d bytes: %d bytes, %v", n, len(got), err)
		}
	}
}

func TestRepeatedRequest(t *testing.T) {
	const request = "\x00\x01a\x00octet\x00tsize\x000\x00"
	t.Run("while the handler works: answered once", func(t *testing.T) {
		calls, open := make(chan string, 10), make(chan struct{})
		f := loopback(t, handlerFunc(func(_ context.Context, r *Request) (File, error) {
			if r.Name == "no such file" {
				return nil, fs.ErrNotExist
			}
			calls <- r.Name
			<-open
			return newMemFile([]byte("x")), nil
		}), Options{})
		c := newClient(t)
		for range 5 {
			c.send(f.addr, request)
		}
		c.wantSilence(f)
		close(open)
		from := c.want("\x00\x06tsize\x001\x00")
		c.send(f.addr, request)
		c.wantSilence(f)
		c.send(from, "\x00\x04\x00\x00")
		c.want("\x00\x03\x00\x01x")
		c.send(from, "\x00\x04\x00\x01")
		if len(calls) != 1 {
			t.Errorf("handler was called %d times, want once", len(calls))
		}
	})
	t.Run("after the transfer: a new one", func(t *testing.T) {
		f := loopback(t, files{"a": []byte("x")}, Options{})
		c := newClient(t)
		for range 3 {
			c.send(f.addr, request)
			from := c.want("\x00\x06tsize\x001\x00")
			c.send(from, "\x00\x04\x00\x00")
			c.want("\x00\x03\x00\x01x")
			c.send(from, "\x00\x04\x00\x01")
			if r := f.record(t); r.Outcome != OutcomeComplete {
				t.Errorf("outcome = %q", r.Outcome)
			}
		}
	})
	t.Run("when the client was silent for a while: it has started again", func(t *testing.T) {
		f := loopback(t, files{"a": contents(2000)}, Options{RetransmitTimeout: time.Millisecond})
		c := newClient(t)
		c.send(f.addr, request)
		first := c.want("\x00\x06tsize\x002000\x00")
		c.send(first, "\x00\x04\x00\x00")
		for again := 0; again < 2; { // block 1, sent again
			if packet, from := c.hear(); from == first && strings.HasPrefix(packet, "\x00\x03\x00\x01") {
				again++
			}
		}
		c.send(f.addr, request)
		for {
			packet, from := c.hear()
			if from != first {
				if packet != "\x00\x06tsize\x002000\x00" {
					t.Errorf("packet = %q", packet)
				}
				c.send(from, "\x00\x05\x00\x00enough\x00")
				break
			}
		}
		got := map[Outcome]bool{f.record(t).Outcome: true, f.record(t).Outcome: true}
		if diff := cmp.Diff(map[Outcome]bool{OutcomeReplaced: true, OutcomeProbe: true}, got); diff != "" {
			t.Errorf("outcomes (-want +got):\n%s", diff)
		}
	})
}

// lpxelinux.0 uses one port for all its requests.
func TestAnotherRequestFromTheSamePort(t *testing.T) {
	for name, first := range map[string]string{
		"replaces a transfer":          "big",
		"replaces a handler's waiting": "slow",
	} {
		t.Run(name, func(t *testing.T) {
			waiting := make(chan struct{}, 1)
			f := loopback(t, handlerFunc(func(ctx context.Context, r *Request) (File, error) {
				waiting <- struct{}{}
				if r.Name == "slow" {
					<-ctx.Done()
					return nil, ctx.Err()
				}
				return newMemFile([]byte(r.Name)), nil
			}), Options{})
			c := newClient(t)
			c.send(f.addr, "\x00\x01"+first+"\x00octet\x00")
			<-waiting
			if first == "big" {
				c.want("\x00\x03\x00\x01big")
			}
			c.send(f.addr, "\x00\x01other\x00octet\x00")
			from := c.want("\x00\x03\x00\x01other")
			c.send(from, "\x00\x04\x00\x01")
			got := map[string]Outcome{}
			for range 2 {
				r := f.record(t)
				got[r.Request.Name] = r.Outcome
			}
			if diff := cmp.Diff(map[string]Outcome{first: OutcomeReplaced, "other": OutcomeComplete}, got); diff != "" {
				t.Errorf("outcomes (-want +got):\n%s", diff)
			}
		})
	}
}

func TestLimits(t *testing.T) {
	for name, o := range map[string]Options{
		"of all transfers":        {MaxTransfers: 2},
		"of one client's address": {MaxTransfersPerClient: 2},
	} {
		t.Run(name, func(t *testing.T) {
			f := loopback(t, files{"a": []byte("x")}, o)
			var busyWith []netip.AddrPort
			clients := []*client{newClient(t), newClient(t), newClient(t)}
			for _, c := range clients[:2] {
				c.send(f.addr, "\x00\x01a\x00octet\x00")
				busyWith = append(busyWith, c.want("\x00\x03\x00\x01x"))
			}
			clients[2].send(f.addr, "\x00\x01a\x00octet\x00")
			clients[2].want("\x00\x05\x00\x00server busy\x00")
			if r := f.record(t); r.Outcome != OutcomeBusy {
				t.Errorf("outcome = %q, want %q", r.Outcome, OutcomeBusy)
			}
			for i, c := range clients[:2] {
				c.send(busyWith[i], "\x00\x04\x00\x01")
				if r := f.record(t); r.Outcome != OutcomeComplete {
					t.Errorf("outcome = %q, want %q", r.Outcome, OutcomeComplete)
				}
			}
			for { // the slot is free a moment after the record
				clients[2].send(f.addr, "\x00\x01a\x00octet\x00")
				packet, from := clients[2].hear()
				if packet == "\x00\x03\x00\x01x" {
					clients[2].send(from, "\x00\x04\x00\x01")
					break
				}
			}
		})
	}
}

func TestParallelTransfers(t *testing.T) {
	const clients = 200
	served := files{}
	for i := range clients {
		served[strconv.Itoa(i)] = contents(10_000 + i)
	}
	f := loopback(t, served, Options{})
	var fetching sync.WaitGroup
	for i := range clients {
		fetching.Go(func() {
			name := strconv.Itoa(i)
			if got, err := fetch(t, f.addr, name, "octet", 1024); err != nil || !bytes.Equal(got, served[name]) {
				t.Errorf("file %s: %d bytes, %v", name, len(got), err)
			}
		})
	}
	fetching.Wait()
	for range clients {
		if r := f.record(t); r.Outcome != OutcomeComplete {
			t.Errorf("outcome = %q", r.Outcome)
		}
	}
}

// The answer comes from the address that was asked, whatever socket listens.
func TestAnswerFromTheAddressAsked(t *testing.T) {
	for name, tc := range map[string]struct{ network, address, ask string }{
		"IPv4 socket, first address":        {"udp4", "0.0.0.0:0", "127.0.0.1"},
		"IPv4 socket, second address":       {"udp4", "0.0.0.0:0", "127.0.0.2"},
		"dual-stack socket, first address":  {"udp", "[::]:0", "127.0.0.1"},
		"dual-stack socket, second address": {"udp", "[::]:0", "127.0.0.2"},
		"dual-stack socket, IPv6":           {"udp", "[::]:0", "::1"},
		"socket of one address":             {"udp", "127.0.0.2:0", "127.0.0.2"},
		"socket of one address, IPv6":       {"udp6", "[::1]:0", "::1"},
	} {
		t.Run(name, func(t *testing.T) {
			f := start(t, files{"a": []byte("x")}, Options{}, tc.network, tc.address)
			ask := netip.MustParseAddr(tc.ask)
			for _, request := range []struct{ packet, want string }{
				{"\x00\x01a\x00octet\x00", "\x00\x03\x00\x01x"},
				{"\x00\x02a\x00octet\x00", "\x00\x05\x00\x02read only\x00"},
			} {
				c := newClient(t)
				c.send(netip.AddrPortFrom(ask, f.addr.Port()), request.packet)
				from := c.want(request.want)
				if from.Addr() != ask {
					t.Errorf("answer came from %v, want %v", from.Addr(), ask)
				}
				c.send(from, "\x00\x04\x00\x01")
			}
			r := f.record(t).Request
			if r.Local != ask || r.Client.Addr().Is4In6() || r.Client.Addr().Is4() != ask.Is4() {
				t.Errorf("request came from %v to %v", r.Client, r.Local)
			}
		})
	}
}

func TestDialWithoutALocalAddress(t *testing.T) {
	for _, client := range []string{"127.0.0.1:2070", "[::1]:2070"} {
		conn, err := dial(t.Context(), netip.Addr{}, netip.MustParseAddrPort(client))
		if err != nil {
			t.Errorf("dial(%s) = %v", client, err)
			continue
		}
		_ = conn.Close()
	}
}

// A client that closes its port with the last ACK lost, or in the middle, is noticed at once by ICMP.
func TestClientClosesItsPort(t *testing.T) {
	f := loopback(t, files{"a": contents(600)}, Options{RetransmitTimeout: 10 * time.Millisecond})
	for name, tc := range map[string]struct {
		acks []string
		want Outcome
	}{
		"in the middle": {nil, OutcomeClientGone},
		"at the end":    {[]string{"\x00\x04\x00\x01"}, OutcomeLastACKLost},
	} {
		t.Run(name, func(t *testing.T) {
			c := newClient(t)
			c.send(f.addr, "\x00\x01a\x00octet\x00")
			_, from := c.hear()
			for _, ack := range tc.acks {
				c.send(from, ack)
				c.hear()
			}
			_ = c.conn.Close()
			if r := f.record(t); r.Outcome != tc.want {
				t.Errorf("outcome = %q, want %q", r.Outcome, tc.want)
			}
		})
	}
}

func TestShutdown(t *testing.T) {
	t.Run("lets a transfer end", func(t *testing.T) {
		f := loopback(t, files{"a": contents(600)}, Options{})
		c := newClient(t)
		c.send(f.addr, "\x00\x01a\x00octet\x00")
		_, from := c.hear()
		stopped := make(chan error, 1)
		go func() { stopped <- f.stop() }()
		c.send(from, "\x00\x04\x00\x01")
		c.hear()
		c.send(from, "\x00\x04\x00\x02")
		if err := <-stopped; err != nil {
			t.Errorf("Serve() = %v", err)
		}
		if r := f.record(t); r.Outcome != OutcomeComplete {
			t.Errorf("outcome = %q, want %q", r.Outcome, OutcomeComplete)
		}
	})
	t.Run("ends what outlives the grace", func(t *testing.T) {
		f := loopback(t, files{"a": contents(600)}, Options{ShutdownGrace: time.Millisecond})
		c := newClient(t)
		c.send(f.addr, "\x00\x01a\x00octet\x00")
		c.hear()
		if err := f.stop(); err != nil {
			t.Errorf("Serve() = %v", err)
		}
		c.want("\x00\x05\x00\x00server stops\x00")
		if r := f.record(t); r.Outcome != OutcomeShutdown {
			t.Errorf("outcome = %q, want %q", r.Outcome, OutcomeShutdown)
		}
	})
	t.Run("does not wait for ever for a handler", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			server, err := New(files{}, Options{ShutdownGrace: 3 * time.Second})
			if err != nil {
				t.Fatal(err)
			}
			work, stop := context.WithCancelCause(t.Context())
			var running sync.WaitGroup
			stuck := make(chan struct{})
			running.Go(func() { <-stuck })
			begin := time.Now()
			if err := server.drain(&running, stop); err == nil {
				t.Error("drain() is no error")
			}
			if took := time.Since(begin); took != 3*time.Second+lastCall || stopped(work) != OutcomeShutdown {
				t.Errorf("took %v, cause %v", took, context.Cause(work))
			}
			close(stuck)
		})
	})
	t.Run("a broken socket is an error", func(t *testing.T) {
		server, err := New(files{}, Options{})
		if err != nil {
			t.Fatal(err)
		}
		conn, err := net.ListenUDP("udp", nil)
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.Close()
		if err := server.Serve(t.Context(), conn); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Serve() = %v, want %v", err, net.ErrClosed)
		}
	})
}

func TestNew(t *testing.T) {
	for name, tc := range map[string]struct {
		options Options
		want    string
	}{
		"zero values":             {Options{}, ""},
		"smallest values":         {Options{1, 1, 8, 1, time.Millisecond, 1, 1, Options{}.Log, nil}, ""},
		"transfers":               {Options{MaxTransfers: -1}, "TFTP server: option MaxTransfers=-1: outside 1-1048576"},
		"transfers of one client": {Options{MaxTransfersPerClient: -1}, "TFTP server: option MaxTransfersPerClient=-1: outside 1-1048576"},
		"block too small":         {Options{MaxBlockSize: 7}, "TFTP server: option MaxBlockSize=7: outside 8-65464 (RFC 2348)"},
		"block too large":         {Options{MaxBlockSize: 65465}, "TFTP server: option MaxBlockSize=65465: outside 8-65464 (RFC 2348)"},
		"window too large":        {Options{MaxWindowSize: 65536}, "TFTP server: option MaxWindowSize=65536: outside 1-65535 (RFC 7440)"},
		"timeout too short":       {Options{RetransmitTimeout: 1}, "TFTP server: option RetransmitTimeout=1ns: less than 1ms"},
		"attempts":                {Options{Attempts: 101}, "TFTP server: option Attempts=101: outside 1-100"},
		"grace":                   {Options{ShutdownGrace: -1}, "TFTP server: option ShutdownGrace=-1ns: less than 0s"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := New(files{}, tc.options)
			if got := fmt.Sprint(err); got != tc.want && (err != nil || tc.want != "") {
				t.Errorf("New() = %q, want %q", got, tc.want)
			}
		})
	}
	if _, err := New(nil, Options{}); err == nil {
		t.Error("New() without a handler is no error")
	}
}

func TestServeOSFile(t *testing.T) {
	path := t.TempDir() + "/loader"
	if err := os.WriteFile(path, contents(70_000), 0o600); err != nil {
		t.Fatal(err)
	}
	f := loopback(t, handlerFunc(func(context.Context, *Request) (File, error) { return openFile(path) }), Options{})
	if got, err := fetch(t, f.addr, "any", "octet", 1468); err != nil || !bytes.Equal(got, contents(70_000)) {
		t.Errorf("got %d bytes, %v", len(got), err)
	}
}

// diskFile is how a file on disk becomes a File.
type diskFile struct {
	*os.File
	size int64
}

func (f diskFile) Size() int64 { return f.size }

func openFile(path string) (File, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	return diskFile{f, info.Size()}, nil
}
