#!/usr/bin/env bash
# Copyright The netboot-operator Authors.
# SPDX-License-Identifier: Apache-2.0
#
# hack/licences.sh PROGRAM OUT writes to OUT the project's licence (copyright) and those of the modules that PROGRAM was
# built from (modules/NAME/LICENSE…): most of them want to be copied along. A module without one is an error.
# hack/image.sh and the Dockerfile call it.
set -euo pipefail
cd "$(dirname "$0")/.."
[ $# = 2 ] || {
  echo "usage: hack/licences.sh PROGRAM OUT" >&2
  exit 2
}
rm -rf "$2"
mkdir -p "$2"
install -m 644 LICENSE "$2/copyright"
[ ! -f "$(go env GOROOT)/LICENSE" ] || install -D -m 644 "$(go env GOROOT)/LICENSE" "$2/modules/std/LICENSE" # distributions keep it elsewhere
go version -m "$1" | awk '$1 == "dep" || $1 == "=>" { print $2 }' | while read -r module; do
  folder=$(go list -m -f '{{.Dir}}' "$module")
  found=
  for text in "$folder"/{LICEN[CS]E,COPYING,NOTICE,PATENTS}*; do
    [ -f "$text" ] || continue
    install -D -m 644 "$text" "$2/modules/$module/${text##*/}"
    [[ $text == */NOTICE* || $text == */PATENTS* ]] || found=yes
  done
  [ -n "$found" ] || {
    echo "hack/licences.sh: $module has no licence at its top" >&2
    exit 1
  }
done
