// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package artifact

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/netboot-operator/netboot-operator/pkg/index"
)

// openOCI opens the file that an oci URL names: a blob, a layer, or a file in the layers of an image. Only the first two
// can be gone on with: what a file in a tar file follows must be unpacked to get there.
func (s *Store) openOCI(ctx context.Context, from *url.URL, a *index.Artifact, at position) (*source, *Error) {
	ref, err := parseOCI(from)
	if err != nil {
		return nil, because(ReasonSourceNotAllowed, "%w", err)
	}
	repository, failed := s.openRepository(ref, a.Credentials)
	if failed != nil {
		return nil, failed
	}
	layers, failed := repository.layers(ctx, a)
	if failed != nil {
		return nil, failed
	}
	if ref.path != "" {
		return s.openInLayers(ctx, repository, layers, a)
	}
	// What has no digest of its own is checked against that of the layer, from the start.
	layer := layers[0]
	if a.SHA256 == "" {
		src, failed := repository.blob(ctx, layer, position{total: -1})
		if failed == nil {
			src.Reader = &checkedReader{from: src.Reader, verifier: layer.Digest.Verifier(), want: layer.Digest}
		}
		return src, failed
	}
	if layer.Digest.Algorithm() == digest.SHA256 && layer.Digest.Encoded() != a.SHA256 {
		return nil, because(ReasonDigestMismatch, "sha256 is %s, want %s: %s; nothing was downloaded",
			layer.Digest.Encoded(), a.SHA256, "correct sha256 or the URL, or name a file in the image by #path=PATH")
	}
	return repository.blob(ctx, layer, at)
}

// openInLayers opens a file in the layers of an image.
func (s *Store) openInLayers(ctx context.Context, r *repository, layers []ocispec.Descriptor, a *index.Artifact) (*source, *Error) {
	ctx, cancel := context.WithCancel(ctx)
	var refused *Error        // why a layer can't be had
	var stored *checkedReader // the layer that is being read
	search := &layerSearch{
		ctx: ctx, count: len(layers), bytes: maxLayerRatio * s.options.MaxBytes, entries: maxLayerEntries,
		whole: a.SHA256 == "",
		open: func(number int) (io.ReadCloser, error) {
			src, failed := r.blob(ctx, layers[number], position{total: -1})
			if failed != nil {
				refused = failed
				return nil, failed.Err
			}
			d := layers[number].Digest
			stored = &checkedReader{from: src.Reader, verifier: d.Verifier(), want: d}
			return &sourceCloser{stored, src}, nil
		},
	}
	file, err := search.find(r.ref.path)
	if err != nil {
		cancel()
		switch {
		case refused != nil:
			return nil, refused
		case errors.Is(err, errNoFile):
			return nil, because(ReasonUpstreamUnavailable, "the image has not the file that #path names: %w: correct the URL", err)
		case errors.Is(err, errUpstream):
			return nil, because(ReasonUpstreamUnavailable, "%w", &passingError{error: err})
		}
		return nil, because(ReasonUnexpectedContent, "%w", err)
	}
	src := &source{Reader: file, size: file.size, close: func() {
		_ = file.layer.Close() // it was only read
		cancel()
	}}
	if a.SHA256 == "" { // then the layer's digest is all there is: it shows at the layer's end
		src.Reader = io.MultiReader(file, &drainReader{stored})
	}
	return src, nil
}

// A sourceCloser reads a layer and ends its use.
type sourceCloser struct {
	io.Reader
	src *source
}

func (c *sourceCloser) Close() error {
	c.src.close()
	return nil
}

// errUpstream is wrapped by what goes wrong while a layer comes.
var errUpstream = errors.New("the registry broke off")

// A checkedReader fails at the end if the bytes are not those of a digest.
type checkedReader struct {
	from     io.Reader
	verifier digest.Verifier
	want     digest.Digest
}

func (r *checkedReader) Read(b []byte) (int, error) {
	n, err := r.from.Read(b)
	_, _ = r.verifier.Write(b[:n]) // a hash doesn't fail
	switch {
	case errors.Is(err, io.EOF) && !r.verifier.Verified():
		return n, fmt.Errorf("%w: what came is not %s", errUpstream, r.want)
	case err != nil && !errors.Is(err, io.EOF):
		return n, fmt.Errorf("%w: %w", errUpstream, err)
	}
	return n, err
}

// A drainReader has no bytes, but reads those of another to their end.
type drainReader struct{ from io.Reader }

func (r *drainReader) Read([]byte) (int, error) {
	if _, err := io.Copy(io.Discard, r.from); err != nil {
		return 0, err
	}
	return 0, io.EOF
}

// layers returns the layer that is the file, or for a path all that it may be in.
func (r *repository) layers(ctx context.Context, a *index.Artifact) ([]ocispec.Descriptor, *Error) {
	if d := r.ref.digest; d != "" && r.ref.path == "" && !r.ref.selects() && d.Encoded() == a.SHA256 {
		return []ocispec.Descriptor{{Digest: d, Size: -1}}, nil // a manifest is no file to boot
	}
	want := ocispec.Descriptor{Digest: r.ref.digest, Size: -1}
	for range 2 { // an index, and what it names
		m, failed := r.manifest(ctx, want)
		if failed != nil {
			if failed.status == http.StatusNotFound && want.Digest == r.ref.digest && want.Digest != "" && !r.ref.selects() {
				return []ocispec.Descriptor{want}, nil // no manifest: a blob
			}
			return nil, failed.why
		}
		if len(m.Manifests) == 0 {
			layers, err := r.ref.pickLayers(m.Layers)
			if err != nil {
				return nil, because(ReasonUnexpectedContent, "%w", err)
			}
			return layers, nil
		}
		next, err := r.ref.pickManifest(m.Manifests)
		if err != nil {
			return nil, because(ReasonUnexpectedContent, "%w", err)
		}
		want = next
	}
	return nil, because(ReasonUnexpectedContent, "is an index of indexes: name one of these by its digest")
}

// manifest fetches a manifest; without a digest, the one of the tag.
func (r *repository) manifest(ctx context.Context, want ocispec.Descriptor) (*manifest, *refusal) {
	version := r.ref.tag
	if want.Digest != "" {
		version = want.Digest.String()
	}
	answer, refused := r.get(ctx, "manifests", version, http.Header{"Accept": {manifestTypes}})
	if refused != nil {
		return nil, refused
	}
	defer answer.close()
	text, err := io.ReadAll(io.LimitReader(answer.body, maxManifestBytes+1))
	if err != nil {
		return nil, refuse(ReasonUpstreamUnavailable, "the manifest broke off: %w", &passingError{error: err})
	}
	if len(text) > maxManifestBytes {
		return nil, refuse(ReasonUnexpectedContent, "the manifest has more than %d bytes", maxManifestBytes)
	}
	if want.Digest != "" && digest.FromBytes(text) != want.Digest && want.Digest.Algorithm() == digest.SHA256 {
		return nil, refuse(ReasonUnexpectedContent, "the registry delivers %s as the manifest %s", digest.FromBytes(text), want.Digest)
	}
	m, err := parseManifest(text)
	if err != nil {
		return nil, refuse(ReasonUnexpectedContent, "%w", err)
	}
	return m, nil
}

// blob opens a blob, from a position on if the registry can.
func (r *repository) blob(ctx context.Context, want ocispec.Descriptor, at position) (*source, *Error) {
	total := at.total
	if total < 0 {
		total = want.Size
	}
	// The digest names the bytes, whoever delivered those that are there.
	rest := at.offset > 0 && at.offset < total && (at.validator == "" || at.validator == want.Digest.String())
	header := http.Header{}
	if rest { // to the last byte: some registries know no open range
		header.Set("Range", fmt.Sprintf("bytes=%d-%d", at.offset, total-1))
	}
	answer, refused := r.get(ctx, "blobs", want.Digest.String(), header)
	if refused != nil && refused.status == http.StatusRequestedRangeNotSatisfiable {
		answer, refused = r.get(ctx, "blobs", want.Digest.String(), nil)
		rest = false
	}
	if refused != nil {
		return nil, refused.why
	}
	src := &source{Reader: answer.body, size: answer.size, validator: want.Digest.String(), close: answer.close}
	if answer.partial {
		if !rest || answer.from != at.offset || answer.total >= 0 && answer.total != total {
			answer.close()
			return nil, because(ReasonUpstreamUnavailable, "the registry delivers another part than asked for")
		}
		src.offset, src.size = at.offset, total
	}
	if want.Size >= 0 && src.size >= 0 && src.size != want.Size {
		answer.close()
		return nil, because(ReasonUnexpectedContent, "the registry delivers %d bytes, and its manifest says %d", src.size, want.Size)
	}
	return src, nil
}
