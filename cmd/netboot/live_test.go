// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/netboot-operator/netboot-operator/pkg/live"
)

// TestTransfersAreTold follows a file by HTTP to a client that stops reading in the middle of it.
func TestTransfersAreTold(t *testing.T) {
	const size, read = 64 << 20, 5 << 20
	files := t.TempDir()
	if err := os.WriteFile(filepath.Join(files, "large.img"), make([]byte, size), 0o600); err != nil {
		t.Fatal(err)
	}
	dir := manifests(t, map[string]string{"profile.yaml": `
apiVersion: netboot.dev/v1alpha1
kind: BootProfile
metadata: {name: large}
spec:
  platforms:
  - architecture: amd64
    kernel: {url: "file:///large.img", insecureSkipVerify: true}
  files:
  - {path: large.img, url: "file:///large.img", insecureSkipVerify: true}
`})
	s := start(t, "--manifests="+dir, "--files-dir="+files)
	transfers := func() (told live.Transfers) {
		_, text := s.getHTTP(s.api, live.TransfersPath)
		if err := json.Unmarshal([]byte(text), &told); err != nil {
			t.Fatalf("%v: %s", err, text)
		}
		return told
	}
	if told := transfers(); told.Items == nil || len(told.Items) != 0 || told.Instance == "" {
		t.Errorf("before anybody asks: %+v", told)
	}
	c, err := dialFrom(t.Context(), net.IPv4(127, 0, 6, 1), s.http)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	if _, err := io.WriteString(c, "GET /default/large/large.img HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if _, err := io.CopyN(io.Discard, c, read); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() string {
		told := transfers()
		if len(told.Items) != 1 {
			return fmt.Sprintf("told are %+v", told.Items)
		}
		one := told.Items[0]
		if one.Bytes < read-(1<<20) || one.Bytes >= size {
			return fmt.Sprintf("%d bytes are told, of which the client has read %d", one.Bytes, read)
		}
		if one.Client != c.LocalAddr().String() || one.Protocol != "HTTP" || one.Size != size || one.StartTime.IsZero() ||
			!strings.HasSuffix(one.File, "large.img") {
			return fmt.Sprintf("told is %+v", one)
		}
		return ""
	})
	_ = c.Close()
	eventually(t, func() string {
		if told := transfers(); len(told.Items) != 0 {
			return fmt.Sprintf("after the client is gone: %+v", told.Items)
		}
		return ""
	})
}
