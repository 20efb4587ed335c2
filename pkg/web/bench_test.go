// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package web_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/netboot-operator/netboot-operator/pkg/web"
)

// BenchmarkFile serves a file to one client after the other, on a connection each.
func BenchmarkFile(b *testing.B) {
	file := filepath.Join(b.TempDir(), "file")
	if err := os.WriteFile(file, make([]byte, 1<<20), 0o600); err != nil {
		b.Fatal(err)
	}
	server, err := web.New(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f, err := os.Open(file)
		if err != nil {
			b.Error(err)
			return
		}
		defer func() { _ = f.Close() }() // it was only read
		http.ServeContent(w, r, "file", time.Time{}, f)
	}), web.Options{})
	if err != nil {
		b.Fatal(err)
	}
	l, err := web.Listen(b.Context(), "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	ctx, stop := context.WithCancel(b.Context())
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(ctx, l, nil) }()
	defer func() {
		stop()
		if err := <-ended; err != nil {
			b.Error(err)
		}
	}()
	b.SetBytes(1 << 20)
	buffer := make([]byte, 1<<20)
	for b.Loop() {
		c, err := (&net.Dialer{}).DialContext(b.Context(), "tcp", l.Addr().String())
		if err != nil {
			b.Fatal(err)
		}
		if _, err := io.WriteString(c, "GET / HTTP/1.0\r\n\r\n"); err != nil {
			b.Fatal(err)
		}
		got := 0
		for n := 1; n > 0; got += n {
			n, _ = c.Read(buffer)
		}
		if got < 1<<20 {
			b.Fatalf("%d bytes came", got)
		}
		_ = c.Close() // it was read to its end
	}
}
