// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package load

import (
	"bytes"
	"context"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/netboot-operator/netboot-operator/pkg/tftp"
)

// contents returns n bytes without a pattern.
func contents(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{}).Read(b)
	return b
}

// serveTFTP serves one file under each name, and returns the address.
func serveTFTP(t *testing.T, file []byte) string {
	t.Helper()
	conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	address := conn.LocalAddr().String()
	server, err := tftp.New(tftp.HandlerFunc(func(context.Context, *tftp.Request) (*tftp.Body, error) {
		return tftp.Bytes(file), nil
	}), tftp.Options{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- server.Serve(ctx, conn) }()
	t.Cleanup(func() {
		cancel()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return address
}

func TestRun(t *testing.T) {
	file := contents(300_000)
	for name, tc := range map[string]struct {
		tftp, http []byte // what the servers hold; nil: nobody is there
		cut        bool   // the HTTP server ends in the middle
		wantReason string // of a failure; empty: there must be none
	}{
		"all is well":              {tftp: file, http: file},
		"TFTP sends another byte":  {tftp: append(bytes.Clone(file[:200_000]), contents(100_000)...), http: file, wantReason: "is wrong"},
		"TFTP sends too little":    {tftp: file[:200_000], http: file, wantReason: "ended after 200000 bytes"},
		"TFTP sends too much":      {tftp: append(bytes.Clone(file), 1), http: file, wantReason: "goes on after"},
		"TFTP is not there":        {http: file, wantReason: "no answer to the request after 2 tries"},
		"HTTP sends another byte":  {tftp: file, http: append(bytes.Clone(file[:200_000]), contents(100_000)...), wantReason: "is wrong"},
		"HTTP ends in the middle":  {tftp: file, http: file, cut: true, wantReason: "unexpected EOF"},
		"HTTP answers with errors": {tftp: file, wantReason: "status 404"},
	} {
		t.Run(name, func(t *testing.T) {
			web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				switch {
				case tc.http == nil:
					http.NotFound(w, r)
				case tc.cut:
					w.Header().Set("Content-Length", "300000")
					_, _ = w.Write(tc.http[:1000]) // the connection is cut then
				default:
					_, _ = w.Write(tc.http) // the client is gone, or not
				}
			}))
			defer web.Close()
			silent, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = silent.Close() }()
			c := Config{
				TFTP: []string{silent.LocalAddr().String()}, HTTP: []string{strings.TrimPrefix(web.URL, "http://")},
				TFTPClients: 3, HTTPClients: 2, TFTPName: "a", HTTPPath: "/a", TFTPContent: file, HTTPContent: file,
				TFTPTime: 50 * time.Millisecond, HTTPTime: 50 * time.Millisecond, ProbeName: "b", ProbePath: "/b",
				Duration: 200 * time.Millisecond, RetryAfter: 100 * time.Millisecond, Tries: 2,
			}
			if tc.tftp != nil {
				c.TFTP = []string{serveTFTP(t, tc.tftp)}
				c.Tries, c.Duration = 100, time.Second // nobody gives up, and all begin, also where others have all the processors
			}
			report, err := Run(t.Context(), c)
			if err != nil {
				t.Fatal(err)
			}
			var text strings.Builder
			report.WriteText(&text)
			t.Log(text.String())
			if (report.Failed() > 0) != (tc.wantReason != "") {
				t.Errorf("%d failed", report.Failed())
			}
			if !strings.Contains(text.String(), tc.wantReason) {
				t.Errorf("no failure says %q", tc.wantReason)
			}
			if tc.wantReason == "" && (report.TFTP.Complete < 3 || report.HTTP.Complete < 2 ||
				report.TFTPProbes.Answered == 0 || report.HTTPProbes.Answered == 0) {
				t.Error("too little was done")
			}
		})
	}
}

func TestRunRefuses(t *testing.T) {
	for name, c := range map[string]Config{
		"TFTP clients without a server": {TFTPClients: 1, TFTPName: "a"},
		"HTTP clients without a server": {HTTPClients: 1, HTTPPath: "/a"},
		"TFTP clients without a name":   {TFTPClients: 1, TFTP: []string{"127.0.0.1:69"}},
		"HTTP clients without a path":   {HTTPClients: 1, HTTP: []string{"127.0.0.1:80"}},
		"a server without a port":       {HTTPClients: 1, HTTPPath: "/a", HTTP: []string{"127.0.0.1"}},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := Run(t.Context(), c); err == nil {
				t.Error("Run() = nil, want an error")
			}
		})
	}
}
