// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package measure

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"
)

// A Table holds what was measured in a scenario.
type Table struct {
	Name, About string
	Columns     []Column
	Cases       []Case
	Servers     []Server

	entries map[place]*Entry
}

// A Column is a figure in a table.
type Column struct {
	Head string
	Rank Rank
}

// A Rank says which figures are better.
type Rank int

// The ranks.
const (
	Neither Rank = iota
	Lower
	Higher
)

// A Case is a situation that each server is measured in.
type Case struct {
	Name  string
	Limit time.Duration // what takes longer is shown as that
}

// A Server is one of those that are compared.
type Server struct {
	Name string
	Ours bool
}

// A Sample is what one measurement brought.
type Sample struct {
	Values   []float64      // by column; NaN: there is none, +Inf: not within the limit
	Failed   int            // sessions
	Failures map[string]int // by reason
	Crashed  bool
	Stuck    bool // at the limit: once is enough
}

// A place in a table: a case by its index, and the name of a server.
type place struct {
	at     int
	server string
}

// An Entry is what one server brought in one case.
type Entry struct {
	samples []*Sample
}

// Entry returns the entry of a server in a case, a new one the first time.
func (t *Table) Entry(at int, server string) *Entry {
	if t.entries == nil {
		t.entries = map[place]*Entry{}
	}
	here := place{at, server}
	if t.entries[here] == nil {
		t.entries[here] = &Entry{}
	}
	return t.entries[here]
}

// Add adds a measurement.
func (e *Entry) Add(s *Sample) { e.samples = append(e.samples, s) }

// Stuck says whether to measure once more only costs time.
func (e *Entry) Stuck() bool {
	return slices.ContainsFunc(e.samples, func(s *Sample) bool { return s.Stuck })
}

// sound says whether every session brought its file, and the server lived.
func (e *Entry) sound() bool {
	return len(e.samples) > 0 && !slices.ContainsFunc(e.samples, func(s *Sample) bool { return s.Failed > 0 || s.Crashed })
}

// value is the median of a column.
func (e *Entry) value(column int) float64 {
	var values []float64
	for _, s := range e.samples {
		if !math.IsNaN(s.Values[column]) {
			values = append(values, s.Values[column])
		}
	}
	return Median(values)
}

// errors says what went wrong, in few words.
func (e *Entry) errors() string {
	crashed, reasons := 0, map[string]int{}
	for _, s := range e.samples {
		if s.Crashed {
			crashed++
		}
		for reason, n := range s.Failures {
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

// best is the best figure of a column in a case that a peer has; of those without errors, if there are such. NaN: no peer
// has one, or the column has no rank.
func (t *Table) best(at, column int) float64 {
	r := t.Columns[column].Rank
	if r == Neither {
		return math.NaN()
	}
	for _, wantSound := range []bool{true, false} {
		best := math.NaN()
		for _, s := range t.Servers {
			e := t.entries[place{at, s.Name}]
			if s.Ours || e == nil || wantSound && !e.sound() {
				continue
			}
			v := e.value(column)
			if math.IsNaN(best) || r == Lower && v < best || r == Higher && v > best {
				best = v
			}
		}
		if !math.IsNaN(best) {
			return best
		}
	}
	return math.NaN()
}

// Markdown writes the table under a headline.
func (t *Table) Markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "### %s: %s\n\n| case | server |", t.Name, t.About)
	for _, c := range t.Columns {
		fmt.Fprintf(&b, " %s |", c.Head)
	}
	b.WriteString(" errors |\n|---|---|" + strings.Repeat("---|", len(t.Columns)+1) + "\n")
	for i, c := range t.Cases {
		for _, s := range t.Servers {
			e := t.entries[place{i, s.Name}]
			if e == nil || len(e.samples) == 0 {
				continue
			}
			name := s.Name
			if s.Ours {
				name = "**" + name + "**"
			}
			fmt.Fprintf(&b, "| %s | %s |", c.Name, name)
			for k := range t.Columns {
				fmt.Fprintf(&b, " %s |", t.figure(i, k, e))
			}
			fmt.Fprintf(&b, " %s |\n", e.errors())
		}
	}
	return b.String()
}

// figure writes a median, and how many times the best peer's it is.
func (t *Table) figure(at, column int, e *Entry) string {
	v := e.value(column)
	if math.IsInf(v, 1) && t.Cases[at].Limit > 0 {
		return fmt.Sprintf("> %g", t.Cases[at].Limit.Seconds())
	}
	text := Round3(v)
	best := t.best(at, column)
	if ratio := v / best; !math.IsInf(best, 0) && !math.IsNaN(ratio) && !math.IsInf(ratio, 0) {
		text += fmt.Sprintf(" (%.2fx)", ratio)
	}
	return text
}

// Problems names what went wrong with our own servers; what others do is a result.
func (t *Table) Problems() error {
	var all []error
	for i, c := range t.Cases {
		for _, s := range t.Servers {
			if e := t.entries[place{i, s.Name}]; s.Ours && e != nil && len(e.samples) > 0 && !e.sound() {
				all = append(all, fmt.Errorf("%s %s, %s: %s", t.Name, c.Name, s.Name, e.errors()))
			}
		}
	}
	return errors.Join(all...)
}
