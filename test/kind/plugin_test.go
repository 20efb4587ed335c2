// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build kind

package kind

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// plugin asks kubectl netboot about the machines that have just booted.
func (c *cluster) plugin(t *testing.T) {
	t.Helper()
	bin, err := filepath.Abs("../../bin")
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin+string(filepath.ListSeparator)+os.Getenv("PATH"))

	var status struct {
		Items []struct{ Name, Stage, ServedBy, Loader string }
	}
	decode(t, run(t, "kubectl", "netboot", "status", "-n", "default", "-o", "json"), &status)
	seen := map[string]string{}
	for _, item := range status.Items {
		seen[item.Name] = item.Stage + " by " + item.ServedBy
	}
	// Before the probes: they come from here, and so did those who asked, in earlier parts, for what these machines boot.
	var watch struct {
		Servers []struct{ Node, Error string }
		Boots   []struct{ Machine, Node, ClientIP, LastTime string }
	}
	decode(t, run(t, "kubectl", "netboot", "watch", "--once", "--boots", "-n", "default", "-o", "json"), &watch)
	for _, m := range c.machines() {
		found := false
		for _, b := range watch.Boots {
			found = found || b.Machine == "default/"+m.name && b.Node == m.from.name
		}
		if !found {
			t.Errorf("watch shows no boot of %s on %s: %+v", m.name, m.from.name, watch)
		}
	}
	pods := c.pods(t)
	for _, m := range c.machines() {
		if got, want := seen[m.name], " by "+m.from.name; !strings.HasSuffix(got, want) || got == want {
			t.Errorf("status says of %s %q, want a stage that was reached%s", m.name, got, want)
		}
		why := run(t, "kubectl", "netboot", "why", m.name, "-n", "default")
		t.Log(why)
		if !strings.Contains(why, "What it asked for:") || !strings.Contains(why, m.loader) {
			t.Errorf("why %s does not tell that it asked for %s", m.name, m.loader)
		}
		if config := run(t, "kubectl", "netboot", "render", m.name, "-n", "default", "--loader", "ipxe", "--armed"); !strings.Contains(config, m.want) {
			t.Errorf("render %s shows no %s:\n%s", m.name, m.want, config)
		}
		probe := run(t, "kubectl", "netboot", "probe", m.from.name, "--file", m.loader)
		t.Log(probe)
		if strings.Count(probe, "3 of 3") != 2 || !strings.Contains(probe, pods[m.from.name]) {
			t.Errorf("probe %s does not say that %s answers by TFTP and HTTP", m.from.name, pods[m.from.name])
		}
	}
}

func decode(t *testing.T, text string, into any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), into); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
}
