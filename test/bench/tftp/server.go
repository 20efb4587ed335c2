// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

const (
	readyWithin = 20 * time.Second // from the start to the first answer
	endsWithin  = 3 * time.Second  // from SIGTERM
)

// A target is a running program to look at. The zero value is none.
type target struct {
	pid   int
	group *cgroup // nil: there could be none
}

func (t target) cpuTime() (time.Duration, error) {
	if t.group != nil {
		return t.group.cpuTime()
	}
	return cpuTime(t.pid)
}

// A server is a subject that runs.
type server struct {
	*subject
	target
	command *exec.Cmd
	ended   chan struct{}   // closed when it has ended, wanted or not
	gone    <-chan struct{} // closed then, and when the benchmark is to end
}

func (s *server) address() netip.AddrPort { return netip.AddrPortFrom(s.ip, 69) }

// start starts a server and waits until it serves warm, a file that is read once by the way.
func (s *subject) start(ctx context.Context, logs string, warm *content) (*server, error) {
	if s.prepare != nil {
		if err := s.prepare(); err != nil {
			return nil, fmt.Errorf("prepare %s: %w", s.name, err)
		}
	}
	log, err := os.OpenFile(filepath.Join(logs, s.slug()+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	defer func() { _ = log.Close() }() // the server has its own
	r := &server{subject: s, ended: make(chan struct{})}
	r.command = exec.Command(s.args[0], s.args[1:]...) //nolint:noctx // it is ended by stop: SIGTERM first
	r.command.Stdout, r.command.Stderr = log, log
	r.command.Env = append(os.Environ(), s.env...)
	r.command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // its children die with it
	if group, err := newCgroup(s.slug()); err == nil {
		r.group = group
		r.command.SysProcAttr.UseCgroupFD, r.command.SysProcAttr.CgroupFD = true, int(group.folder.Fd())
	}
	if err := r.command.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", s.name, err)
	}
	r.pid = r.command.Process.Pid
	ctx, cancel := context.WithCancel(ctx)
	r.gone = ctx.Done()
	go func() {
		defer cancel()
		_ = r.command.Wait() // that it ended is what counts
		close(r.ended)
	}()
	if err := r.awaitReady(warm); err != nil {
		r.stop()
		return nil, fmt.Errorf("%s: %w; see %s", s.name, err, log.Name())
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
			retry: 50 * time.Millisecond, limit: time.Second, gone: s.gone,
		}.run()
		if err != nil {
			return err
		}
		if last.done == 1 {
			return nil
		}
		select {
		case <-s.gone:
			return errors.New("ended at its start")
		case <-time.After(20 * time.Millisecond):
		}
	}
	return fmt.Errorf("does not serve %s after %v: %v", warm.Name, readyWithin, last.failures)
}

// crashed says whether the server has ended by itself.
func (s *server) crashed() bool {
	select {
	case <-s.ended:
		return true
	default:
		return false
	}
}

// stop ends the server and all that it started.
func (s *server) stop() {
	_ = s.command.Process.Signal(syscall.SIGTERM)
	select {
	case <-s.ended:
	case <-time.After(endsWithin):
	}
	_ = syscall.Kill(-s.pid, syscall.SIGKILL) // the whole group
	<-s.ended
	if s.group != nil {
		s.group.remove()
	}
}
