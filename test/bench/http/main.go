// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

// Command http measures our HTTP server against nginx, on loopback of one machine. hack/bench-http.sh prepares what it
// needs and calls it; docs/benchmarks.md tells what the figures mean.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/netboot-operator/netboot-operator/test/bench/measure"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintf(os.Stderr, "http benchmark: %v\n", err)
		os.Exit(1)
	}
}

// marks are those of docs/benchmarks.md.
func marks() measure.Marks {
	return measure.Marks{Begin: "<!-- http results -->\n", End: "<!-- end of http results -->\n"}
}

// options are the flags.
type options struct {
	netboot, nginx, mime, libraries, commit string
	work, result                            string
	rounds                                  int
	time                                    time.Duration
	quick                                   bool
	only, server                            string
}

func run(ctx context.Context, args []string, out io.Writer) error {
	var o options
	flags := flag.NewFlagSet("http", flag.ContinueOnError)
	flags.StringVar(&o.netboot, "netboot", "", "`PROGRAM` netboot")
	flags.StringVar(&o.nginx, "nginx", "", "`PROGRAM` nginx")
	flags.StringVar(&o.mime, "mime", "", "`FILE` mime.types of nginx")
	flags.StringVar(&o.libraries, "libraries", "", "`FOLDERS` of shared libraries for it")
	flags.StringVar(&o.commit, "commit", "", "`COMMIT` that our server was built from, for the header")
	flags.StringVar(&o.work, "work", "build/bench", "`FOLDER` for the files that are served, and for logs")
	flags.StringVar(&o.result, "out", "", "`FILE` to write the table into; between the marks, if it has some")
	flags.IntVar(&o.rounds, "rounds", 5, "how often each figure is measured; the median counts")
	flags.DurationVar(&o.time, "time", 3*time.Second, "how long each measurement takes")
	flags.BoolVar(&o.quick, "quick", false, "one short round, to see that all of it works")
	flags.StringVar(&o.only, "run", "", "`REGEXP` of the cases to run, such as '512 MiB, 32 clients'")
	flags.StringVar(&o.server, "server", "", "`NAME` of the only server to measure, to profile it, say")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if o.quick {
		o.rounds, o.time = 1, 300*time.Millisecond
	}
	work, err := filepath.Abs(o.work)
	if err != nil {
		return err
	}
	o.work = work
	b, err := newBenchmark(o)
	if err != nil {
		return err
	}
	table, header, err := b.run(ctx)
	if err != nil {
		return err
	}
	text := header + "\n" + table.Markdown()
	fmt.Fprint(out, text)
	if o.result != "" {
		if err := measure.WriteResult(o.result, marks(), text); err != nil {
			return err
		}
	}
	return table.Problems()
}

// header tells the machine and the versions.
func (b *benchmark) header(ctx context.Context) string {
	var text strings.Builder
	kind := fmt.Sprintf("Medians of %d rounds of %v", b.rounds, b.time)
	if b.quick {
		kind = "One short round: to see that it works, not to compare"
	}
	fmt.Fprintf(&text, "%s, %s. In brackets: times nginx's figure.\n\n- Machine: %s\n- CPU times: %s\n- Servers: ",
		kind, time.Now().UTC().Format(time.DateOnly), measure.Machine(), measure.CPUTimes("nothing here"))
	for i, s := range b.subjects {
		if i > 0 {
			text.WriteString(", ")
		}
		fmt.Fprintf(&text, "%s (%s)", s.name, s.version(ctx))
	}
	text.WriteString("\n")
	return text.String()
}
