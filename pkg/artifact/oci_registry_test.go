// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package artifact_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-containerregistry/pkg/registry"
	ocidigest "github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// A testRegistry is a registry that writes down what it is asked for.
type testRegistry struct {
	*httptest.Server

	inner http.Handler // without what guards it
	mu    sync.Mutex
	asked []string // "GET /v2/boot/blobs/sha256:... bytes=0-9"
}

// newRegistry starts a registry. Each request goes through guard first, nil: none.
func newRegistry(t *testing.T, guard func(next http.Handler) http.Handler) *testRegistry {
	t.Helper()
	r := newUnstartedRegistry(guard)
	r.Start()
	t.Cleanup(r.Close)
	return r
}

func newUnstartedRegistry(guard func(next http.Handler) http.Handler) *testRegistry {
	r := &testRegistry{inner: registry.New(registry.Logger(log.New(io.Discard, "", 0)))}
	guarded := r.inner
	if guard != nil {
		guarded = guard(r.inner)
	}
	r.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		r.mu.Lock()
		r.asked = append(r.asked, strings.TrimSpace(req.Method+" "+req.URL.Path+" "+req.Header.Get("Range")))
		r.mu.Unlock()
		guarded.ServeHTTP(w, req)
	}))
	return r
}

// url returns the oci URL of something in the registry.
func (r *testRegistry) url(name string) string {
	_, host, _ := strings.Cut(r.URL, "://")
	return "oci://" + host + "/" + name
}

// requests returns what was asked for whose path has part in it.
func (r *testRegistry) requests(part string) (found []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, line := range r.asked {
		if strings.Contains(line, part) {
			found = append(found, line)
		}
	}
	return found
}

func (r *testRegistry) send(t *testing.T, method, path, mediaType string, content []byte) {
	t.Helper()
	req := httptest.NewRequestWithContext(t.Context(), method, path, bytes.NewReader(content))
	req.Header.Set("Content-Type", mediaType)
	w := httptest.NewRecorder()
	r.inner.ServeHTTP(w, req)
	if w.Code != http.StatusCreated {
		t.Fatalf("%s %s: %d %s", method, path, w.Code, w.Body)
	}
}

// layer pushes a blob; title may be empty.
func (r *testRegistry) layer(t *testing.T, repository, title, content string) ocispec.Descriptor {
	t.Helper()
	d := ocidigest.FromString(content)
	r.send(t, http.MethodPost, "/v2/"+repository+"/blobs/uploads/?digest="+d.String(), "application/octet-stream", []byte(content))
	desc := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayer, Digest: d, Size: int64(len(content))}
	if title != "" {
		desc.Annotations = map[string]string{ocispec.AnnotationTitle: title}
	}
	return desc
}

// manifest pushes a manifest with the given layers.
func (r *testRegistry) manifest(t *testing.T, repository, tag string, layers ...ocispec.Descriptor) ocispec.Descriptor {
	t.Helper()
	config := r.layer(t, repository, "", "{}")
	config.MediaType = ocispec.MediaTypeImageConfig
	return r.put(t, repository, tag, ocispec.MediaTypeImageManifest, ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest, Config: config, Layers: layers,
	})
}

// index pushes an index of the repository boot.
func (r *testRegistry) index(t *testing.T, tag string, manifests ...ocispec.Descriptor) ocispec.Descriptor {
	t.Helper()
	return r.put(t, "boot", tag, ocispec.MediaTypeImageIndex, ocispec.Index{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex, Manifests: manifests,
	})
}

func (r *testRegistry) put(t *testing.T, repository, tag, mediaType string, of any) ocispec.Descriptor {
	t.Helper()
	text, err := json.Marshal(of)
	if err != nil {
		t.Fatal(err)
	}
	r.send(t, http.MethodPut, "/v2/"+repository+"/manifests/"+tag, mediaType, text)
	return ocispec.Descriptor{MediaType: mediaType, Digest: ocidigest.FromBytes(text), Size: int64(len(text))}
}

func forPlatform(d ocispec.Descriptor, os, architecture string) ocispec.Descriptor {
	d.Platform = &ocispec.Platform{OS: os, Architecture: architecture}
	return d
}

// A member is an entry of a tar file: a file, or with a link something that leads elsewhere, or with a slash at the end of
// its name a folder.
type member struct {
	name, content string
	link          string
	hard          bool
}

func tarOf(t *testing.T, members ...member) string {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, m := range members {
		h := &tar.Header{Typeflag: tar.TypeReg, Name: m.name, Size: int64(len(m.content)), Mode: 0o644}
		switch {
		case m.hard:
			h.Typeflag, h.Linkname = tar.TypeLink, m.link
		case m.link != "":
			h.Typeflag, h.Linkname = tar.TypeSymlink, m.link
		case strings.HasSuffix(m.name, "/"):
			h.Typeflag = tar.TypeDir
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, m.content); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func gzipOf(t *testing.T, content string) string {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := io.WriteString(w, content); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}
