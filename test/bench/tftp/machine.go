// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// The marks in a page that the result goes between.
const (
	beginMark = "<!-- results -->\n"
	endMark   = "<!-- end of results -->\n"
)

// A report is all that was measured, and where.
type report struct {
	quick  bool
	rounds int
	header string
	tables []*table
}

// describe notes the machine and the versions.
func (r *report) describe(ctx context.Context, subjects []*subject) {
	var b strings.Builder
	kind := fmt.Sprintf("Medians of %d rounds", r.rounds)
	if r.quick {
		kind = "Quick sizes, one round: to see that it works, not to compare"
	}
	fmt.Fprintf(&b, "%s, %s. In brackets: times the best peer's figure in the same rows.\n\n", kind, time.Now().UTC().Format(time.DateOnly))
	fmt.Fprintf(&b, "- Machine: %s, %d cores, Linux %s; net.core.rmem_default %s, rmem_max %s\n",
		cpuModel(slurp("/proc/cpuinfo")), runtime.NumCPU(), kernelRelease(),
		cmp.Or(strings.TrimSpace(slurp("/proc/sys/net/core/rmem_default")), "?"),
		cmp.Or(strings.TrimSpace(slurp("/proc/sys/net/core/rmem_max")), "?"))
	how := "from a control group for each server"
	if group, err := newCgroup("trial"); err != nil {
		how = fmt.Sprintf("from /proc, which misses the ended children of in.tftpd (no control group: %v)", err)
	} else {
		group.remove()
	}
	fmt.Fprintf(&b, "- CPU times: %s\n- Servers: ", how)
	for i, s := range subjects {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "%s (%s)", s.name, s.version(ctx))
	}
	b.WriteString("\n")
	r.header = b.String()
}

func (r *report) markdown() string {
	parts := []string{r.header}
	for _, t := range r.tables {
		parts = append(parts, t.markdown())
	}
	return strings.Join(parts, "\n")
}

// writeResult writes a text into a file: between its marks, if it has some, else as the whole file.
func writeResult(file, text string) error {
	page, err := os.ReadFile(file)
	if err != nil && !os.IsNotExist(err) {
		return err
	}
	if between, ok := splice(string(page), text); ok {
		text = between
	}
	return os.WriteFile(file, []byte(text), 0o644)
}

// splice replaces what is between the marks of a page.
func splice(page, text string) (string, bool) {
	before, rest, begins := strings.Cut(page, beginMark)
	_, after, ends := strings.Cut(rest, endMark)
	if !begins || !ends {
		return "", false
	}
	return before + beginMark + "\n" + text + "\n" + endMark + after, true
}

// slurp reads a file of the kernel; "": it can't be read.
func slurp(file string) string {
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
	return unix.ByteSliceToString(name.Release[:])
}
