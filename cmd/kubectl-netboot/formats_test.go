// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"errors"
	"io"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/yaml"
)

// TestFormatsParseBack reads what -o json and -o yaml print as what was printed: strictly, and one as the other.
func TestFormatsParseBack(t *testing.T) {
	l := newLab(t)
	for name, tc := range map[string]struct {
		args []string
		into func() any
		want string // in the JSON
	}{
		"status":         {[]string{"status", "-A"}, func() any { return &statusList{} }, `"cause": "TransferBrokeOff"`},
		"status of none": {[]string{"status", "-l", "rack=none"}, func() any { return &statusList{} }, `"items": []`},
		"why":            {[]string{"why", "node-02"}, func() any { return &story{} }, `"whatToDo": "Look at the machine`},
		"never seen":     {[]string{"why", "node-03"}, func() any { return &story{} }, `"findOut": [`},
		"render":         {[]string{"render", "node-02", "--loader=grub"}, func() any { return &rendered{} }, `"action": "Netboot"`},
		"render, done":   {[]string{"render", "node-01", "--loader=grub"}, func() any { return &rendered{} }, `"action": "BootLocal"`},
		"watch":          {[]string{"watch", "--once"}, func() any { return &picture{} }, `"bytesPerSecond": 6991072`},
		"boots":          {[]string{"watch", "--once", "--boots"}, func() any { return &picture{} }, `"cause": "UnknownMachine"`},
	} {
		t.Run(name, func(t *testing.T) {
			asJSON := l.kubectl(t, append(tc.args, "-o", "json")...)
			fromJSON := tc.into()
			decoder := json.NewDecoder(strings.NewReader(asJSON.stdout))
			decoder.DisallowUnknownFields()
			if err := decoder.Decode(fromJSON); err != nil {
				t.Fatalf("%v\n%s", err, asJSON.stdout)
			}
			if err := decoder.Decode(new(any)); !errors.Is(err, io.EOF) {
				t.Errorf("after the JSON there is more: %v", err)
			}
			if !strings.Contains(asJSON.stdout, tc.want) {
				t.Errorf("JSON without %s:\n%s", tc.want, asJSON.stdout)
			}
			again, err := json.MarshalIndent(fromJSON, "", "  ")
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(asJSON.stdout, string(again)+"\n"); diff != "" {
				t.Errorf("what was read is not what was printed (-printed +again):\n%s", diff)
			}
			asYAML := l.kubectl(t, append(tc.args, "-o", "yaml")...)
			converted, err := yaml.YAMLToJSONStrict([]byte(asYAML.stdout))
			if err != nil {
				t.Fatalf("%v\n%s", err, asYAML.stdout)
			}
			var one, other any
			if err := errors.Join(json.Unmarshal(converted, &one), json.Unmarshal([]byte(asJSON.stdout), &other)); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(other, one); diff != "" {
				t.Errorf("YAML tells something else (-json +yaml):\n%s", diff)
			}
			if asJSON.code != 0 || asYAML.code != 0 {
				t.Errorf("exit codes %d and %d: %s", asJSON.code, asYAML.code, asJSON.stderr)
			}
		})
	}
}

// TestErrorsSayWhatToDo types what can't be had.
func TestErrorsSayWhatToDo(t *testing.T) {
	l := newLab(t)
	for name, tc := range map[string]struct {
		args []string
		want []string // on standard error
	}{
		"no such Machine":    {[]string{"why", "nod-05"}, []string{`no Machine "nod-05" in namespace "lab": did you mean "node-05"?`, "kubectl netboot status -n lab"}},
		"none is near":       {[]string{"render", "database", "--loader=grub"}, []string{`no Machine "database" in namespace "lab"; all are listed by`}},
		"empty namespace":    {[]string{"why", "node-01", "-n", "default"}, []string{`namespace "default", which has none`, "status -A"}},
		"one of two":         {[]string{"status", "node-01", "node-1"}, []string{`no Machine "node-1"`, `"node-01"`}},
		"may not list":       {[]string{"status", "--context=alice"}, []string{"you may not list machines.netboot.dev in namespace lab", "a Role with", "verbs: [list]"}},
		"may not list all":   {[]string{"status", "-A", "--context=alice"}, []string{"in all namespaces", "a ClusterRole with"}},
		"may not get":        {[]string{"why", "node-01", "--context=alice"}, []string{"you may not get machines.netboot.dev node-01 in namespace lab", "verbs: [get]"}},
		"may not see pods":   {[]string{"watch", "--once", "--context=alice"}, []string{"you may not list pods", `apiGroups: [""], resources: [pods]`}},
		"may not see nodes":  {[]string{"probe", "worker-a", "--context=alice"}, []string{"you may not get nodes worker-a", "give the node's IP address"}},
		"no such node":       {[]string{"probe", "worker-c"}, []string{`no node "worker-c": did you mean "worker-a"?`, "kubectl get nodes"}},
		"node of no address": {[]string{"probe", "nowhere"}, []string{"node nowhere tells no IP address"}},
		"no pods":            {[]string{"watch", "--once", "--operator-namespace=edge"}, []string{"no pod of netboot-operator runs in namespace edge", "--operator-namespace"}},
		"context":            {[]string{"status", "--context=none"}, []string{`context "none" does not exist`}},
		"not its MAC":        {[]string{"render", "node-01", "--loader=grub", "--mac=52:54:00:aa:bb:02"}, []string{"Machine lab/node-01 does not have this address, but", "52:54:00:aa:bb:01"}},
		"watch nobody":       {[]string{"watch", "--once", "node-9"}, []string{`no Machine "node-9"`}},
		"nobody there":       {[]string{"status", "--server=http://127.0.0.1:1"}, []string{"netboot at http://127.0.0.1:1 can't be reached"}},
		"not the metrics":    {[]string{"status", "--server=http://127.0.0.1:HTTP"}, []string{"tells nothing of Machines: --server wants", "Serving metrics"}},
	} {
		t.Run(name, func(t *testing.T) {
			for i := range tc.args {
				tc.args[i] = strings.ReplaceAll(tc.args[i], "HTTP", strconv.Itoa(int(l.http)))
			}
			r := l.kubectl(t, tc.args...)
			if r.code == 0 || strings.Contains(r.stdout, "NAME") && name != "one of two" {
				t.Errorf("exit code %d, standard output:\n%s", r.code, r.stdout)
			}
			for _, want := range tc.want {
				if !strings.Contains(r.stderr, want) {
					t.Errorf("standard error without %q:\n%s", want, r.stderr)
				}
			}
			if lines := strings.Count(r.stderr, "\n"); lines != 1 {
				t.Errorf("standard error has %d lines, want one:\n%s", lines, r.stderr)
			}
		})
	}
}
