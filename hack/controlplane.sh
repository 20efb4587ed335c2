#!/usr/bin/env bash
# Copyright The netboot-operator Authors.
# SPDX-License-Identifier: Apache-2.0
#
# Prints a folder that holds etcd, kube-apiserver and kubectl, for tests that need a real API server.
#
#   export KUBEBUILDER_ASSETS=$(hack/controlplane.sh)
#
# In this order: the folder that KUBEBUILDER_ASSETS names; this script's cache; setup-envtest's download;
# a build from Go modules (about six minutes on two cores, once for each version). Progress goes to stderr.
set -euo pipefail
cd "$(dirname "$0")/controlplane"

if [ -n "${KUBEBUILDER_ASSETS:-}" ]; then
  echo "$KUBEBUILDER_ASSETS"
  exit 0
fi

unset GOFLAGS # a -mod or -tags of the caller's would change what is built
version() { go list -m -f '{{.Version}}' "$1"; }
kubernetes=$(version k8s.io/kubernetes)
etcd=$(version go.etcd.io/etcd/server/v3)
cache=${NETBOOT_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/netboot-operator}/controlplane/$kubernetes-etcd-$etcd-$(go env GOARCH)
complete() { [ -x "$1/etcd" ] && [ -x "$1/kube-apiserver" ] && [ -x "$1/kubectl" ]; }

mkdir -p "$(dirname "$cache")"
exec 9>"$cache.lock"
flock 9 # two test packages may ask at once; the second finds the first one's work
if complete "$cache"; then
  echo "$cache"
  exit 0
fi

minor=${kubernetes#v1.} minor=${minor%%.*}
if downloaded=$(cd .. && timeout 120 go tool -modfile=../tools.mod setup-envtest use "1.$minor" --print path 2>"$cache.download.log") &&
  complete "$downloaded"; then
  echo "$downloaded"
  exit 0
fi
echo "hack/controlplane.sh: no download of Kubernetes 1.$minor ($(tail -n 1 "$cache.download.log")); building $kubernetes and etcd $etcd" >&2

stamp=""
for package in k8s.io/component-base/version k8s.io/client-go/pkg/version; do # without it the API server says v0.0.0
  for field in gitVersion="$kubernetes" gitMajor=1 gitMinor="$minor" gitTreeState=clean gitCommit=unknown buildDate=1970-01-01T00:00:00Z; do
    stamp+=" -X $package.$field"
  done
done
new=$(mktemp -d "$cache.XXXXXX")
trap 'rm -rf "$new"' EXIT
export CGO_ENABLED=0
go build -trimpath -ldflags "-s -w" -o "$new/etcd" go.etcd.io/etcd/server/v3 >&2
go build -trimpath -ldflags "-s -w$stamp" -o "$new/" k8s.io/kubernetes/cmd/kube-apiserver k8s.io/kubernetes/cmd/kubectl >&2
chmod 755 "$new"
rm -rf "$cache"
mv "$new" "$cache"
trap - EXIT
echo "$cache"
