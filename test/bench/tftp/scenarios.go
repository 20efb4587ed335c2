// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"fmt"
	"time"
)

// sizes say how much of everything there is.
type sizes struct {
	storm             []int // clients at once
	stormTime         time.Duration
	loaders           []int
	bulkTime          time.Duration // of 32 clients that read a large file
	pathTime          time.Duration // of one client far away
	roundTrips        []time.Duration
	windows           []int
	lossFile          string
	lossLimit         time.Duration
	crowd             int // slow clients at once
	burst             int // clients that all ask at the same moment
	limit             time.Duration
	floodTime, silent time.Duration
}

// fullSizes fit all servers and three rounds into 25 minutes, on two cores.
func fullSizes() sizes {
	return sizes{
		storm: []int{1, 16, 256, 1024}, stormTime: 2 * time.Second,
		loaders: []int{16, 128}, bulkTime: 4 * time.Second, pathTime: 1200 * time.Millisecond,
		roundTrips: []time.Duration{0, 200 * time.Microsecond, time.Millisecond, 5 * time.Millisecond},
		windows:    []int{1, 4, 16, 64},
		lossFile:   file4M, lossLimit: time.Minute,
		crowd: 10000, burst: 1000, limit: time.Minute, floodTime: 3 * time.Second, silent: 30 * time.Second,
	}
}

// quickSizes show in two minutes that everything works. Their figures say little.
func quickSizes() sizes {
	return sizes{
		storm: []int{16, 256}, stormTime: 400 * time.Millisecond,
		loaders: []int{16}, bulkTime: 400 * time.Millisecond, pathTime: 200 * time.Millisecond,
		roundTrips: []time.Duration{0, time.Millisecond},
		windows:    []int{1, 16},
		lossFile:   file64K, lossLimit: 20 * time.Second,
		crowd: 500, burst: 200, limit: 20 * time.Second, floodTime: time.Second, silent: 5 * time.Second,
	}
}

// usual is what firmware asks for today.
func usual() ask { return ask{BlockSize: 1468, Size: true} }

func withWindow(n int) ask { return ask{BlockSize: 1468, WindowSize: n, Size: true} }

// scenarios lists all scenarios, with the files that they read.
func scenarios(z sizes, file func(string) *content) []scenario {
	return []scenario{
		storm(z, file(file2K)), loader(z, file(file1M)), bulk(z, file(file64M)), path(z, file(file64M)),
		loss(z, file(z.lossFile)), crowd(z, file(file64K)), burst(z, file(file4K)),
		{
			name: "flood", about: "storm at c=16, alone and then beside 2000 forged requests a second",
			columns: floodColumns(), cells: []cell{floodCell(file(file2K), z.floodTime/2, z.floodTime)},
		},
		{
			name: "silent", about: fmt.Sprintf("one request, and then silence: what comes back in %v", z.silent),
			columns: silentColumns(), cells: []cell{silentCell(file(fileEFI), z.silent)}, rounds: 1, together: true,
		},
	}
}

func storm(z sizes, file *content) scenario {
	figures := []figure{
		perSecond(), cpuPerSession(), latency(50, "p50 ms"), latency(99, "p99 ms"), requestsAgain(), noRoom(), peakMemory(),
		generatorBusy(),
	}
	s := scenario{name: "storm", about: "2 KiB configurations, one after the other, by c clients at once", columns: columns(figures)}
	for _, c := range z.storm {
		l := load{file: file, ask: usual(), clients: c, time: z.stormTime, limit: z.stormTime + 20*time.Second}
		s.cells = append(s.cells, loadCell(fmt.Sprintf("c=%d", c), l, figures))
	}
	return s
}

func loader(z sizes, file *content) scenario {
	figures := []figure{
		perSecond(), cpuPerSession(), throughput(), latency(50, "p50 ms"), latency(99, "p99 ms"), requestsAgain(), peakMemory(),
		generatorBusy(),
	}
	s := scenario{name: "loader", about: "1 MiB loaders in lock step, by c clients at once", columns: columns(figures)}
	for _, c := range z.loaders {
		l := load{file: file, ask: usual(), clients: c, time: z.stormTime, limit: z.stormTime + 30*time.Second}
		s.cells = append(s.cells, loadCell(fmt.Sprintf("c=%d", c), l, figures))
	}
	return s
}

func bulk(z sizes, file *content) scenario {
	figures := []figure{cpuPerGigabyte(), throughput(), agreedWindow(), peakMemory(), generatorBusy()}
	s := scenario{
		name: "bulk", about: fmt.Sprintf("a 64 MiB initrd, 32 clients at once: what they get in %v", z.bulkTime), columns: columns(figures),
	}
	for _, w := range []int{1, 16, 64} {
		l := load{file: file, ask: withWindow(w), clients: 32, time: z.bulkTime, cutOff: true}
		s.cells = append(s.cells, loadCell(fmt.Sprintf("windowsize %d", w), l, figures))
	}
	return s
}

func path(z sizes, file *content) scenario {
	figures := []figure{throughput(), cpuPerGigabyte(), agreedWindow(), lateness()}
	s := scenario{
		name: "path", about: fmt.Sprintf("a 64 MiB initrd, one client, a round trip away: what it gets in %v", z.pathTime), columns: columns(figures),
	}
	for _, rtt := range z.roundTrips {
		for _, w := range z.windows {
			l := load{file: file, ask: withWindow(w), clients: 1, time: z.pathTime, cutOff: true, rtt: rtt}
			s.cells = append(s.cells, loadCell(fmt.Sprintf("RTT %v, windowsize %d", rtt, w), l, figures))
		}
	}
	return s
}

func loss(z sizes, file *content) scenario {
	figures := []figure{medianSeconds(), finished()}
	s := scenario{
		name:    "loss",
		about:   fmt.Sprintf("%d KiB in lock step, packets get lost each way, 16 clients that never repeat an ACK", len(file.Data)>>10),
		columns: columns(figures), rounds: 1, together: true,
	}
	for _, percent := range []int{1, 5} {
		l := load{
			file: file, ask: usual(), clients: 16, sessions: 16, limit: z.lossLimit,
			loss: float64(percent) / 100, seed: uint64(percent), passive: true,
		}
		s.cells = append(s.cells, loadCell(fmt.Sprintf("%d %%", percent), l, figures))
	}
	return s
}

func crowd(z sizes, file *content) scenario {
	figures := []figure{finished(), seconds(), requestsAgain(), noRoom(), peakMemory()}
	l := load{file: file, ask: usual(), clients: z.crowd, sessions: z.crowd, limit: z.limit, rtt: 50 * time.Millisecond}
	return scenario{
		name: "crowd", about: "64 KiB to all of them at once, in lock step, 50 ms away", columns: columns(figures), rounds: 2,
		cells: []cell{loadCell(fmt.Sprintf("%d clients", z.crowd), l, figures)},
	}
}

func burst(z sizes, file *content) scenario {
	figures := []figure{seconds(), latency(99, "p99 ms"), requestsAgain(), noRoom(), peakMemory()}
	s := scenario{
		name: "burst", about: fmt.Sprintf("4 KiB to each of %d clients that ask at the same moment", z.burst), columns: columns(figures),
	}
	for _, kind := range []struct {
		name string
		ask  ask
	}{{"no options", ask{}}, {"blksize 1468", usual()}} {
		l := load{file: file, ask: kind.ask, clients: z.burst, sessions: z.burst, limit: z.limit}
		s.cells = append(s.cells, loadCell(kind.name, l, figures))
	}
	return s
}
