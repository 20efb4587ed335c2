// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/netboot-operator/netboot-operator/test/bench/measure"
)

// A subject is a server under test. docs/benchmarks.md tells why it is started so.
type subject struct {
	measure.Program
	name    string
	ours    bool
	address netip.AddrPort
	path    func(*content) string
	version func(context.Context) string
}

// subjects prepares the servers that were named.
func (o options) subjects(files string, all []*content) (found []*subject, err error) {
	if o.netboot != "" && o.server != "nginx" {
		work := filepath.Join(o.work, "http-netboot")
		if err := writeProfile(work, all); err != nil {
			return nil, err
		}
		s := &subject{
			name: "netboot serve", ours: true, address: netip.MustParseAddrPort("127.0.0.11:8080"),
			path:    func(c *content) string { return "/artifacts/sha256/" + c.sha256 + "/" + c.name },
			version: measure.BuildVersion(o.netboot, "", o.commit),
		}
		s.Program = measure.Program{Name: "http-netboot", Args: []string{
			o.netboot, "serve", "--manifests", filepath.Join(work, "manifests"), "--files-dir", files, "--data-dir", filepath.Join(work, "data"),
			"--tftp-bind-address=", "--http-bind-address", s.address.String(), "--metrics-bind-address=127.0.0.11:8081",
		}}
		found = append(found, s)
	}
	if o.nginx != "" && o.server != "netboot serve" {
		work := filepath.Join(o.work, "http-nginx")
		s := &subject{
			name: "nginx", address: netip.MustParseAddrPort("127.0.0.12:8080"), path: func(c *content) string { return "/" + c.name },
			version: measure.PrintedVersion("nginx/", o.libraries, o.nginx, "-v"),
		}
		if err := writeNginx(work, files, o.mime, s.address); err != nil {
			return nil, err
		}
		s.Program = measure.Program{
			Name: "http-nginx", Args: []string{o.nginx, "-p", work, "-c", filepath.Join(work, "nginx.conf"), "-e", filepath.Join(work, "error.log")},
			Env: []string{"LD_LIBRARY_PATH=" + o.libraries},
		}
		found = append(found, s)
	}
	if len(found) == 0 {
		return nil, errors.New("no server was named: see -h")
	}
	return found, nil
}

// await fetches a file until it comes, and looks at each byte.
func (s *subject) await(r *measure.Running, file *content) error {
	var last *outcome
	for deadline := time.Now().Add(readyWithin); time.Now().Before(deadline); {
		var err error
		last, err = load{
			server: s.address, path: s.path(file), file: file, clients: 1, files: 1, time: readyWithin, checkAll: true, gone: r.Gone,
		}.run()
		if err != nil {
			return err
		}
		if last.done == 1 {
			return nil
		}
		select {
		case <-r.Gone:
			return errors.New("ended at its start")
		case <-time.After(50 * time.Millisecond):
		}
	}
	return fmt.Errorf("does not serve %s after %v: %v", file.name, readyWithin, last.failures)
}

// writeProfile makes the manifests: one profile, whose files are those of the benchmark.
func writeProfile(work string, all []*content) error {
	if err := errors.Join(os.RemoveAll(work), os.MkdirAll(filepath.Join(work, "manifests"), 0o755)); err != nil {
		return err
	}
	var listed strings.Builder
	artifact := ""
	for _, c := range all {
		artifact = fmt.Sprintf("url: file:///%s, sha256: %s", c.name, c.sha256)
		fmt.Fprintf(&listed, "  - {path: %s, %s}\n", c.name, artifact)
	}
	manifest := "apiVersion: netboot.dev/v1alpha1\nkind: BootProfile\nmetadata: {name: bench}\nspec:\n" +
		"  platforms:\n  - architecture: amd64\n    kernel: {" + artifact + "}\n  files:\n" + listed.String()
	return os.WriteFile(filepath.Join(work, "manifests", "bench.yaml"), []byte(manifest), 0o644)
}

// writeNginx writes the configuration of Debian's package, with other paths and in the foreground.
func writeNginx(work, files, mime string, address netip.AddrPort) error {
	if err := os.MkdirAll(work, 0o755); err != nil {
		return err
	}
	config := strings.NewReplacer("WORK", work, "FILES", files, "MIME", mime, "ADDRESS", address.String()).Replace(`daemon off;
user root;
worker_processes auto;
pid WORK/nginx.pid;
error_log WORK/error.log;
events {
	worker_connections 768;
}
http {
	sendfile on;
	tcp_nopush on;
	types_hash_max_size 2048;
	include MIME;
	default_type application/octet-stream;
	access_log WORK/access.log;
	gzip on;
	client_body_temp_path WORK/body;
	proxy_temp_path WORK/proxy;
	fastcgi_temp_path WORK/fastcgi;
	uwsgi_temp_path WORK/uwsgi;
	scgi_temp_path WORK/scgi;
	server {
		listen ADDRESS;
		root FILES;
	}
}
`)
	return os.WriteFile(filepath.Join(work, "nginx.conf"), []byte(config), 0o644)
}
