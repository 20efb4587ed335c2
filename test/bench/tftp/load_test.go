// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/pin/tftp/v3"
)

// serve answers all requests with the same bytes, by another implementation than the generator's.
func serve(t *testing.T, body []byte) netip.AddrPort {
	t.Helper()
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	server := tftp.NewServer(func(name string, to io.ReaderFrom) error {
		if name == "missing" {
			return errors.New("no such file")
		}
		_, err := to.ReadFrom(bytes.NewReader(body))
		return err
	}, nil)
	server.SetTimeout(30 * time.Millisecond) // losses are quickly mended
	server.SetRetries(100)                   // also where the client gets no processor for a while
	server.SetBackoff(func(int) time.Duration { return 0 })
	ended := make(chan error)
	go func() { ended <- server.Serve(conn) }()
	t.Cleanup(func() {
		server.Shutdown()
		if err := <-ended; err != nil {
			t.Errorf("pin/tftp: %v", err)
		}
	})
	return conn.LocalAddr().(*net.UDPAddr).AddrPort()
}

// result is what of an outcome does not depend on time.
type result struct {
	Done, Unfinished, Cut int
	Bytes                 int64
	Failures              map[string]int
}

func TestLoad(t *testing.T) {
	file := testFile(10000)
	damaged := bytes.Clone(file.Data)
	damaged[5000]++
	for name, tc := range map[string]struct {
		body []byte
		load load
		want result
	}{
		"so many sessions": {file.Data, load{ask: ask{BlockSize: 1468, Size: true}, clients: 3, sessions: 20}, result{Done: 20, Bytes: 200000}},
		"by two threads":   {file.Data, load{clients: 5, sessions: 21, loops: 2}, result{Done: 21, Bytes: 210000}},
		"far away":         {file.Data, load{clients: 8, sessions: 8, rtt: 2 * time.Millisecond}, result{Done: 8, Bytes: 80000}},
		"one, far away":    {file.Data, load{clients: 1, sessions: 1, rtt: time.Millisecond}, result{Done: 1, Bytes: 10000}},
		"with losses": {
			file.Data, load{ask: ask{BlockSize: 512, Size: true}, clients: 4, sessions: 4, loss: 0.1, seed: 7, passive: true, retry: 30 * time.Millisecond},
			result{Done: 4, Bytes: 40000},
		},
		"damaged files are no success": {damaged, load{clients: 1, sessions: 2}, result{Bytes: 2 * 9 * 512, Failures: map[string]int{"block 10 differs from the file": 2}}},
		"short files are no success":   {file.Data[:600], load{clients: 1, sessions: 1}, result{Bytes: 512, Failures: map[string]int{"block 2 of 88 bytes, want 512": 1}}},
		"refusals are no success": {
			file.Data, load{file: &content{Name: "missing"}, clients: 2, sessions: 3}, result{Failures: map[string]int{`ERROR 1 "no such file"`: 3}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			tc.load.server = serve(t, tc.body)
			if tc.load.file == nil {
				tc.load.file = file
			}
			got, err := tc.load.run()
			if err != nil {
				t.Fatal(err)
			}
			if tc.want.Failures == nil {
				tc.want.Failures = map[string]int{}
			}
			if diff := cmp.Diff(tc.want, got.result()); diff != "" {
				t.Errorf("outcome (-want +got):\n%s", diff)
			}
			if len(got.durations) != tc.want.Done {
				t.Errorf("%d durations of %d sessions that were done", len(got.durations), tc.want.Done)
			}
		})
	}
}

func (o *outcome) result() result {
	return result{o.done, o.unfinished, o.cut, o.bytes, o.failures}
}

// nobody is an address where requests are received and not answered.
func nobody(t *testing.T) netip.AddrPort {
	t.Helper()
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn.LocalAddr().(*net.UDPAddr).AddrPort()
}

func TestLoadEnds(t *testing.T) {
	gone := make(chan struct{})
	close(gone)
	for name, tc := range map[string]struct {
		load load
		want result
	}{
		"at the limit":             {load{clients: 2, sessions: 5, limit: 50 * time.Millisecond}, result{Unfinished: 2}},
		"when its time is cut off": {load{clients: 2, time: 50 * time.Millisecond, cutOff: true}, result{Cut: 2}},
		"when the server has gone": {load{clients: 2, sessions: 5, gone: gone}, result{Unfinished: 2}},
	} {
		t.Run(name, func(t *testing.T) {
			tc.load.server, tc.load.file, tc.load.retry = nobody(t), testFile(10), 10*time.Millisecond
			got, err := tc.load.run()
			if err != nil {
				t.Fatal(err)
			}
			tc.want.Failures = map[string]int{}
			if diff := cmp.Diff(tc.want, got.result()); diff != "" {
				t.Errorf("outcome (-want +got):\n%s", diff)
			}
		})
	}
}

// TestRequestsAreRepeated counts the requests of one session that nobody answers.
func TestRequestsAreRepeated(t *testing.T) {
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	l := load{
		server: conn.LocalAddr().(*net.UDPAddr).AddrPort(), file: testFile(10), clients: 1, sessions: 1,
		retry: 10 * time.Millisecond, limit: time.Second,
	}
	got, err := l.run()
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.SetReadDeadline(time.Now().Add(time.Minute)) // on loopback they are here already
	buffer := make([]byte, 600)
	for i := range got.repeated + 1 {
		n, err := conn.Read(buffer)
		if err != nil || !strings.HasPrefix(string(buffer[:n]), "\x00\x01file\x00octet\x00") {
			t.Fatalf("request %d of %d: %q, %v", i, got.repeated+1, buffer[:n], err)
		}
	}
	if got.repeated == 0 {
		t.Error("no request was sent again")
	}
	_ = conn.Close()
}

func TestBadLoads(t *testing.T) {
	for name, l := range map[string]load{
		"no end":     {clients: 1},
		"no clients": {sessions: 1},
		"IPv6":       {clients: 1, sessions: 1, server: netip.MustParseAddrPort("[::1]:69")},
	} {
		t.Run(name, func(t *testing.T) {
			if !l.server.IsValid() {
				l.server = netip.MustParseAddrPort("127.0.0.1:69")
			}
			l.file = testFile(1)
			if _, err := l.run(); err == nil {
				t.Error("the load ran")
			}
		})
	}
}

// TestNotes lets the queue grow while it is in the middle of its ring.
func TestNotes(t *testing.T) {
	var q notes
	next := int32(0)
	for i := range int32(5000) {
		q.push(note{at: time.Duration(i), place: i})
		if i%3 == 0 {
			n, ok := q.due(time.Duration(i))
			if !ok || n.place != next {
				t.Fatalf("note %d, %v, want %d", n.place, ok, next)
			}
			next++
		}
	}
	if got := q.next(time.Hour); got != time.Duration(next) {
		t.Errorf("next note at %d, want %d", got, next)
	}
	if n, ok := q.due(time.Duration(next) - 1); ok {
		t.Errorf("note %d is due too early", n.place)
	}
}

func TestFloodComesFromAllOver(t *testing.T) {
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }() // it was only read
	f, err := newFlood(conn.LocalAddr().(*net.UDPAddr).AddrPort(), "file")
	if err != nil {
		t.Fatal(err)
	}
	defer f.close()
	forgedFrom, plain := map[netip.Addr]bool{}, 0
	buffer := make([]byte, 600)
	_ = conn.SetReadDeadline(time.Now().Add(time.Minute))
	const count = 4 * floodSockets
	for range count {
		if err := f.send(); err != nil {
			t.Fatal(err)
		}
		n, from, err := conn.ReadFromUDPAddrPort(buffer)
		if err != nil {
			t.Fatal(err)
		}
		if !netip.MustParsePrefix("127.64.0.0/10").Contains(from.Addr().Unmap()) {
			t.Errorf("a request came from %v", from)
		}
		forgedFrom[from.Addr()] = true
		if string(buffer[:n]) == string(newRequest("file", ask{})) {
			plain++
		}
	}
	if len(forgedFrom) < count-2 || plain != count/2 {
		t.Errorf("%d requests came from %d addresses, %d without options", count, len(forgedFrom), plain)
	}
}

// TestLateAnswersStayWithTheirSession has an answer come due after its session has left its place to the next one.
func TestLateAnswersStayWithTheirSession(t *testing.T) {
	o, err := newLoop(load{server: nobody(t), file: testFile(10), clients: 1, sessions: 2, limit: time.Hour, retry: time.Hour}, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer o.close()
	o.start = time.Now()
	err = o.begin(0)
	o.answers.push(note{place: 0, number: o.sessions[0].number})
	err = errors.Join(err, o.end(0)) // the second takes the place of the first
	if err = errors.Join(err, o.turn(0)); err != nil {
		t.Fatal(err)
	}
	if o.started != 2 || o.outcome.delayed != 0 {
		t.Errorf("%d sessions, %d answers sent, want 2 and 0", o.started, o.outcome.delayed)
	}
}
