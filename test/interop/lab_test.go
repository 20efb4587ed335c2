// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package interop

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// patience is how long a test waits for what must come.
const patience = 2 * time.Minute

// A host is a network namespace, which plays a machine. It is gone when the test ends.
type host string

func newHost(t *testing.T, name string) host {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("network namespaces need root: run as root, or with sudo -E")
	}
	h := host(fmt.Sprintf("netboot-interop-%d-%s", os.Getpid(), name))
	t.Cleanup(func() { _ = exec.Command("ip", "netns", "delete", string(h)).Run() }) //nolint:noctx // t.Context has ended
	run(t, "", "ip", "netns", "add", string(h))
	h.ip(t, "link set lo up")
	return h
}

// newPair returns two hosts whose eth0 are the ends of one cable.
func newPair(t *testing.T, mtu int) (server, client host) {
	t.Helper()
	server, client = newHost(t, "server"), newHost(t, "client")
	connect(t, server, "eth0", client, "eth0", mtu)
	return server, client
}

// connect lays a cable. Its ends have no addresses yet, not even of their own making.
func connect(t *testing.T, a host, nameA string, b host, nameB string, mtu int) {
	t.Helper()
	a.ip(t, fmt.Sprintf("link add name %s mtu %d type veth peer name %s mtu %d netns %s", nameA, mtu, nameB, mtu, b))
	a.ip(t, fmt.Sprintf("link set %s addrgenmode none up", nameA))
	b.ip(t, fmt.Sprintf("link set %s addrgenmode none up", nameB))
}

// ip runs commands of ip(8), one a line.
func (h host) ip(t *testing.T, commands string) {
	t.Helper()
	run(t, commands, "ip", "-n", string(h), "-batch", "-")
}

// run runs a program to its end.
func (h host) run(t *testing.T, stdin, name string, args ...string) {
	t.Helper()
	run(t, stdin, "ip", append([]string{"netns", "exec", string(h), name}, args...)...)
}

func run(t *testing.T, stdin, name string, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Stdin = strings.NewReader(stdin)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
}

// start starts a program that ends with exit status 0 on SIGTERM, which it gets at the end of the test.
func (h host) start(t *testing.T, name string, args ...string) {
	t.Helper()
	var out bytes.Buffer
	cmd := exec.Command("ip", append([]string{"netns", "exec", string(h), name}, args...)...) //nolint:noctx // ends by SIGTERM
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatalf("start %s: %v", name, err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM) // if it has ended, Wait says so
		late := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
		defer late.Stop()
		if err := cmd.Wait(); err != nil {
			t.Errorf("%s: %v", filepath.Base(name), err)
		}
		if t.Failed() {
			t.Logf("%s printed:\n%s", filepath.Base(name), out.Bytes())
		}
	})
}

// inside runs f on a thread that has moved into the host: the sockets that f opens belong there, whoever uses them.
func (h host) inside(t *testing.T, f func() error) {
	t.Helper()
	result := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlock: the thread ends with the goroutine
		result <- func() error {
			ns, err := os.Open("/run/netns/" + string(h))
			if err != nil {
				return err
			}
			defer func() { _ = ns.Close() }() // it was only read
			if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
				return fmt.Errorf("enter network namespace %s: %w", h, err)
			}
			return f()
		}()
	}()
	if err := <-result; err != nil {
		t.Fatal(err)
	}
}

// index returns the number of an interface, which stands for it where its name would be looked up on the wrong host.
func (h host) index(t *testing.T, name string) (n int) {
	t.Helper()
	h.inside(t, func() error {
		i, err := net.InterfaceByName(name)
		if err == nil {
			n = i.Index
		}
		return err
	})
	return n
}

// listen opens a UDP port of the system's choice, for one family of addresses.
func (h host) listen(t *testing.T, family netip.Addr) (conn *net.UDPConn) {
	t.Helper()
	network := "udp6"
	if family.Is4() {
		network = "udp4"
	}
	h.inside(t, func() (err error) {
		conn, err = net.ListenUDP(network, nil)
		return err
	})
	t.Cleanup(func() { _ = conn.Close() })
	raw, err := conn.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	// A window of large blocks is more than the usual buffer holds.
	if e := raw.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 16<<20)
	}); e != nil || err != nil {
		t.Fatalf("set the buffer of a socket: %v, %v", e, err)
	}
	return conn
}

// build builds a program of this repository.
func build(t *testing.T, folder string) (file string) {
	t.Helper()
	file = filepath.Join(t.TempDir(), filepath.Base(folder))
	run(t, "", "go", "build", "-o", file, folder)
	return file
}
