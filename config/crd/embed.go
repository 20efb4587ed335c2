// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package crd carries the generated CustomResourceDefinitions, for programs and tests that need them without a checkout.
package crd

import (
	"embed"
	"fmt"
	"io/fs"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"sigs.k8s.io/yaml"
)

// Files are the definitions as controller-gen wrote them: bases/GROUP_PLURAL.yaml.
//
//go:embed bases/*.yaml
var Files embed.FS

// Definitions returns the definitions, decoded strictly, in the order of their file names. The caller may change them.
func Definitions() ([]*apiextensionsv1.CustomResourceDefinition, error) {
	names, err := fs.Glob(Files, "bases/*.yaml")
	if err != nil {
		return nil, fmt.Errorf("list the embedded CRDs: %w", err)
	}
	var all []*apiextensionsv1.CustomResourceDefinition
	for _, name := range names {
		text, err := Files.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("read embedded CRD: %w", err)
		}
		definition := &apiextensionsv1.CustomResourceDefinition{}
		if err := yaml.UnmarshalStrict(text, definition); err != nil {
			return nil, fmt.Errorf("decode embedded CRD %s: %w", name, err)
		}
		all = append(all, definition)
	}
	return all, nil
}
