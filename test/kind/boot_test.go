// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build kind

package kind

import (
	"context"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// bootDeadline is when a boot that has not come to an end has failed. Without KVM, one takes 10 to 60 seconds.
const bootDeadline = 10 * time.Minute

// A machine boots on the nodes' network; its DHCP answer sends it to one of them.
type machine struct {
	name, mac string
	loader    string // what DHCP names
	tap       string
	firmware  []string // arguments for QEMU
	vars      string   // the file to start the firmware's variables from; empty: none
	nic       string   // appended to the network card
	from      node
	want      string // on the kernel's command line
}

func (c *cluster) machines() []machine {
	return []machine{
		{ // of docs/install.md
			name: "server-01", mac: "52:54:00:12:34:56", loader: "pxelinux.0", tap: "netboot-kind0", from: c.workers[0],
			firmware: []string{"-machine", "q35,graphics=off", "-boot", "reboot-timeout=1000"},
			want:     "hostname=server-01",
		},
		{
			name: "uefi", mac: "52:54:00:aa:bb:10", loader: "grubnetx64.efi.signed", tap: "netboot-kind1", from: c.workers[1],
			firmware: []string{
				"-machine", "q35", "-device", "virtio-rng-pci",
				"-drive", "if=pflash,unit=0,format=raw,readonly=on,file=/usr/share/OVMF/OVMF_CODE_4M.fd",
			},
			vars: "/usr/share/OVMF/OVMF_VARS_4M.fd", nic: ",romfile=",
			want: "rack=kind",
		},
	}
}

// boots boots a machine with BIOS from one node and one with UEFI from the other, both at once.
func (c *cluster) boots(t *testing.T) {
	t.Helper()
	apply(t, `
apiVersion: netboot.dev/v1alpha1
kind: Machine
metadata: {name: uefi, namespace: default}
spec:
  macAddresses: ["52:54:00:aa:bb:10"]
  profileRef: {name: debian-installer}
  kernelArgs: [rack=kind]
`)
	run(t, "kubectl", "wait", "--for=condition=Ready", "--timeout=180s", "machine/uefi")
	machines := c.machines()
	c.dhcp(t, machines)
	pods := c.pods(t)
	for i, m := range machines {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			begun := time.Now()
			line := c.boot(t, m)
			t.Logf("booted from %s in %v: %s", m.from.name, time.Since(begun).Round(time.Second), line)
			if !strings.Contains(line, m.want) {
				t.Errorf("the kernel was not told %s", m.want)
			}
			log := run(t, "kubectl", "-n", namespace, "logs", pods[m.from.name], "--since=10m")
			if want := `"client":"` + c.free(firstFree+i).String() + `:`; !strings.Contains(log, want) {
				t.Errorf("%s on %s has not served the machine: no %s in its log", pods[m.from.name], m.from.name, want)
			}
		})
	}
}

// dhcp starts a DHCP server on the nodes' network.
func (c *cluster) dhcp(t *testing.T, machines []machine) {
	t.Helper()
	args := []string{
		"--conf-file=/dev/null", "--port=0", "--no-daemon", "--user=root", "--log-dhcp", "--interface=" + c.bridge,
		"--bind-interfaces", "--dhcp-leasefile=" + filepath.Join(t.TempDir(), "leases"), "--dhcp-authoritative", "--dhcp-no-override",
		"--dhcp-range=" + c.free(firstFree).String() + ",static",
	}
	for i, m := range machines {
		args = append(args, "--dhcp-host="+m.mac+",set:"+m.name+","+c.free(firstFree+i).String(),
			"--dhcp-boot=tag:"+m.name+","+m.loader+",,"+m.from.address)
	}
	c.start(t, "dnsmasq", "dnsmasq", args...)
}

// firstFree is the number of the first machine's address.
const firstFree = 100

// free returns an address of the nodes' network that Docker, which counts from the first, does not get to.
func (c *cluster) free(number int) netip.Addr {
	address := c.gateway
	for range number {
		address = address.Next()
	}
	return address
}

// start starts a program, which is ended with the test. What it prints goes to a file; the channel is closed at its end.
func (c *cluster) start(t *testing.T, log, program string, args ...string) (file string, ended <-chan struct{}) {
	t.Helper()
	out, err := os.Create(filepath.Join(c.logs, log+".log"))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), bootDeadline)
	command := exec.CommandContext(ctx, program, args...)
	command.Stdout, command.Stderr = out, out
	command.Cancel = func() error { return command.Process.Signal(syscall.SIGTERM) }
	command.WaitDelay = 10 * time.Second
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = command.Wait() // the log tells
		_ = out.Close()
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	return out.Name(), done
}

// boot boots a machine to its end and returns the command line that its kernel was given.
func (c *cluster) boot(t *testing.T, m machine) string {
	t.Helper()
	run(t, "ip", "tuntap", "add", "dev", m.tap, "mode", "tap")
	t.Cleanup(func() { _, _ = try(context.Background(), "ip", "link", "delete", m.tap) }) // t.Context has ended
	run(t, "ip", "link", "set", m.tap, "master", c.bridge, "up")
	args := append([]string{
		"-nodefaults", "-no-user-config", "-accel", "tcg", "-m", "768", "-no-reboot", "-display", "none", "-vga", "none",
		"-serial", "stdio", "-netdev", "tap,id=n0,ifname=" + m.tap + ",script=no,downscript=no",
		"-device", "virtio-net-pci,netdev=n0,bootindex=1,mac=" + m.mac + m.nic,
	}, m.firmware...)
	if m.vars != "" {
		content, err := os.ReadFile(m.vars)
		if err != nil {
			t.Fatal(err)
		}
		vars := filepath.Join(t.TempDir(), "vars.fd")
		if err := os.WriteFile(vars, content, 0o600); err != nil {
			t.Fatal(err)
		}
		args = append(args, "-drive", "if=pflash,unit=1,format=raw,file="+vars)
	}
	log, ended := c.start(t, "console-"+m.name, "qemu-system-x86_64", args...)
	<-ended // the guest powers itself off
	console, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	line := regexp.MustCompile(`NETBOOT-CMDLINE \[(.*)\]\r?\n`).FindSubmatch(console)
	if line == nil {
		t.Fatalf("no kernel printed its command line within %v; see %s", bootDeadline, log)
	}
	return string(line[1])
}
