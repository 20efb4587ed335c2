// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/netboot-operator/netboot-operator/api/manifest"
)

// The generator gets what is right, and says what is wrong.
func TestLoad(t *testing.T) {
	file, err := makeFile(t.TempDir(), "file", 3<<20+17)
	if err != nil {
		t.Fatal(err)
	}
	wrong := bytes.Clone(file.data)
	wrong[2<<20]++
	for name, tc := range map[string]struct {
		answer    http.HandlerFunc
		keepAlive bool
		wantError string // empty: all files come
	}{
		"new connections": {answer: func(w http.ResponseWriter, r *http.Request) {
			http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(file.data))
		}},
		"kept connections": {keepAlive: true, answer: func(w http.ResponseWriter, r *http.Request) {
			http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(file.data))
		}},
		"the server closes": {keepAlive: true, answer: func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Connection", "close")
			http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(file.data))
		}},
		"a wrong byte": {wantError: "wrong bytes", answer: func(w http.ResponseWriter, r *http.Request) {
			http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(wrong))
		}},
		"another length": {wantError: "Content-Length 5", answer: func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(w, "short")
		}},
		"no file": {wantError: "HTTP/1.1 404", answer: http.NotFound},
		"cut off": {wantError: "cut off", answer: func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", strconv.Itoa(len(file.data)))
			_, _ = w.Write(file.data[:1<<20])
			panic(http.ErrAbortHandler)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(tc.answer)
			defer server.Close()
			o, err := load{
				server: netip.MustParseAddrPort(server.Listener.Addr().String()), path: "/file", file: file, clients: 3, files: 9,
				time: 5 * time.Minute, keepAlive: tc.keepAlive, checkAll: true,
			}.run()
			if err != nil {
				t.Fatal(err)
			}
			switch {
			case tc.wantError == "" && (o.failed() > 0 || o.done < 9 || o.bytes < 9*int64(len(file.data))):
				t.Errorf("%d files, %d bytes, %v", o.done, o.bytes, o.failures)
			case tc.wantError != "" && !strings.Contains(fmt.Sprint(o.failures), tc.wantError):
				t.Errorf("%d files, %v; want %q", o.done, o.failures, tc.wantError)
			}
		})
	}
}

// TestProfileIsAdmitted holds the manifest for "netboot serve" against the rules of the API.
func TestProfileIsAdmitted(t *testing.T) {
	file, err := makeFile(t.TempDir(), "file", 1000)
	if err != nil {
		t.Fatal(err)
	}
	work := t.TempDir()
	if err := writeProfile(work, []*content{file}); err != nil {
		t.Fatal(err)
	}
	validator, err := manifest.NewValidator()
	if err != nil {
		t.Fatal(err)
	}
	set, problems, err := validator.Load(t.Context(), filepath.Join(work, "manifests"))
	if err != nil || len(problems) != 0 || len(set.BootProfiles) != 1 {
		t.Errorf("%d profiles, problems %v, %v", len(set.BootProfiles), problems, err)
	}
}
