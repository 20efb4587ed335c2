// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Command cmd puts a load of machines on netboot servers: see package load. It exits with 1 when a transfer failed, with 2
// when it could not begin.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/netboot-operator/netboot-operator/test/load"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// settings are the flags.
type settings struct {
	config                   load.Config
	targets                  string
	tftpPort, httpPort       int
	tftpContent, httpContent string
	json                     string
}

func (s *settings) flags() *flag.FlagSet {
	f := flag.NewFlagSet("load", flag.ContinueOnError)
	c := &s.config
	f.StringVar(&s.targets, "target", "", "`HOSTS` to ask, separated by commas; clients are dealt out over them")
	f.IntVar(&s.tftpPort, "tftp-port", 69, "")
	f.IntVar(&s.httpPort, "http-port", 8080, "")
	f.IntVar(&c.TFTPClients, "tftp-clients", 0, "TFTP transfers under way")
	f.IntVar(&c.HTTPClients, "http-clients", 0, "HTTP transfers under way")
	f.StringVar(&c.TFTPName, "tftp-name", "", "`NAME` that they ask for")
	f.StringVar(&c.HTTPPath, "http-path", "", "`PATH` that they ask for, with its /")
	f.StringVar(&s.tftpContent, "tftp-content", "", "`FILE` that holds what they must get (default: what is fetched at the start)")
	f.StringVar(&s.httpContent, "http-content", "", "`FILE` that holds what they must get (default: what is fetched at the start)")
	f.DurationVar(&c.TFTPTime, "tftp-time", 0, "how long a transfer is made to take (default: as fast as it comes)")
	f.DurationVar(&c.HTTPTime, "http-time", 0, "how long a transfer is made to take (default: as fast as it comes)")
	f.IntVar(&c.BlockSize, "block-size", 1428, "")
	f.IntVar(&c.WindowSize, "window-size", 8, "")
	f.StringVar(&c.ProbeName, "probe-name", "", "`NAME` that TFTP probes ask for (default: no probes)")
	f.StringVar(&c.ProbePath, "probe-path", "", "`PATH` that HTTP probes ask for (default: no probes)")
	f.DurationVar(&c.ProbeEvery, "probe-every", 10*time.Millisecond, "time between two probes")
	f.DurationVar(&c.RetryAfter, "retry-after", time.Second, "when a TFTP client asks again")
	f.IntVar(&c.Tries, "tries", 6, "how often a TFTP client asks before it gives up")
	f.DurationVar(&c.StallTimeout, "stall-timeout", 30*time.Second, "how long an HTTP client waits for a byte")
	f.DurationVar(&c.Duration, "duration", time.Minute, "how long transfers begin; those under way then end")
	f.StringVar(&s.json, "json", "", "`FILE` to write the report to")
	return f
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	var s settings
	f := s.flags()
	f.SetOutput(stderr)
	if err := f.Parse(args); err != nil {
		return 2
	}
	report, err := s.run(ctx)
	if err != nil {
		fmt.Fprintln(stderr, "load:", err)
		return 2
	}
	report.WriteText(stdout)
	if s.json != "" {
		b, err := json.MarshalIndent(report, "", "  ")
		if err == nil {
			err = os.WriteFile(s.json, append(b, '\n'), 0o644)
		}
		if err != nil {
			fmt.Fprintln(stderr, "load:", err)
			return 2
		}
	}
	if report.Failed() > 0 {
		return 1
	}
	return 0
}

func (s *settings) run(ctx context.Context) (*load.Report, error) {
	for host := range strings.SplitSeq(s.targets, ",") {
		if host = strings.Trim(strings.TrimSpace(host), "[]"); host != "" {
			s.config.TFTP = append(s.config.TFTP, address(host, s.tftpPort))
			s.config.HTTP = append(s.config.HTTP, address(host, s.httpPort))
		}
	}
	for _, content := range []struct {
		file string
		to   *[]byte
	}{{s.tftpContent, &s.config.TFTPContent}, {s.httpContent, &s.config.HTTPContent}} {
		if content.file == "" {
			continue
		}
		b, err := os.ReadFile(content.file)
		if err != nil {
			return nil, err
		}
		*content.to = b
	}
	return load.Run(ctx, s.config)
}

// address is HOST:PORT.
func address(host string, port int) string { return net.JoinHostPort(host, strconv.Itoa(port)) }
