// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"debug/buildinfo"
	"encoding/json"
	"runtime/debug"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// programBOM is in the shape that cyclonedx-gomod writes.
const programBOM = `{
  "bomFormat": "CycloneDX", "specVersion": "1.6", "version": 1,
  "metadata": {"tools": [{"name": "cyclonedx-gomod"}], "component": {
    "bom-ref": "pkg:golang/example.org/netboot@v0.0.0-2026#cmd/netboot", "type": "application", "name": "example.org/netboot",
    "version": "v0.0.0-2026", "purl": "pkg:golang/example.org/netboot@v0.0.0-2026#cmd/netboot"}},
  "components": [{"bom-ref": "a", "type": "library", "name": "example.org/a", "version": "v1.0.0"}],
  "dependencies": [{"ref": "pkg:golang/example.org/netboot@v0.0.0-2026#cmd/netboot", "dependsOn": ["a"]}, {"ref": "a"}]
}`

const packagesOfDebian = "grub-efi-amd64-signed\t1+2.06+13\tamd64\tbookworm\tgrub-efi-amd64-signed (= 1+2.06+13), grub2 (= 2:2.06-13)\tGPL-3.0-or-later\n"

func TestSBOM(t *testing.T) {
	b, err := parseBOM([]byte(programBOM))
	if err != nil {
		t.Fatal(err)
	}
	packages, err := parsePackages(packagesOfDebian)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.describeImage("v1.2.3", "amd64", packages); err != nil {
		t.Fatal(err)
	}
	text, err := b.marshal()
	if err != nil {
		t.Fatal(err)
	}
	const (
		image   = "pkg:oci/netboot-operator@v1.2.3?arch=amd64&repository_url=ghcr.io%2Fnetboot-operator%2Fnetboot-operator"
		program = "pkg:golang/example.org/netboot@v1.2.3?goarch=amd64&goos=linux&type=module#cmd/netboot"
		grub    = "pkg:deb/debian/grub-efi-amd64-signed@1%2B2.06%2B13?arch=amd64&distro=debian-bookworm"
	)
	want := map[string]any{
		"bomFormat": "CycloneDX", "specVersion": "1.6", "version": 1.0,
		"metadata": map[string]any{
			"tools": []any{map[string]any{"name": "cyclonedx-gomod"}},
			"component": map[string]any{
				"bom-ref": image, "type": "container", "name": "ghcr.io/netboot-operator/netboot-operator", "version": "v1.2.3", "purl": image,
			},
		},
		"components": []any{
			map[string]any{"bom-ref": program, "type": "application", "name": "example.org/netboot", "version": "v1.2.3", "purl": program},
			map[string]any{"bom-ref": "a", "type": "library", "name": "example.org/a", "version": "v1.0.0"},
			map[string]any{
				"bom-ref": grub, "type": "library", "name": "grub-efi-amd64-signed", "version": "1+2.06+13", "purl": grub,
				"licenses": []any{map[string]any{"license": map[string]any{"id": "GPL-3.0-or-later"}}},
				"externalReferences": []any{
					map[string]any{"type": "source-distribution", "url": "https://snapshot.debian.org/package/grub-efi-amd64-signed/1+2.06+13/"},
					map[string]any{"type": "source-distribution", "url": "https://snapshot.debian.org/package/grub2/2:2.06-13/"},
				},
			},
		},
		"dependencies": []any{
			map[string]any{"ref": program, "dependsOn": []any{"a"}},
			map[string]any{"ref": "a"},
			map[string]any{"ref": grub},
			map[string]any{"ref": image, "dependsOn": []any{program, grub}},
		},
	}
	var got map[string]any
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("SBOM (-want +got):\n%s", diff)
	}
}

func TestSBOMMisses(t *testing.T) {
	b, err := parseBOM([]byte(programBOM))
	if err != nil {
		t.Fatal(err)
	}
	built := &buildinfo.BuildInfo{Deps: []*debug.Module{
		{Path: "example.org/a", Version: "v1.0.0"}, {Path: "example.org/b", Version: "v1.0.0"}, {Path: "example.org/a", Version: "v2.0.0"},
	}}
	want := []string{"example.org/a@v2.0.0", "example.org/b@v1.0.0"}
	if diff := cmp.Diff(want, b.misses(built)); diff != "" {
		t.Errorf("modules that are missing (-want +got):\n%s", diff)
	}
}

func TestBadSBOMInput(t *testing.T) {
	for name, tc := range map[string]struct{ packages, bom, wantErr string }{
		"no packages":       {"", programBOM, "it is empty"},
		"a column too few":  {"a\t1\tall\tbookworm\ta (= 1)\n", programBOM, "want six columns"},
		"an empty version":  {"a\t\tall\tbookworm\ta (= 1)\tMIT\n", programBOM, "want six columns"},
		"a bare source":     {"a\t1\tall\tbookworm\ta\tMIT\n", programBOM, `source "a": want NAME (= VERSION)`},
		"an SBOM of naught": {packagesOfDebian, `{"metadata": {}}`, "it is of no component"},
		"no JSON":           {packagesOfDebian, `<bom>`, "invalid character"},
	} {
		t.Run(name, func(t *testing.T) {
			err := func() error {
				packages, err := parsePackages(tc.packages)
				if err != nil {
					return err
				}
				b, err := parseBOM([]byte(tc.bom))
				if err != nil {
					return err
				}
				return b.describeImage("v1.2.3", "amd64", packages)
			}()
			if err == nil || !strings.Contains(err.Error(), tc.wantErr) {
				t.Errorf("error = %v, want one with %q", err, tc.wantErr)
			}
		})
	}
}
