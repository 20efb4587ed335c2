// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package measure

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// tick is the unit of CPU times in /proc: USER_HZ, 100 on all that Go runs on.
const tick = time.Second / 100

// A process is what /proc/PID/stat says of one.
type process struct {
	pid, parent int
	cpu         time.Duration // of itself and of its children that were waited for
	resident    int64         // bytes
}

// parseStat reads the line of /proc/PID/stat. The second field is a name in brackets that may hold anything.
func parseStat(line []byte) (process, error) {
	var p process
	open, shut := bytes.IndexByte(line, '('), bytes.LastIndexByte(line, ')')
	if open < 0 || shut < open {
		return p, fmt.Errorf("stat without a name: %q", line)
	}
	fields := bytes.Fields(line[shut+1:]) // from the third field of proc(5) on
	numbers := map[int]int64{}
	for _, nr := range []int{4, 14, 15, 16, 17, 24} {
		if nr-3 >= len(fields) {
			return p, fmt.Errorf("stat with %d fields", len(fields)+2)
		}
		n, err := strconv.ParseInt(string(fields[nr-3]), 10, 64)
		if err != nil {
			return p, fmt.Errorf("stat, field %d: %w", nr, err)
		}
		numbers[nr] = n
	}
	pid, err := strconv.Atoi(string(bytes.TrimSpace(line[:open])))
	if err != nil {
		return p, fmt.Errorf("stat, field 1: %w", err)
	}
	return process{
		pid: pid, parent: int(numbers[4]),
		cpu:      time.Duration(numbers[14]+numbers[15]+numbers[16]+numbers[17]) * tick,
		resident: numbers[24] * int64(os.Getpagesize()),
	}, nil
}

// tree returns the processes of all that are root or descend from it.
func tree(all []process, root int) (found []process) {
	children := map[int][]process{}
	for _, p := range all {
		children[p.parent] = append(children[p.parent], p)
		if p.pid == root {
			found = append(found, p)
		}
	}
	for i := 0; i < len(found); i++ {
		found = append(found, children[found[i].pid]...)
	}
	return found
}

// processes reads all processes that can be seen. One that ends meanwhile is left out.
func processes() ([]process, error) {
	names, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil, err
	}
	var all []process
	for _, name := range names {
		line, err := os.ReadFile(name)
		if err != nil {
			continue
		}
		p, err := parseStat(line)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		all = append(all, p)
	}
	return all, nil
}

// cpuTime is what a process, its descendants and those of them that have ended took.
func cpuTime(root int) (time.Duration, error) {
	all, err := processes()
	if err != nil {
		return 0, err
	}
	var sum time.Duration
	for _, p := range tree(all, root) {
		sum += p.cpu
	}
	return sum, nil
}

// A Memory watches the memory of a process and its descendants. Its peak is the larger of the largest sum that was sampled
// and the kernel's own mark for the root: that is exact where there is one process. Pages that processes share count for
// each of them.
type Memory struct {
	root    int
	sampled int64
	stop    context.CancelFunc
	ended   chan struct{}
}

// WatchMemory starts a watch, and the kernel's mark anew.
func WatchMemory(ctx context.Context, root int) *Memory {
	_ = os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", root), []byte("5"), 0) // without it the mark is that of its life
	ctx, stop := context.WithCancel(ctx)
	m := &Memory{root: root, stop: stop, ended: make(chan struct{})}
	go m.sample(ctx)
	return m
}

func (m *Memory) sample(ctx context.Context) {
	defer close(m.ended)
	for pause := time.Duration(0); ; {
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
		began := time.Now()
		all, err := processes()
		if err != nil {
			return
		}
		var sum int64
		for _, p := range tree(all, m.root) {
			sum += p.resident
		}
		m.sampled = max(m.sampled, sum)
		pause = max(100*time.Millisecond, 20*time.Since(began)) // thousands of processes take a while to look at
	}
}

// Peak ends the watch and returns the peak in bytes.
func (m *Memory) Peak() int64 {
	m.stop()
	<-m.ended
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", m.root))
	if err != nil {
		return m.sampled
	}
	return max(m.sampled, highWaterMark(string(status)))
}

// highWaterMark is VmHWM in /proc/PID/status, in bytes; 0: not there.
func highWaterMark(status string) int64 {
	for line := range strings.Lines(status) {
		if value, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kib, _ := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(value), "kB")), 10, 64)
			return kib << 10
		}
	}
	return 0
}

// Descriptors counts the open files of a process and its descendants.
func Descriptors(root int) (int, error) {
	all, err := processes()
	if err != nil {
		return 0, err
	}
	n := 0
	for _, p := range tree(all, root) {
		entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", p.pid))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return 0, err
		}
		n += len(entries)
	}
	return n, nil
}

// ReceiveBufferErrors is how many datagrams found no room in a socket, in this network namespace.
func ReceiveBufferErrors() (int64, error) {
	text, err := os.ReadFile("/proc/self/net/snmp")
	if err != nil {
		return 0, err
	}
	return snmpCounter(string(text), "Udp", "RcvbufErrors")
}

// snmpCounter finds a counter in /proc/net/snmp: a line of names, then one of values.
func snmpCounter(text, protocol, name string) (int64, error) {
	var names []string
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		if len(words) == 0 || words[0] != protocol+":" {
			continue
		}
		if names == nil {
			names = words
			continue
		}
		for i, n := range names {
			if n == name && i < len(words) {
				return strconv.ParseInt(words[i], 10, 64)
			}
		}
	}
	return 0, fmt.Errorf("no %s %s in /proc/net/snmp", protocol, name)
}
