// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"time"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		if !errors.Is(err, flag.ErrHelp) {
			fmt.Fprintf(os.Stderr, "image: %v\n", err)
		}
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) > 0 && args[0] == "sbom" {
		return runSBOM(args[1:])
	}
	return runImage(args)
}

func runImage(args []string) error {
	var b build
	flags := flag.NewFlagSet("image", flag.ContinueOnError)
	out := flags.String("out", "", "`folder` to write to")
	flags.StringVar(&b.release.version, "version", "", "`version` of the image, which is its tag")
	flags.StringVar(&b.release.revision, "revision", "", "`commit` that it was built from")
	created := flags.Int64("created", 0, "`seconds` since 1970: when the image was created")
	flags.StringVar(&b.tree, "tree", "", "`folder` whose files go to /")
	flags.StringVar(&b.licences, "licences", "", "`folder` whose files go to /usr/share/doc/netboot-operator")
	flags.Func("program", "`linux/ARCHITECTURE=FILE`: the program for a platform; once for each", func(value string) error {
		p, err := parsePlatform(value)
		b.programs = append(b.programs, p)
		return err
	})
	if err := flags.Parse(args); err != nil {
		return err
	}
	for name, value := range map[string]string{"out": *out, "version": b.release.version, "tree": b.tree, "licences": b.licences} {
		if value == "" {
			return fmt.Errorf("-%s is empty: all flags but -revision and -created are needed", name)
		}
	}
	if len(b.programs) == 0 || flags.NArg() > 0 {
		return fmt.Errorf("want -program=linux/ARCHITECTURE=FILE at least once and no arguments, got %q", flags.Args())
	}
	b.release.created = time.Unix(*created, 0)
	digest, err := b.write(*out)
	if err != nil {
		return err
	}
	fmt.Printf("%s:%s@%s\n", repository, b.release.version, digest)
	return nil
}

// parsePlatform reads linux/ARCHITECTURE=FILE.
func parsePlatform(value string) (platform, error) {
	on, program, ok := strings.Cut(value, "=")
	architecture, isLinux := strings.CutPrefix(on, "linux/")
	if !ok || !isLinux || architecture == "" || program == "" {
		return platform{}, errors.New("want linux/ARCHITECTURE=FILE")
	}
	return platform{architecture: architecture, program: program}, nil
}
