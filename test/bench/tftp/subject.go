// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"context"
	"crypto/sha256"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/netboot-operator/netboot-operator/test/bench/measure"
)

// manySessions is what the limit of sessions is raised to, where a server has one.
const manySessions = "20000"

// A subject is a server under test, and how it is started. docs/benchmarks.md tells why so.
type subject struct {
	name    string
	ip      netip.Addr // each has its own, so that each can have port 69
	ours    bool
	windows bool // knows windowsize
	only    []string
	args    []string
	env     []string
	prepare func() error
	version func(ctx context.Context) string
}

// in says whether the subject takes part in a scenario.
func (s *subject) in(scenario string) bool {
	return s.only == nil || slices.Contains(s.only, scenario)
}

// programs are the paths of what the script prepared. Those that are empty take no part.
type programs struct {
	directory, netboot, pin           string // built here
	commit                            string // that they were built from
	tftpdHPA, atftpd, dnsmasq, fbtftp string // Debian's; fbtftp is the script that serves with it
	libraries                         string // folders of Debian's shared libraries, as LD_LIBRARY_PATH has them
}

// subjects lists the servers. work is a folder for what they need beside the files.
func (p programs) subjects(files, work string) []*subject {
	var all []*subject
	add := func(program string, s *subject) {
		s.ip = netip.AddrFrom4([4]byte{127, 0, 0, byte(11 + len(all))})
		if program == "" {
			return
		}
		address := netip.AddrPortFrom(s.ip, 69).String()
		for i, arg := range s.args {
			s.args[i] = strings.NewReplacer("ADDRESS", address, "IP", s.ip.String(), "FILES", files, "WORK", work).Replace(arg)
		}
		s.args = append([]string{program}, s.args...)
		if p.libraries != "" {
			s.env = append(s.env, "LD_LIBRARY_PATH="+p.libraries)
		}
		all = append(all, s)
	}
	add(p.directory, &subject{
		name: "netboot-operator", ours: true, windows: true,
		args:    []string{"-address", "ADDRESS", "-dir", "FILES", "-max-transfers", manySessions},
		version: measure.BuildVersion(p.directory, "", p.commit),
	})
	add(p.netboot, &subject{
		name: "netboot serve", ours: true, windows: true, only: []string{"storm", "loader"},
		args: []string{
			"serve", "--manifests", "WORK/manifests", "--files-dir", "FILES", "--data-dir", "WORK/data",
			"--tftp-bind-address", "ADDRESS", "--http-bind-address", "IP:8080", "--metrics-bind-address", "IP:8081",
		},
		prepare: func() error { return writeProfile(work, files) },
		version: measure.BuildVersion(p.netboot, "", p.commit),
	})
	add(p.tftpdHPA, &subject{
		name:    "tftpd-hpa",
		args:    []string{"--foreground", "--listen", "--address", "ADDRESS", "--user", "nobody", "--secure", "FILES"},
		version: measure.PrintedVersion("tftp-hpa ", p.libraries, p.tftpdHPA, "--version"),
	})
	add(p.atftpd, &subject{
		name: "atftpd", windows: true,
		args: []string{
			"--daemon", "--no-fork", "--port", "69", "--bind-address", "IP", "--user", "root.root", "--maxthread", manySessions,
			"--no-multicast", "--verbose=0", "--logfile", "/dev/null", "FILES",
		},
		version: measure.PrintedVersion("atftp-", p.libraries, p.atftpd, "--version"),
	})
	add(p.dnsmasq, &subject{
		name: "dnsmasq",
		args: []string{
			"--keep-in-foreground", "--conf-file=/dev/null", "--pid-file=", "--port=0", "--user=root", "--enable-tftp",
			"--tftp-root=FILES", "--tftp-max=" + manySessions, "--quiet-tftp", "--listen-address=IP", "--bind-interfaces",
		},
		version: measure.PrintedVersion("Dnsmasq version ", p.libraries, p.dnsmasq, "--version"),
	})
	add(p.fbtftp, &subject{
		name:    "fbtftp",
		args:    []string{"IP", "69", "FILES"},
		version: measure.PrintedVersion("fbtftp ", p.libraries, p.fbtftp, "--version"),
	})
	add(p.pin, &subject{
		name:    "pin/tftp",
		args:    []string{"ADDRESS", "FILES"},
		version: measure.BuildVersion(p.pin, "github.com/pin/tftp/v3", ""),
	})
	return all
}

// writeProfile makes the manifests for "netboot serve": one profile that serves the small files.
func writeProfile(work, files string) error {
	if err := os.RemoveAll(work); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(work, "manifests"), 0o755); err != nil {
		return err
	}
	var listed strings.Builder // the profile's files
	artifact := ""
	for _, name := range []string{file2K, file1M} {
		content, err := makeFile(files, name)
		if err != nil {
			return err
		}
		artifact = fmt.Sprintf("url: file:///%s, sha256: %x", name, sha256.Sum256(content.Data))
		fmt.Fprintf(&listed, "  - {path: %s, %s}\n", name, artifact)
	}
	manifest := "apiVersion: netboot.dev/v1alpha1\nkind: BootProfile\nmetadata: {name: bench}\nspec:\n" +
		"  platforms:\n  - architecture: amd64\n    kernel: {" + artifact + "}\n  files:\n" + listed.String()
	return os.WriteFile(filepath.Join(work, "manifests", "bench.yaml"), []byte(manifest), 0o644)
}
