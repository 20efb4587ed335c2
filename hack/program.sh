#!/usr/bin/env bash
# Copyright The netboot-operator Authors.
# SPDX-License-Identifier: Apache-2.0
#
# hack/program.sh ARCHITECTURE VERSION FILE builds the program as it is released: static, stripped, with the version in it.
# hack/image.sh and the Dockerfile call it.
set -euo pipefail
cd "$(dirname "$0")/.."
[ $# = 3 ] || {
  echo "usage: hack/program.sh ARCHITECTURE VERSION FILE" >&2
  exit 2
}
# The version says what it is. What git adds would differ between a clone, an archive and the Dockerfile's copy.
CGO_ENABLED=0 GOOS=linux GOARCH=$1 go build -trimpath -buildvcs=false -ldflags "-s -w -X main.released=$2" -o "$3" ./cmd/netboot
