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
# The flags are those of make build, so that little is compiled anew. Boots go on beside each other (t.Parallel), packages
# don't: those of test/interop look at times and packets.
CGO_ENABLED=0 go test -trimpath -tags e2e -count 1 -p 1 -timeout 60m -v "$@" ./test/e2e/... ./test/interop/...
