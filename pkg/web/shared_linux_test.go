// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package web

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"syscall"
	"testing"
	"time"

	"github.com/go-logr/logr"
)

// freeAddress returns one that nobody has.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := Listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }() // nothing was sent
	return l.Addr().String()
}

func listenShared(t *testing.T, address string) net.Listener {
	t.Helper()
	l, err := ListenShared(t.Context(), "test", address, logr.Discard())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() }) // it may be closed
	return l
}

func connect(t *testing.T, address string) net.Conn {
	t.Helper()
	c, err := new(net.Dialer).DialContext(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// TestListenSharedKeepsTheQueue has each owner of the socket close it while connections wait to be taken. The next one has them
// all, and hands the socket on although it was not the first.
func TestListenSharedKeepsTheQueue(t *testing.T) {
	address := freeAddress(t)
	const each = 20
	var waiting []net.Conn
	owner := listenShared(t, address)
	for range 3 {
		next := listenShared(t, address)
		for range each {
			waiting = append(waiting, connect(t, address))
		}
		if err := owner.Close(); err != nil {
			t.Fatal(err)
		}
		owner = next
	}
	for i := range waiting {
		c, err := owner.Accept()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(c, "x"); err != nil {
			t.Fatal(err)
		}
		_ = c.Close() // what was written arrives
		if i >= 3*each {
			t.Errorf("%d connections came, want %d", i+1, 3*each)
		}
	}
	for i, c := range waiting {
		if b, err := io.ReadAll(c); string(b) != "x" || err != nil {
			t.Errorf("connection %d got %q, %v", i, b, err)
		}
	}
	if err := owner.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := new(net.Dialer).DialContext(t.Context(), "tcp", address); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("when the last one has closed: %v, want %v", err, syscall.ECONNREFUSED)
	}
	again := listenShared(t, address) // as if nobody had ever been there
	connect(t, address)
	if _, err := again.Accept(); err != nil {
		t.Error(err)
	}
}

// TestListenSharedBesideOneThatHangs holds that a process starts, if not without a loss, when the one before it answers nobody.
func TestListenSharedBesideOneThatHangs(t *testing.T) {
	address := freeAddress(t)
	door, err := new(net.ListenConfig).Listen(t.Context(), "unix", "@test/tcp/"+address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = door.Close() }()
	l := listenShared(t, address)
	connect(t, address)
	if _, err := l.Accept(); err != nil {
		t.Error(err)
	}
}

func TestListenSharedSaysWhatIsWrong(t *testing.T) {
	taken, err := Listen(t.Context(), "127.0.0.1:0") // by a program that shares nothing
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	for range 2 { // the first try leaves nothing behind
		if _, err := ListenShared(t.Context(), "test", taken.Addr().String(), logr.Discard()); !errors.Is(err, syscall.EADDRINUSE) {
			t.Errorf("ListenShared() = %v, want %v", err, syscall.EADDRINUSE)
		}
	}
}

// TestStopIsPolite holds that a connection which is kept gets one more answer when the server stops, and is told that it is the
// last one.
func TestStopIsPolite(t *testing.T) {
	address := freeAddress(t)
	server, err := New(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "x") }), Options{ShutdownGrace: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	l := listenShared(t, address)
	other := listenShared(t, address) // the process that follows
	served := make(chan error, 1)
	go func() { served <- server.Serve(ctx, l, nil) }()
	c := connect(t, address)
	r := bufio.NewReader(c)
	get := func() (last bool) {
		t.Helper()
		if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		response, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatal(err)
		}
		_, err = io.ReadAll(response.Body)
		if err := errors.Join(err, response.Body.Close()); err != nil {
			t.Fatal(err)
		}
		return response.Close
	}
	if get() {
		t.Error("a connection is closed without need")
	}
	stop()
	for { // until the listener is closed, which is when the server has begun to stop
		fresh := connect(t, address)
		_ = other.(*shared).SetDeadline(time.Now().Add(10 * time.Millisecond))
		if taken, err := other.Accept(); err == nil {
			_ = errors.Join(taken.Close(), fresh.Close()) // that is all that was to be seen
			break
		}
	}
	if !get() {
		t.Error("the client is not told that the connection ends")
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
}
