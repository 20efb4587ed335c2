// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package lab

import (
	"context"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// Serve starts bin/netboot on its real ports in the server's namespace and waits until it is ready.
func (l *Lab) Serve(t *testing.T, kubeconfig string, flags ...string) {
	t.Helper()
	binary, err := filepath.Abs("../../bin/netboot")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(binary); err != nil {
		t.Fatalf("%v: run make build", err)
	}
	ended := l.Start(t.Context(), t, l.Server, "netboot", append([]string{
		"env", "KUBECONFIG=" + kubeconfig, binary, "serve", "--loaders-dir", filepath.Join(Assets(t), "loaders"),
		"--data-dir", t.TempDir(), "--metrics-bind-address", "127.0.0.1:8081",
	}, flags...)...)

	ready := l.Client()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	for tick := time.NewTicker(100 * time.Millisecond); ; {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://127.0.0.1:8081/readyz", nil)
		if err != nil {
			t.Fatal(err)
		}
		response, err := ready.Do(request)
		if err == nil {
			_ = response.Body.Close()
			if response.StatusCode == http.StatusOK {
				return
			}
		}
		select {
		case <-tick.C:
		case <-ended:
			t.Fatal("netboot ended before it was ready")
		case <-ctx.Done():
			t.Fatalf("netboot is not ready after three minutes: %v", err)
		}
	}
}

// Assets returns the folder that hack/assets.sh fills.
func Assets(t *testing.T) string {
	t.Helper()
	folder, err := filepath.Abs("../../build/assets")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(folder, "files/vmlinuz")); err != nil {
		t.Fatalf("%v: run hack/assets.sh", err)
	}
	return folder
}

// Client returns an HTTP client whose connections begin in the server's namespace: for its metrics address, say.
func (l *Lab) Client() *http.Client {
	return &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, network, address string) (connection net.Conn, err error) {
			return connection, Inside(l.Server, func() error {
				connection, err = new(net.Dialer).DialContext(ctx, network, address)
				return err
			})
		},
	}}
}
