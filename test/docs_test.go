// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package repo_test

import (
	"bufio"
	"context"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/netboot-operator/netboot-operator/api/manifest"
)

// patience bounds what a server or a command of the quick start may take. Both take parts of a second on an idle machine.
const patience = 3 * time.Minute

// pages returns the documents of the project by name. docs/api.md is generated: its links are the generator's.
func pages(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	eachFile(t, func(name string, content []byte) {
		if path.Ext(name) == ".md" && name != "docs/api.md" {
			all[name] = string(content)
		}
	})
	return all
}

// A block is a fenced block of a page.
type block struct {
	line     int // of its fence, from 1
	language string
	text     string
	output   string // of the block of language "text" that follows at once; empty: none
}

func blocks(page string) (all []block) {
	var current *block
	follows := false // nothing but empty lines since the last block
	for i, line := range strings.Split(page, "\n") {
		language, fence := strings.CutPrefix(line, "```")
		switch {
		case fence && current == nil:
			current = &block{line: i + 1, language: language}
		case fence && current.language == "text" && follows:
			all[len(all)-1].output = current.text
			current, follows = nil, false
		case fence:
			all = append(all, *current)
			current, follows = nil, true
		case current != nil:
			current.text += line + "\n"
		case line != "":
			follows = false
		}
	}
	return all
}

func TestExamplesAreAdmitted(t *testing.T) {
	validator, err := manifest.NewValidator()
	if err != nil {
		t.Fatal(err)
	}
	reOurs := regexp.MustCompile(`(?m)^kind: (Machine|BootProfile)$`)
	found := 0
	for name, page := range pages(t) {
		for _, b := range blocks(page) {
			if b.language != "yaml" || !reOurs.MatchString(b.text) {
				continue
			}
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, "example.yaml"), []byte(b.text), 0o600); err != nil {
				t.Fatal(err)
			}
			set, problems, err := validator.Load(t.Context(), dir)
			if err != nil {
				t.Fatal(err)
			}
			for _, problem := range problems {
				t.Errorf("%s:%d: %v", name, b.line, problem)
			}
			found += len(set.Machines) + len(set.BootProfiles)
		}
	}
	if found < 2 {
		t.Errorf("%d objects in the documents, want an example of each kind at least", found)
	}
}

// A standalone is `netboot serve` with the samples, as hack/run.sh starts it, on ports that are free.
type standalone struct {
	binary, demo        string // paths
	tftp, http, metrics string // ports
}

// run runs a command in the top folder and returns its output.
func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*patience) // a first build takes minutes
	defer cancel()
	command := exec.CommandContext(ctx, name, args...)
	command.Dir = root
	var stderr strings.Builder
	command.Stderr = &stderr
	out, err := command.Output()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s%s", name, strings.Join(args, " "), err, out, &stderr)
	}
	return string(out)
}

// build builds the program as make does: with the same flags, so that nothing is compiled twice.
func build(t *testing.T, file string) {
	t.Helper()
	run(t, "env", "CGO_ENABLED=0", "go", "build", "-trimpath", "-o", file, "./cmd/netboot")
}

func serve(t *testing.T) *standalone {
	t.Helper()
	s := &standalone{binary: filepath.Join(t.TempDir(), "netboot"), demo: filepath.Join(t.TempDir(), "demo")}
	build(t, s.binary)
	run(t, "go", "run", "./hack/demo", "-out", s.demo, "-assets", filepath.Join(t.TempDir(), "none"))
	server := exec.CommandContext(t.Context(), s.binary, "serve", "--manifests", filepath.Join(s.demo, "manifests"),
		"--files-dir", filepath.Join(s.demo, "files"), "--loaders-dir", filepath.Join(s.demo, "loaders"),
		"--data-dir", filepath.Join(s.demo, "data"), "--tftp-bind-address", "127.0.0.1:0",
		"--http-bind-address", "127.0.0.1:0", "--metrics-bind-address", "127.0.0.1:0")
	server.Cancel = func() error { return server.Process.Signal(os.Interrupt) }
	log, err := server.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	var told strings.Builder
	done := make(chan struct{}) // closed when all of the log is read; Wait must come after that
	t.Cleanup(func() {
		<-done
		_ = server.Wait() // it says that the context ended, which ends the server; its exit code says how it took that
		if code := server.ProcessState.ExitCode(); code != 0 || t.Failed() {
			t.Errorf("netboot serve: exit code %d\n%s", code, &told)
		}
	})

	// The log tells the ports: none can be taken away between choosing and opening it.
	rePort := regexp.MustCompile(`msg="Serving (TFTP|HTTP|metrics)" address=\S+:(\d+)`)
	ready := make(chan struct{})
	go func() {
		defer close(done)
		ports := map[string]*string{"TFTP": &s.tftp, "HTTP": &s.http, "metrics": &s.metrics}
		for lines := bufio.NewScanner(log); lines.Scan(); {
			told.WriteString(lines.Text() + "\n")
			if m := rePort.FindStringSubmatch(lines.Text()); m != nil && ports[m[1]] != nil {
				*ports[m[1]] = m[2]
				delete(ports, m[1])
				if len(ports) == 0 {
					close(ready)
				}
			}
		}
	}()
	select {
	case <-ready:
	case <-done:
		t.Fatal("netboot serve ended before it served")
	case <-time.After(patience):
		t.Fatalf("netboot serve does not serve after %v", patience)
	}
	return s
}

// here puts what is of this server into a text of the documents, or the other way round.
func (s *standalone) here(text string, back bool) string {
	pairs := []string{
		"build/demo", s.demo, "bin/netboot", s.binary,
		":6969", ":" + s.tftp, ":8080", ":" + s.http, ":8081", ":" + s.metrics,
	}
	if back {
		for i := 0; i < len(pairs); i += 2 {
			pairs[i], pairs[i+1] = pairs[i+1], pairs[i]
		}
	}
	return strings.NewReplacer(pairs...).Replace(text)
}

func TestProgramIsAsDocumented(t *testing.T) {
	s := serve(t)
	t.Run("quick start in README.md", s.quickStart)
	t.Run("names in docs/serving.md", s.names)
	t.Run("flags in docs/flags.md", s.flags)
}

// quickStart types what README.md says under "Quick start", where that is curl or netboot, and compares the outputs that
// it shows.
func (s *standalone) quickStart(t *testing.T) {
	_, page, _ := strings.Cut(read(t, "README.md"), "## Quick start\n")
	page, _, _ = strings.Cut(page, "\n## ")
	reTyped := regexp.MustCompile(`(?m)^(curl|bin/netboot) `)
	typed := 0
	for _, b := range blocks(page) {
		if b.language != "sh" || !reTyped.MatchString(b.text) {
			continue
		}
		typed++
		got := s.here(run(t, "bash", "-euc", s.here(b.text, false)), true)
		if b.output == "" && got == "" {
			t.Errorf("no output of\n%s", b.text)
		}
		if b.output == "" {
			continue
		}
		if diff := cmp.Diff(b.output, got); diff != "" {
			t.Errorf("README.md shows another output of\n%s(-README +got):\n%s", b.text, diff)
		}
	}
	if typed == 0 {
		t.Error("README.md has no curl or netboot in its quick start")
	}
}

// names asks for each name of the tables in docs/serving.md by HTTP. The first column holds names, the second the status.
func (s *standalone) names(t *testing.T) {
	reRow := regexp.MustCompile(`(?m)^\| (.+?) \| (\d{3}) \|`)
	reName := regexp.MustCompile("`([^`]+)`")
	rows := reRow.FindAllStringSubmatch(read(t, "docs/serving.md"), -1)
	if len(rows) == 0 {
		t.Fatal("docs/serving.md has no table of names with their status")
	}
	for _, row := range rows {
		for _, name := range reName.FindAllStringSubmatch(row[1], -1) {
			if got := strconv.Itoa(s.status(t, name[1])); got != row[2] {
				t.Errorf("GET %s: status %s, docs/serving.md says %s", name[1], got, row[2])
			}
		}
	}
}

func (s *standalone) status(t *testing.T, name string) int {
	t.Helper()
	file, query, _ := strings.Cut(name, "?")
	target := url.URL{Scheme: "http", Host: "127.0.0.1:" + s.http, Path: "/" + strings.TrimPrefix(file, "/"), RawQuery: query}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, target.String(), nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }() // it was only read
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		t.Errorf("GET %s: %v", name, err)
	}
	return response.StatusCode
}

// flags compares the tables of docs/flags.md, one below the heading of each command, with --help.
func (s *standalone) flags(t *testing.T) {
	page := read(t, "docs/flags.md")
	reHelp := regexp.MustCompile(`(?m)^ +(?:-\w, +)?--([a-z-]+) .*?(?:\(default "?([^")]*)"?\))?$`)
	reRow := regexp.MustCompile("(?m)^\\| `--([a-z-]+)[^|]*\\| ([^|]*) \\|")
	for _, command := range []string{"serve", "render", "lint", "bundle save", "bundle load"} {
		_, section, found := strings.Cut(page, "## netboot "+command+"\n")
		if !found {
			t.Errorf("docs/flags.md has no heading of netboot %s", command)
		}
		section, _, _ = strings.Cut(section, "\n## ")
		flags, documented := map[string]bool{}, map[string]string{}
		for _, row := range reRow.FindAllStringSubmatch(section, -1) {
			documented[row[1]] = strings.ReplaceAll(row[2], "`", "")
		}
		for _, flag := range reHelp.FindAllStringSubmatch(run(t, s.binary, append(strings.Fields(command), "--help")...), -1) {
			if flag[1] == "help" {
				continue
			}
			flags[flag[1]] = true
			if preset, ok := documented[flag[1]]; !ok || !strings.Contains(preset, flag[2]) {
				t.Errorf("docs/flags.md: netboot %s --%s: has the default %q in --help and %q here", command, flag[1], flag[2], preset)
			}
		}
		for flag := range documented {
			if !flags[flag] {
				t.Errorf("docs/flags.md: netboot %s has no flag --%s", command, flag)
			}
		}
	}
}

// TestConditionsAreDocumented compares the constants of api/v1alpha1/conditions.go with docs/conditions.md: its headings
// are the types of conditions, and the first columns of its tables the reasons.
func TestConditionsAreDocumented(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(root, "api/v1alpha1/conditions.go"), nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]bool{}
	ast.Inspect(file, func(n ast.Node) bool {
		if spec, ok := n.(*ast.ValueSpec); ok {
			text, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
			if err != nil {
				t.Fatal(err)
			}
			kind := "reason "
			if strings.HasPrefix(spec.Names[0].Name, "Condition") {
				kind = "condition "
			}
			want[kind+text] = true
		}
		return true
	})
	got := map[string]bool{}
	page := read(t, "docs/conditions.md")
	for _, heading := range regexp.MustCompile("(?m)^## `(\\w+)`").FindAllStringSubmatch(page, -1) {
		got["condition "+heading[1]] = true
	}
	for _, row := range regexp.MustCompile("(?m)^\\| `(\\w+)`").FindAllStringSubmatch(page, -1) {
		got["reason "+row[1]] = true
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("docs/conditions.md and the constants differ (-constants +page):\n%s", diff)
	}
}

var (
	reLink   = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	reTarget = regexp.MustCompile("(?m)(?:`|^ *)make ((?:[a-z][a-z0-9-]* ?)+)")
)

// badLinks returns the links of a page that lead to no file. exists is asked for names relative to the top.
func badLinks(name, page string, exists func(name string) bool) (bad []string) {
	for _, link := range reLink.FindAllStringSubmatch(page, -1) {
		to, _, _ := strings.Cut(link[1], "#")
		if to != "" && !strings.Contains(to, "://") && !exists(path.Join(path.Dir(name), to)) {
			bad = append(bad, link[1])
		}
	}
	return bad
}

// badTargets returns the targets of make that a page names in code and that are none.
func badTargets(page, makefile string) (bad []string) {
	for _, m := range reTarget.FindAllStringSubmatch(page, -1) {
		for target := range strings.FieldsSeq(m[1]) {
			if !strings.Contains("\n"+makefile, "\n"+target+":") {
				bad = append(bad, target)
			}
		}
	}
	return bad
}

func TestPagesLeadSomewhere(t *testing.T) {
	makefile := read(t, "Makefile")
	for name, page := range pages(t) {
		for _, link := range badLinks(name, page, func(to string) bool {
			_, err := os.Stat(filepath.Join(root, filepath.FromSlash(to)))
			return err == nil
		}) {
			t.Errorf("%s: the link %s leads to no file", name, link)
		}
		for _, target := range badTargets(page, makefile) {
			t.Errorf("%s: make %s: the Makefile has no such target", name, target)
		}
	}
}

func TestBadLinksAndTargetsAreFound(t *testing.T) {
	const page = "See [a](a.md), [b](b.md#part), [c](#part) and [d](https://example.com/d).\n`make test nothing`\n\n    make run\n"
	got := append(badLinks("docs/page.md", page, func(to string) bool { return to == "docs/a.md" }),
		badTargets(page, "test: ## tests\nrun:\n")...)
	if diff := cmp.Diff([]string{"b.md#part", "nothing"}, got); diff != "" {
		t.Errorf("bad links and targets (-want +got):\n%s", diff)
	}
}

func TestBlocks(t *testing.T) {
	const page = "# A\n```sh\nls\n```\n\n```text\nfile\n```\n```sh\nid\n```\nwords\n\n```text\nalone\n```\n"
	want := []block{
		{line: 2, language: "sh", text: "ls\n", output: "file\n"},
		{line: 9, language: "sh", text: "id\n"},
		{line: 14, language: "text", text: "alone\n"},
	}
	if diff := cmp.Diff(want, blocks(page), cmp.AllowUnexported(block{})); diff != "" {
		t.Errorf("blocks (-want +got):\n%s", diff)
	}
}
