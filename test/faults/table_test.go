// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package faults

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
)

//nolint:gochecknoglobals // flags of the test binary
var (
	runsFlag  = flag.Int("runs", 1, "how often each fault is made")
	tableFlag = flag.String("table", "", "file to write the table of faults and causes to")
)

// TestSimulated makes all faults of simulated machines at the same time.
func TestSimulated(t *testing.T) {
	rows, runs := simulated(), *runsFlag
	servers := startServers(t, rows, runs)
	results := make([][]result, len(rows))
	var tasks sync.WaitGroup
	for nth := range rows {
		results[nth] = make([]result, runs)
		for run := range runs {
			tasks.Go(func() { results[nth][run] = rows[nth].run(t.Context(), servers[rows[nth].server], nth, run) })
		}
	}
	tasks.Wait()
	for nth, r := range rows {
		t.Run(r.name+", "+r.with, func(t *testing.T) { r.check(t, results[nth]) })
	}
	writeTable(t, "Simulated loaders", rows, results)
}

const pageHead = `# Causes that were tried

Each fault was made on purpose in front of the real program (make faults), and what the program named as the cause was compared
with what was broken. Unknown is no cause: it is right to say so where what is seen leaves several. As unknown counts, too, where
what is named is true, but not the reason.
`

// writeTable puts a section into the page that -table names; the other sections stay.
func writeTable(t *testing.T, title string, rows []row, results [][]result) {
	t.Helper()
	if *tableFlag == "" {
		return
	}
	old, err := os.ReadFile(*tableFlag)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	sections := map[string]string{title: table(rows, results)}
	for section := range strings.SplitSeq(string(old), "\n## ") {
		name, text, found := strings.Cut(section, "\n\n")
		if _, known := sections[name]; found && !known && !strings.HasPrefix(section, "# ") {
			sections[name] = strings.TrimRight(text, "\n") + "\n"
		}
	}
	var page strings.Builder
	page.WriteString(pageHead)
	for _, name := range slices.Sorted(maps.Keys(sections)) {
		page.WriteString("\n## " + name + "\n\n" + sections[name])
	}
	if err := os.WriteFile(*tableFlag, []byte(page.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}

// table has all rows and what was named in each run.
func table(rows []row, results [][]result) string {
	var page strings.Builder
	page.WriteString("| what is broken | who boots | named | of so many runs right | unknown | wrong |\n|---|---|---|---|---|---|\n")
	var total [3]int
	for nth, r := range rows {
		var names []string
		var count [3]int
		for _, result := range results[nth] {
			name := "none"
			if result.named != "" {
				name = "\x60" + result.named + "\x60"
			}
			if !slices.Contains(names, name) {
				names = append(names, name)
			}
			switch result.verdict {
			case right:
				count[0]++
			case unknown:
				count[1]++
			default:
				count[2]++
			}
		}
		slices.Sort(names)
		fmt.Fprintf(&page, "| %s | %s | %s | %d of %d | %d | %d |\n", r.name, r.with, strings.Join(names, ", "), count[0], len(results[nth]), count[1], count[2])
		for i := range total {
			total[i] += count[i]
		}
	}
	fmt.Fprintf(&page, "\nIn all: %d right, %d unknown, %d wrong.\n", total[0], total[1], total[2])
	return page.String()
}

// check fails the test where a cause is wrong, or a run can't be judged.
func (r *row) check(t *testing.T, results []result) {
	t.Helper()
	for run, result := range results {
		if result.problem == "" && (result.verdict == right || result.verdict == unknown && (r.vague || len(r.also) > 0)) {
			t.Logf("run %d: %q: %s\n%s", run+1, result.named, result.text, result.why)
			continue
		}
		seen, err := json.MarshalIndent(result.observed, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		t.Errorf("run %d: named %q, want one of %q: %s %s\nseen by the server: %s", run+1, result.named, r.want, result.verdict, result.problem, seen)
	}
}
