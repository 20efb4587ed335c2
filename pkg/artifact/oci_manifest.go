// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package artifact

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

const (
	mediaTypeDockerManifest = "application/vnd.docker.distribution.manifest.v2+json"
	mediaTypeDockerList     = "application/vnd.docker.distribution.manifest.list.v2+json"

	maxManifestBytes = 4 << 20 // what registries admit
	maxNamed         = 8       // names in a message
)

// manifestTypes is the Accept header of manifests.
const manifestTypes = ocispec.MediaTypeImageManifest + ", " + ocispec.MediaTypeImageIndex + ", " +
	mediaTypeDockerManifest + ", " + mediaTypeDockerList

// A manifest is an OCI manifest or index, or one of Docker's, which have the same fields.
type manifest struct {
	Layers    []ocispec.Descriptor `json:"layers"`
	Manifests []ocispec.Descriptor `json:"manifests"`
}

// parseManifest reads a manifest. What is both a manifest and an index is refused: others would read it otherwise.
func parseManifest(text []byte) (*manifest, error) {
	m := &manifest{}
	if err := json.Unmarshal(text, m); err != nil {
		return nil, errors.New("is not a manifest: not JSON of its shape")
	}
	switch {
	case len(m.Layers) > 0 && len(m.Manifests) > 0:
		return nil, errors.New("is a manifest and an index at once")
	case len(m.Layers) == 0 && len(m.Manifests) == 0:
		return nil, errors.New("is a manifest without layers: push the file as a layer")
	}
	for _, d := range slices.Concat(m.Layers, m.Manifests) {
		if err := d.Digest.Validate(); err != nil {
			return nil, fmt.Errorf("names something by the digest %.80q, which is none", d.Digest)
		}
		if d.Size < 0 {
			return nil, fmt.Errorf("gives %s a size of %d bytes", d.Digest, d.Size)
		}
	}
	return m, nil
}

// pickManifest chooses from an index.
func (r *ociReference) pickManifest(index []ocispec.Descriptor) (ocispec.Descriptor, error) {
	var fit []ocispec.Descriptor
	var names []string
	for _, d := range index {
		p := platformOf(d)
		if p.os == "unknown" { // an attestation of the build, not to be run
			continue
		}
		names = append(names, p.String())
		if r.platform == (platform{}) || r.platform == p || r.platform == (platform{p.os, p.architecture, ""}) {
			fit = append(fit, d)
		}
	}
	if len(fit) == 1 {
		return fit[0], nil
	}
	return ocispec.Descriptor{}, fmt.Errorf("is an index with %d manifests that fit: choose one by #platform=OS/ARCHITECTURE, "+
		"or by its own digest; it has %s", len(fit), enumerate(names))
}

func platformOf(d ocispec.Descriptor) platform {
	if d.Platform == nil {
		return platform{}
	}
	return platform{d.Platform.OS, d.Platform.Architecture, d.Platform.Variant}
}

// pickLayers chooses from a manifest: the layer that is the file, or for a path all that it may be in, the lowest first.
func (r *ociReference) pickLayers(layers []ocispec.Descriptor) ([]ocispec.Descriptor, error) {
	var fit []ocispec.Descriptor
	var names []string
	for _, d := range layers {
		title := d.Annotations[ocispec.AnnotationTitle]
		if title != "" {
			names = append(names, title)
		}
		if r.title == "" || r.title == title {
			fit = append(fit, d)
		}
	}
	switch {
	case len(fit) == 1, len(fit) > 1 && r.path != "":
		return fit, nil
	case len(names) > 0:
		return nil, fmt.Errorf("has %d layers that fit: choose one by #title=NAME; it has %s", len(fit), enumerate(names))
	case r.title != "":
		return nil, fmt.Errorf("has no layer with the title %q, and none with any: choose a file by #path=PATH", r.title)
	}
	return nil, fmt.Errorf("has %d layers without a title: choose a file in them by #path=PATH, such as #path=boot/vmlinuz", len(fit))
}

// enumerate returns the first of names, for a message.
func enumerate(names []string) string {
	var b strings.Builder
	for i, name := range names {
		if i == maxNamed {
			fmt.Fprintf(&b, " and %d more", len(names)-i)
			break
		}
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "%.64q", name)
	}
	if len(names) == 0 {
		return "none"
	}
	return b.String()
}
