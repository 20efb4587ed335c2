// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/netboot-operator/netboot-operator/api/manifest"
	"github.com/netboot-operator/netboot-operator/controllers"
	"github.com/netboot-operator/netboot-operator/pkg/index"
)

func newLint() *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use:   "lint -f DIR",
		Short: "Check manifests as the API server would, without one",
		Long: "Print a line for each thing that the API server would refuse, with file, line and field; exit code 1 if there is one.\n" +
			"What it would accept, but no machine can boot from (a profile that does not exist), is printed as a warning.",
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error { return lint(cmd, dir) },
	}
	cmd.Flags().StringVarP(&dir, "filename", "f", "", "`DIR` of manifests")
	return cmd
}

func lint(cmd *cobra.Command, dir string) error {
	if dir == "" {
		return usagef("--filename is not set: name the folder of manifests")
	}
	if err := checkFolder("filename", dir); err != nil {
		return err
	}
	validator, err := manifest.NewValidator()
	if err != nil {
		return err
	}
	source := &controllers.Standalone{Dir: dir, Validator: validator, Index: index.New()}
	problems, err := source.Load(cmd.Context())
	if err != nil {
		return usagef("--filename=%s: %w", dir, err)
	}
	out := cmd.OutOrStdout()
	for _, problem := range problems {
		fmt.Fprintln(out, problem)
	}
	machines, profiles, warnings := source.Summary()
	for _, warning := range warnings {
		fmt.Fprintln(out, "warning:", warning)
	}
	fmt.Fprintf(out, "%d Machines and %d BootProfiles are good, %d problems, %d warnings\n", machines, profiles, len(problems), len(warnings))
	if len(problems) > 0 {
		return errSaid
	}
	return nil
}
