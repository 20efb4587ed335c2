// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/envtest"
)

// keepFiles has the programs use folders that outlive them, so that they can be stopped and started again.
func (s *Server) keepFiles() error {
	dir, err := os.MkdirTemp("", "netboot-controlplane-")
	if err != nil {
		return err
	}
	s.dir = dir
	certs := filepath.Join(dir, "certs")
	s.env.ControlPlane.Etcd = &envtest.Etcd{DataDir: filepath.Join(dir, "etcd")}
	s.env.ControlPlane.APIServer = &envtest.APIServer{CertDir: certs}
	// Else it waits a minute for those who watch.
	s.env.ControlPlane.APIServer.Configure().Set("shutdown-watch-termination-grace-period", "1s")
	return errors.Join(os.Mkdir(certs, 0o700), os.Mkdir(s.env.ControlPlane.Etcd.DataDir, 0o700))
}

// StopAPIServer ends the API server; what it stored stays. The function that it returns starts it again, at the same address;
// should the test not call it, its end does.
func (s *Server) StopAPIServer(t testing.TB) (start func()) {
	t.Helper()
	s.Config(t) // it runs
	if err := s.env.ControlPlane.APIServer.Stop(); err != nil {
		t.Fatalf("stop the API server: %v", err)
	}
	runs := false
	start = func() {
		t.Helper()
		if runs {
			return
		}
		runs = true
		if err := s.env.ControlPlane.APIServer.Start(); err != nil {
			t.Fatalf("start the API server: %v", err)
		}
	}
	t.Cleanup(start)
	return start
}

// Backup returns a copy of all that is stored, made while nothing runs, as of a stopped machine's disk.
func (s *Server) Backup(t testing.TB) (dir string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "backup")
	start := s.StopAPIServer(t)
	s.withoutEtcd(t, func(data string) error { return os.CopyFS(dir, os.DirFS(data)) })
	start()
	return dir
}

// Restore replaces all that is stored by a backup. Revisions go back with it, unless bump is set: then they go on beyond all
// that was before, and what was before is compacted, as etcdutl snapshot restore --bump-revision --mark-compacted does.
func (s *Server) Restore(t testing.TB, backup string, bump int) {
	t.Helper()
	start := s.StopAPIServer(t)
	s.withoutEtcd(t, func(data string) error {
		if err := os.RemoveAll(data); err != nil {
			return err
		}
		return os.CopyFS(data, os.DirFS(backup))
	})
	var revision int
	for range bump {
		revision = s.etcd(t, "kv/put", `{"key": "YnVtcA==", "value": ""}`)
	}
	if bump > 0 {
		s.etcd(t, "kv/compaction", fmt.Sprintf(`{"revision": %d}`, revision))
	}
	start()
}

// withoutEtcd does something with etcd's folder while etcd is stopped.
func (s *Server) withoutEtcd(t testing.TB, work func(dir string) error) {
	t.Helper()
	etcd := s.env.ControlPlane.Etcd
	if err := errors.Join(etcd.Stop(), work(etcd.DataDir), etcd.Start()); err != nil {
		t.Fatalf("stop etcd, work on its folder, start it again: %v", err)
	}
}

// etcd asks etcd, and returns the revision that it answers with.
func (s *Server) etcd(t testing.TB, method, body string) (revision int) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.env.ControlPlane.Etcd.URL.String()+"/v3/"+method, bytes.NewBufferString(body))
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }() // it was only read
	text, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("etcd %s: %s, %v, %s", method, response.Status, err, text)
	}
	var answer struct {
		Header struct {
			Revision int `json:"revision,string"`
		} `json:"header"`
	}
	if err := json.Unmarshal(text, &answer); err != nil {
		t.Fatalf("etcd %s: %v in %s", method, err, text)
	}
	return answer.Header.Revision
}
