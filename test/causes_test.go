// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package repo_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/netboot-operator/netboot-operator/pkg/attempt"
)

const causesHead = `# Why a machine did not boot

This page is made from pkg/attempt by a test. What is named here stands in status.lastBoot.cause of a Machine, with a sentence
about that boot in message and what was seen in evidence; in the condition Booted; and in the metric
netboot_boot_causes_total. kubectl netboot why MACHINE shows all of it.

A cause is named only when what was seen leaves no other one that is known. Else it is Unknown, which is better than wrong.
`

// TestCausesAreDocumented compares docs/causes.md with the causes.
func TestCausesAreDocumented(t *testing.T) {
	var page strings.Builder
	page.WriteString(causesHead)
	for _, c := range attempt.Causes() {
		page.WriteString("\n## " + string(c.ID) + "\n\n**" + c.Title + ".** " + c.Means + "\n\nWhat to do: " + c.WhatToDo + "\n")
	}
	file := filepath.Join("..", "docs", "causes.md")
	if *update {
		if err := os.WriteFile(file, []byte(page.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(read(t, "docs/causes.md"), page.String()); diff != "" {
		t.Errorf("docs/causes.md is not that of pkg/attempt (run make generate):\n%s", diff)
	}
}
