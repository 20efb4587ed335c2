// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"context"
	"maps"
	"math"
	"time"
)

// A scenario is one table: cells that each server in it is measured in.
type scenario struct {
	name, about string
	columns     []column
	cells       []cell
	rounds      int  // at most; 0: as many as were asked for
	together    bool // all servers and all cells at once: nothing in it depends on CPU time, and it takes long
}

// A column is a figure in a table.
type column struct {
	head string
	rank rank
}

// A rank says which figures are better.
type rank int

const (
	neither rank = iota
	lower
	higher
)

// A cell is one situation of a scenario.
type cell struct {
	name    string
	windows bool     // only for servers that know windowsize
	warm    *content // read once before; nil: something small is
	limit   time.Duration
	measure func(context.Context, *server) (*sample, error)
}

// A sample is what one measurement in a cell brought.
type sample struct {
	values   []float64      // by column; NaN: there is none, +Inf: not within the limit
	failed   int            // sessions
	failures map[string]int // by reason
	crashed  bool
	stuck    bool // at the limit: once is enough
}

func (m *measurement) sample() *sample {
	s := &sample{failed: m.failed(), failures: maps.Clone(m.failures), stuck: m.unfinished > 0}
	if m.unfinished > 0 {
		s.failures["not finished within the limit"] = m.unfinished
	}
	return s
}

// A figure is a column, and how it is got from a measurement.
type figure struct {
	column
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
		measure: func(ctx context.Context, s *server) (*sample, error) {
			l := l
			l.server, l.gone = s.address(), s.gone
			m, err := measure(ctx, l, s.target)
			if err != nil {
				return nil, err
			}
			sample := m.sample()
			for _, f := range figures {
				sample.values = append(sample.values, f.of(m))
			}
			return sample, nil
		},
	}
}

func columns(figures []figure) (all []column) {
	for _, f := range figures {
		all = append(all, f.column)
	}
	return all
}

// The figures of the tables.

func perSecond() figure {
	return figure{column{"sessions/s", higher}, (*measurement).perSecond}
}

func cpuPerSession() figure {
	return figure{column{"CPU us a session", lower}, (*measurement).cpuMicrosecondsPerSession}
}

func cpuPerGigabyte() figure {
	return figure{column{"CPU s/GB", lower}, (*measurement).cpuSecondsPerGigabyte}
}

func throughput() figure {
	return figure{column{"MB/s", higher}, (*measurement).megabytesPerSecond}
}

func latency(percent float64, head string) figure {
	return figure{column{head, lower}, func(m *measurement) float64 { return m.latency(percent) }}
}

func requestsAgain() figure {
	return figure{column{"RRQs again", neither}, func(m *measurement) float64 { return float64(m.repeated) }}
}

func noRoom() figure {
	return figure{column{"RcvbufErrors", neither}, func(m *measurement) float64 { return float64(m.bufferErrors) }}
}

func peakMemory() figure {
	return figure{column{"peak MB", lower}, (*measurement).peakMegabytes}
}

func finished() figure {
	return figure{column{"finished", neither}, func(m *measurement) float64 { return float64(m.done) }}
}

// seconds is how long all of it took.
func seconds() figure {
	return figure{column{"s for all", lower}, func(m *measurement) float64 {
		if m.unfinished > 0 {
			return math.Inf(1)
		}
		return m.took.Seconds()
	}}
}

// medianSeconds is the median of the sessions, those that did not finish included.
func medianSeconds() figure {
	return figure{column{"median s", lower}, func(m *measurement) float64 {
		values := make([]float64, 0, m.done+m.unfinished)
		for _, d := range m.durations {
			values = append(values, d.Seconds())
		}
		for range m.unfinished {
			values = append(values, math.Inf(1))
		}
		return median(values)
	}}
}

func agreedWindow() figure {
	return figure{column{"window", neither}, func(m *measurement) float64 { return float64(m.window) }}
}

// generatorBusy shows where the generator, and not the server, set the pace.
func generatorBusy() figure {
	return figure{column{"generator % of a core", neither}, (*measurement).busyPercent}
}

// lateness shows how well the round trip was emulated.
func lateness() figure {
	return figure{column{"late us", neither}, func(m *measurement) float64 { return float64(m.late.Microseconds()) }}
}
