// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/netboot-operator/netboot-operator/api/manifest"
	"github.com/netboot-operator/netboot-operator/controllers"
	"github.com/netboot-operator/netboot-operator/pkg/artifact"
	"github.com/netboot-operator/netboot-operator/pkg/index"
)

const (
	bundleFetches  = 4                // artifacts that are fetched at a time
	bundleProgress = 10 * time.Second // between lines that tell how far they are
)

// bundleSaveOptions are the flags of netboot bundle save.
type bundleSaveOptions struct {
	manifests, output, dataDir, filesDir string
	skipUnverified                       bool
}

func newBundleSave() *cobra.Command {
	o := &bundleSaveOptions{}
	cmd := &cobra.Command{
		Use:   "save -f DIR -o FILE",
		Short: "Fetch all artifacts of manifests into one file",
		Long: "Fetch and verify every artifact that the BootProfiles in DIR name, and write them into FILE, for netboot bundle load.\n" +
			"When it is interrupted, the same command goes on with what it has already. The same artifacts give the same bytes.",
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return o.run(cmd) },
	}
	flags := cmd.Flags()
	flags.StringVarP(&o.manifests, "filename", "f", "", "`DIR` of manifests")
	flags.StringVarP(&o.output, "output", "o", "", "`FILE` to write; it is replaced when the new one is complete")
	flags.StringVar(&o.dataDir, "data-dir", "",
		"`DIR` to fetch into and to keep, not that of a running server (default: FILE.download, removed at the end)")
	flags.StringVar(&o.filesDir, "files-dir", "", "`DIR` that file:///NAME URLs are looked up in (default: the --filename folder)")
	flags.BoolVar(&o.skipUnverified, "skip-unverified", false, "leave out artifacts without a digest, which can't be carried")
	return cmd
}

func (o *bundleSaveOptions) run(cmd *cobra.Command) error {
	if err := o.complete(); err != nil {
		return err
	}
	artifacts, err := o.load(cmd)
	if err != nil {
		return err
	}
	bundle := artifact.Bundle(artifacts)
	if len(bundle) == 0 {
		return fmt.Errorf("--filename=%s: no BootProfile there names an artifact with a digest: there is nothing to save", o.manifests)
	}
	cache := o.dataDir
	if cache == "" {
		cache = o.output + ".download"
	}
	store, err := artifact.New(artifact.Options{Dir: filepath.Join(cache, "artifacts"), FilesDir: o.filesDir})
	if err != nil {
		return usagef("--data-dir=%s: %w", cache, err)
	}
	if err := errors.Join(o.save(cmd, store, bundle, artifacts), store.Close()); err != nil {
		return err
	}
	if o.dataDir == "" {
		if err := os.RemoveAll(cache); err != nil {
			return fmt.Errorf("the bundle is complete, but %s can't be removed: %w", cache, causeOf(err))
		}
	}
	info, err := os.Stat(o.output)
	if err != nil {
		return err
	}
	fmt.Fprintf(cmd.OutOrStdout(), "%s: %d artifacts, %s\n", o.output, len(bundle), sizeOf(info.Size()))
	return nil
}

func (o *bundleSaveOptions) complete() error {
	switch {
	case o.manifests == "":
		return usagef("--filename is not set: name the folder of manifests")
	case o.output == "":
		return usagef("--output is not set: name the file to write")
	}
	if info, err := os.Stat(o.output); err == nil && !info.Mode().IsRegular() {
		return usagef("--output=%s: is not a file; name the file to write", o.output)
	}
	if o.filesDir == "" {
		o.filesDir = o.manifests
	}
	for _, dir := range []struct{ flag, value string }{
		{"filename", o.manifests}, {"files-dir", o.filesDir}, {"output", filepath.Dir(o.output)},
	} {
		if err := checkFolder(dir.flag, dir.value); err != nil {
			return err
		}
	}
	return nil
}

// load reads the manifests and returns what they name. A bundle with less than that would show it too late.
func (o *bundleSaveOptions) load(cmd *cobra.Command) ([]*index.Artifact, error) {
	validator, err := manifest.NewValidator()
	if err != nil {
		return nil, err
	}
	source := &controllers.Standalone{Dir: o.manifests, Validator: validator, Index: index.New()}
	problems, err := source.Load(cmd.Context())
	if err != nil {
		return nil, usagef("--filename=%s: %w", o.manifests, err)
	}
	said := cmd.ErrOrStderr()
	for _, problem := range problems {
		fmt.Fprintln(said, problem)
	}
	needed, unusable := source.NeededArtifacts()
	for _, why := range unusable {
		fmt.Fprintln(said, why)
	}
	bad := len(problems) + len(unusable)
	verified := needed[:0]
	for _, a := range needed {
		switch {
		case a.SHA256 != "":
			verified = append(verified, a)
		case o.skipUnverified:
			fmt.Fprintf(said, "left out: %s has no sha256\n", a.Field)
		default:
			fmt.Fprintf(said, "%s has no sha256: nobody could tell whether it arrived as it was sent; set it, or --skip-unverified\n", a.Field)
			bad++
		}
	}
	if bad > 0 {
		return nil, errSaid
	}
	return verified, nil
}

// save fetches what is missing and writes the bundle.
func (o *bundleSaveOptions) save(cmd *cobra.Command, store *artifact.Store, bundle []*artifact.BundledArtifact, artifacts []*index.Artifact) error {
	wanted := map[index.ID][]*index.Artifact{}
	for _, a := range artifacts {
		wanted[a.ID()] = append(wanted[a.ID()], a)
	}
	f := &bundleFetch{store: store, said: cmd.ErrOrStderr(), total: len(bundle)}
	ended := make(chan struct{})
	var progress sync.WaitGroup
	progress.Go(func() { f.follow(bundle, ended) })
	slots := make(chan struct{}, bundleFetches)
	var fetches sync.WaitGroup
	for _, b := range bundle {
		slots <- struct{}{}
		fetches.Go(func() {
			defer func() { <-slots }()
			f.fetch(cmd.Context(), wanted[b.ID()])
		})
	}
	fetches.Wait()
	close(ended)
	progress.Wait()
	if err := context.Cause(cmd.Context()); err != nil {
		return fmt.Errorf("interrupted: %w; the same command goes on from here", err)
	}
	if f.failed > 0 {
		return errSaid
	}
	return writeWhole(o.output, func(to io.Writer) error { return store.WriteBundle(cmd.Context(), to, bundle) })
}

// A bundleFetch tells how far netboot bundle save is.
type bundleFetch struct {
	store *artifact.Store
	total int

	mu           sync.Mutex
	said         io.Writer
	done, failed int
}

// fetch tries what all artifacts with the same digest say about where it is.
func (f *bundleFetch) fetch(ctx context.Context, same []*index.Artifact) {
	var failures []error
	for _, a := range same {
		file, err := f.store.Open(ctx, a)
		if err == nil {
			f.tell(nil, "%s  %s  %s", a.ID(), sizeOf(file.Size()), a.Field)
			_ = file.Close() // it was only read
			return
		}
		failures = append(failures, err)
	}
	f.tell(errors.Join(failures...), "")
}

func (f *bundleFetch) tell(err error, format string, args ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err != nil {
		f.failed++
		fmt.Fprintln(f.said, "failed:", err)
		return
	}
	f.done++
	fmt.Fprintf(f.said, "%d/%d  %s\n", f.done, f.total, fmt.Sprintf(format, args...))
}

// follow tells from time to time how far fetches are that take long.
func (f *bundleFetch) follow(bundle []*artifact.BundledArtifact, ended <-chan struct{}) {
	tick := time.NewTicker(bundleProgress)
	defer tick.Stop()
	for {
		select {
		case <-ended:
			return
		case <-tick.C:
			f.progress(bundle)
		}
	}
}

func (f *bundleFetch) progress(bundle []*artifact.BundledArtifact) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, b := range bundle {
		state := f.store.State(b.ID())
		if !state.Fetching || state.Received == 0 {
			continue
		}
		of := ""
		if state.Total >= 0 {
			of = " of " + sizeOf(state.Total)
		}
		fmt.Fprintf(f.said, "...  %s  %s%s  %s\n", b.ID(), sizeOf(state.Received), of, summary(b.Fields))
	}
}

// writeWhole writes a file so that there is either all of it, on disk, or what was there before.
func writeWhole(name string, write func(io.Writer) error) (err error) {
	dir := filepath.Dir(name)
	f, err := os.CreateTemp(dir, "."+filepath.Base(name)+".*")
	if err != nil {
		return fmt.Errorf("--output=%s: %w", name, causeOf(err))
	}
	defer func() {
		if err != nil {
			_ = os.Remove(f.Name()) // what matters is said already
		}
	}()
	if err := errors.Join(write(f), f.Chmod(0o644), f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("--output=%s: %w", name, causeOf(err))
	}
	if err := os.Rename(f.Name(), name); err != nil {
		return fmt.Errorf("--output=%s: %w", name, causeOf(err))
	}
	folder, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("--output=%s: %w", name, causeOf(err))
	}
	return errors.Join(folder.Sync(), folder.Close())
}
