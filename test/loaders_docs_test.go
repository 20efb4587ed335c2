// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package repo_test

import (
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/netboot-operator/netboot-operator/pkg/boot"
	"github.com/netboot-operator/netboot-operator/pkg/index"
)

// A loader is one of hack/loaders.txt.
type loader struct {
	name    string // in --loaders-dir
	pkg     string // NAME[:ARCHITECTURE]/RELEASE
	meaning string
}

// loaderList reads hack/loaders.txt: the loaders, and the licences of their packages, which are in the image, too.
func loaderList(t *testing.T) (loaders []loader, licences map[string]string) {
	t.Helper()
	licences = map[string]string{}
	pkg := ""
	for line := range strings.Lines(read(t, "hack/loaders.txt")) {
		line = strings.TrimSpace(line)
		switch words := strings.Fields(line); {
		case line == "" || words[0] == "#":
		case words[0] == "package":
			pkg = words[1]
			licences[pkg] = words[2]
		default:
			columns := strings.Split(line, "  ")
			if len(columns) != 3 {
				t.Fatalf("hack/loaders.txt: %q: want three columns divided by two spaces", line)
			}
			loaders = append(loaders, loader{columns[0], pkg, columns[2]})
		}
	}
	if len(loaders) < 10 {
		t.Fatalf("hack/loaders.txt has %d loaders", len(loaders))
	}
	return loaders, licences
}

// loaderTables returns what docs/loaders.md says of hack/loaders.txt and hack/loaders.lock.
func loaderTables(t *testing.T) string {
	t.Helper()
	loaders, licences := loaderList(t)
	var b strings.Builder
	b.WriteString("\n## Files\n\n| name | what it is | package |\n|---|---|---|\n")
	for _, l := range loaders {
		name, release, _ := strings.Cut(l.pkg, "/")
		fmt.Fprintf(&b, "| `%s` | %s | %s, %s |\n", l.name, l.meaning, name, release)
	}
	b.WriteString("\n## Packages\n\n| package | version | of Debian | licence | source packages |\n|---|---|---|---|---|\n")
	for line := range strings.Lines(read(t, "hack/loaders.lock")) {
		c := strings.Split(strings.TrimSpace(line), "\t")
		if len(c) != 6 {
			t.Fatalf("hack/loaders.lock: %q: want six columns", line)
		}
		pkg := c[0] + ":" + c[2] + "/" + c[3]
		if _, known := licences[pkg]; !known {
			pkg = c[0] + "/" + c[3]
		}
		if licences[pkg] != c[5] {
			t.Errorf("hack/loaders.lock has %s under %q, hack/loaders.txt under %q", pkg, c[5], licences[pkg])
		}
		delete(licences, pkg)
		fmt.Fprintf(&b, "| %s, %s | %s | %s | %s | %s |\n", c[0], c[2], c[1], c[3], c[5], c[4])
	}
	for _, pkg := range slices.Sorted(maps.Keys(licences)) {
		t.Errorf("hack/loaders.lock does not have %s of hack/loaders.txt: hack/loaders.sh && cp build/loaders/packages hack/loaders.lock", pkg)
	}
	return b.String() + "\n"
}

func TestLoadersAreDocumented(t *testing.T) {
	const name, begin, end = "docs/loaders.md", "hack/loaders.lock. -->\n", "<!-- end -->\n"
	page := read(t, name)
	head, rest, found := strings.Cut(page, begin)
	_, tail, foundEnd := strings.Cut(rest, end)
	if !found || !foundEnd {
		t.Fatalf("%s has no place for the tables", name)
	}
	want := head + begin + loaderTables(t) + end + tail
	if *update {
		if err := os.WriteFile(filepath.Join(root, name), []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(want, page); diff != "" {
		t.Errorf("%s is out of date; run make generate (-want +page):\n%s", name, diff)
	}
}

// TestLoaderNames asks a server with the image's loaders for each name in docs/loaders.md. Each file holds its own name.
func TestLoaderNames(t *testing.T) {
	dir := t.TempDir()
	loaders, _ := loaderList(t)
	for _, l := range loaders {
		file := filepath.Join(dir, filepath.FromSlash(l.name))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(l.name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	opened, err := boot.OpenLoaders(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = opened.Close() }() // it was only read
	handler := boot.New(boot.Options{Index: index.New(), Loaders: opened})
	answer := func(name string) string {
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/"+name, nil))
		if w.Code != http.StatusOK {
			return fmt.Sprintf("status %d", w.Code)
		}
		return w.Body.String()
	}

	page := read(t, "docs/loaders.md")
	answered := map[string]bool{}
	reRow, reName := regexp.MustCompile("(?m)^\\| (`.+?) \\| `([^`]+)` \\|$"), regexp.MustCompile("`([^`]+)`")
	for _, row := range reRow.FindAllStringSubmatch(page, -1) {
		for _, name := range reName.FindAllStringSubmatch(row[1], -1) {
			if got := answer(name[1]); got != row[2] {
				t.Errorf("%s is answered with %s, docs/loaders.md says %s", name[1], got, row[2])
			}
			answered[row[2]] = true
		}
	}
	for _, l := range loaders {
		if got := answer(l.name); got != l.name {
			t.Errorf("%s is answered with %s", l.name, got)
		}
		if isModule := strings.HasSuffix(l.name, ".c32") || l.name == "bios/lpxelinux.0"; !isModule && !answered[l.name] {
			t.Errorf("docs/loaders.md does not say by which names %s is served", l.name)
		}
	}
	_, advice, found := strings.Cut(page, "## What to give to which machine\n")
	advice, _, _ = strings.Cut(advice, "\n\n- ")
	names := regexp.MustCompile("`([a-z0-9./]+\\.(?:0|kpxe|efi|signed))`").FindAllStringSubmatch(advice, -1)
	if !found || len(names) < 10 {
		t.Errorf("docs/loaders.md has %d names of loaders for DHCP servers, want ten at least", len(names))
	}
	for _, name := range names {
		if got := answer(name[1]); strings.HasPrefix(got, "status") {
			t.Errorf("%s, which docs/loaders.md tells to put into DHCP, is answered with %s", name[1], got)
		}
	}
}
