#!/usr/bin/env bash
# Copyright The netboot-operator Authors.
# SPDX-License-Identifier: Apache-2.0
#
# Runs all tests but those with firmware, with the race detector. Tests that talk to an API server find it by
# KUBEBUILDER_ASSETS, here as in `go test` by hand (test/controlplane).
set -euo pipefail
cd "$(dirname "$0")/.."
KUBEBUILDER_ASSETS=$(hack/controlplane.sh)
export KUBEBUILDER_ASSETS
go test -race "$@" ./...
