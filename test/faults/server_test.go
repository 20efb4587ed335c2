// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package faults

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/netboot-operator/netboot-operator/api/v1alpha1"
)

// How long the server under test waits before it says that a boot has stopped. Real ones wait longer.
const (
	bootQuiet    = 8 * time.Second
	installQuiet = 10 * time.Second
)

// patience is how long a test waits for what must come.
const patience = 2 * time.Minute

// A server is the real binary, standalone, in front of the machines of one test.
type server struct {
	tftp    netip.AddrPort
	http    string       // HOST:PORT
	metrics string       // HOST:PORT
	client  *http.Client // that reaches it
	enter   []string     // what a program must be started by to reach it
	log     string       // file
}

// startServer starts bin/netboot with a folder of manifests and further flags, and waits until it is ready.
func startServer(t *testing.T, name, manifests string, flags ...string) *server {
	t.Helper()
	binary, err := filepath.Abs("../../bin/netboot")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(binary); err != nil {
		t.Fatalf("%v: run make build", err)
	}
	s := &server{client: http.DefaultClient, log: filepath.Join(t.ArtifactDir(), name+".log")}
	logFile, err := os.Create(s.log)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), binary, append([]string{
		"serve", "--manifests", manifests, "--data-dir", t.TempDir(), "--shutdown-grace", "1s",
		"--tftp-bind-address", "127.0.0.1:0", "--http-bind-address", "127.0.0.1:0", "--metrics-bind-address", "127.0.0.1:0",
		"--boot-quiet", bootQuiet.String(), "--install-quiet", installQuiet.String(),
	}, flags...)...)
	cmd.Stdout, cmd.Stderr = logFile, logFile
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = time.Minute
	if err := cmd.Start(); err != nil {
		t.Fatalf("start netboot: %v", err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = cmd.Wait() // the log tells
	}()
	t.Cleanup(func() {
		<-ended
		_ = logFile.Close()
	})
	s.await(t, ended)
	return s
}

// await waits until the server is ready, and learns from its log where it listens.
func (s *server) await(t *testing.T, ended <-chan struct{}) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for !s.ready(ctx, t) {
		select {
		case <-tick.C:
		case <-ended:
			text, _ := os.ReadFile(s.log)
			t.Fatalf("netboot ended before it was ready:\n%s", text)
		case <-ctx.Done():
			text, _ := os.ReadFile(s.log)
			t.Fatalf("netboot is not ready after %v:\n%s", patience, text)
		}
	}
}

func (s *server) ready(ctx context.Context, t *testing.T) bool {
	t.Helper()
	text, err := os.ReadFile(s.log)
	if err != nil {
		t.Fatal(err)
	}
	address := map[string]string{}
	for _, m := range regexp.MustCompile(`msg="Serving (\w+)" address=(\S+)`).FindAllStringSubmatch(string(text), -1) {
		address[m[1]] = m[2]
	}
	if address["TFTP"] == "" || address["HTTP"] == "" || address["metrics"] == "" {
		return false
	}
	if s.tftp, err = netip.ParseAddrPort(address["TFTP"]); err != nil {
		t.Fatal(err)
	}
	s.http, s.metrics = address["HTTP"], address["metrics"]
	return s.get(ctx, "/readyz", nil) == nil
}

// get reads JSON from the metrics address.
func (s *server) get(ctx context.Context, path string, into any) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.metrics+path, nil)
	if err != nil {
		return err
	}
	response, err := s.client.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }() // it was only read
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("GET %s: %s", path, response.Status)
	}
	if into == nil {
		return nil
	}
	return json.NewDecoder(response.Body).Decode(into)
}

// An observed is what the server says of one boot at /netboot/v1alpha1/attempts.
type observed struct {
	Machine    string    `json:"machine"`
	MACAddress string    `json:"macAddress"`
	ClientIP   string    `json:"clientIP"`
	StartTime  time.Time `json:"startTime"`
	Stage      string    `json:"stage"`
	Cause      string    `json:"cause"`
	Message    string    `json:"message"`
	Evidence   []string  `json:"evidence"`
	Over       bool      `json:"over"`
	Steps      []any     `json:"steps"`
}

// attempt returns the latest boot that the server saw from an address, or nil.
func (s *server) attempt(ctx context.Context, client netip.Addr) (*observed, error) {
	var list struct {
		Items []*observed `json:"items"`
	}
	if err := s.get(ctx, "/netboot/v1alpha1/attempts", &list); err != nil {
		return nil, err
	}
	var latest *observed
	for _, o := range list.Items {
		if o.ClientIP == client.String() && (latest == nil || o.StartTime.After(latest.StartTime)) {
			latest = o
		}
	}
	return latest, nil
}

// status returns what a Machine's status says, by its key.
func (s *server) status(ctx context.Context, key string) (*v1alpha1.MachineStatus, error) {
	namespace, name, _ := strings.Cut(key, "/")
	var m v1alpha1.Machine
	if err := s.get(ctx, "/apis/netboot.dev/v1alpha1/namespaces/"+namespace+"/machines/"+name, &m); err != nil {
		return nil, err
	}
	return &m.Status, nil
}
