// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package repo_test holds the repository to its own rules: which package may import which, what every file must look
// like (this file), and that the documents say what is true (docs_test.go).
package repo_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"
)

const (
	root   = ".." // go test runs in the package's folder
	module = "github.com/netboot-operator/netboot-operator"
)

// An arrow is a way that no import may take, directly or through other packages. from and to also mean all that is below
// them; "./X" is X in this module.
type arrow struct{ from, to, why string }

func arrows() []arrow {
	return []arrow{
		{"./pkg", "k8s.io", "the servers work without Kubernetes; controllers turns objects into index entries"},
		{"./pkg", "sigs.k8s.io", "the servers work without Kubernetes; controllers turns objects into index entries"},
		{"./pkg", "./controllers", "controllers and boot meet in pkg/index only"},
		{"./pkg", "./api", "pkg/index has the shape that the servers need"},
		{"./pkg/index", "./", "everything meets in the index, so it knows nobody"},
		{"./pkg/tftp", "./", "the TFTP server knows nothing of netboot"},
		{"./pkg/web", "./", "whoever holds connections does not know what is asked for"},
		{"./pkg/token", "./", "whoever signs knows nothing of what is signed"},
		{"./pkg/token", "github.com/go-logr/logr", "leaves do not log"},
		{"./pkg/render", "./pkg/token", "render is handed what makes tokens"},
		{"./pkg/artifact", "./pkg/render", "both are below boot, side by side"},
		{"./pkg/artifact", "./pkg/boot", "boot uses artifact"},
		{"./pkg/artifact", "./pkg/tftp", "whoever keeps files does not know who sends them"},
		{"./pkg/render", "./pkg/boot", "boot uses render"},
		{"./pkg/render", "./pkg/tftp", "whoever writes texts does not know who sends them"},
		{"./pkg/render", "./pkg/artifact", "render names files and opens none"},
		{"./pkg/attempt", "./pkg/boot", "boot tells attempt"},
		{"./pkg/attempt", "./pkg/tftp", "whoever tells boots from requests does not know who answers them"},
		{"./pkg/attempt", "./pkg/artifact", "whoever tells boots from requests opens no files"},
		{"./pkg/attempt", "./pkg/ledger", "what counts for the policy is for those who use both"},
		{"./pkg/ledger", "./pkg/attempt", "the ledger knows boots by their names only"},
		{"./pkg/ledger", "./pkg/render", "the ledger knows boots by their names only"},
		{"./pkg/attempt", "github.com/go-logr/logr", "leaves do not log"},
		{"./pkg/index", "github.com/go-logr/logr", "leaves do not log"},
		{"./pkg/render", "github.com/go-logr/logr", "leaves do not log"},
		{"./pkg/artifact", "github.com/go-logr/logr", "leaves do not log"},
		{"./controllers", "./pkg/boot", "controllers and boot meet in pkg/index only"},
		{"./controllers", "./pkg/tftp", "controllers fill the index; cmd/netboot starts the servers"},
		{"./api", "./controllers", "the API is below all that use it"},
		{"./api", "./pkg", "the API is below all that use it"},
		{"./api/v1alpha1", "sigs.k8s.io/controller-runtime", "whoever uses the types shall not need the framework"},
		{"./config", "./", "the CRDs are data"},
		{"./cmd", "./test", "tests are not shipped"},
		{"./cmd", "testing", "tests are not shipped"},
	}
}

// within says whether an import path is root or below it.
func within(pkg, root string) bool {
	if below, ok := strings.CutPrefix(root, "./"); ok {
		root = strings.TrimSuffix(module+"/"+below, "/")
	}
	return pkg == root || strings.HasPrefix(pkg, root+"/")
}

// breaches returns what deps, the packages with all that they depend on, do against the arrows; and the arrows that
// start nowhere.
func breaches(deps map[string][]string, arrows []arrow) (all []string) {
	for _, a := range arrows {
		started := false
		for pkg, imports := range deps {
			if !within(pkg, a.from) {
				continue
			}
			started = true
			for _, imported := range imports {
				if within(imported, a.to) {
					all = append(all, fmt.Sprintf("%s imports %s: %s", pkg, imported, a.why))
				}
			}
		}
		if !started {
			all = append(all, fmt.Sprintf("no package is below %s: correct the table", a.from))
		}
	}
	slices.Sort(all)
	return all
}

func TestImportsPointDown(t *testing.T) {
	list := exec.CommandContext(t.Context(), "go", "list", "-f", `{{.ImportPath}}{{range .Deps}} {{.}}{{end}}`, "./...")
	list.Dir = root
	list.Stderr = os.Stderr
	out, err := list.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	deps := map[string][]string{}
	for line := range strings.Lines(string(out)) {
		words := strings.Fields(line)
		deps[words[0]] = words[1:]
	}
	for _, breach := range breaches(deps, arrows()) {
		t.Error(breach)
	}
}

func TestBreaches(t *testing.T) {
	got := breaches(map[string][]string{
		module + "/pkg/a":    {"fmt", "k8s.io/api/core/v1", module + "/pkg/b"},
		module + "/pkg/bad":  {module + "/pkg/a"},
		module + "/pkgother": {"k8s.io/api/core/v1"},
	}, []arrow{
		{"./pkg", "k8s.io", "no Kubernetes"},
		{"./pkg/a", "./", "knows nobody"},
		{"./gone", "./", "never seen"},
	})
	want := []string{
		module + "/pkg/a imports " + module + "/pkg/b: knows nobody",
		module + "/pkg/a imports k8s.io/api/core/v1: no Kubernetes",
		"no package is below ./gone: correct the table",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("breaches (-want +got):\n%s", diff)
	}
}

// A fileRule returns what is wrong with a file of the repository, or "". name is relative to the top, with slashes.
type fileRule func(name string, content []byte) string

func fileRules() map[string]fileRule {
	return map[string]fileRule{
		"licence header": hasHeader,
		"length":         isShort,
		"own paths":      namesNoMachine,
		"no test skips":  skipsNothing,
		"YAML":           parsesAsYAML,
	}
}

// isGenerated tells of files that tools write, from hack/generate.sh and the Go tool.
func isGenerated(name string) bool {
	return strings.HasPrefix(path.Base(name), "zz_generated.") || name == "docs/api.md" ||
		strings.HasPrefix(name, "config/crd/bases/") || strings.HasPrefix(name, "charts/netboot-operator/files/crds/") ||
		path.Ext(name) == ".sum"
}

func hasHeader(name string, content []byte) string {
	var mark string
	switch {
	case path.Ext(name) == ".go":
		mark = "//"
	case path.Ext(name) == ".sh", bytes.HasPrefix(content, []byte("#!/")):
		mark = "#"
	default:
		return ""
	}
	header := mark + " Copyright The netboot-operator Authors.\n" + mark + " SPDX-License-Identifier: Apache-2.0\n"
	// Before it there may be a line for the shell, or one for the Go tool and an empty one.
	top := strings.Join(slices.Collect(firstLines(string(content), 4)), "")
	if !strings.Contains(top, header) {
		return "does not start with the header of hack/boilerplate.go.txt"
	}
	return ""
}

func firstLines(text string, n int) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for line := range strings.Lines(text) {
			if n--; n < 0 || !yield(line) {
				return
			}
		}
	}
}

func isShort(name string, content []byte) string {
	const most = 500
	if lines := bytes.Count(content, []byte("\n")); lines > most && !isGenerated(name) {
		return fmt.Sprintf("has %d lines, more than %d: a file holds one concern", lines, most)
	}
	return ""
}

// reMachine finds absolute paths of somebody's own folders, and where packages are downloaded from.
var reMachine = regexp.MustCompile(`(?m)(?:^|[\s=:(,])["'` + "`" + `]?/(?:root|home|work|Users)/|GOPROXY|proxy\.golang\.org`)

func namesNoMachine(name string, content []byte) string {
	if name == "test/repo_test.go" { // the pattern is no path
		return ""
	}
	if at := reMachine.FindIndex(content); at != nil {
		line := 1 + bytes.Count(content[:at[0]], []byte("\n"))
		return fmt.Sprintf("line %d: %q is of somebody's machine, not of the project", line, content[at[0]:at[1]])
	}
	return ""
}

var reSkip = regexp.MustCompile(`\b[tbf]\.Skip(?:f|Now)?\(|\btesting\.Short\(`)

func skipsNothing(name string, content []byte) string {
	if strings.HasSuffix(name, "_test.go") && name != "test/repo_test.go" && reSkip.Match(content) {
		return "skips a test: one that does not run proves nothing"
	}
	return ""
}

func parsesAsYAML(name string, content []byte) string {
	if ext := path.Ext(name); ext != ".yaml" && ext != ".yml" || strings.Contains(name, "/testdata/") {
		return "" // what tests read may be wrong on purpose, or a template
	}
	if strings.HasPrefix(name, "charts/netboot-operator/templates/") {
		return "" // Helm's templates; test/chart renders them
	}
	decoder := yaml.NewDecoder(bytes.NewReader(content))
	for {
		var document any
		if err := decoder.Decode(&document); errors.Is(err, io.EOF) {
			return ""
		} else if err != nil {
			return err.Error()
		}
	}
}

// eachFile calls visit for all files of the repository, those that git ignores excepted.
func eachFile(t *testing.T, visit func(name string, content []byte)) {
	t.Helper()
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, p)
		if err != nil {
			return err
		}
		name = filepath.ToSlash(name)
		switch {
		case d.IsDir() && (name == "bin" || name == "build" || strings.HasPrefix(name, ".") && name != "." && name != ".ci"):
			return fs.SkipDir
		case d.IsDir():
			return nil
		}
		content, err := os.ReadFile(p)
		if errors.Is(err, fs.ErrNotExist) {
			return nil // an editor's temporary file
		}
		visit(name, content)
		return err
	})
	if err != nil {
		t.Fatalf("read the repository: %v", err)
	}
}

func TestFilesFollowTheRules(t *testing.T) {
	eachFile(t, func(name string, content []byte) {
		for rule, check := range fileRules() {
			if problem := check(name, content); problem != "" {
				t.Errorf("%s: %s: %s", rule, name, problem)
			}
		}
	})
}

// TestFileRulesCanFail holds each rule against a file that breaks it, and one that does not.
func TestFileRulesCanFail(t *testing.T) {
	const header = "// Copyright The netboot-operator Authors.\n// SPDX-License-Identifier: Apache-2.0\n"
	for name, tc := range map[string]struct {
		rule, file, content string
		wantBad             bool
	}{
		"Go without a header":             {"licence header", "a.go", "package a\n", true},
		"Go with another licence":         {"licence header", "a.go", strings.Replace(header, "Apache", "MIT", 1), true},
		"Go with it":                      {"licence header", "a.go", header + "\npackage a\n", false},
		"Go with it after a constraint":   {"licence header", "a.go", "//go:build linux\n\n" + header, false},
		"shell without a header":          {"licence header", "a.sh", "#!/bin/sh\n", true},
		"a script without a suffix":       {"licence header", "run", "#!/bin/sh\n", true},
		"shell with it":                   {"licence header", "a.sh", "#!/bin/sh\n" + strings.ReplaceAll(header, "//", "#"), false},
		"an iPXE script needs none":       {"licence header", "a.golden", "#!ipxe\n", false},
		"a page needs none":               {"licence header", "a.md", "# A\n", false},
		"501 lines":                       {"length", "a.go", strings.Repeat("\n", 501), true},
		"500 lines":                       {"length", "a.go", strings.Repeat("\n", 500), false},
		"501 generated lines":             {"length", "api/zz_generated.deepcopy.go", strings.Repeat("\n", 501), false},
		"a path of a home":                {"own paths", "a.sh", "x=/home/joe/x\n", true},
		"a quoted one of root":            {"own paths", "a.go", `open("/root/x")`, true},
		"a path below a variable":         {"own paths", "a.sh", `cp "$tree"/root/boot/x y`, false},
		"a proxy of packages":             {"own paths", "Makefile", "export GOPROXY=http://10.0.0.1\n", true},
		"a test that skips":               {"no test skips", "a_test.go", "\tt.Skip(\"slow\")\n", true},
		"a test that skips when short":    {"no test skips", "a_test.go", "if testing.Short() {\n", true},
		"a scanner that skips":            {"no test skips", "a.go", "t.Skip()\n", false},
		"YAML with an open bracket":       {"YAML", "a.yaml", "a: [\n", true},
		"YAML whose second document does": {"YAML", "a.yml", "a: 1\n---\nb: [\n", true},
		"YAML of two documents":           {"YAML", "a.yaml", "a: 1\n---\nb: 2\n", false},
		"a template of the chart":         {"YAML", "charts/netboot-operator/templates/a.yaml", "{{ if .A }}\na: [\n", false},
		"values of the chart":             {"YAML", "charts/netboot-operator/values.yaml", "{{ if .A }}\na: [\n", true},
	} {
		t.Run(name, func(t *testing.T) {
			problem := fileRules()[tc.rule](tc.file, []byte(tc.content))
			if bad := problem != ""; bad != tc.wantBad {
				t.Errorf("rule %q says %q, want a problem: %v", tc.rule, problem, tc.wantBad)
			}
		})
	}
}

// TestTopLevelFoldersAreNamed wants a word in docs/architecture.md for each folder at the top: a new one needs a reason.
func TestTopLevelFoldersAreNamed(t *testing.T) {
	page := read(t, "docs/architecture.md")
	folders := map[string]bool{}
	eachFile(t, func(name string, _ []byte) {
		if folder, _, below := strings.Cut(name, "/"); below {
			folders[folder] = true
		}
	})
	for folder := range folders {
		if !regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(folder) + `/`).MatchString(page) {
			t.Errorf("the tree in docs/architecture.md does not name %s/", folder)
		}
	}
}

// read returns a file of the repository.
func read(t *testing.T, name string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(name)))
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}
