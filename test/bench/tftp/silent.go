// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"context"
	"fmt"
	"math"
	"net/netip"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/netboot-operator/netboot-operator/test/bench/measure"
)

// silentCell asks once, never says anything again, and counts what comes: what a server sends to somebody who did not ask,
// if the address was forged.
func silentCell(file *content, patience time.Duration) cell {
	return cell{warm: file, measure: func(ctx context.Context, s *server) (*measure.Sample, error) {
		asks := []ask{{}, {BlockSize: 1468, Size: true}}
		values := make([]float64, 2*len(asks))
		var group errgroup.Group
		for i, a := range asks {
			group.Go(func() error {
				datagrams, amplified, err := countAnswers(ctx, s, newRequest(file.Name, a), i, patience)
				values[2*i], values[2*i+1] = datagrams, amplified
				return err
			})
		}
		if err := group.Wait(); err != nil {
			return nil, err
		}
		return &measure.Sample{Values: values}, nil
	}}
}

func silentColumns() []measure.Column {
	return []measure.Column{
		{Head: "no options: datagrams", Rank: measure.Lower}, {Head: "bytes back per byte", Rank: measure.Lower},
		{Head: "options: datagrams", Rank: measure.Lower}, {Head: "bytes back per byte", Rank: measure.Lower},
	}
}

// countAnswers sends a request and returns how many datagrams it brings, and how many bytes for each of its own.
func countAnswers(ctx context.Context, s *server, request []byte, nr int, patience time.Duration) (
	datagrams, amplified float64, err error,
) {
	// An address that was never heard of: what a server knows of others must not help.
	local := netip.AddrFrom4([4]byte{127, 250, byte(nr), s.ip.As4()[3]})
	fd, err := openSocket(local, 0)
	if err != nil {
		return 0, 0, err
	}
	defer func() { _ = unix.Close(fd) }()
	p, err := newPoller()
	if err != nil {
		return 0, 0, err
	}
	defer p.close()
	if err := p.add(fd); err != nil {
		return 0, 0, err
	}
	to := sockaddr(s.address())
	if errno := send(int32(fd), request, &to); errno != 0 {
		return 0, 0, fmt.Errorf("send a request: %w", errno)
	}
	r := newReceiver(math.MaxUint16)
	bytes := 0
	for end := time.Now().Add(patience); time.Now().Before(end) && ctx.Err() == nil && !s.Crashed(); {
		if p.wait(min(time.Until(end), 100*time.Millisecond)) == 0 {
			continue
		}
		n := r.receive(int32(fd))
		datagrams += float64(n)
		for i := range n {
			bytes += len(r.packet(i))
		}
	}
	return datagrams, float64(bytes) / float64(len(request)), nil
}
