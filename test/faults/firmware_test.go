// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package faults

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/netboot-operator/netboot-operator/test/lab"
)

// A firmwareRow is a fault around a machine in QEMU, with real firmware and real loaders.
type firmwareRow struct {
	row

	firmware lab.Firmware
	args     []string // for QEMU
	file     string   // that DHCP names
	ipxeFile string   // that DHCP names to iPXE; empty: file
	mac      string   // of the Machine; empty: that of the one that boots
	arch     string   // that its spec names; empty: none
	spec     string   // of the BootProfile that is called as row.profile is
	rules    string   // of nftables for what the server sends, on the LAN's side of its cable; empty: none
	again    bool     // it boots again when it resets
	flags    []string // for the server
}

// How long the server waits before it says that a boot has stopped. Firmware in QEMU needs some seconds from a step to the next.
const (
	firmwareQuiet        = 20 * time.Second
	firmwareInstallQuiet = 40 * time.Second
)

// firmwareDeadline is for one boot, with others beside it.
const firmwareDeadline = 6 * time.Minute

// TestFirmware makes all faults of machines with real firmware.
func TestFirmware(t *testing.T) {
	rows, runs := firmwareRows(t), *runsFlag
	results := make([][]result, len(rows))
	t.Run("boots", func(t *testing.T) {
		for nth := range rows {
			results[nth] = make([]result, runs)
			for run := range runs {
				results[nth][run].problem = "it did not run"
				t.Run(fmt.Sprintf("%s, %s, %d", rows[nth].name, rows[nth].with, run+1), func(t *testing.T) {
					t.Parallel()
					results[nth][run] = rows[nth].run(t, fmt.Sprintf("f%d-%d", nth, run))
					rows[nth].check(t, results[nth][run:run+1])
				})
			}
		}
	})
	plain := make([]row, len(rows))
	for nth := range rows {
		plain[nth] = rows[nth].row
	}
	writeTable(t, "Real firmware in QEMU", plain, results)
}

// run boots the machine once.
func (r *firmwareRow) run(t *testing.T, name string) result {
	t.Helper()
	l := lab.New(t, name)
	manifests := t.TempDir()
	if err := os.WriteFile(filepath.Join(manifests, "all.yaml"), []byte(r.objects()), 0o600); err != nil {
		t.Fatal(err)
	}
	l.Serve(t, "", append([]string{
		"--manifests", manifests, "--files-dir", firmwareFiles(t), "--loaders-dir", loaderFolder(t, ""),
		"--boot-quiet", firmwareQuiet.String(), "--install-quiet", firmwareInstallQuiet.String(),
	}, r.flags...)...)
	if r.rules != "" {
		lab.Run(t, "table netdev faults { chain sent { type filter hook ingress device \"server\" priority 0; "+r.rules+"; }; }",
			"ip", "netns", "exec", l.LAN, "nft", "-f", "-")
	}
	ipxeFile := r.ipxeFile
	if ipxeFile == "" {
		ipxeFile = r.file
	}
	l.DHCP(t, r.file, ipxeFile)

	ctx, cancel := context.WithTimeoutCause(t.Context(), firmwareDeadline, errors.New("the boot does not come to an end"))
	defer cancel()
	args := r.args
	if !r.again {
		args = append([]string{"-no-reboot"}, args...)
	}
	machineOn, turnOff := context.WithCancel(ctx)
	off := l.Boot(machineOn, t, r.firmware, args...)
	defer func() {
		turnOff()
		<-off
	}()
	go func() { // once it is off, it needs no more time than the server waits
		select {
		case <-off:
			time.AfterFunc(firmwareInstallQuiet+time.Minute, cancel)
		case <-ctx.Done():
		}
	}()
	server := &server{metrics: "127.0.0.1:8081", client: l.Client(), enter: []string{"ip", "netns", "exec", l.Server}}
	m := &machine{address: netip.MustParseAddr(lab.GuestAddress)}
	mac, err := hex.DecodeString(strings.ReplaceAll(lab.GuestMAC, ":", ""))
	if err != nil {
		t.Fatal(err)
	}
	copy(m.mac[:], mac)
	return r.told(ctx, server, m)
}

// objects are the Machine and its BootProfile.
func (r *firmwareRow) objects() string {
	mac := r.mac
	if mac == "" {
		mac = lab.GuestMAC
	}
	policy := r.policy
	if policy == "" {
		policy = "Continuous"
	}
	text := fmt.Sprintf(`apiVersion: netboot.dev/v1alpha1
kind: Machine
metadata: {name: node-01, namespace: %s}
spec:
  macAddresses: ["%s"]
  bootPolicy: %s
  profileRef: {name: %s}
`, namespace, mac, policy, r.profile)
	if r.arch != "" {
		text += "  architecture: " + r.arch + "\n"
	}
	if r.spec == "" {
		return text
	}
	return text + fmt.Sprintf("---\napiVersion: netboot.dev/v1alpha1\nkind: BootProfile\nmetadata: {name: %s, namespace: %s}\nspec:\n%s",
		r.profile, namespace, r.spec)
}

// firmwareFiles is the folder of what machines boot: that of the assets, and an initrd that is too large for small machines.
func firmwareFiles(t *testing.T) string {
	t.Helper()
	folder := t.TempDir()
	for _, name := range []string{"vmlinuz", "initrd.img", "installer.img"} {
		content, err := os.ReadFile(filepath.Join(assets(t), "files", name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(folder, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(folder, "large.img"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(filepath.Join(folder, "large.img"), 400<<20); err != nil {
		t.Fatal(err)
	}
	return folder
}
