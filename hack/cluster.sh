#!/usr/bin/env bash
# Copyright The netboot-operator Authors.
# SPDX-License-Identifier: Apache-2.0
#
# Runs a real API server with the CRDs installed, to try things by hand, until Ctrl-C; prints what to type. It has no
# nodes and starts no pods, and what is stored in it ends with it. Needs no root.
set -euo pipefail
cd "$(dirname "$0")/.."
KUBEBUILDER_ASSETS=$(hack/controlplane.sh)
export KUBEBUILDER_ASSETS
go run ./hack/demo -out build/cluster -assets build/assets
mkdir -p bin
go build -o bin/cluster ./hack/cluster # and not go run, which would end before the servers have
exec bin/cluster -out build/cluster
