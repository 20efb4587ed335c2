// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"time"

	"github.com/netboot-operator/netboot-operator/test/bench/measure"
)

// readyWithin is how long a server may take from the start to the first file.
const readyWithin = 60 * time.Second

// A benchmark measures the servers in all cases.
type benchmark struct {
	options
	subjects []*subject
	cases    []situation
}

// A situation is a file, and how many fetch it at once.
type situation struct {
	name      string
	file      *content
	clients   int
	keepAlive bool // one file after the other on a connection; else each on a new one
}

func newBenchmark(o options) (*benchmark, error) {
	wanted, err := regexp.Compile(o.only)
	if err != nil {
		return nil, fmt.Errorf("-run=%s: %w", o.only, err)
	}
	files := filepath.Join(o.work, "files")
	for _, folder := range []string{files, filepath.Join(o.work, "logs")} {
		if err := os.MkdirAll(folder, 0o755); err != nil {
			return nil, err
		}
	}
	loader, err := makeFile(files, "http-1m", 1<<20)
	if err != nil {
		return nil, err
	}
	image, err := makeFile(files, "http-512m", 512<<20)
	if err != nil {
		return nil, err
	}
	b := &benchmark{options: o}
	for _, kind := range []struct {
		file      *content
		format    string
		keepAlive bool
	}{
		{loader, "1 MiB, %d clients", true}, {loader, "1 MiB, %d clients, new connections", false}, {image, "512 MiB, %d clients", true},
	} {
		for _, clients := range []int{1, 32, 256} {
			c := situation{fmt.Sprintf(kind.format, clients), kind.file, clients, kind.keepAlive}
			if wanted.MatchString(c.name) {
				b.cases = append(b.cases, c)
			}
		}
	}
	if len(b.cases) == 0 {
		return nil, fmt.Errorf("-run=%s: no case has such a name", o.only)
	}
	b.subjects, err = o.subjects(files, []*content{loader, image})
	return b, err
}

func columns() []measure.Column {
	return []measure.Column{
		{Head: "MB/s", Rank: measure.Higher}, {Head: "CPU s/GB", Rank: measure.Lower}, {Head: "MB per CPU s", Rank: measure.Higher},
		{Head: "files/s", Rank: measure.Neither}, {Head: "peak MB", Rank: measure.Lower},
		{Head: "generator % of a core", Rank: measure.Neither},
	}
}

// run measures one server after the other in each case, in each round in another order, so that what changes in the machine
// meanwhile meets all of them. All servers run all the time: one that has no clients does nothing.
func (b *benchmark) run(ctx context.Context) (*measure.Table, string, error) {
	t := &measure.Table{
		Name: "http", About: "what clients get from page cache, and what it costs the server", Columns: columns(),
	}
	for _, s := range b.subjects {
		t.Servers = append(t.Servers, measure.Server{Name: s.name, Ours: s.ours})
	}
	running := map[*subject]*measure.Running{}
	defer func() {
		for _, r := range running {
			r.Stop()
		}
	}()
	for _, s := range b.subjects {
		r, err := s.Start(ctx, filepath.Join(b.work, "logs"))
		if err != nil {
			return nil, "", err
		}
		running[s] = r
		for _, c := range b.cases {
			if err := s.await(r, c.file); err != nil {
				return nil, "", fmt.Errorf("%s: %w; see %s", s.name, err, r.Log)
			}
		}
	}
	for i, c := range b.cases {
		t.Cases = append(t.Cases, measure.Case{Name: c.name})
		for round := range b.rounds {
			for k := range b.subjects {
				s := b.subjects[(k+round)%len(b.subjects)]
				sample, err := b.measure(ctx, s, running[s], c)
				if err != nil {
					return nil, "", fmt.Errorf("%s, %s: %w", c.name, s.name, err)
				}
				t.Entry(i, s.name).Add(sample)
			}
		}
		fmt.Fprintln(os.Stderr, c.name)
	}
	return t, b.header(ctx), nil
}

// measure takes one figure of each column.
func (b *benchmark) measure(ctx context.Context, s *subject, r *measure.Running, c situation) (*measure.Sample, error) {
	var cpu []time.Duration
	var failed error
	watch := measure.WatchMemory(ctx, r.PID)
	o, err := load{
		server: s.address, path: s.path(c.file), file: c.file, clients: c.clients, time: b.time, keepAlive: c.keepAlive, gone: r.Gone,
		measure: func() {
			took, err := r.CPUTime()
			cpu, failed = append(cpu, took), errors.Join(failed, err)
		},
	}.run()
	peak := watch.Peak()
	if err = errors.Join(err, failed); err != nil {
		return nil, err
	}
	used := cpu[1] - cpu[0]
	gigabytes := float64(o.bytes) / 1e9
	return &measure.Sample{
		Values: []float64{
			gigabytes * 1e3 / o.took.Seconds(), per(used.Seconds(), gigabytes), per(gigabytes*1e3, used.Seconds()),
			float64(o.done) / o.took.Seconds(), float64(peak) / 1e6, 100 * o.busy.Seconds() / o.took.Seconds(),
		},
		Failed: o.failed(), Failures: o.failures, Crashed: r.Crashed(),
	}, nil
}

// per divides; by nothing there is nothing to say.
func per(x, by float64) float64 {
	if by == 0 {
		return math.NaN()
	}
	return x / by
}
