// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"math"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/netboot-operator/netboot-operator/api/manifest"
)

// exampleTable has our server, two peers, and one that lost a session.
func exampleTable() *table {
	ours, fast, slow, broken := &subject{name: "ours", ours: true}, &subject{name: "fast"}, &subject{name: "slow"}, &subject{name: "broken"}
	t := &table{
		scenario: scenario{
			name: "storm", about: "configurations",
			columns: []column{{"sessions/s", higher}, {"s for all", lower}, {"RRQs again", neither}},
			cells:   []cell{{name: "c=1", limit: time.Minute}, {name: "c=2", limit: time.Minute}},
		},
		subjects: []*subject{ours, fast, slow, broken},
		entries:  map[place]*entry{},
	}
	for s, rounds := range map[*subject][][]float64{
		ours: {{300, 1, 0}, {100, 3, 0}, {200, 2, 2}},
		fast: {{100, 4, 0}, {100, 4, 0}, {100, 4, 0}},
		slow: {{50, math.Inf(1), math.NaN()}},
	} {
		for _, values := range rounds {
			e := t.entry(0, s)
			e.samples = append(e.samples, &sample{values: values})
		}
	}
	t.entry(0, slow).samples[0].stuck = true
	e := t.entry(0, broken)
	e.samples = []*sample{
		{values: []float64{900, 0.5, 0}, failed: 2, failures: map[string]int{`ERROR 0 "a|b"`: 2}},
		{values: []float64{900, 0.5, 0}, crashed: true},
	}
	t.entry(1, fast) // not measured there
	t.entry(1, ours).samples = []*sample{{values: []float64{100, 7, 0}}}
	t.entry(1, slow).samples = []*sample{{values: []float64{0, math.Inf(1), 0}}} // nothing to compare with
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
	if diff := cmp.Diff(want, example.markdown()); diff != "" {
		t.Errorf("table (-want +got):\n%s", diff)
	}
	for name, wantStuck := range map[string]bool{"ours": false, "slow": true} {
		if got := example.entries[place{0, name}].stuck(); got != wantStuck {
			t.Errorf("%s is stuck: %v", name, got)
		}
	}
}

func TestProblems(t *testing.T) {
	for name, tc := range map[string]struct {
		sample *sample
		want   string
	}{
		"none of ours, whatever others do": {&sample{}, ""},
		"a session failed":                 {&sample{failed: 1, failures: map[string]int{"lost": 1}}, "storm c=1, ours: 1 x lost"},
		"it crashed":                       {&sample{crashed: true}, "storm c=1, ours: **crashed** in 1 of 4 rounds"},
	} {
		t.Run(name, func(t *testing.T) {
			example := exampleTable()
			e := example.entries[place{0, "ours"}]
			tc.sample.values = []float64{1, 1, 1}
			e.samples = append(e.samples, tc.sample)
			err := (&report{tables: []*table{example}}).problems()
			if got := errorText(err); got != tc.want {
				t.Errorf("problems() = %q, want %q", got, tc.want)
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

func TestWriteResult(t *testing.T) {
	for name, tc := range map[string]struct{ page, want string }{
		"between the marks":  {"# A\n" + beginMark + "old\n" + endMark + "end\n", "# A\n" + beginMark + "\nnew\n\n" + endMark + "end\n"},
		"no end: all of it":  {"# A\n" + beginMark + "old\n", "new\n"},
		"no marks":           {"old\n", "new\n"},
		"there is no file":   {"", "new\n"},
		"nothing in between": {beginMark + endMark, beginMark + "\nnew\n\n" + endMark},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "page.md")
			if tc.page != "" {
				if err := os.WriteFile(file, []byte(tc.page), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if err := writeResult(file, "new\n"); err != nil {
				t.Fatal(err)
			}
			got, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, string(got)); diff != "" {
				t.Errorf("page (-want +got):\n%s", diff)
			}
		})
	}
}

func TestWordAfter(t *testing.T) {
	for name, tc := range map[string]struct{ text, before, want string }{
		"tftpd-hpa": {"tftp-hpa 5.2, with remap, with tcpwrappers\n", "tftp-hpa ", "5.2"},
		"atftpd":    {"atftp-0.8.0 (server)\n", "atftp-", "0.8.0"},
		"dnsmasq":   {"Dnsmasq version 2.90  Copyright (c) 2000-2024 Simon Kelley\n", "Dnsmasq version ", "2.90"},
		"something": {"cannot run\n", "version ", "?"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := wordAfter(tc.text, tc.before); got != tc.want {
				t.Errorf("wordAfter() = %q, want %q", got, tc.want)
			}
		})
	}
}

// TestProfileIsAdmitted holds the manifest for "netboot serve" against the rules of the API.
func TestProfileIsAdmitted(t *testing.T) {
	work := t.TempDir()
	if err := writeProfile(work, t.TempDir()); err != nil {
		t.Fatal(err)
	}
	validator, err := manifest.NewValidator()
	if err != nil {
		t.Fatal(err)
	}
	set, problems, err := validator.Load(t.Context(), filepath.Join(work, "manifests"))
	if err != nil || len(problems) != 0 || len(set.BootProfiles) != 1 {
		t.Errorf("%d profiles, problems %v, %v", len(set.BootProfiles), problems, err)
	}
}
