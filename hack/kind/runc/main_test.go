// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestReduce(t *testing.T) {
	process := func() map[string]any {
		return map[string]any{
			"capabilities": map[string]any{"bounding": []any{"CAP_CHOWN", "CAP_SYS_RESOURCE"}},
			"oomScoreAdj":  -500.0, "rlimits": []any{"many"}, "args": []any{"sh"},
		}
	}
	for name, tc := range map[string]struct {
		status string
		want   map[string]any
	}{
		"all there": {"CapInh:\t0\nCapBnd:\t000001ffffffffff\n", process()},
		"without SYS_RESOURCE": {"CapBnd:\t000001fffeffffff\n", map[string]any{
			"capabilities": map[string]any{"bounding": []any{"CAP_CHOWN"}}, "oomScoreAdj": 0, "args": []any{"sh"},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			have, err := ours(tc.status)
			if err != nil {
				t.Fatal(err)
			}
			got := process()
			reduce(got, have)
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("process (-want +got):\n%s", diff)
			}
		})
	}
}

func TestDocument(t *testing.T) {
	for name, tc := range map[string]struct {
		args     []string
		wantFile string
		wantTop  bool
	}{
		"create":                 {[]string{"--log", "x", "create", "--bundle", "/b", "id"}, "/b/config.json", false},
		"run here":               {[]string{"run", "id"}, "config.json", false},
		"exec":                   {[]string{"exec", "--process=/p", "--detach", "id"}, "/p", true},
		"exec without a file":    {[]string{"exec", "id", "sh"}, "", true},
		"what starts no process": {[]string{"delete", "id"}, "", false},
	} {
		t.Run(name, func(t *testing.T) {
			if file, top := document(tc.args); file != tc.wantFile || top != tc.wantTop {
				t.Errorf("document() = %q, %v, want %q, %v", file, top, tc.wantFile, tc.wantTop)
			}
		})
	}
}
