#!/usr/bin/env bash
# Copyright The netboot-operator Authors.
# SPDX-License-Identifier: Apache-2.0
#
# Boots real firmware in QEMU from objects in a real API server, and puts the TFTP server in front of real clients. Needs
# root: it makes network namespaces.
set -euo pipefail
cd "$(dirname "$0")/.."
hack/assets.sh build/assets
KUBEBUILDER_ASSETS=$(hack/controlplane.sh)
export KUBEBUILDER_ASSETS
go test -tags e2e -count 1 -p 1 -timeout 30m -v "$@" ./test/e2e/... ./test/interop/...
