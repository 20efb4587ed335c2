// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package repo_test

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestHTTPPage starts a server with the example of docs/http.md, types what the page says, and compares the outputs that it
// shows.
func TestHTTPPage(t *testing.T) {
	top := t.TempDir()
	binary := filepath.Join(top, "netboot")
	build(t, binary)
	run(t, "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=boot.example.com",
		"-addext", "subjectAltName=IP:127.0.0.1", "-keyout", filepath.Join(top, "tls.key"), "-out", filepath.Join(top, "tls.crt"))
	all := blocks(read(t, "docs/http.md"))
	for name, text := range map[string]string{"site/vmlinuz": "a kernel\n", "site/large.img": ""} {
		if err := os.MkdirAll(filepath.Join(top, "site"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(top, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Truncate(filepath.Join(top, "site/large.img"), 5_000_000_000); err != nil {
		t.Fatal(err)
	}

	// The page's own command line, with ports that are free.
	var server *exec.Cmd
	for _, b := range all {
		switch {
		case b.language == "yaml":
			if err := os.WriteFile(filepath.Join(top, "site/debian.yaml"), []byte(b.text), 0o600); err != nil {
				t.Fatal(err)
			}
		case b.language == "sh" && strings.HasPrefix(b.text, "netboot serve "):
			arguments := strings.Fields(strings.NewReplacer("'", "", "[::]:8443", "127.0.0.1:0").Replace(b.text))[1:]
			server = exec.CommandContext(t.Context(), binary, append(arguments, "--data-dir", filepath.Join(top, "data"),
				"--tftp-bind-address=", "--http-bind-address=127.0.0.1:0", "--metrics-bind-address=127.0.0.1:0")...)
		}
	}
	if server == nil {
		t.Fatal("docs/http.md has no netboot serve")
	}
	server.Dir = top
	server.Cancel = func() error { return server.Process.Signal(os.Interrupt) }
	address := startAndWait(t, server)

	here := strings.NewReplacer("boot.example.com:8080", address["HTTP"], "boot.example.com:8443", address["HTTPS"])
	typed := 0
	for _, b := range all {
		if b.language != "sh" || server == nil || strings.HasPrefix(b.text, "netboot serve ") {
			continue
		}
		typed++
		shell := exec.CommandContext(t.Context(), "bash", "-euo", "pipefail", "-c", here.Replace(b.text))
		shell.Dir = top
		var said strings.Builder
		shell.Stderr = &said
		out, err := shell.Output()
		if err != nil {
			t.Fatalf("%s%v\n%s", b.text, err, &said)
		}
		if diff := cmp.Diff(b.output, string(out)); diff != "" {
			t.Errorf("docs/http.md shows another output of\n%s(-page +got):\n%s", b.text, diff)
		}
	}
	if typed < 2 {
		t.Errorf("docs/http.md has %d blocks of commands", typed)
	}
	if out := run(t, "curl", "-s", "--cacert", filepath.Join(top, "tls.crt"), "https://"+address["HTTPS"]+"/default/debian/vmlinuz"); out != "a kernel\n" {
		t.Errorf("by HTTPS: %q", out)
	}
}

// startAndWait starts a server, and returns where it serves what. It ends with the test.
func startAndWait(t *testing.T, server *exec.Cmd) map[string]string {
	t.Helper()
	log, err := server.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Wait() }) // it was interrupted
	found := make(chan [2]string, 8)
	go func() {
		defer close(found)
		reServing := regexp.MustCompile(`msg="Serving (\w+)" address=(\S+)`)
		for lines := bufio.NewScanner(log); lines.Scan(); {
			if m := reServing.FindStringSubmatch(lines.Text()); m != nil {
				found <- [2]string{m[1], m[2]}
			}
		}
	}()
	address := map[string]string{}
	for deadline := time.After(patience); address["HTTP"] == "" || address["HTTPS"] == ""; {
		select {
		case f, open := <-found:
			if !open {
				t.Fatal("netboot serve ended before it served")
			}
			address[f[0]] = f[1]
		case <-deadline:
			t.Fatal("netboot serve does not serve")
		}
	}
	return address
}
