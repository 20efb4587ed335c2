// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/base64"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/registry"
)

// TestArtifactInARegistry serves a kernel from a registry that wants a password, which a Secret of the folder holds.
func TestArtifactInARegistry(t *testing.T) {
	t.Parallel()
	const password = "correct-horse-battery"
	inner := registry.New(registry.Logger(log.New(io.Discard, "", 0)))
	guarded := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, given, _ := r.BasicAuth(); given != password {
			w.Header().Set("WWW-Authenticate", `Basic realm="boot"`)
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		inner.ServeHTTP(w, r)
	}))
	t.Cleanup(guarded.Close)
	push := func(method, path, mediaType, content string) {
		t.Helper()
		r := httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader(content))
		r.Header.Set("Content-Type", mediaType)
		w := httptest.NewRecorder()
		if inner.ServeHTTP(w, r); w.Code != http.StatusCreated {
			t.Fatalf("%s %s: %d %s", method, path, w.Code, w.Body)
		}
	}
	for _, blob := range []string{"a kernel", "{}"} {
		push(http.MethodPost, "/v2/boot/blobs/uploads/?digest=sha256:"+digest(blob), "application/octet-stream", blob)
	}
	const manifestType = "application/vnd.oci.image.manifest.v1+json"
	push(http.MethodPut, "/v2/boot/manifests/v1", manifestType, fmt.Sprintf(
		`{"schemaVersion":2,"mediaType":%q,"config":{"mediaType":"application/vnd.oci.empty.v1+json","digest":"sha256:%s","size":2},`+
			`"layers":[{"mediaType":"application/octet-stream","digest":"sha256:%s","size":8}]}`, manifestType, digest("{}"), digest("a kernel")))

	host := strings.TrimPrefix(guarded.URL, "http://")
	config := fmt.Sprintf(`{"auths":{%q:{"auth":%q}}}`, host, base64.StdEncoding.EncodeToString([]byte("robot:"+password)))
	profile := func(reference string) string {
		return fmt.Sprintf(`
apiVersion: netboot.dev/v1alpha1
kind: BootProfile
metadata: {name: linux}
spec: {platforms: [{architecture: amd64, kernel: {url: "oci://%s/boot%s", sha256: %s, secretRef: {name: registry}}}]}
`, host, reference, digest("a kernel"))
	}
	secret := func(config string) string {
		return fmt.Sprintf(`
apiVersion: v1
kind: Secret
metadata: {name: registry}
type: kubernetes.io/dockerconfigjson
stringData: {.dockerconfigjson: %q}
`, config)
	}
	path := "/artifacts/sha256/" + digest("a kernel") + "/vmlinuz"
	for name, reference := range map[string]string{"by tag": ":v1", "by digest": "@sha256:" + digest("a kernel")} {
		t.Run(name, func(t *testing.T) {
			s := start(t, "--manifests="+manifests(t, map[string]string{"p.yaml": profile(reference), "s.yaml": secret(config)}), "-v=1")
			if status, body := s.getHTTP(s.http, path); status != http.StatusOK || body != "a kernel" {
				t.Errorf("GET %s: %d %q", path, status, body)
			}
			if strings.Contains(s.logged(), password) {
				t.Error("the log tells the password")
			}
		})
	}
	t.Run("without the right password", func(t *testing.T) {
		none := strings.Replace(config, host, "registry.example.com", 1)
		s := start(t, "--manifests="+manifests(t, map[string]string{"p.yaml": profile(":v1"), "s.yaml": secret(none)}), "-v=1")
		if status, body := s.getHTTP(s.http, path); status != http.StatusBadGateway || !strings.Contains(body, "Unauthorized") {
			t.Errorf("GET %s: %d %q", path, status, body)
		}
	})
}
