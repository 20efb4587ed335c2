// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/netboot-operator/netboot-operator/pkg/artifact"
)

func newBundle() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "bundle save|load",
		Short: "Carry artifacts to where no network is, as one file",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usagef("unknown command %q of netboot bundle: there are save and load", args[0])
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newBundleSave(), newBundleLoad())
	return cmd
}

func newBundleLoad() *cobra.Command {
	var dataDir string
	cmd := &cobra.Command{
		Use:   "load FILE --data-dir DIR",
		Short: "Put the artifacts of a bundle into the --data-dir of a server",
		Long: "Verify each artifact of the bundle FILE, and put it where netboot serve --data-dir DIR looks before it fetches.\n" +
			"The server may be running. FILE may be - for standard input.",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usagef("netboot bundle load takes one argument, the file that netboot bundle save wrote, but got %d", len(args))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error { return loadBundle(cmd, args[0], dataDir) },
	}
	cmd.Flags().StringVar(&dataDir, "data-dir", defaultDataDir, "`DIR` of the server for fetched artifacts")
	return cmd
}

func loadBundle(cmd *cobra.Command, file, dataDir string) error {
	if dataDir == "" {
		return usagef("--data-dir is empty: name the folder of the server for fetched artifacts")
	}
	in := os.Stdin
	if file != "-" {
		var err error
		if in, err = os.Open(file); err != nil {
			return usagef("%s: %w", file, causeOf(err))
		}
		defer func() { _ = in.Close() }() // it was only read
	}
	out := cmd.OutOrStdout()
	var loaded, before int
	err := artifact.LoadBundle(cmd.Context(), in, artifact.BundleOptions{
		Dir: filepath.Join(dataDir, "artifacts"),
		Loaded: func(b *artifact.BundledArtifact, wasThere bool) {
			did := "loaded"
			if wasThere {
				did = "was there"
				before++
			} else {
				loaded++
			}
			fmt.Fprintf(out, "%-9s  %s  %s  %s\n", did, b.ID(), sizeOf(b.Size), summary(b.Fields))
		},
	})
	fmt.Fprintf(out, "%d artifacts loaded, %d were there before\n", loaded, before)
	if err != nil {
		return fmt.Errorf("load %s into --data-dir=%s: %w", file, dataDir, err)
	}
	return nil
}

// summary returns the first of the fields that an artifact is for.
func summary(fields []string) string {
	switch len(fields) {
	case 0:
		return "nothing"
	case 1:
		return fields[0]
	}
	return fmt.Sprintf("%s and %d more", fields[0], len(fields)-1)
}

// sizeOf returns a number of bytes for people.
func sizeOf(bytes int64) string {
	switch {
	case bytes < 10<<10:
		return fmt.Sprintf("%d bytes", bytes)
	case bytes < 10<<20:
		return fmt.Sprintf("%.1f KiB", float64(bytes)/(1<<10))
	}
	return fmt.Sprintf("%.1f MiB", float64(bytes)/(1<<20))
}

// causeOf returns why a file operation failed, without the path that the message names already.
func causeOf(err error) error {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return e.Err
	}
	if e, ok := errors.AsType[*os.LinkError](err); ok {
		return e.Err
	}
	return err
}
