// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"testing"

	"github.com/netboot-operator/netboot-operator/api/manifest"
	"github.com/netboot-operator/netboot-operator/api/v1alpha1"
	"github.com/netboot-operator/netboot-operator/pkg/index"
)

func TestKeepLastGood(t *testing.T) {
	for name, tc := range map[string]struct {
		problem  *manifest.Problem // nil: none
		wantKept bool
	}{
		"gone without a problem: deleted":       {},
		"its file has a problem":                {&manifest.Problem{File: "lab/rack-1/n7.yaml", Line: 3}, true},
		"it has a problem itself, elsewhere":    {&manifest.Problem{File: "other.yaml", Object: "Machine lab/n7"}, true},
		"its folder can't be read":              {&manifest.Problem{File: "lab/rack-1"}, true},
		"a folder further up can't be read":     {&manifest.Problem{File: "lab"}, true},
		"nothing can be read":                   {&manifest.Problem{File: "."}, true},
		"another file has a problem":            {&manifest.Problem{File: "lab/rack-1/n8.yaml"}, false},
		"another folder can't be read":          {&manifest.Problem{File: "lab/rack"}, false},
		"the profile of the same name is wrong": {&manifest.Problem{File: "other.yaml", Object: "BootProfile lab/n7"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			var problems []manifest.Problem
			if tc.problem != nil {
				problems = append(problems, *tc.problem)
			}
			before := map[index.Key]*v1alpha1.Machine{"lab/n7": someMachine()}
			now, files := map[index.Key]*v1alpha1.Machine{}, map[string]string{}
			keepLastGood(kindMachine, now, before, files, map[string]string{"Machine lab/n7": "lab/rack-1/n7.yaml"}, problems)
			if kept := now["lab/n7"] != nil; kept != tc.wantKept || kept != (files["Machine lab/n7"] != "") {
				t.Errorf("kept is %v, its file %q, want kept: %v", kept, files["Machine lab/n7"], tc.wantKept)
			}
		})
	}
}
