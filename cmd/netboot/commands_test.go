// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"net"
	"path/filepath"
	"strings"
	"testing"
)

func TestCommandLinesThatCannotBeUsed(t *testing.T) {
	t.Parallel()
	dir, _ := sample(t)
	file := filepath.Join(dir, "profile.yaml")
	taken, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }() // nobody was accepted

	for name, tc := range map[string]struct {
		args []string
		want []string // what must stand on standard error
	}{
		"unknown command":           {[]string{"server"}, []string{"server"}},
		"unknown flag":              {[]string{"serve", "--port=1"}, []string{"--port"}},
		"argument":                  {[]string{"serve", dir}, []string{dir, "takes no argument"}},
		"TFTP address without port": {[]string{"serve", "--manifests", dir, "--tftp-bind-address=1.2.3.4"}, []string{"--tftp-bind-address=1.2.3.4", "ADDR:PORT"}},
		"HTTP port too large":       {[]string{"serve", "--manifests", dir, "--http-bind-address=:70000"}, []string{"--http-bind-address=:70000", "0-65535"}},
		"address is a name":         {[]string{"serve", "--manifests", dir, "--metrics-bind-address=example.com:1"}, []string{"--metrics-bind-address", "IP address"}},
		"nothing to serve":          {[]string{"serve", "--manifests", dir, "--tftp-bind-address=", "--http-bind-address="}, []string{"--tftp-bind-address", "--http-bind-address", "--https-bind-address"}},
		"HTTPS address":             {[]string{"serve", "--manifests", dir, "--https-bind-address=1.2.3.4"}, []string{"--https-bind-address=1.2.3.4", "ADDR:PORT"}},
		"HTTPS without certificate": {[]string{"serve", "--manifests", dir, "--https-bind-address=:0"}, []string{"--tls-cert-file is missing"}},
		"HTTPS without key":         {[]string{"serve", "--manifests", dir, "--https-bind-address=:0", "--tls-cert-file=x"}, []string{"--tls-private-key-file is missing"}},
		"certificate without HTTPS": {[]string{"serve", "--manifests", dir, "--tls-cert-file=x"}, []string{"--tls-cert-file=x", "--https-bind-address"}},
		"no certificate in a file": {
			[]string{"serve", "--manifests", dir, "--data-dir", t.TempDir(), "--https-bind-address=:0", "--tls-cert-file", file, "--tls-private-key-file", file},
			[]string{"--tls-cert-file=" + file, "--tls-private-key-file=" + file, "PEM"},
		},
		"no connections":             {[]string{"serve", "--manifests", dir, "--http-max-connections=0"}, []string{"--http-max-connections=0", "1-1048576"}},
		"connections of a client":    {[]string{"serve", "--manifests", dir, "--http-max-connections-per-client=-1"}, []string{"--http-max-connections-per-client=-1", "1-1048576"}},
		"time for headers":           {[]string{"serve", "--manifests", dir, "--http-header-timeout=2h"}, []string{"--http-header-timeout=2h", "1ms-1h"}},
		"time to be idle":            {[]string{"serve", "--manifests", dir, "--http-idle-timeout=0s"}, []string{"--http-idle-timeout=0s", "1ms-1h"}},
		"time to stall":              {[]string{"serve", "--manifests", dir, "--http-stall-timeout=-1s"}, []string{"--http-stall-timeout=-1s", "1ms-1h"}},
		"manifests do not exist":     {[]string{"serve", "--manifests", dir + "/none"}, []string{"--manifests=" + dir + "/none"}},
		"manifests are a file":       {[]string{"serve", "--manifests", file}, []string{"--manifests=" + file, "folder"}},
		"namespace with manifests":   {[]string{"serve", "--manifests", dir, "--namespace=lab"}, []string{"--namespace=lab"}},
		"no number of bytes":         {[]string{"serve", "--manifests", dir, "--cache-max-bytes=lots"}, []string{"--cache-max-bytes=lots", "20Gi"}},
		"negative budget":            {[]string{"serve", "--manifests", dir, "--cache-max-bytes=-1Gi"}, []string{"--cache-max-bytes=-1Gi", "1Mi"}},
		"tiny budget":                {[]string{"serve", "--manifests", dir, "--cache-max-bytes=10k"}, []string{"--cache-max-bytes=10k", "1Mi"}},
		"hectic scrub":               {[]string{"serve", "--manifests", dir, "--cache-scrub-interval=1s"}, []string{"--cache-scrub-interval=1s", "1m0s"}},
		"grace too long":             {[]string{"serve", "--manifests", dir, "--shutdown-grace=48h"}, []string{"--shutdown-grace=48h", "0s-1h"}},
		"token that lasts too short": {[]string{"serve", "--manifests", dir, "--config-token-ttl=1s"}, []string{"--config-token-ttl=1s", "1m0s-168h0m0s"}},
		"unknown policy":             {[]string{"serve", "--manifests", dir, "--unknown-machines=Adopt"}, []string{"--unknown-machines=Adopt", "Ignore"}},
		"advertised with a path":     {[]string{"serve", "--manifests", dir, "--advertise-address=boot/x"}, []string{"--advertise-address=boot/x"}},
		"advertised port":            {[]string{"serve", "--manifests", dir, "--advertise-address=boot:0"}, []string{"--advertise-address=boot:0", "1-65535"}},
		"log format":                 {[]string{"serve", "--manifests", dir, "--log-format=xml"}, []string{"--log-format=xml", "text or json"}},
		"data-dir is a file":         {[]string{"serve", "--manifests", dir, "--data-dir", file}, []string{"--data-dir=" + file}},
		"no API server":              {[]string{"serve", "--kubeconfig", file + ".none"}, []string{"--kubeconfig"}},
		"port is taken": {
			[]string{"serve", "--manifests", dir, "--data-dir", t.TempDir(), "--tftp-bind-address=", "--metrics-bind-address=127.0.0.1:0", "--http-bind-address", taken.Addr().String()},
			[]string{"--http-bind-address=" + taken.Addr().String(), "another program"},
		},
		"render without MAC":       {[]string{"render", "-f", dir, "--as", "grub"}, []string{"--mac="}},
		"render as something else": {[]string{"render", "-f", dir, "--mac", mac1, "--as", "lilo"}, []string{"--as=lilo", "pxelinux"}},
		"render from nowhere":      {[]string{"render", "--mac", mac1, "--as", "grub"}, []string{"--filename"}},
		"lint of nothing":          {[]string{"lint"}, []string{"--filename"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, stderr, code := netboot(t, tc.args...)
			if code != exitUsage {
				t.Errorf("exit code %d, want %d", code, exitUsage)
			}
			for _, want := range tc.want {
				if !strings.Contains(stderr, want) {
					t.Errorf("standard error is %q, want %q in it", stderr, want)
				}
			}
		})
	}
}

func TestLint(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		files    map[string]string
		wantCode int
		want     []string
	}{
		"good": {
			files: map[string]string{"p.yaml": strings.NewReplacer("KERNEL", digest(""), "INITRD", digest("")).Replace(profileYAML), "m.yaml": machineYAML},
			want:  []string{"1 Machines and 1 BootProfiles are good, 0 problems, 0 warnings"},
		},
		"profile that does not exist": {
			files: map[string]string{"m.yaml": machineYAML},
			want:  []string{`warning: Machine default/node-01: ProfileNotFound: BootProfile "linux" does not exist`, "0 problems, 1 warnings"},
		},
		"unknown field": {
			files:    map[string]string{"m.yaml": machineYAML + "  mac: x\n"},
			wantCode: exitFailed,
			want:     []string{"m.yaml:9:3: Machine default/node-01: spec.mac", "1 problems"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			stdout, stderr, code := netboot(t, "lint", "-f", manifests(t, tc.files))
			if code != tc.wantCode || stderr != "" {
				t.Errorf("exit code %d, standard error %q", code, stderr)
			}
			for _, want := range tc.want {
				if !strings.Contains(stdout, want) {
					t.Errorf("printed %q, want %q in it", stdout, want)
				}
			}
		})
	}
}

func TestRenderSaysWhyNot(t *testing.T) {
	t.Parallel()
	dir := manifests(t, map[string]string{"m.yaml": machineYAML})
	for mac, want := range map[string]string{
		mac1:                `BootProfile "linux" does not exist`,
		"52:54:00:aa:bb:09": "no Machine has MAC address 52:54:00:aa:bb:09",
	} {
		stdout, stderr, code := netboot(t, "render", "-f", dir, "--mac", mac, "--as", "grub")
		if code != exitFailed || stdout != "" || !strings.Contains(stderr, want) {
			t.Errorf("render for %s: exit code %d, %q, %q; want %q", mac, code, stdout, stderr, want)
		}
	}
}

func TestSamplesAreGood(t *testing.T) {
	t.Parallel()
	stdout, _, code := netboot(t, "lint", "-f", "../../config/samples")
	if code != 0 || !strings.Contains(stdout, "0 problems, 0 warnings") {
		t.Errorf("netboot lint of the samples: exit code %d\n%s", code, stdout)
	}
	c := newCluster(t)
	t.Log(c.kubectl("apply", "--server-side", "-R", "-f", "../../config/samples"))
}

func TestVersion(t *testing.T) {
	if stdout, _, code := netboot(t, "version"); code != 0 || !strings.HasPrefix(stdout, "netboot ") {
		t.Errorf("exit code %d, %q", code, stdout)
	}
}
