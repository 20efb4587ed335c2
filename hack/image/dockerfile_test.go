// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
)

const top = "../.." // the project's folder, seen from here

// An instruction is one of a Dockerfile: a line with those that continue it.
type instruction struct{ verb, rest string }

// stages returns the instructions of each stage of a Dockerfile, FROM first.
func stages(dockerfile string) (all [][]instruction) {
	dockerfile = regexp.MustCompile(`(?m)^\s*#.*\n`).ReplaceAllString(dockerfile, "")
	dockerfile = strings.ReplaceAll(dockerfile, "\\\n", " ")
	for line := range strings.Lines(dockerfile) {
		verb, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch verb {
		case "":
			continue
		case "FROM":
			all = append(all, nil)
		}
		last := len(all) - 1
		all[last] = append(all[last], instruction{verb, strings.TrimSpace(rest)})
	}
	return all
}

func readTop(t *testing.T, name string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(top, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

func TestDockerfileSaysTheSame(t *testing.T) {
	all := stages(readTop(t, "Dockerfile"))
	if len(all) != 3 {
		t.Fatalf("%d stages in the Dockerfile, want three: program, loaders, image", len(all))
	}
	final := all[2]

	got := v1.Config{Labels: map[string]string{}}
	for _, i := range final {
		switch i.verb {
		case "ENTRYPOINT":
			if err := json.Unmarshal([]byte(i.rest), &got.Entrypoint); err != nil {
				t.Errorf("ENTRYPOINT is no list, so it would need a shell: %v", err)
			}
		case "USER":
			got.User = i.rest
		case "WORKDIR":
			got.WorkingDir = i.rest
		case "LABEL":
			for _, pair := range regexp.MustCompile(`([a-z.]+)="([^"]*)"`).FindAllStringSubmatch(i.rest, -1) {
				got.Labels[pair[1]] = pair[2]
			}
		case "CMD", "EXPOSE", "VOLUME", "ENV", "SHELL", "HEALTHCHECK", "STOPSIGNAL":
			t.Errorf("the Dockerfile has %s, hack/image has not", i.verb)
		}
	}
	want := config(release{version: "$VERSION", revision: "$REVISION", created: time.Unix(0, 0)})
	want.Labels["org.opencontainers.image.created"] = "$CREATED"
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("configuration in hack/image (-) and the Dockerfile (+):\n%s", diff)
	}

	for _, f := range baseFiles(release{}) {
		folder := "/" + f.name
		copies := func(i instruction) bool {
			return i.verb == "COPY" && strings.Contains(i.rest, "--chown="+user) && strings.HasSuffix(i.rest, " "+folder)
		}
		if strings.HasSuffix(folder, "/") && !slices.ContainsFunc(final, copies) {
			t.Errorf("the Dockerfile makes no folder %s of %s", folder, user)
		}
	}
}

func TestDockerfileCallsTheSame(t *testing.T) {
	all := stages(readTop(t, "Dockerfile"))
	image := readTop(t, "hack/image.sh")
	for _, script := range []string{"hack/program.sh", "hack/licences.sh", "hack/loaders.sh"} {
		calls := func(stage []instruction) bool {
			return slices.ContainsFunc(stage, func(i instruction) bool { return i.verb == "RUN" && strings.Contains(i.rest, script) })
		}
		if !slices.ContainsFunc(all, calls) || !strings.Contains(image, "\n"+script) && !strings.Contains(image, "\n  "+script) {
			t.Errorf("not both of the Dockerfile and hack/image.sh call %s", script)
		}
	}
	if last := all[0][len(all[0])-1]; last != (instruction{"RUN", "setcap cap_net_bind_service+ep /out" + programPath}) {
		t.Errorf("the program's stage ends with %v, want setcap: what comes after it could undo it", last)
	}
	version := regexp.MustCompile(`VERSION:-(\S+)}`).FindStringSubmatch(image)
	if version == nil {
		t.Fatal("no default of VERSION in hack/image.sh")
	}
	for _, stage := range []int{0, 2} {
		if !slices.Contains(all[stage], instruction{"ARG", "VERSION=" + version[1]}) {
			t.Errorf("stage %d of the Dockerfile has no ARG VERSION=%s, hack/image.sh's default", stage, version[1])
		}
	}
}

// TestDockerignoreLeavesTheProgram looks for packages of the program that the Dockerfile's COPY would not see.
func TestDockerignoreLeavesTheProgram(t *testing.T) {
	kept := map[string]bool{}
	for line := range strings.Lines(readTop(t, ".dockerignore")) {
		if name, ok := strings.CutPrefix(strings.TrimSpace(line), "!/"); ok {
			kept[name] = true
		}
	}
	list := exec.CommandContext(t.Context(), "go", "list", "-deps", "-f", "{{with .Module}}{{if .Main}}{{$.ImportPath}}{{end}}{{end}}", "./cmd/netboot")
	list.Dir, list.Stderr = top, os.Stderr
	out, err := list.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	packages := strings.Fields(string(out))
	if len(packages) < 5 {
		t.Fatalf("go list names %q, want the program's packages", packages)
	}
	for _, p := range packages {
		folder, _, _ := strings.Cut(strings.TrimPrefix(p, "github.com/netboot-operator/netboot-operator/"), "/")
		if !kept[folder] {
			t.Errorf(".dockerignore hides %s from the Dockerfile: add !/%s", p, folder)
		}
	}
	for _, name := range []string{"hack/*.sh", "hack/loaders.txt", "LICENSE", "go.mod", "go.sum"} {
		if !kept[name] {
			t.Errorf(".dockerignore hides %s from the Dockerfile", name)
		}
	}
}
