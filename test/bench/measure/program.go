// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package measure

import (
	"cmp"
	"context"
	"debug/buildinfo"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"
)

// endsWithin is what a program gets to end after SIGTERM.
const endsWithin = 3 * time.Second

// A Program is a server to start.
type Program struct {
	Name string // of its log, and of its control group
	Args []string
	Env  []string // beside that of this process
}

// A Target is a running program to look at. The zero value is none.
type Target struct {
	PID   int
	group *group // nil: there could be none
}

// CPUTime is what the program took, and all that it started.
func (t Target) CPUTime() (time.Duration, error) {
	if t.group != nil {
		return t.group.cpuTime()
	}
	return cpuTime(t.PID)
}

// A Running is a program that was started.
type Running struct {
	Target
	Log     string          // file
	Gone    <-chan struct{} // closed when it has ended, and when the benchmark is to end
	command *exec.Cmd
	ended   chan struct{} // closed when it has ended, wanted or not
}

// Start starts a program. What it says goes into a file of the folder logs.
func (p Program) Start(ctx context.Context, logs string) (*Running, error) {
	slug := strings.NewReplacer("/", "-", " ", "-").Replace(p.Name)
	r := &Running{Log: filepath.Join(logs, slug+".log"), ended: make(chan struct{})}
	log, err := os.OpenFile(r.Log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	defer func() { _ = log.Close() }()                 // the program has its own
	r.command = exec.Command(p.Args[0], p.Args[1:]...) //nolint:noctx // it is ended by Stop: SIGTERM first
	r.command.Stdout, r.command.Stderr = log, log
	r.command.Env = append(os.Environ(), p.Env...)
	r.command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // its children die with it
	if group, err := newGroup(slug); err == nil {
		r.group = group
		r.command.SysProcAttr.UseCgroupFD, r.command.SysProcAttr.CgroupFD = true, int(group.folder.Fd())
	}
	if err := r.command.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", p.Name, err)
	}
	r.PID = r.command.Process.Pid
	ctx, cancel := context.WithCancel(ctx)
	r.Gone = ctx.Done()
	go func() {
		defer cancel()
		_ = r.command.Wait() // that it ended is what counts
		close(r.ended)
	}()
	return r, nil
}

// Crashed says whether the program has ended by itself.
func (r *Running) Crashed() bool {
	select {
	case <-r.ended:
		return true
	default:
		return false
	}
}

// Stop ends the program and all that it started.
func (r *Running) Stop() {
	_ = r.command.Process.Signal(syscall.SIGTERM)
	select {
	case <-r.ended:
	case <-time.After(endsWithin):
	}
	_ = syscall.Kill(-r.PID, syscall.SIGKILL) // the whole process group
	<-r.ended
	if r.group != nil {
		r.group.remove()
	}
}

// PrintedVersion asks a program, and takes the word after before. libraries is an LD_LIBRARY_PATH for it.
func PrintedVersion(before, libraries string, command ...string) func(context.Context) string {
	return func(ctx context.Context) string {
		ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		ask := exec.CommandContext(ctx, command[0], command[1:]...)
		ask.Env = append(os.Environ(), "LD_LIBRARY_PATH="+libraries)
		out, _ := ask.CombinedOutput() // some say their version and fail
		return wordAfter(string(out), before)
	}
}

// wordAfter is the first word with a digit after a text; "?": none.
func wordAfter(text, before string) string {
	_, after, found := strings.Cut(text, before)
	if word := regexp.MustCompile(`\S*\d[^\s,]*`).FindString(after); found && word != "" {
		return word
	}
	return "?"
}

// BuildVersion reads the version of a module from a program of Go, and that of Go; without a module, it is the commit.
func BuildVersion(program, module, commit string) func(context.Context) string {
	return func(context.Context) string {
		info, err := buildinfo.ReadFile(program)
		if err != nil {
			return "?"
		}
		version := cmp.Or(commit, "?")
		for _, dependency := range info.Deps {
			if dependency.Path == module {
				version = dependency.Version
			}
		}
		return version + ", " + info.GoVersion
	}
}
