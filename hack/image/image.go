// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// A build is what the image is made from: paths of this machine.
type build struct {
	release  release
	tree     string     // what hack/loaders.sh made: loaders, licences, certificates
	licences string     // what goes into /usr/share/doc/netboot-operator
	programs []platform // in the order of the index
}

// A platform is one of the image's, and the program for it.
type platform struct {
	architecture string // as Go calls it
	program      string
}

// write writes the layout and the archives to the folder out, and returns the index' digest.
func (b build) write(out string) (v1.Hash, error) {
	shared, err := b.sharedLayers()
	if err != nil {
		return v1.Hash{}, err
	}
	tag, err := name.NewTag(repository + ":" + b.release.version)
	if err != nil {
		return v1.Hash{}, fmt.Errorf("-version=%s: %w", b.release.version, err)
	}
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, p := range b.programs {
		image, err := b.image(p, shared)
		if err != nil {
			return v1.Hash{}, fmt.Errorf("image for %s: %w", p.architecture, err)
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{
			Add: image, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: p.architecture}},
		})
		if err := tarball.WriteToFile(filepath.Join(out, "netboot-operator-"+p.architecture+".tar"), tag, image); err != nil {
			return v1.Hash{}, err
		}
	}
	return writeLayout(filepath.Join(out, "oci"), b.release.version, index)
}

// writeLayout replaces the layout in dir by one whose only entry is index.
func writeLayout(dir, version string, index v1.ImageIndex) (v1.Hash, error) {
	if err := os.RemoveAll(dir); err != nil {
		return v1.Hash{}, err
	}
	written, err := layout.Write(dir, empty.Index)
	if err != nil {
		return v1.Hash{}, err
	}
	annotation := map[string]string{"org.opencontainers.image.ref.name": version}
	if err := written.AppendIndex(index, layout.WithAnnotations(annotation)); err != nil {
		return v1.Hash{}, err
	}
	return index.Digest()
}

// sharedLayers returns those that are the same for all platforms: every image has the loaders of all, since it is not the
// node's architecture that counts but the machine's.
func (b build) sharedLayers() ([]mutate.Addendum, error) {
	base, err := layer(baseFiles(b.release))
	if err != nil {
		return nil, err
	}
	loaders, err := tree(b.tree)
	if err != nil {
		return nil, fmt.Errorf("-tree: %w", err)
	}
	packed, err := layer(loaders)
	if err != nil {
		return nil, err
	}
	return []mutate.Addendum{b.addendum(packed, "boot loaders, certificates"), b.addendum(base, "users, folders")}, nil
}

// image returns the image for a platform: the shared layers and its program.
func (b build) image(p platform, shared []mutate.Addendum) (v1.Image, error) {
	content, err := os.ReadFile(p.program)
	if err != nil {
		return nil, err
	}
	files, err := tree(b.licences)
	if err != nil {
		return nil, fmt.Errorf("-licences: %w", err)
	}
	for i := range files {
		files[i].name = "usr/share/doc/netboot-operator/" + files[i].name
		files[i].modified = b.release.created
	}
	program, err := layer(append(files, file{
		name: programPath[1:], mode: 0o755, modified: b.release.created, content: content, capability: capNetBindService,
	}))
	if err != nil {
		return nil, err
	}
	image := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	image, err = mutate.ConfigFile(image, &v1.ConfigFile{
		OS: "linux", Architecture: p.architecture, Created: v1.Time{Time: b.release.created.UTC()}, Config: config(b.release),
		RootFS: v1.RootFS{Type: "layers"},
	})
	if err != nil {
		return nil, err
	}
	return mutate.Append(image, append(slices.Clip(shared), b.addendum(program, "program"))...)
}

func (b build) addendum(layer v1.Layer, what string) mutate.Addendum {
	history := v1.History{Created: v1.Time{Time: b.release.created.UTC()}, CreatedBy: "hack/image", Comment: what}
	return mutate.Addendum{Layer: layer, History: history, MediaType: types.OCILayer}
}
