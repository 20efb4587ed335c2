// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/pin/tftp/v3"

	"github.com/netboot-operator/netboot-operator/test/controlplane"
)

// asNetboot makes the test program be netboot itself, so that tests start the real thing as a process of its own.
const asNetboot = "NETBOOT_TEST_AS_NETBOOT"

// patience bounds every wait for something that takes milliseconds on an idle computer, and half a minute at most.
const patience = 3 * time.Minute

var server packageServer //nolint:gochecknoglobals // one API server for the package, as controlplane documents

type packageServer struct {
	controlplane.Server

	granting sync.Mutex // held while the roles are applied, which are in no namespace: kubectl apply is no atomic thing
}

func TestMain(m *testing.M) {
	if os.Getenv(asNetboot) != "" {
		main()
		return
	}
	// Tests that call t.Parallel wait for processes most of the time. They begin when all others have ended: those that stop the
	// API server, or measure. A -parallel of the command line wins.
	if err := flag.Set("test.parallel", "6"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(server.Run(m))
}

// command is netboot with the given arguments.
func command(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(context.WithoutCancel(t.Context()), self, args...) // tests end it by signal
	cmd.Env = append(os.Environ(), asNetboot+"=1")
	return cmd
}

// netboot runs a command line to its end.
func netboot(t *testing.T, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	cmd := command(t, args...)
	var out, errs strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return out.String(), errs.String(), exit.ExitCode()
	} else if err != nil {
		t.Fatal(err)
	}
	return out.String(), errs.String(), 0
}

// A service is a running netboot serve.
type service struct {
	t    *testing.T
	cmd  *exec.Cmd
	tftp string // addresses, as its log tells them
	http string
	api  string

	https string // empty until waitForHTTPS

	serving chan [2]string // what its log tells: server and address
	read    chan struct{}  // closed when its log has ended, which is when it has
	killed  bool           // by kill

	mu  sync.Mutex
	log strings.Builder
}

var reServing = regexp.MustCompile(`msg="Serving (TFTP|HTTP|HTTPS|metrics)" address=(\S+)`)

// start starts netboot serve on free ports and waits until it serves.
func start(t *testing.T, args ...string) *service {
	t.Helper()
	s := launch(t, args...)
	s.waitUntilItServes()
	return s
}

// launch starts netboot serve on free ports.
func launch(t *testing.T, args ...string) *service {
	t.Helper()
	return launchAs(t, func(*exec.Cmd) {}, args...)
}

// launchAs is launch with something changed about the process.
func launchAs(t *testing.T, change func(*exec.Cmd), args ...string) *service {
	t.Helper()
	s := &service{t: t, serving: make(chan [2]string, 8), read: make(chan struct{})}
	s.cmd = command(t, append([]string{
		"serve", "--tftp-bind-address=127.0.0.1:0", "--http-bind-address=127.0.0.1:0", "--metrics-bind-address=127.0.0.1:0",
		"--data-dir=" + t.TempDir(), "--log-format=text", "--shutdown-grace=5s",
	}, args...)...)
	change(s.cmd)
	stderr, err := s.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(s.read)
		defer close(s.serving)
		for lines := bufio.NewScanner(stderr); lines.Scan(); {
			s.mu.Lock()
			fmt.Fprintln(&s.log, lines.Text())
			s.mu.Unlock()
			if m := reServing.FindStringSubmatch(lines.Text()); m != nil {
				s.serving <- [2]string{m[1], m[2]}
			}
		}
	}()
	t.Cleanup(func() {
		_ = s.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
		<-s.read
		if err := s.cmd.Wait(); err != nil && !s.killed {
			t.Errorf("netboot serve ended with %v", err)
		}
		if t.Failed() {
			t.Logf("log of netboot serve:\n%s", s.logged())
		}
	})
	return s
}

func (s *service) waitUntilItServes() {
	s.t.Helper()
	deadline := time.After(patience)
	for s.tftp == "" || s.http == "" || s.api == "" {
		select {
		case found, open := <-s.serving:
			if !open {
				s.t.Fatal("netboot serve ended before it served")
			}
			*map[string]*string{"TFTP": &s.tftp, "HTTP": &s.http, "HTTPS": &s.https, "metrics": &s.api}[found[0]] = found[1]
		case <-deadline:
			s.t.Fatal("netboot serve does not serve")
		}
	}
}

func (s *service) logged() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.log.String()
}

// getTFTP fetches a file.
func (s *service) getTFTP(name string) (string, error) {
	client, err := tftp.NewClient(s.tftp)
	if err != nil {
		return "", err
	}
	from, err := client.Receive(name, "octet")
	if err != nil {
		return "", err
	}
	var b strings.Builder
	_, err = from.WriteTo(&b)
	return b.String(), err
}

// getHTTP fetches a path and returns status and body.
func (s *service) getHTTP(address, path string) (int, string) {
	s.t.Helper()
	request, err := http.NewRequestWithContext(s.t.Context(), http.MethodGet, "http://"+address+path, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }() // it was only read
	body, err := io.ReadAll(response.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return response.StatusCode, string(body)
}

// eventually waits until check returns "", and fails with what it returned last.
func eventually(t *testing.T, check func() string) {
	t.Helper()
	began := time.Now()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		problem := check()
		if problem == "" {
			return
		}
		if time.Since(began) > time.Second {
			tick.Reset(50 * time.Millisecond) // leaves the processors to what is waited for
		}
		if time.Since(began) > patience {
			t.Fatalf("after %v still: %s", patience, problem)
		}
		<-tick.C
	}
}

// manifests writes a folder of manifests.
func manifests(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		writeFile(t, filepath.Join(dir, name), text)
	}
	return dir
}

func writeFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
