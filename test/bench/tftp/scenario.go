// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"context"
	"maps"
	"math"
	"time"

	"github.com/netboot-operator/netboot-operator/test/bench/measure"
)

// A scenario is one table: cells that each server in it is measured in.
type scenario struct {
	name, about string
	columns     []measure.Column
	cells       []cell
	rounds      int  // at most; 0: as many as were asked for
	together    bool // all servers and all cells at once: nothing in it depends on CPU time, and it takes long
}

// A cell is one situation of a scenario.
type cell struct {
	name    string
	windows bool     // only for servers that know windowsize
	warm    *content // read once before; nil: something small is
	limit   time.Duration
	measure func(context.Context, *server) (*measure.Sample, error)
}

func (m *measurement) sample() *measure.Sample {
	s := &measure.Sample{Failed: m.failed(), Failures: maps.Clone(m.failures), Stuck: m.unfinished > 0}
	if m.unfinished > 0 {
		s.Failures["not finished within the limit"] = m.unfinished
	}
	return s
}

// A figure is a column, and how it is got from a measurement.
type figure struct {
	measure.Column
	of func(*measurement) float64
}

// loadCell measures figures under a load.
func loadCell(name string, l load, figures []figure) cell {
	warm := l.file
	if len(warm.Data) > fileSizes()[file1M] {
		warm = nil
	}
	return cell{
		name: name, warm: warm, windows: l.ask.WindowSize > 1, limit: l.limit,
		measure: func(ctx context.Context, s *server) (*measure.Sample, error) {
			l := l
			l.server, l.gone = s.address(), s.Gone
			m, err := observe(ctx, l, s.Target)
			if err != nil {
				return nil, err
			}
			sample := m.sample()
			for _, f := range figures {
				sample.Values = append(sample.Values, f.of(m))
			}
			return sample, nil
		},
	}
}

func columns(figures []figure) (all []measure.Column) {
	for _, f := range figures {
		all = append(all, f.Column)
	}
	return all
}

// The figures of the tables.

func perSecond() figure {
	return figure{measure.Column{Head: "sessions/s", Rank: measure.Higher}, (*measurement).perSecond}
}

func cpuPerSession() figure {
	return figure{measure.Column{Head: "CPU us a session", Rank: measure.Lower}, (*measurement).cpuMicrosecondsPerSession}
}

func cpuPerGigabyte() figure {
	return figure{measure.Column{Head: "CPU s/GB", Rank: measure.Lower}, (*measurement).cpuSecondsPerGigabyte}
}

func throughput() figure {
	return figure{measure.Column{Head: "MB/s", Rank: measure.Higher}, (*measurement).megabytesPerSecond}
}

func latency(percent float64, head string) figure {
	return figure{measure.Column{Head: head, Rank: measure.Lower}, func(m *measurement) float64 { return m.latency(percent) }}
}

func requestsAgain() figure {
	return figure{measure.Column{Head: "RRQs again", Rank: measure.Neither}, func(m *measurement) float64 { return float64(m.repeated) }}
}

func noRoom() figure {
	return figure{measure.Column{Head: "RcvbufErrors", Rank: measure.Neither}, func(m *measurement) float64 { return float64(m.bufferErrors) }}
}

func peakMemory() figure {
	return figure{measure.Column{Head: "peak MB", Rank: measure.Lower}, (*measurement).peakMegabytes}
}

func finished() figure {
	return figure{measure.Column{Head: "finished", Rank: measure.Neither}, func(m *measurement) float64 { return float64(m.done) }}
}

// seconds is how long all of it took.
func seconds() figure {
	return figure{measure.Column{Head: "s for all", Rank: measure.Lower}, func(m *measurement) float64 {
		if m.unfinished > 0 {
			return math.Inf(1)
		}
		return m.took.Seconds()
	}}
}

// medianSeconds is the median of the sessions, those that did not finish included.
func medianSeconds() figure {
	return figure{measure.Column{Head: "median s", Rank: measure.Lower}, func(m *measurement) float64 {
		values := make([]float64, 0, m.done+m.unfinished)
		for _, d := range m.durations {
			values = append(values, d.Seconds())
		}
		for range m.unfinished {
			values = append(values, math.Inf(1))
		}
		return measure.Median(values)
	}}
}

func agreedWindow() figure {
	return figure{measure.Column{Head: "window", Rank: measure.Neither}, func(m *measurement) float64 { return float64(m.window) }}
}

// generatorBusy shows where the generator, and not the server, set the pace.
func generatorBusy() figure {
	return figure{measure.Column{Head: "generator % of a core", Rank: measure.Neither}, (*measurement).busyPercent}
}

// lateness shows how well the round trip was emulated.
func lateness() figure {
	return figure{measure.Column{Head: "late us", Rank: measure.Neither}, func(m *measurement) float64 { return float64(m.late.Microseconds()) }}
}
