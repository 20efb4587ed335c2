// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

// Command tftp measures TFTP servers against each other, on loopback of one machine. hack/bench-tftp.sh prepares what it
// needs and calls it; docs/benchmarks.md tells what the scenarios mean.
//
//	tftp run [flags]    all scenarios, against all servers: a table in markdown for each
//	tftp load [flags]   the load generator alone, against a server that runs
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/netboot-operator/netboot-operator/test/bench/measure"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := dispatch(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintf(os.Stderr, "tftp benchmark: %v\n", err)
		os.Exit(1)
	}
}

func dispatch(ctx context.Context, args []string, out io.Writer) error {
	if len(args) == 0 {
		return errors.New("say run or load; -h after it prints the flags")
	}
	switch args[0] {
	case "run":
		return runCommand(ctx, args[1:], out)
	case "load":
		return loadCommand(ctx, args[1:], out)
	default:
		return fmt.Errorf("no command %q: say run or load", args[0])
	}
}

// loadCommand is the generator alone.
func loadCommand(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("load", flag.ContinueOnError)
	var l load
	server := flags.String("server", "127.0.0.1:69", "`ADDR:PORT` of the server")
	dir := flags.String("dir", "", "`FOLDER` that the server serves: the file is made there")
	file := flags.String("file", file2K, "`NAME` of the file; its name is its size: f2k f4k f64k f256k f1m f4m f8m f64m")
	flags.IntVar(&l.clients, "c", 1, "clients at once")
	flags.IntVar(&l.sessions, "n", 0, "sessions; 0: no such bound")
	flags.DurationVar(&l.time, "time", 0, "sessions start for so long; 0: no such bound")
	flags.DurationVar(&l.limit, "limit", time.Minute, "sessions are given up so long after the start")
	flags.BoolVar(&l.cutOff, "cut", false, "end the sessions under way after -time, and count what they got")
	flags.IntVar(&l.ask.BlockSize, "blksize", 1468, "block size asked for; 0: none")
	flags.IntVar(&l.ask.WindowSize, "windowsize", 1, "window asked for; 1: none")
	flags.BoolVar(&l.ask.Size, "tsize", true, "ask for the size")
	flags.DurationVar(&l.rtt, "rtt", 0, "emulated round trip")
	flags.Float64Var(&l.loss, "loss", 0, "emulated loss each way, from 0 to 1")
	flags.Uint64Var(&l.seed, "seed", 1, "of the losses")
	flags.DurationVar(&l.retry, "retry", time.Second, "an RRQ without an answer is sent again after it")
	flags.BoolVar(&l.passive, "passive", false, "never send an ACK again by a timer")
	flags.IntVar(&l.loops, "loops", 1, "threads of the generator")
	pid := flags.Int("pid", 0, "process of the server: prints its CPU time and memory")
	if err := flags.Parse(args); err != nil {
		return err
	}
	var err error
	if l.server, err = netip.ParseAddrPort(*server); err != nil {
		return fmt.Errorf("-server=%s: %w", *server, err)
	}
	if *dir == "" {
		return errors.New("-dir is missing: the folder that the server serves")
	}
	if l.sessions == 0 && l.time == 0 {
		l.time = 3 * time.Second
	}
	if l.file, err = makeFile(*dir, *file); err != nil {
		return err
	}
	if err := allowDescriptors(uint64(l.clients + sparePorts + 256)); err != nil {
		return err
	}
	l.gone = ctx.Done()
	m, err := observe(ctx, l, measure.Target{PID: *pid})
	if err != nil {
		return err
	}
	m.print(out)
	return nil
}
