// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package manifest_test

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/netboot-operator/netboot-operator/api/manifest"
)

// A report is one call of changed.
type report struct {
	machines []string
	problems []manifest.Problem
}

// follow starts to follow dir and returns what is reported. Following ends with the test.
func follow(t *testing.T, dir string) <-chan report {
	t.Helper()
	v := newValidator(t)
	reports := make(chan report, 100)
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		err := v.Follow(ctx, dir, func(set manifest.Set, problems []manifest.Problem) {
			reports <- report{machineNames(set), problems}
		})
		if err != nil {
			t.Errorf("Follow() = %v, want nil when its context ends", err)
		}
	})
	t.Cleanup(func() { cancel(); wg.Wait() })
	return reports
}

// await waits until machines and nothing else are reported, without problems. Reports of states in between are allowed.
func await(t *testing.T, reports <-chan report, machines ...string) {
	t.Helper()
	deadline := time.After(20 * time.Second) // less than a rescan takes: events must do it
	var last report
	for {
		select {
		case last = <-reports:
			if len(last.problems) == 0 && cmp.Equal(machines, last.machines) {
				return
			}
		case <-deadline:
			t.Fatalf("last report %+v, want the machines %v", last, machines)
		}
	}
}

func TestFollowNotices(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(t *testing.T, dir string)
		want   []string
	}{
		"an edit": {
			change: func(t *testing.T, dir string) {
				t.Helper()
				write(t, dir, map[string]string{"a.yaml": machine("edited", good)})
			},
			want: []string{"edited", "b"},
		},
		"a new file": {
			change: func(t *testing.T, dir string) {
				t.Helper()
				write(t, dir, map[string]string{"c.yaml": machine("c", good)})
			},
			want: []string{"a", "c", "b"},
		},
		"a new file in a new folder": {
			change: func(t *testing.T, dir string) {
				t.Helper()
				write(t, dir, map[string]string{"new/er/c.yaml": machine("c", good)})
			},
			want: []string{"a", "c", "b"},
		},
		"an edit in a folder": {
			change: func(t *testing.T, dir string) {
				t.Helper()
				write(t, dir, map[string]string{"sub/b.yaml": machine("edited", good)})
			},
			want: []string{"a", "edited"},
		},
		"that a file is deleted": {
			change: func(t *testing.T, dir string) {
				t.Helper()
				check(t, os.Remove(filepath.Join(dir, "a.yaml")))
			},
			want: []string{"b"},
		},
		"that a folder is deleted": {
			change: func(t *testing.T, dir string) {
				t.Helper()
				check(t, os.RemoveAll(filepath.Join(dir, "sub")))
			},
			want: []string{"a"},
		},
		"that a file takes the place of another": {
			change: func(t *testing.T, dir string) {
				t.Helper()
				write(t, dir, map[string]string{".a.yaml.tmp": machine("renamed", good)})
				check(t, os.Rename(filepath.Join(dir, ".a.yaml.tmp"), filepath.Join(dir, "a.yaml")))
			},
			want: []string{"renamed", "b"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			write(t, dir, map[string]string{"a.yaml": machine("a", good), "sub/b.yaml": machine("b", good)})
			reports := follow(t, dir)
			await(t, reports, "a", "b")
			tc.change(t, dir)
			await(t, reports, tc.want...)
		})
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// A kubelet writes a new folder, makes the link ..data_tmp to it and renames that to ..data; the links to the files in
// ..data stay as they are.
func TestFollowNoticesAConfigMapsUpdate(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, map[string]string{"..1/m.yaml": machine("old", good)})
	link(t, "..1", filepath.Join(dir, "..data"))
	link(t, "..data/m.yaml", filepath.Join(dir, "m.yaml"))
	reports := follow(t, dir)
	await(t, reports, "old")

	write(t, dir, map[string]string{"..2/m.yaml": machine("new", good)})
	link(t, "..2", filepath.Join(dir, "..data_tmp"))
	check(t, os.Rename(filepath.Join(dir, "..data_tmp"), filepath.Join(dir, "..data")))
	check(t, os.RemoveAll(filepath.Join(dir, "..1")))

	await(t, reports, "new")
}

// Touching a file, or writing what it already holds, is an event but no change: the next report is the next change's.
func TestFollowReportsChangesOnly(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, map[string]string{"a.yaml": machine("a", good)})
	reports := follow(t, dir)
	await(t, reports, "a")

	write(t, dir, map[string]string{"notes.txt": "x"})
	check(t, os.Chtimes(filepath.Join(dir, "a.yaml"), time.Time{}, time.Unix(0, 0)))
	check(t, os.Rename(filepath.Join(dir, "notes.txt"), filepath.Join(dir, "notes")))
	if got := quietly(reports); got != nil {
		t.Errorf("reported %+v, want nothing", got)
	}
	write(t, dir, map[string]string{"b.yaml": machine("b", good)})
	await(t, reports, "a", "b")
}

// quietly returns the next report within half a second, or nil.
func quietly(reports <-chan report) *report {
	select {
	case r := <-reports:
		return &r
	case <-time.After(500 * time.Millisecond):
		return nil
	}
}

func TestFollowReportsProblems(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, map[string]string{"a.yaml": machine("a", good)})
	reports := follow(t, dir)
	await(t, reports, "a")

	path := filepath.Join(dir, "a.yaml")
	check(t, os.WriteFile(path+".tmp", []byte("a: b: c\n"), 0o644))
	check(t, os.Rename(path+".tmp", path))
	want := report{problems: []manifest.Problem{{File: "a.yaml", Line: 1, Message: "mapping values are not allowed in this context"}}}
	select {
	case got := <-reports:
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(report{})); diff != "" {
			t.Errorf("report (-want +got):\n%s", diff)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("no report")
	}
}

func TestFollowKeepsTheSetOfAFolderThatIsGone(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "manifests")
	write(t, dir, map[string]string{"a.yaml": machine("a", good)})
	reports := follow(t, dir)
	await(t, reports, "a")

	check(t, os.Rename(dir, dir+".away"))
	select {
	case got := <-reports:
		want := report{machines: []string{"a"}, problems: []manifest.Problem{{File: ".", Message: "no such file or directory"}}}
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(report{})); diff != "" {
			t.Errorf("report (-want +got):\n%s", diff)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("no report")
	}
}

func TestFollowNeedsItsFolder(t *testing.T) {
	err := newValidator(t).Follow(t.Context(), filepath.Join(t.TempDir(), "none"), func(manifest.Set, []manifest.Problem) {
		t.Error("changed called")
	})
	if err == nil {
		t.Error("Follow() = nil, want an error")
	}
}
