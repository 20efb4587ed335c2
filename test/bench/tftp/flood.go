// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"github.com/netboot-operator/netboot-operator/test/bench/measure"
)

// floodSockets is how many ports forged requests come from; the addresses are as many as there are requests.
const floodSockets = 16

// A flood sends requests from forged addresses, 127.64.0.0 to 127.127.255.255, and lets the answers disappear: to the
// server, none of these clients ever says anything, not even that nobody is there.
type flood struct {
	server   netip.AddrPort
	sockets  []int
	requests [2][]byte // with options, and without
	luck     *rand.Rand
	sent     int
}

func newFlood(server netip.AddrPort, file string) (*flood, error) {
	f := &flood{server: server, luck: rand.New(rand.NewPCG(69, 69))}
	f.requests[0] = newRequest(file, ask{BlockSize: 1468, Size: true})
	f.requests[1] = newRequest(file, ask{})
	for range floodSockets {
		fd, err := openSocket(netip.IPv4Unspecified(), 0)
		if err != nil {
			f.close()
			return nil, err
		}
		f.sockets = append(f.sockets, fd)
		// A filter that accepts nothing: what comes back is neither kept nor refused.
		reject := []unix.SockFilter{{Code: unix.BPF_RET | unix.BPF_K}}
		program := unix.SockFprog{Len: uint16(len(reject)), Filter: &reject[0]}
		if err := unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &program); err != nil {
			f.close()
			return nil, fmt.Errorf("flood: attach a filter: %w", err)
		}
	}
	return f, nil
}

func (f *flood) close() {
	for _, fd := range f.sockets {
		_ = unix.Close(fd)
	}
}

// run sends so many requests a second until ctx ends.
func (f *flood) run(ctx context.Context, perSecond int) error {
	const beat = 5 * time.Millisecond
	ticker := time.NewTicker(beat)
	defer ticker.Stop()
	for start := time.Now(); ; {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		for due := int(time.Since(start).Seconds() * float64(perSecond)); f.sent < due; {
			if err := f.send(); err != nil {
				return err
			}
		}
	}
}

// send sends one request from an address drawn by lot.
func (f *flood) send() error {
	to := &unix.SockaddrInet4{Addr: f.server.Addr().As4(), Port: int(f.server.Port())}
	// All of 127.0.0.0/8 is this host, so the kernel lets a socket send from any of it.
	from := unix.PktInfo4(&unix.Inet4Pktinfo{Spec_dst: forged(f.luck.Uint32())})
	err := unix.Sendmsg(f.sockets[f.sent%len(f.sockets)], f.requests[f.sent/len(f.sockets)%2], from, to, 0)
	f.sent++
	if err != nil && err != unix.EAGAIN && err != unix.ENOBUFS {
		return fmt.Errorf("flood: send: %w", err)
	}
	return nil
}

// forged turns a number into an address of 127.64.0.0/10.
func forged(n uint32) [4]byte {
	return [4]byte{127, 64 | byte(n>>16)&63, byte(n >> 8), byte(n)}
}

// floodCell compares a storm of good clients alone and beside a flood.
func floodCell(file *content, alone, beside time.Duration) cell {
	const perSecond, settle = 2000, time.Second
	return cell{warm: file, measure: func(ctx context.Context, s *server) (*measure.Sample, error) {
		good := load{
			server: s.address(), file: file, ask: ask{BlockSize: 1468, Size: true},
			clients: 16, time: alone, cutOff: true, gone: s.Gone,
		}
		before, err := observe(ctx, good, measure.Target{})
		if err != nil {
			return nil, err
		}
		f, err := newFlood(s.address(), file.Name)
		if err != nil {
			return nil, err
		}
		defer f.close()
		flooding, cancel := context.WithCancel(ctx)
		defer cancel()
		ended := make(chan error, 1)
		go func() { ended <- f.run(flooding, perSecond) }()
		select { // the server meets the flood for a while
		case <-time.After(settle):
		case <-s.Gone:
		}
		good.time = beside
		during, err := observe(ctx, good, s.Target)
		open, _ := measure.Descriptors(s.PID) // of a server that is gone: none
		cancel()
		if flooded := <-ended; err == nil {
			err = flooded
		}
		if err != nil {
			return nil, err
		}
		sample := during.sample()
		sample.Values = []float64{
			before.perSecond(), during.perSecond(), 100 * per(during.perSecond(), before.perSecond()),
			float64(during.repeated), during.latency(99), during.peakMegabytes(), float64(open),
		}
		return sample, nil
	}}
}

func floodColumns() []measure.Column {
	return []measure.Column{
		{Head: "sessions/s alone", Rank: measure.Higher}, {Head: "beside the flood", Rank: measure.Higher}, {Head: "% kept", Rank: measure.Higher}, {Head: "RRQs again", Rank: measure.Neither},
		{Head: "p99 ms", Rank: measure.Lower}, {Head: "peak MB", Rank: measure.Lower}, {Head: "open files", Rank: measure.Neither},
	}
}
