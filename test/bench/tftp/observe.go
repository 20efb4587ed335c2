// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/netboot-operator/netboot-operator/test/bench/measure"
)

// A measurement is a load and what it cost the server.
type measurement struct {
	*outcome
	cpu          time.Duration // of the server
	peak         int64         // bytes of the server
	bufferErrors int64         // datagrams that found no room in a socket, anybody's
}

// observe runs a load and looks at the server meanwhile, if there is one to look at.
func observe(ctx context.Context, l load, t measure.Target) (*measurement, error) {
	m := &measurement{}
	var cpu []time.Duration
	var drops []int64
	var failed error
	l.measure = func() {
		errs, err := measure.ReceiveBufferErrors()
		drops, failed = append(drops, errs), errors.Join(failed, err)
		if t.PID == 0 {
			return
		}
		if len(cpu) > 0 && !l.cutOff {
			<-time.After(50 * time.Millisecond) // the server still clears up
		}
		took, err := t.CPUTime()
		cpu, failed = append(cpu, took), errors.Join(failed, err)
	}
	if t.PID != 0 {
		watch := measure.WatchMemory(ctx, t.PID)
		defer func() { m.peak = watch.Peak() }()
	}
	var err error
	m.outcome, err = l.run()
	if err = errors.Join(err, failed); err != nil {
		return nil, err
	}
	m.bufferErrors = drops[1] - drops[0]
	if t.PID != 0 {
		m.cpu = cpu[1] - cpu[0]
	}
	return m, nil
}

// per divides; by nothing there is nothing to say.
func per(x, by float64) float64 {
	if by == 0 {
		return math.NaN()
	}
	return x / by
}

func (m *measurement) perSecond() float64 { return float64(m.done) / m.took.Seconds() }

func (m *measurement) megabytesPerSecond() float64 { return float64(m.bytes) / 1e6 / m.took.Seconds() }

func (m *measurement) cpuMicrosecondsPerSession() float64 {
	return per(float64(m.cpu.Microseconds()), float64(m.done))
}

func (m *measurement) cpuSecondsPerGigabyte() float64 {
	return per(m.cpu.Seconds(), float64(m.bytes)/1e9)
}

// peakMegabytes is not known of a server that has gone.
func (m *measurement) peakMegabytes() float64 {
	if m.peak == 0 {
		return math.NaN()
	}
	return float64(m.peak) / 1e6
}

// latency is in milliseconds.
func (m *measurement) latency(percent float64) float64 {
	if m.done == 0 {
		return math.NaN()
	}
	return measure.Milliseconds(measure.Percentile(m.durations, percent))
}

func (m *measurement) busyPercent() float64 { return 100 * m.busy.Seconds() / m.took.Seconds() }

func (m *measurement) print(out io.Writer) {
	fmt.Fprintf(out, "%d done, %d cut off, %d failed; %d RRQs and %d ACKs sent again; %d datagrams found no room\n",
		m.done, m.cut, m.failed(), m.repeated, m.reacked, m.bufferErrors)
	for _, reason := range slices.Sorted(maps.Keys(m.failures)) {
		fmt.Fprintf(out, "  %d x %s\n", m.failures[reason], reason)
	}
	fmt.Fprintf(out, "%.2f s, %s sessions/s, %s MB/s, window %d\n",
		m.took.Seconds(), measure.Round3(m.perSecond()), measure.Round3(m.megabytesPerSecond()), m.window)
	fmt.Fprintf(out, "session: p50 %v, p99 %v, longest %v\n",
		measure.Percentile(m.durations, 50), measure.Percentile(m.durations, 99), measure.Percentile(m.durations, 100))
	if m.delayed > 0 {
		fmt.Fprintf(out, "answers left %v late in the mean\n", m.late)
	}
	fmt.Fprintf(out, "generator: %.0f %% of a core\n", m.busyPercent())
	if m.peak > 0 {
		fmt.Fprintf(out, "server: CPU %v, %s us a session, %s s/GB; memory %s MB at most\n", m.cpu,
			measure.Round3(m.cpuMicrosecondsPerSession()), measure.Round3(m.cpuSecondsPerGigabyte()), measure.Round3(m.peakMegabytes()))
	}
}
