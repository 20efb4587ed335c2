// Copyright The netboot-operator Authors.
// SPDX-License-Identifier: Apache-2.0

// Command image writes the container image without a container engine and without a registry. hack/image.sh calls it with
// programs and folders that are ready; docs/decisions/0016-image-without-docker.md says why.
//
//	image   OUT/oci, an OCI layout with an index of all platforms, and OUT/netboot-operator-ARCH.tar, an archive for each
//	sbom    adds the Debian packages and the image to an SBOM of the program (CycloneDX)
//
// The same input gives the same digest: files are sorted, have the modes and owners of this package, and times that come
// from the input. What the image is made of beside its files (Config) is what the Dockerfile says, too; a test compares.
package main
