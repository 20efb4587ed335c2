// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package measure

import (
	"fmt"
	"os"
	"regexp"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// Machine tells the processor, its cores and the kernel.
func Machine() string {
	return fmt.Sprintf("%s, %d cores, Linux %s", cpuModel(Slurp("/proc/cpuinfo")), runtime.NumCPU(), kernelRelease())
}

// CPUTimes tells where they come from. missed is what /proc misses.
func CPUTimes(missed string) string {
	group, err := newGroup("trial")
	if err != nil {
		return fmt.Sprintf("from /proc, which misses %s (no control group: %v)", missed, err)
	}
	group.remove()
	return "from a control group for each server"
}

// Marks are the lines of a page that a result goes between.
type Marks struct{ Begin, End string }

// WriteResult writes a text into a file: between its marks, if it has some, else as the whole file.
func WriteResult(file string, m Marks, text string) error {
	page, err := os.ReadFile(file)
	if err != nil && !os.IsNotExist(err) {
		return err
	}
	if between, ok := m.splice(string(page), text); ok {
		text = between
	}
	return os.WriteFile(file, []byte(text), 0o644)
}

// splice replaces what is between the marks of a page.
func (m Marks) splice(page, text string) (string, bool) {
	before, rest, begins := strings.Cut(page, m.Begin)
	_, after, ends := strings.Cut(rest, m.End)
	if !begins || !ends {
		return "", false
	}
	return before + m.Begin + "\n" + text + "\n" + m.End + after, true
}

// Slurp reads a file of the kernel; "": it can't be read.
func Slurp(file string) string {
	text, _ := os.ReadFile(file)
	return string(text)
}

// cpuModel finds the name of the processor in /proc/cpuinfo.
func cpuModel(text string) string {
	for line := range strings.Lines(text) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}

func kernelRelease() string {
	var name unix.Utsname
	if err := unix.Uname(&name); err != nil {
		return "?"
	}
	return versionOf(unix.ByteSliceToString(name.Release[:]))
}

// versionOf is the numbers that a release begins with. What follows them names who built the kernel, and for what.
func versionOf(release string) string {
	if version := regexp.MustCompile(`^\d+(\.\d+){0,2}`).FindString(release); version != "" {
		return version
	}
	return "?"
}
