// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Package manifest reads Machines, BootProfiles, ConfigMaps and Secrets from a folder of YAML or JSON files and judges
// them as an API server would: with the schemas, defaults and CEL rules of the CRDs, in the same words, but with the
// file, line and column of each fault.
//
// It knows one object at a time. What needs two, such as a profileRef that leads nowhere, is the resolver's concern.
//
// Its invariants:
//
//   - A [Set] holds only objects without a [Problem]; of an object that is defined twice it holds neither.
//   - Every Problem has a file; those within a document also have a line and a column, counted from 1 in the whole file.
//   - It follows links to files (a mounted ConfigMap is made of them), not links to folders, and skips hidden names.
package manifest
