// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package measure

import (
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// exampleTable has our server, two peers, and one that lost a session.
func exampleTable() *Table {
	t := &Table{
		Name: "storm", About: "configurations",
		Columns: []Column{{"sessions/s", Higher}, {"s for all", Lower}, {"RRQs again", Neither}},
		Cases:   []Case{{"c=1", time.Minute}, {"c=2", time.Minute}},
		Servers: []Server{{"ours", true}, {"fast", false}, {"slow", false}, {"broken", false}},
	}
	for s, rounds := range map[string][][]float64{
		"ours": {{300, 1, 0}, {100, 3, 0}, {200, 2, 2}},
		"fast": {{100, 4, 0}, {100, 4, 0}, {100, 4, 0}},
	} {
		for _, values := range rounds {
			t.Entry(0, s).Add(&Sample{Values: values})
		}
	}
	t.Entry(0, "slow").Add(&Sample{Values: []float64{50, math.Inf(1), math.NaN()}, Stuck: true})
	t.Entry(0, "broken").Add(&Sample{Values: []float64{900, 0.5, 0}, Failed: 2, Failures: map[string]int{`ERROR 0 "a|b"`: 2}})
	t.Entry(0, "broken").Add(&Sample{Values: []float64{900, 0.5, 0}, Crashed: true})
	t.Entry(1, "fast") // not measured there
	t.Entry(1, "ours").Add(&Sample{Values: []float64{100, 7, 0}})
	t.Entry(1, "slow").Add(&Sample{Values: []float64{0, math.Inf(1), 0}}) // nothing to compare with
	return t
}

func TestTable(t *testing.T) {
	const want = `### storm: configurations

| case | server | sessions/s | s for all | RRQs again | errors |
|---|---|---|---|---|---|
| c=1 | **ours** | 200 (2.00x) | 2 (0.50x) | 0 |  |
| c=1 | fast | 100 (1.00x) | 4 (1.00x) | 0 |  |
| c=1 | slow | 50 (0.50x) | > 60 | - |  |
| c=1 | broken | 900 (9.00x) | 0.50 (0.12x) | 0 | **crashed** in 1 of 2 rounds; 2 x ERROR 0 "a/b" |
| c=2 | **ours** | 100 | 7 | 0 |  |
| c=2 | slow | 0 | > 60 | 0 |  |
`
	example := exampleTable()
	if diff := cmp.Diff(want, example.Markdown()); diff != "" {
		t.Errorf("table (-want +got):\n%s", diff)
	}
	for name, wantStuck := range map[string]bool{"ours": false, "slow": true} {
		if got := example.Entry(0, name).Stuck(); got != wantStuck {
			t.Errorf("%s is stuck: %v", name, got)
		}
	}
}

func TestProblems(t *testing.T) {
	for name, tc := range map[string]struct {
		sample *Sample
		want   string
	}{
		"none of ours, whatever others do": {&Sample{}, ""},
		"a session failed":                 {&Sample{Failed: 1, Failures: map[string]int{"lost": 1}}, "storm c=1, ours: 1 x lost"},
		"it crashed":                       {&Sample{Crashed: true}, "storm c=1, ours: **crashed** in 1 of 4 rounds"},
	} {
		t.Run(name, func(t *testing.T) {
			example := exampleTable()
			tc.sample.Values = []float64{1, 1, 1}
			example.Entry(0, "ours").Add(tc.sample)
			if got := errorText(example.Problems()); got != tc.want {
				t.Errorf("Problems() = %q, want %q", got, tc.want)
			}
		})
	}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
