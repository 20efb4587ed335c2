// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Command kubectl-netboot is the plugin by which kubectl netboot tells how machines boot: from a cluster's API server, or from a
// netboot that serves standalone.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/spf13/cobra"
)

// Exit codes.
const (
	exitFailed = 1 // what was asked for is not there, or can't be had
	exitUsage  = 2 // the command line can't be used
)

// A usageError is about the command line: what was typed, and what would be right.
type usageError struct{ error }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// errSaid fails a command that has already printed why.
var errSaid = errors.New("failed")

// A program is what the commands share.
type program struct {
	connection

	out, err io.Writer
	now      func() time.Time
	// terminal returns the width and height of the terminal that out is; ok is false if it is none.
	terminal func() (width, height int, ok bool)
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	p := &program{out: os.Stdout, err: os.Stderr, now: time.Now, terminal: terminalOf(os.Stdout)}
	os.Exit(p.run(ctx, os.Args[1:]))
}

// run executes one command line and returns its exit code.
func (p *program) run(ctx context.Context, args []string) int {
	root := &cobra.Command{
		Use:   "kubectl-netboot",
		Short: "Tell how machines boot from the network, and why they do not",
		Long: "Tell how machines boot from the network, and why they do not.\n\n" +
			"In a cluster it asks the API server, by your kubeconfig. With --server it asks a netboot that serves a folder of manifests.",
		Annotations:       map[string]string{cobra.CommandDisplayNameAnnotation: "kubectl netboot"},
		Version:           fmt.Sprintf("%s %s %s/%s", version(), runtime.Version(), runtime.GOOS, runtime.GOARCH),
		SilenceErrors:     true,
		SilenceUsage:      true,
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true}, // kubectl completes, not the shell
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usagef("unknown command %q; kubectl netboot --help lists them", args[0])
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetArgs(args)
	root.SetOut(p.out)
	root.SetErr(p.err)
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	root.SetVersionTemplate("kubectl-netboot {{.Version}}\n")
	p.addFlags(root.PersistentFlags())
	root.AddCommand(newStatus(p), newWhy(p), newRender(p), newProbe(p), newWatch(p)) //nolint:contextcheck // cobra hands the context on

	err := root.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	if !errors.Is(err, errSaid) {
		fmt.Fprintln(p.err, "netboot:", err)
	}
	if _, usage := errors.AsType[usageError](err); usage {
		return exitUsage
	}
	return exitFailed
}

// arguments refuses command lines with fewer than least or more than most arguments; most -1: any number.
func arguments(least, most int, what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) < least || most >= 0 && len(args) > most {
			return usagef("%s takes %s, but got %q", cmd.CommandPath(), what, args)
		}
		return nil
	}
}

// released is the version of a build for a release, which the linker sets.
var released string //nolint:gochecknoglobals // the linker can set nothing else

func version() string {
	if released != "" {
		return released
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(devel)"
}
