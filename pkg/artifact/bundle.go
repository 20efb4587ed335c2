// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package artifact

import (
	"archive/tar"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/netboot-operator/netboot-operator/pkg/index"
)

const (
	bundleIndexName = "netboot-bundle.json"
	bundleVersion   = 1
)

// A bundleIndex is the first file of a bundle: what else is in it.
type bundleIndex struct {
	Version   int                `json:"version"`
	Artifacts []*BundledArtifact `json:"artifacts"`
}

// A BundledArtifact is a file of a bundle, and what it was bundled for.
type BundledArtifact struct {
	SHA256 string   `json:"sha256"`
	Size   int64    `json:"size"`
	Fields []string `json:"fields"` // index.Artifact.Field of all that want it
	URLs   []string `json:"urls"`
}

// ID names the file in a bundle and in a cache.
func (b *BundledArtifact) ID() index.ID { return index.ID(kindVerified + "/" + b.SHA256) }

// Bundle returns what a bundle of artifacts, which all have a digest, would hold: each content once, sorted by digest.
// Sizes are not known yet.
func Bundle(artifacts []*index.Artifact) []*BundledArtifact {
	byDigest := map[string]*BundledArtifact{}
	var all []*BundledArtifact
	for _, a := range artifacts {
		b := byDigest[a.SHA256]
		if b == nil {
			b = &BundledArtifact{SHA256: a.SHA256}
			byDigest[a.SHA256] = b
			all = append(all, b)
		}
		b.Fields = append(b.Fields, a.Field)
		for _, from := range a.URLs {
			b.URLs = append(b.URLs, shown(from))
		}
	}
	for _, b := range all {
		slices.Sort(b.Fields)
		slices.Sort(b.URLs)
		b.Fields, b.URLs = slices.Compact(b.Fields), slices.Compact(b.URLs)
	}
	slices.SortFunc(all, func(a, b *BundledArtifact) int { return cmp.Compare(a.SHA256, b.SHA256) })
	return all
}

// WriteBundle writes a bundle of what Bundle returned, all of which must be in the cache, and fills in the sizes. What it
// writes depends on nothing but the artifacts: neither on the time nor on the order in which they came.
func (s *Store) WriteBundle(ctx context.Context, to io.Writer, artifacts []*BundledArtifact) error {
	for _, b := range artifacts {
		f, err := s.OpenCached(b.ID())
		if err != nil {
			return err
		}
		b.Size = f.Size()
		if err := f.Close(); err != nil {
			return err
		}
	}
	text, err := json.MarshalIndent(bundleIndex{bundleVersion, artifacts}, "", "  ")
	if err != nil {
		return fmt.Errorf("write the index of the bundle: %w", err)
	}
	text = append(text, '\n')
	out := tar.NewWriter(to)
	if err := out.WriteHeader(bundleHeader(bundleIndexName, int64(len(text)))); err != nil {
		return fmt.Errorf("write the index of the bundle: %w", err)
	}
	if _, err := out.Write(text); err != nil {
		return fmt.Errorf("write the index of the bundle: %w", err)
	}
	for _, b := range artifacts {
		if err := s.bundle(ctx, out, b); err != nil {
			return fmt.Errorf("write %s: %w", b.ID(), err)
		}
	}
	return out.Close()
}

// bundle adds a file to a bundle. The bytes are hashed once more on the way: it is the last look at them for long.
func (s *Store) bundle(ctx context.Context, out *tar.Writer, b *BundledArtifact) error {
	f, err := s.OpenCached(b.ID())
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }() // it was only read
	if err := out.WriteHeader(bundleHeader(string(b.ID()), b.Size)); err != nil {
		return err
	}
	hash := sha256.New()
	if _, err := io.Copy(io.MultiWriter(out, hash), &mortalReader{ctx, f}); err != nil {
		return err
	}
	if id := idOf(hash.Sum(nil)); id != b.ID() {
		return fmt.Errorf("the cache holds %s under this name", id)
	}
	return nil
}

func bundleHeader(name string, size int64) *tar.Header {
	return &tar.Header{Typeflag: tar.TypeReg, Name: name, Size: size, Mode: 0o644, ModTime: time.Unix(0, 0), Format: tar.FormatPAX}
}
