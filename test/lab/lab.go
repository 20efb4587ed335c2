// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package lab

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The addresses in a lab. The DHCP server is not the boot server, so that the address in the DHCP answer is really used.
const (
	DHCPAddress   = "10.77.0.1"
	ServerAddress = "10.77.0.2"
	GuestAddress  = "10.77.0.50"
	GuestMAC      = "52:54:00:aa:bb:01"
)

// A Lab is two network namespaces: lan has a bridge with the DHCP server and the machine that boots; server has the
// server under test, joined to that bridge. All of it is gone when the test ends.
type Lab struct {
	LAN, Server string // names of the namespaces
	Logs        string // folder for what the programs print
}

// New makes a lab. The name is in those of the namespaces.
func New(t *testing.T, name string) *Lab {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Fatal("network namespaces need root: run as root, or with sudo -E")
	}
	name = fmt.Sprintf("netboot-e2e-%d-%s", os.Getpid(), name)
	l := &Lab{LAN: name + "-lan", Server: name + "-server", Logs: t.ArtifactDir()}
	for _, namespace := range []string{l.LAN, l.Server} {
		t.Cleanup(func() { _ = exec.Command("ip", "netns", "delete", namespace).Run() }) //nolint:noctx // t.Context has ended
		Run(t, "", "ip", "netns", "add", namespace)
	}
	// iPXE waits 13 s for an IPv6 router before it tries IPv4: dnsmasq plays the router, at fd77::1.
	Run(t, `link set lo up
		link add br0 type bridge forward_delay 0 stp_state 0 mcast_snooping 0
		tuntap add dev tap0 mode tap
		link set tap0 master br0 up
		link add server type veth peer name eth0 netns `+l.Server+`
		link set server master br0 up
		address add `+DHCPAddress+`/24 dev br0
		address add fd77::1/64 dev br0 nodad
		link set br0 up`, "ip", "-n", l.LAN, "-batch", "-")
	Run(t, `link set lo up
		address add `+ServerAddress+`/24 dev eth0
		link set eth0 up`, "ip", "-n", l.Server, "-batch", "-")
	return l
}

// Run runs a short command to its end and returns what it printed.
func Run(t *testing.T, stdin, name string, args ...string) string {
	t.Helper()
	var stderr bytes.Buffer
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Stdin, cmd.Stderr = strings.NewReader(stdin), &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s%s", name, strings.Join(args, " "), err, out, stderr.String())
	}
	return string(out)
}

// Start starts a program in a namespace; it gets SIGTERM when ctx ends, at the latest with the test, which waits for it.
// What it prints goes to NAME.log, whose end a failed test shows. The channel is closed when the program has ended.
func (l *Lab) Start(ctx context.Context, t *testing.T, namespace, name string, args ...string) (ended <-chan struct{}) {
	t.Helper()
	logFile, err := os.Create(filepath.Join(l.Logs, name+".log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(ctx, "ip", append([]string{"netns", "exec", namespace}, args...)...)
	cmd.Stdout, cmd.Stderr = logFile, logFile
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = time.Minute
	if err := cmd.Start(); err != nil {
		t.Fatalf("start %s: %v", name, err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = cmd.Wait() // the log tells
	}()
	t.Cleanup(func() {
		<-done
		_ = logFile.Close()
		if t.Failed() {
			t.Logf("%s (%v), end of its output:\n%s", name, cmd.ProcessState, tail(logFile.Name()))
		}
	})
	return done
}

// tail returns the last lines of a file, without the control characters that firmware draws screens with.
func tail(file string) string {
	const most = 6000
	text, err := os.ReadFile(file)
	if err != nil {
		return err.Error()
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' && r != '\n' && r != '\t' {
			return -1
		}
		return r
	}, string(text[max(0, len(text)-most):]))
}

// Inside runs f on a thread that has moved into a namespace: the sockets that f opens belong there, whoever uses them.
func Inside(namespace string, f func() error) error {
	result := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlock: the thread ends with the goroutine
		result <- func() error {
			ns, err := os.Open("/run/netns/" + namespace)
			if err != nil {
				return err
			}
			defer func() { _ = ns.Close() }()
			if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
				return fmt.Errorf("enter network namespace %s: %w", namespace, err)
			}
			return f()
		}()
	}()
	return <-result
}

// Listen opens a TCP port in the server's namespace.
func (l *Lab) Listen(t *testing.T, address string) net.Listener {
	t.Helper()
	var listener net.Listener
	err := Inside(l.Server, func() (err error) {
		listener, err = new(net.ListenConfig).Listen(t.Context(), "tcp", address)
		return err
	})
	if err != nil {
		t.Fatalf("listen in the server's namespace: %v", err)
	}
	return listener
}

// Forward makes a TCP address of the machine that runs the test reachable from the server's namespace, at the same
// address, until the test ends.
func (l *Lab) Forward(t *testing.T, address string) {
	t.Helper()
	listener := l.Listen(t, address)
	var tasks sync.WaitGroup
	t.Cleanup(func() {
		_ = listener.Close()
		tasks.Wait()
	})
	tasks.Go(func() {
		for {
			near, err := listener.Accept()
			if err != nil {
				return // closed
			}
			far, err := new(net.Dialer).DialContext(t.Context(), "tcp", address)
			if err != nil {
				_ = near.Close()
				continue
			}
			for from, to := range map[net.Conn]net.Conn{near: far, far: near} {
				tasks.Go(func() {
					_, _ = io.Copy(to, from)
					_, _ = to.Close(), from.Close()
				})
			}
		}
	})
}

// DHCP starts a DHCP server that names the file to boot, and another for those who ask as iPXE.
func (l *Lab) DHCP(t *testing.T, file, ipxeFile string) {
	t.Helper()
	args := []string{
		"dnsmasq", "--conf-file=/dev/null", "--port=0", "--no-daemon", "--user=root", "--log-dhcp",
		"--interface=br0", "--bind-interfaces", "--dhcp-leasefile=" + filepath.Join(l.Logs, "leases"),
		"--dhcp-authoritative", "--dhcp-no-override",
		"--dhcp-range=" + GuestAddress + "," + GuestAddress + ",255.255.255.0", "--dhcp-host=" + GuestMAC + "," + GuestAddress,
		"--dhcp-userclass=set:ipxe,iPXE", "--dhcp-boot=tag:ipxe," + ipxeFile + ",," + ServerAddress,
		"--dhcp-boot=tag:!ipxe," + file + ",," + ServerAddress,
		"--enable-ra", "--dhcp-range=fd77::,ra-only", "--ra-param=br0,4,0",
	}
	if strings.HasPrefix(file, "http://") { // UEFI HTTP Boot takes answers of its own vendor class only
		args = append(args, "--dhcp-vendorclass=set:http,HTTPClient", "--dhcp-option-force=tag:http,60,HTTPClient")
	}
	l.Start(t.Context(), t, l.LAN, "dnsmasq", args...)
}

// WhenServed waits until the server under test has served a name, and then calls do.
func (l *Lab) WhenServed(t *testing.T, name string, do func()) {
	t.Helper()
	for tick := time.NewTicker(50 * time.Millisecond); ; {
		select {
		case <-tick.C:
		case <-t.Context().Done():
			return
		}
		log, err := os.ReadFile(filepath.Join(l.Logs, "netboot.log"))
		if err != nil {
			t.Errorf("watch the server's log: %v", err)
			return
		}
		for line := range strings.Lines(string(log)) {
			if strings.Contains(line, "msg=Served") && strings.Contains(line, name) {
				do()
				return
			}
		}
	}
}

// Get fetches a tftp or http URL from the LAN's side.
func (l *Lab) Get(t *testing.T, url string) string {
	t.Helper()
	return Run(t, "", "ip", "netns", "exec", l.LAN, "curl", "--silent", "--show-error", "--fail", "--max-time", "60", url)
}
