// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"testing"

	"sigs.k8s.io/controller-runtime/pkg/client"
)

func TestFill(t *testing.T) {
	a := fillKey{kindMachine, client.ObjectKey{Namespace: "lab", Name: "a"}}
	b := fillKey{kindBootProfile, client.ObjectKey{Namespace: "lab", Name: "a"}} // the kind tells them apart
	for name, tc := range map[string]struct {
		before, after []fillKey
		expected      []fillKey
		wantDone      bool
	}{
		"nothing to wait for":                  {wantDone: true},
		"all handled before the list was made": {before: []fillKey{a, b}, expected: []fillKey{a, b}, wantDone: true},
		"all handled after it":                 {expected: []fillKey{a, b}, after: []fillKey{b, a, a}, wantDone: true},
		"one before and one after":             {before: []fillKey{a}, expected: []fillKey{a, b}, after: []fillKey{b}, wantDone: true},
		"one is missing":                       {before: []fillKey{a}, expected: []fillKey{a, b}, after: []fillKey{a}},
		"another object is no replacement":     {expected: []fillKey{a}, after: []fillKey{b}},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFill()
			for _, k := range tc.before {
				f.note(k.kind, k.ObjectKey)
			}
			f.expect(tc.expected)
			for _, k := range tc.after {
				f.note(k.kind, k.ObjectKey)
			}
			done := false
			select {
			case <-f.done:
				done = true
			default:
			}
			if done != tc.wantDone {
				t.Errorf("done is %v, want %v", done, tc.wantDone)
			}
		})
	}
}
