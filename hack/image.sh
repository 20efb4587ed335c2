#!/usr/bin/env bash
# Copyright The netboot-operator Authors.
# SPDX-License-Identifier: Apache-2.0
#
# hack/image.sh [--sbom] writes the container image, without a container engine and without a registry:
#
#   build/image/oci/                         OCI layout: an index of all platforms
#   build/image/netboot-operator-ARCH.tar    an archive for each platform (docker load, ctr images import, kind load)
#   build/image/sbom-ARCH.cdx.json           with --sbom: what is in it (CycloneDX); needs a clone with git
#
# VERSION is the version and the tag (default v0.1.0-dev), PLATFORMS the platforms (default linux/amd64,linux/arm64).
# The same commit, loaders and Go give the same digest.
set -euo pipefail
cd "$(dirname "$0")/.."

version=${VERSION:-v0.1.0-dev}
platforms=${PLATFORMS:-linux/amd64,linux/arm64}
out=build/image

[[ $version =~ ^v[0-9]+\.[0-9]+\.[0-9]+(-[0-9A-Za-z.-]+)?$ ]] || {
  echo "hack/image.sh: VERSION=$version: want v, three numbers and perhaps a suffix: v1.2.3, v1.2.3-rc.1" >&2
  exit 1
}
# A copy without git has no commit to name; its files have no time that would be the same elsewhere.
revision=$(git rev-parse HEAD 2>/dev/null || true)
created=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || echo 0)}

hack/loaders.sh
mkdir -p "$out/bin"
programs=()
for platform in ${platforms//,/ }; do
  architecture=${platform#linux/}
  hack/program.sh "$architecture" "$version" "$out/bin/netboot-$architecture"
  programs+=(-program "$platform=$out/bin/netboot-$architecture")
done
hack/licences.sh "$out/bin/netboot-$architecture" "$out/licences"
(cd hack/image && go build -o "../../$out/bin/image" .)
"$out/bin/image" -out "$out" -version "$version" -revision "$revision" -created "$created" \
  -tree build/loaders/tree -licences "$out/licences" "${programs[@]}"

[ "${1:-}" = --sbom ] || exit 0
go build -modfile=tools.mod -o "$out/bin/cyclonedx-gomod" github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod
for platform in ${platforms//,/ }; do
  architecture=${platform#linux/}
  # Without times and serial numbers: the same image has the same SBOM.
  CGO_ENABLED=0 GOOS=linux GOARCH=$architecture GOFLAGS=-buildvcs=false "$out/bin/cyclonedx-gomod" app \
    -json -licenses -std -noserial -notimestamp -main cmd/netboot -output "$out/bin/program-$architecture.cdx.json" .
  "$out/bin/image" sbom -in "$out/bin/program-$architecture.cdx.json" -packages build/loaders/packages -version "$version" \
    -program "$platform=$out/bin/netboot-$architecture" -out "$out/sbom-$architecture.cdx.json"
  echo "$out/sbom-$architecture.cdx.json"
done
