// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/netboot-operator/netboot-operator/test/bench/measure"
)

// runCommand measures all servers in all scenarios.
func runCommand(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("run", flag.ContinueOnError)
	var p programs
	flags.StringVar(&p.directory, "directory", "", "`PROGRAM` of examples/directory: our server")
	flags.StringVar(&p.netboot, "netboot", "", "`PROGRAM` netboot")
	flags.StringVar(&p.pin, "pin", "", "`PROGRAM` of test/bench/pinserver")
	flags.StringVar(&p.tftpdHPA, "tftpd-hpa", "", "`PROGRAM` in.tftpd")
	flags.StringVar(&p.atftpd, "atftpd", "", "`PROGRAM` atftpd")
	flags.StringVar(&p.dnsmasq, "dnsmasq", "", "`PROGRAM` dnsmasq")
	flags.StringVar(&p.fbtftp, "fbtftp", "", "`PROGRAM` that serves with fbtftp")
	flags.StringVar(&p.libraries, "libraries", "", "`FOLDERS` of shared libraries for them")
	flags.StringVar(&p.commit, "commit", "", "`COMMIT` that our servers were built from, for the header")
	work := flags.String("work", "build/bench", "`FOLDER` for the files that are served, and for logs")
	only := flags.String("run", "", "`REGEXP` of the scenarios to run")
	peers := flags.String("peers", "", "`LIST` of servers to measure beside ours, with commas; empty: all")
	rounds := flags.Int("rounds", 3, "how often each figure is measured; the median counts")
	quick := flags.Bool("quick", false, "one round of small sizes, to see that all of it works")
	result := flags.String("out", "", "`FILE` to write the tables into; between the marks, if it has some")
	if err := flags.Parse(args); err != nil {
		return err
	}
	wanted, err := regexp.Compile(*only)
	if err != nil {
		return fmt.Errorf("-run=%s: %w", *only, err)
	}
	z := fullSizes()
	if *quick {
		z, *rounds = quickSizes(), 1
	}
	r, err := newRunner(*work, p, *peers, *rounds)
	if err != nil {
		return err
	}
	if err := allowDescriptors(uint64(z.crowd + 2*sparePorts)); err != nil {
		return err
	}
	report := &report{quick: *quick, rounds: *rounds}
	report.describe(ctx, r.subjects)
	all, err := r.scenarios(z)
	if err != nil {
		return err
	}
	for _, s := range all {
		if !wanted.MatchString(s.name) {
			continue
		}
		table, err := r.run(ctx, s)
		if ctx.Err() != nil {
			return fmt.Errorf("scenario %s: interrupted", s.name)
		}
		if err != nil {
			return fmt.Errorf("scenario %s: %w", s.name, err)
		}
		report.tables = append(report.tables, table)
	}
	if len(report.tables) == 0 {
		return fmt.Errorf("-run=%s: no scenario has such a name", *only)
	}
	text := report.markdown()
	fmt.Fprint(out, text)
	if *result != "" {
		if err := measure.WriteResult(*result, marks(), text); err != nil {
			return err
		}
	}
	return report.problems()
}

// A runner measures servers.
type runner struct {
	subjects []*subject
	rounds   int
	files    string // folder
	logs     string // folder
	small    *content
}

func newRunner(work string, p programs, peers string, rounds int) (*runner, error) {
	work, err := filepath.Abs(work)
	if err != nil {
		return nil, err
	}
	r := &runner{rounds: rounds, files: filepath.Join(work, "files"), logs: filepath.Join(work, "logs")}
	for _, folder := range []string{r.files, r.logs} {
		if err := os.MkdirAll(folder, 0o755); err != nil {
			return nil, err
		}
	}
	r.subjects = p.subjects(r.files, filepath.Join(work, "netboot"))
	if peers != "" {
		names := strings.Split(peers, ",")
		for _, name := range names {
			if !slices.ContainsFunc(r.subjects, func(s *subject) bool { return s.name == name }) {
				return nil, fmt.Errorf("-peers=%s: no server %q is here", peers, name)
			}
		}
		r.subjects = slices.DeleteFunc(r.subjects, func(s *subject) bool { return !s.ours && !slices.Contains(names, s.name) })
	}
	if len(r.subjects) == 0 {
		return nil, errors.New("no server was named: see -h")
	}
	return r, nil
}

// scenarios makes the scenarios, and the files for them.
func (r *runner) scenarios(z sizes) ([]scenario, error) {
	var failed error
	file := func(name string) *content {
		c, err := makeFile(r.files, name)
		if err != nil {
			failed = errors.Join(failed, err)
			return &content{}
		}
		return c
	}
	r.small = file(file2K)
	all := scenarios(z, file)
	return all, failed
}

// run fills the table of a scenario.
func (r *runner) run(ctx context.Context, s scenario) (*measure.Table, error) {
	began := time.Now()
	t := &measure.Table{Name: s.name, About: s.about, Columns: s.columns}
	for _, c := range s.cells {
		t.Cases = append(t.Cases, measure.Case{Name: c.name, Limit: c.limit})
	}
	var taking []*subject
	for _, subject := range r.subjects {
		if subject.in(s.name) {
			taking = append(taking, subject)
			t.Servers = append(t.Servers, measure.Server{Name: subject.name, Ours: subject.ours})
		}
	}
	rounds := r.rounds
	if s.rounds > 0 {
		rounds = min(rounds, s.rounds)
	}
	var err error
	if s.together {
		err = r.together(ctx, s, taking, t)
	} else {
		err = r.inTurn(ctx, s, taking, t, rounds)
	}
	fmt.Fprintf(os.Stderr, "%s took %.0f s\n", s.name, time.Since(began).Seconds())
	return t, err
}

// inTurn measures one server after the other, in each round in another order, so that what changes in the machine
// meanwhile meets all of them. Each measurement gets a fresh server: what one session leaves behind is not the next one's
// burden.
func (r *runner) inTurn(ctx context.Context, of scenario, taking []*subject, t *measure.Table, rounds int) error {
	for i, c := range of.cells {
		for round := range rounds {
			for k := range taking {
				s := taking[(k+round)%len(taking)]
				e := t.Entry(i, s.name)
				if c.windows && !s.windows || e.Stuck() {
					continue
				}
				if err := r.measure(ctx, c, s, e); err != nil {
					return fmt.Errorf("%s, %s: %w", c.name, s.name, err)
				}
			}
		}
		fmt.Fprintf(os.Stderr, "%s %s\n", of.name, c.name)
	}
	return nil
}

// measure starts a server, measures it in one cell, and stops it.
func (r *runner) measure(ctx context.Context, c cell, s *subject, e *measure.Entry) error {
	warm := c.warm
	if warm == nil {
		warm = r.small
	}
	running, err := s.start(ctx, r.logs, warm)
	if err != nil {
		return err
	}
	defer running.Stop()
	return take(ctx, c, running, e)
}

// together measures all servers at once.
func (r *runner) together(ctx context.Context, of scenario, taking []*subject, t *measure.Table) error {
	var running []*server
	defer func() {
		for _, s := range running {
			s.Stop()
		}
	}()
	for _, s := range taking {
		started, err := s.start(ctx, r.logs, r.small)
		if err != nil {
			return err
		}
		running = append(running, started)
	}
	var group errgroup.Group
	for i, c := range of.cells {
		for _, s := range running {
			if c.windows && !s.windows {
				continue
			}
			e := t.Entry(i, s.name)
			group.Go(func() error { return take(ctx, c, s, e) })
		}
	}
	return group.Wait()
}

// take adds a measurement.
func take(ctx context.Context, c cell, s *server, e *measure.Entry) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	sample, err := c.measure(ctx, s)
	if err != nil {
		return err
	}
	sample.Crashed = s.Crashed()
	e.Add(sample)
	return ctx.Err()
}
