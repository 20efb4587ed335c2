#!/usr/bin/env bash
# Copyright The netboot-operator Authors.
# SPDX-License-Identifier: Apache-2.0
#
# hack/krew.sh VERSION OUT [OS/ARCHITECTURE...] builds the kubectl plugin for each platform (default: all of hack/krew/netboot.yaml),
# and writes to OUT an archive for each, and netboot.yaml with their sums, for krew.
set -euo pipefail
cd "$(dirname "$0")/.."
[ $# -ge 2 ] || {
  echo "usage: hack/krew.sh VERSION OUT [OS/ARCHITECTURE...]" >&2
  exit 2
}
[[ $1 =~ ^v[0-9]+\.[0-9]+\.[0-9]+(-[0-9A-Za-z.-]+)?$ ]] || {
  echo "hack/krew.sh: VERSION=$1: must be as v1.2.3" >&2
  exit 2
}
version=$1 out=$2
shift 2
mapfile -t all < <(sed -n 's/.*{os: \([a-z]*\), arch: \([a-z0-9]*\)}.*/\1\/\2/p' hack/krew/netboot.yaml)
[ $# -gt 0 ] || set -- "${all[@]}"
mkdir -p "$out"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
sed "s/VERSION/$version/" hack/krew/netboot.yaml | sed '1,/^apiVersion/{/^#/d}' >"$work/netboot.yaml"
for platform in "$@"; do
  os=${platform%/*} arch=${platform#*/}
  [[ " ${all[*]} " == *" $platform "* ]] || {
    echo "hack/krew.sh: $platform: hack/krew/netboot.yaml does not have it" >&2
    exit 2
  }
  # The version says what it is, as in hack/program.sh.
  CGO_ENABLED=0 GOOS=$os GOARCH=$arch go build -trimpath -buildvcs=false -ldflags "-s -w -X main.released=$version" \
    -o "$work/$os-$arch/kubectl-netboot" ./cmd/kubectl-netboot
  install -m 644 LICENSE "$work/$os-$arch/LICENSE"
  archive=$out/kubectl-netboot_${os}_$arch.tar.gz
  tar --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner -C "$work/$os-$arch" -c LICENSE kubectl-netboot | gzip -n >"$archive"
  sum=$(sha256sum "$archive" | cut -d ' ' -f 1)
  sed -i "s/SUM-$os-$arch/$sum/" "$work/netboot.yaml"
done
install -m 644 "$work/netboot.yaml" "$out/netboot.yaml"
