// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package repo_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"text/template"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"
)

const chart = "charts/netboot-operator/"

// The page of the chart has a row for each value, and its schema knows each.
func TestChartValuesAreDocumented(t *testing.T) {
	var document yaml.Node
	if err := yaml.Unmarshal([]byte(read(t, chart+"values.yaml")), &document); err != nil {
		t.Fatal(err)
	}
	var schema map[string]any
	if err := json.Unmarshal([]byte(read(t, chart+"values.schema.json")), &schema); err != nil {
		t.Fatal(err)
	}
	var table strings.Builder
	table.WriteString("| value | default | meaning |\n|---|---|---|\n")
	eachValue(t, document.Content[0], "", func(name string, comment string, value *yaml.Node) {
		text, found := strings.CutPrefix(strings.ReplaceAll(comment, "\n# ", " "), "# -- ")
		if !found {
			t.Errorf("values.yaml: %s has no comment that begins with \"# -- \"", name)
		}
		fmt.Fprintf(&table, "| `%s` | `%s` | %s |\n", name, asJSON(t, value), text)
		if !knows(schema, strings.Split(name, ".")) {
			t.Errorf("values.schema.json does not know %s", name)
		}
	})

	page := read(t, chart+"README.md")
	before, rest, _ := strings.Cut(page, "values.yaml. -->\n\n")
	_, after, found := strings.Cut(rest, "<!-- end -->")
	if !found {
		t.Fatal("the chart's README.md has no place for the table")
	}
	want := before + "values.yaml. -->\n\n" + table.String() + "\n<!-- end -->" + after
	if *update {
		if err := os.WriteFile(filepath.Join(root, chart+"README.md"), []byte(want), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(want, page); diff != "" {
		t.Errorf("make generate was not run (-want +got):\n%s", diff)
	}
}

// eachValue calls visit for what a user sets: a leaf, or what has a comment of its own.
func eachValue(t *testing.T, node *yaml.Node, prefix string, visit func(name, comment string, value *yaml.Node)) {
	t.Helper()
	for i := 0; i < len(node.Content); i += 2 {
		key, value := node.Content[i], node.Content[i+1]
		name := prefix + key.Value
		if value.Kind == yaml.MappingNode && len(value.Content) > 0 && key.HeadComment == "" {
			eachValue(t, value, name+".", visit)
			continue
		}
		visit(name, key.HeadComment, value)
	}
}

func asJSON(t *testing.T, node *yaml.Node) string {
	t.Helper()
	var value any
	if err := node.Decode(&value); err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// knows tells whether a schema names a value, and refuses others beside it.
func knows(schema map[string]any, name []string) bool {
	if len(name) == 0 {
		return true
	}
	properties, _ := schema["properties"].(map[string]any)
	next, found := properties[name[0]].(map[string]any)
	return found && schema["additionalProperties"] == false && knows(next, name[1:])
}

// What the chart installs is what `make generate` made.
func TestChartHasTheGeneratedFiles(t *testing.T) {
	for of, with := range map[string]string{
		"config/crd/bases/netboot.dev_machines.yaml":     chart + "files/crds/netboot.dev_machines.yaml",
		"config/crd/bases/netboot.dev_bootprofiles.yaml": chart + "files/crds/netboot.dev_bootprofiles.yaml",
		"config/rbac/role.yaml":                          chart + "files/rbac/role.yaml",
	} {
		if diff := cmp.Diff(read(t, of), read(t, with)); diff != "" {
			t.Errorf("%s is another than %s: run make generate (-%[1]s +%[2]s):\n%[3]s", with, of, diff)
		}
	}
}

var reMetric = regexp.MustCompile(`\b(?:netboot|process)_[a-z_]+\b`)

// documentedMetrics returns the names of the series that there are.
func documentedMetrics(t *testing.T) map[string]bool {
	t.Helper()
	known := map[string]bool{"process_resident_memory_bytes": true, "process_cpu_seconds_total": true} // of the Prometheus client
	for _, m := range regexp.MustCompile("(?m)^\\| `(netboot_[a-z_]+)` \\| (\\w+)").FindAllStringSubmatch(read(t, "docs/metrics.md"), -1) {
		known[m[1]] = true
		if m[2] == "histogram" {
			known[m[1]+"_bucket"] = true
		}
	}
	return known
}

// The dashboard asks for metrics that there are.
func TestDashboardNamesMetrics(t *testing.T) {
	var dashboard struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal([]byte(read(t, chart+"files/dashboards/netboot-operator.json")), &dashboard); err != nil {
		t.Fatal(err)
	}
	known := documentedMetrics(t)
	names := 0
	for _, p := range dashboard.Panels {
		for _, target := range p.Targets {
			for _, name := range reMetric.FindAllString(target.Expr, -1) {
				names++
				if !known[name] {
					t.Errorf("panel %q asks for %s, which does not exist", p.Title, name)
				}
			}
			if strings.Count(target.Expr, "(") != strings.Count(target.Expr, ")") {
				t.Errorf("panel %q: %s: parentheses do not match", p.Title, target.Expr)
			}
		}
	}
	if names < 20 {
		t.Errorf("the dashboard names %d metrics: it was not understood", names)
	}
}

// docs/dhcp.md shows what the notes of the chart print.
func TestDHCPPageIsTheNotes(t *testing.T) {
	page := read(t, "docs/dhcp.md")
	notes := template.Must(template.New("").Parse(read(t, chart+"templates/_dhcp.tpl")))
	for _, name := range []string{"dnsmasq", "dhcpd", "kea", "mikrotik", "windows"} {
		var text strings.Builder
		if err := notes.ExecuteTemplate(&text, "netboot-operator."+name, map[string]string{"server": "192.0.2.10", "port": "8080"}); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(page, "\n"+text.String()+"\n```\n") {
			t.Errorf("docs/dhcp.md does not show what the notes print for %s:\n%s", name, text.String())
		}
	}
}
