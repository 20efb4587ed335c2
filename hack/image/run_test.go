// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build e2e && linux

package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// patience bounds what the program may take to start or to answer. It takes parts of a second on an idle machine.
const patience = 3 * time.Minute

// TestMain runs the tests; started as a container, it becomes one.
func TestMain(m *testing.M) {
	if len(os.Args) > 3 && os.Args[1] == "container" {
		err := enter(os.Args[2], os.Args[3] == "bind", os.Args[4:])
		fmt.Fprintf(os.Stderr, "container: %v\n", err)
		os.Exit(125)
	}
	os.Exit(m.Run())
}

// enter does what a container runtime does for the pod of the chart: a root that can't be written to, with volumes;
// user 65532; no new privileges; no capability but NET_BIND_SERVICE, if at all. It returns only if that fails.
func enter(root string, bind bool, command []string) error {
	runtime.LockOSThread() // what follows is of the thread that executes the program at the end
	at := func(name string) string { return filepath.Join(root, name) }
	steps := []struct {
		what string
		do   func() error
	}{
		{"keep mounts to ourselves", func() error { return unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "") }},
		{"mount the root", func() error { return unix.Mount(root, root, "", unix.MS_BIND, "") }},
		{"mount the data", func() error { return unix.Mount("tmpfs", at("var/lib/netboot-operator"), "tmpfs", 0, "mode=777") }},
		{"mount the runtime folder", func() error { return unix.Mount("tmpfs", at("run/netboot"), "tmpfs", 0, "mode=777") }},
		{"make the root read-only", func() error {
			return unix.Mount("", root, "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY, "")
		}},
		{"enter", func() error { return unix.Chroot(root) }},
		{"go to /", func() error { return unix.Chdir("/") }},
		{"drop capabilities", func() error { return dropCapabilities(bind) }},
		{"renounce new privileges", func() error { return unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) }},
		{"leave groups", func() error { return unix.Setgroups(nil) }},
		{"become the group", func() error { return unix.Setresgid(65532, 65532, 65532) }},
		{"keep capabilities", func() error { return unix.Prctl(unix.PR_SET_KEEPCAPS, 1, 0, 0, 0) }},
		{"become the user", func() error { return unix.Setresuid(65532, 65532, 65532) }},
		{"hold capabilities", func() error { return holdCapabilities(bind) }},
		{"execute " + command[0], func() error { return unix.Exec(command[0], command, nil) }},
	}
	for _, step := range steps {
		if err := step.do(); err != nil {
			return fmt.Errorf("%s: %w", step.what, err)
		}
	}
	return nil
}

// dropCapabilities takes all of them, or all but one, out of what a program can ever get.
func dropCapabilities(bind bool) error {
	for number := range uintptr(64) {
		if bind && number == unix.CAP_NET_BIND_SERVICE {
			continue
		}
		if err := unix.Prctl(unix.PR_CAPBSET_DROP, number, 0, 0, 0); err == unix.EINVAL {
			return nil // the kernel knows no more
		} else if err != nil {
			return err
		}
	}
	return nil
}

// holdCapabilities keeps one or none of those that the process has. A program without file capabilities gets none of it;
// under no_new_privs one with them gets no more than this.
func holdCapabilities(bind bool) error {
	var held [2]unix.CapUserData
	if bind {
		held[0].Permitted, held[0].Effective = 1<<unix.CAP_NET_BIND_SERVICE, 1<<unix.CAP_NET_BIND_SERVICE
	}
	return unix.Capset(&unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}, &held[0])
}

// unpackRoot unpacks the image for this machine out of build/image/oci, as the pod's root.
func unpackRoot(t *testing.T) string {
	t.Helper()
	if os.Getuid() != 0 {
		t.Fatal("needs root: containers are made by root")
	}
	_, images := read(t, filepath.Join(top, "build/image/oci"))
	image := images["linux/"+runtime.GOARCH]
	if image == nil {
		t.Fatalf("build/image/oci has no image for linux/%s: make image", runtime.GOARCH)
	}
	root, err := os.MkdirTemp(filepath.Join(top, "build/image"), "root.") //nolint:usetesting // /tmp may be mounted nosuid
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(root); err != nil {
			t.Error(err)
		}
	})
	layers, err := image.Layers()
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range layers {
		content, err := l.Uncompressed()
		if err != nil {
			t.Fatal(err)
		}
		// Not by code of our own: that could misread what it has miswritten.
		untar := exec.CommandContext(t.Context(), "tar", "-x", "--xattrs", "--xattrs-include=security.capability", "-C", root)
		untar.Stdin = content
		if out, err := untar.CombinedOutput(); err != nil {
			t.Fatalf("tar: %v\n%s", err, out)
		}
	}
	if err := os.Chmod(root, 0o755); err != nil {
		t.Fatal(err)
	}
	root, err = filepath.Abs(root)
	if err != nil {
		t.Fatal(err)
	}
	return root
}

// container returns the command that runs /netboot in root.
func container(ctx context.Context, t *testing.T, root, capability string, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	command := exec.CommandContext(ctx, self, append([]string{"container", root, capability, "/netboot"}, args...)...)
	command.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}
	return command
}

// ownNetwork gives the test a network of its own with a loopback, so that port 69 is free. It lasts as long as the test's
// goroutine; the thread ends with it.
func ownNetwork(t *testing.T) {
	t.Helper()
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), "ip", "link", "set", "lo", "up").CombinedOutput(); err != nil {
		t.Fatalf("ip link: %v\n%s", err, out)
	}
}

// TestRun runs the image that hack/image.sh left in build/image.
func TestRun(t *testing.T) {
	root := unpackRoot(t)
	t.Run("version", func(t *testing.T) { tellsVersion(t, root) })
	t.Run("serves on port 69", func(t *testing.T) { servesPort69(t, root) })
	t.Run("the pod does not add NET_BIND_SERVICE", func(t *testing.T) {
		fails(t, root, "none", "execute /netboot: operation not permitted")
	})
	// At last, since it spoils the image: the test above could fail.
	if err := unix.Removexattr(filepath.Join(root, "netboot"), "security.capability"); err != nil {
		t.Fatal(err)
	}
	t.Run("the program has no file capability", func(t *testing.T) { fails(t, root, "bind", "permission denied") })
}

func tellsVersion(t *testing.T, root string) {
	t.Helper()
	out, err := container(t.Context(), t, root, "bind", "version").CombinedOutput()
	if err != nil {
		t.Fatalf("netboot version: %v\n%s", err, out)
	}
	_, images := read(t, filepath.Join(top, "build/image/oci"))
	config, err := images["linux/"+runtime.GOARCH].ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf("netboot %s %s linux/%s\n", config.Config.Labels["org.opencontainers.image.version"], runtime.Version(), runtime.GOARCH)
	if string(out) != want {
		t.Errorf("netboot version printed %q, want %q", out, want)
	}
}

func serveArgs() []string {
	return []string{
		"serve", "--loaders-dir=/usr/share/netboot/loaders", "--manifests=/usr/share/doc/netboot-operator", // no YAML: no machines
		"--data-dir=/var/lib/netboot-operator", "--tftp-bind-address=127.0.0.1:69", "--http-bind-address=127.0.0.1:80",
	}
}

// servesPort69 starts the server as a pod does, and fetches each loader by TFTP.
func servesPort69(t *testing.T, root string) {
	t.Helper()
	ownNetwork(t)
	server := container(t.Context(), t, root, "bind", serveArgs()...)
	var log bytes.Buffer
	server.Stdout, server.Stderr = &log, &log
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Process.Kill(); err != nil {
			t.Error(err)
		}
		_ = server.Wait() // it says that it was killed
		if t.Failed() {
			t.Logf("the server's log:\n%s", log.String())
		}
	})

	for name := range strings.Lines(readTop(t, "hack/loaders.txt")) {
		name, _, _ = strings.Cut(name, " ")
		if !strings.Contains(name, "/") {
			continue // a comment or a package
		}
		want, err := os.ReadFile(filepath.Join(root, "usr/share/netboot/loaders", name))
		if err != nil {
			t.Fatal(err)
		}
		if got := firstBlock(t, name); !bytes.Equal(got, want[:512]) {
			t.Errorf("%s: TFTP answers %d other bytes than the file's first", name, len(got))
		}
	}

	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", server.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`Uid:\t65532\t65532\t65532\t65532`, `Gid:\t65532\t65532\t65532\t65532`, `Groups:\t *`, `NoNewPrivs:\t1`,
		`CapInh:\t0+`, `CapPrm:\t0+400`, `CapEff:\t0+400`, `CapBnd:\t0+400`, `CapAmb:\t0+`,
	} {
		if !regexp.MustCompile(`(?m)^` + want + `$`).Match(status) {
			t.Errorf("no line %q in the server's status:\n%s", want, status)
		}
	}
}

// firstBlock asks 127.0.0.1:69 for a file until there is an answer, and returns the first DATA.
func firstBlock(t *testing.T, name string) []byte {
	t.Helper()
	conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }() // nothing is left to send
	request := []byte("\x00\x01" + name + "\x00octet\x00")
	packet := make([]byte, 1024)
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		if _, err := conn.WriteTo(request, &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 69}); err != nil {
			t.Fatal(err)
		}
		if err := conn.SetReadDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		n, from, err := conn.ReadFrom(packet)
		if err != nil {
			continue // not yet
		}
		if n < 4 || binary.BigEndian.Uint32(packet) != 3<<16|1 { // DATA, block 1
			t.Fatalf("%s: TFTP answers %q", name, packet[:n])
		}
		if _, err := conn.WriteTo([]byte("\x00\x05\x00\x00that is all\x00"), from); err != nil {
			t.Fatal(err)
		}
		return packet[4:n]
	}
	t.Fatalf("%s: no answer from port 69 in %v", name, patience)
	return nil
}

// fails wants that the server does not start, and says why.
func fails(t *testing.T, root, capability, wantOutput string) {
	t.Helper()
	ownNetwork(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience) // should it serve: then the output tells
	defer cancel()
	out, err := container(ctx, t, root, capability, serveArgs()...).CombinedOutput()
	if err == nil || !strings.Contains(string(out), wantOutput) {
		t.Errorf("netboot serve: %v, want an error with %q\n%s", err, wantOutput, out)
	}
}
