#!/usr/bin/env bash
# Copyright The netboot-operator Authors.
# SPDX-License-Identifier: Apache-2.0
#
# Makes a cluster with kind (hack/kind.sh), loads the image, runs test/kind there, and removes the cluster. If a test fails,
# what pods and nodes have logged is in build/kind/logs. Arguments are the test's: -full, -test.run.
set -euo pipefail
cd "$(dirname "$0")/.."

leave() {
  local status=$?
  if [ $status != 0 ] && [ -e build/kind/kubeconfig ]; then
    hack/kind.sh in kubectl get all,events,machines,bootprofiles --all-namespaces -o wide >build/kind/logs/objects.log 2>&1 || true
    hack/kind.sh logs build/kind/logs >/dev/null 2>&1 || true
    echo "hack/e2e-kind.sh: see build/kind/logs" >&2
  fi
  hack/kind.sh down || status=1
  exit $status
}

step() {
  local begin=$SECONDS
  "$@"
  echo "hack/e2e-kind.sh: $* took $((SECONDS - begin)) s" >&2
}

mkdir -p build/kind
rm -rf build/kind/logs
mkdir build/kind/logs
step hack/assets.sh build/assets
step make image PLATFORMS=linux/amd64
step make bin/kubectl-netboot
step go test -c -tags kind -o build/kind/kind.test ./test/kind # here, where modules can be downloaded
trap leave EXIT
step hack/kind.sh up
step hack/kind.sh in kind load image-archive build/image/netboot-operator-amd64.tar --name netboot-e2e
step hack/kind.sh in env -C test/kind ../../build/kind/kind.test -test.v -test.timeout 60m "$@"
