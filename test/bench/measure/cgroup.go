// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package measure

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// A group is a control group (v2) for one server and all that it starts. Its CPU time is exact, and holds processes that
// have ended even where their parent never asked how: /proc loses those, and in.tftpd makes one for each session.
type group struct {
	path   string
	folder *os.File
}

// newGroup makes a group below the program's own. The error says why there can be none: no cgroup v2, or no right to it.
func newGroup(name string) (*group, error) {
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return nil, err
	}
	own, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return nil, err
	}
	parent, err := cgroupFolder(string(mounts), string(own))
	if err != nil {
		return nil, err
	}
	c := &group{path: filepath.Join(parent, fmt.Sprintf("netboot-bench-%d-%s", os.Getpid(), name))}
	if err := os.Mkdir(c.path, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
		return nil, err
	}
	if c.folder, err = os.Open(c.path); err != nil {
		return nil, err
	}
	return c, nil
}

// cgroupFolder is where a process with these mounts has its own group.
func cgroupFolder(mounts, own string) (string, error) {
	for line := range strings.Lines(mounts) {
		fields := strings.Fields(line)
		if len(fields) < 3 || fields[2] != "cgroup2" {
			continue
		}
		for line := range strings.Lines(own) {
			if below, ok := strings.CutPrefix(line, "0::"); ok {
				return filepath.Join(fields[1], strings.TrimSpace(below)), nil
			}
		}
	}
	return "", errors.New("no cgroup v2 is mounted")
}

// cpuTime is what all processes took that were ever in the group.
func (c *group) cpuTime() (time.Duration, error) {
	text, err := os.ReadFile(filepath.Join(c.path, "cpu.stat"))
	if err != nil {
		return 0, err
	}
	return cpuStat(string(text))
}

// cpuStat finds the sum in cpu.stat.
func cpuStat(text string) (time.Duration, error) {
	for line := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(line, "usage_usec "); ok {
			us, err := strconv.ParseInt(strings.TrimSpace(value), 10, 64)
			return time.Duration(us) * time.Microsecond, err
		}
	}
	return 0, errors.New("no usage_usec in cpu.stat")
}

// remove kills what is left in the group, and then takes it away.
func (c *group) remove() {
	_ = c.folder.Close()
	_ = os.WriteFile(filepath.Join(c.path, "cgroup.kill"), []byte("1"), 0)
	for range 100 { // processes take a moment to die
		if os.Remove(c.path) == nil {
			return
		}
		<-time.After(20 * time.Millisecond)
	}
}
