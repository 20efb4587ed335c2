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
# The race detector would have each process sleep for a second before it ends, and tests start hundreds of them.
export GORACE="atexit_sleep_ms=0${GORACE:+ $GORACE}"
# A package takes four minutes at most on two idle processors; on busy ones, several times that.
go test -race -timeout 45m "$@" ./...
(cd hack/image && go test "$@" ./...) # has no goroutines
