// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/netboot-operator/netboot-operator/test/bench/measure"
)

// readyWithin is how long a server may take from the start to the first answer.
const readyWithin = 20 * time.Second

// A server is a subject that runs.
type server struct {
	*subject
	*measure.Running
}

func (s *server) address() netip.AddrPort { return netip.AddrPortFrom(s.ip, 69) }

// start starts a server and waits until it serves warm, a file that is read once by the way.
func (s *subject) start(ctx context.Context, logs string, warm *content) (*server, error) {
	if s.prepare != nil {
		if err := s.prepare(); err != nil {
			return nil, fmt.Errorf("prepare %s: %w", s.name, err)
		}
	}
	running, err := measure.Program{Name: s.name, Args: s.args, Env: s.env}.Start(ctx, logs)
	if err != nil {
		return nil, err
	}
	r := &server{subject: s, Running: running}
	if err := r.awaitReady(warm); err != nil {
		r.Stop()
		return nil, fmt.Errorf("%s: %w; see %s", s.name, err, r.Log)
	}
	return r, nil
}

// awaitReady asks for a file until it comes.
func (s *server) awaitReady(warm *content) error {
	deadline := time.Now().Add(readyWithin)
	var last *outcome
	for time.Now().Before(deadline) {
		var err error
		last, err = load{
			server: s.address(), file: warm, ask: ask{BlockSize: 1468, Size: true}, clients: 1, sessions: 1,
			retry: 50 * time.Millisecond, limit: time.Second, gone: s.Gone,
		}.run()
		if err != nil {
			return err
		}
		if last.done == 1 {
			return nil
		}
		select {
		case <-s.Gone:
			return errors.New("ended at its start")
		case <-time.After(20 * time.Millisecond):
		}
	}
	return fmt.Errorf("does not serve %s after %v: %v", warm.Name, readyWithin, last.failures)
}
