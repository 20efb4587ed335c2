// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
)

// A table holds what was measured in a scenario.
type table struct {
	scenario
	subjects []*subject
	entries  map[place]*entry
}

// A place in a table: a cell by its index, and the name of a server.
type place struct {
	cell   int
	server string
}

// An entry is what one server brought in one cell.
type entry struct {
	samples []*sample
}

// entry returns the entry of a server in a cell, a new one the first time.
func (t *table) entry(cell int, s *subject) *entry {
	at := place{cell, s.name}
	if t.entries[at] == nil {
		t.entries[at] = &entry{}
	}
	return t.entries[at]
}

// stuck says whether to measure once more only costs time.
func (e *entry) stuck() bool {
	return slices.ContainsFunc(e.samples, func(s *sample) bool { return s.stuck })
}

// sound says whether every session brought its file, and the server lived.
func (e *entry) sound() bool {
	return len(e.samples) > 0 && !slices.ContainsFunc(e.samples, func(s *sample) bool { return s.failed > 0 || s.crashed })
}

// value is the median of a column.
func (e *entry) value(column int) float64 {
	var values []float64
	for _, s := range e.samples {
		if !math.IsNaN(s.values[column]) {
			values = append(values, s.values[column])
		}
	}
	return median(values)
}

// errors says what went wrong, in few words.
func (e *entry) errors() string {
	crashed, reasons := 0, map[string]int{}
	for _, s := range e.samples {
		if s.crashed {
			crashed++
		}
		for reason, n := range s.failures {
			reasons[reason] += n
		}
	}
	var words []string
	if crashed > 0 {
		words = append(words, fmt.Sprintf("**crashed** in %d of %d rounds", crashed, len(e.samples)))
	}
	for _, reason := range slices.Sorted(maps.Keys(reasons)) {
		words = append(words, fmt.Sprintf("%d x %s", reasons[reason], strings.ReplaceAll(reason, "|", "/")))
	}
	return strings.Join(words, "; ")
}

// best is the best figure of a column in a cell that a peer has; of those without errors, if there are such. NaN: no peer
// has one, or the column has no rank.
func (t *table) best(cell, column int) float64 {
	r := t.columns[column].rank
	if r == neither {
		return math.NaN()
	}
	for _, wantSound := range []bool{true, false} {
		best := math.NaN()
		for _, s := range t.subjects {
			e := t.entries[place{cell, s.name}]
			if s.ours || e == nil || wantSound && !e.sound() {
				continue
			}
			v := e.value(column)
			if math.IsNaN(best) || r == lower && v < best || r == higher && v > best {
				best = v
			}
		}
		if !math.IsNaN(best) {
			return best
		}
	}
	return math.NaN()
}

func (t *table) markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "### %s: %s\n\n| case | server |", t.name, t.about)
	for _, c := range t.columns {
		fmt.Fprintf(&b, " %s |", c.head)
	}
	b.WriteString(" errors |\n|---|---|" + strings.Repeat("---|", len(t.columns)+1) + "\n")
	for i, c := range t.cells {
		for _, s := range t.subjects {
			e := t.entries[place{i, s.name}]
			if e == nil || len(e.samples) == 0 {
				continue
			}
			name := s.name
			if s.ours {
				name = "**" + name + "**"
			}
			fmt.Fprintf(&b, "| %s | %s |", c.name, name)
			for k := range t.columns {
				fmt.Fprintf(&b, " %s |", t.figure(i, k, e))
			}
			fmt.Fprintf(&b, " %s |\n", e.errors())
		}
	}
	return b.String()
}

// figure writes a median, and how many times the best peer's it is.
func (t *table) figure(cell, column int, e *entry) string {
	v := e.value(column)
	if math.IsInf(v, 1) && t.cells[cell].limit > 0 {
		return fmt.Sprintf("> %g", t.cells[cell].limit.Seconds())
	}
	text := round3(v)
	best := t.best(cell, column)
	if ratio := v / best; !math.IsInf(best, 0) && !math.IsNaN(ratio) && !math.IsInf(ratio, 0) {
		text += fmt.Sprintf(" (%.2fx)", ratio)
	}
	return text
}

// problems names what went wrong with our own servers; what others do is a result.
func (r *report) problems() error {
	var all []error
	for _, t := range r.tables {
		for i, c := range t.cells {
			for _, s := range t.subjects {
				if e := t.entries[place{i, s.name}]; s.ours && e != nil && len(e.samples) > 0 && !e.sound() {
					all = append(all, fmt.Errorf("%s %s, %s: %s", t.name, c.name, s.name, e.errors()))
				}
			}
		}
	}
	return errors.Join(all...)
}
