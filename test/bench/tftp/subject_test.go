// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"path/filepath"
	"testing"

	"github.com/netboot-operator/netboot-operator/api/manifest"
)

// TestProfileIsAdmitted holds the manifest for "netboot serve" against the rules of the API.
func TestProfileIsAdmitted(t *testing.T) {
	work := t.TempDir()
	if err := writeProfile(work, t.TempDir()); err != nil {
		t.Fatal(err)
	}
	validator, err := manifest.NewValidator()
	if err != nil {
		t.Fatal(err)
	}
	set, problems, err := validator.Load(t.Context(), filepath.Join(work, "manifests"))
	if err != nil || len(problems) != 0 || len(set.BootProfiles) != 1 {
		t.Errorf("%d profiles, problems %v, %v", len(set.BootProfiles), problems, err)
	}
}
