#!/usr/bin/env bash
# Copyright The netboot-operator Authors.
# SPDX-License-Identifier: Apache-2.0
#
# Prints a folder with the programs that a cluster made by kind takes: what drives it (kind, helm, kubectl) and, for
# hack/kind/node-image.sh, all that runs in it. They are built from Go modules, once for each set of versions (on top of
# what hack/controlplane.sh builds: six minutes on two cores). Progress goes to stderr.
#
#   hack/kind/programs.sh          all of them
#   hack/kind/programs.sh client   kind, helm and kubectl alone
set -euo pipefail
cd "$(dirname "$0")/../.."
what=${1:-all}

unset GOFLAGS # a -mod or -tags of the caller's would change what is built
controlplane=hack/controlplane tools=hack/cluster-tools
version() { go -C "$1" list -m -f '{{.Version}}' "$2"; }
kubernetes=$(version $controlplane k8s.io/kubernetes)
helm=$(version $tools helm.sh/helm/v4)
sources=$(cat $controlplane/go.mod $tools/go.mod $tools/*/main.go hack/kind/*/main.go hack/kind/programs.sh | sha256sum | cut -c 1-12)
folder=${NETBOOT_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/netboot-operator}/kind/programs-$kubernetes-$sources-$(go env GOARCH)

minor=${kubernetes#v1.} minor=${minor%%.*}
stamp="" # the same as in hack/controlplane.sh
for package in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
  for field in gitVersion="$kubernetes" gitMajor=1 gitMinor="$minor" gitTreeState=clean gitCommit=unknown buildDate=1970-01-01T00:00:00Z; do
    stamp+=" -X $package.$field"
  done
done

# build NAME MODULE PACKAGE [LDFLAGS] builds a program that is not there yet, atomically: a build may be cut short.
build() {
  [ ! -x "$folder/$1" ] || return 0
  echo "hack/kind/programs.sh: building $1" >&2
  CGO_ENABLED=0 go -C "$2" build -trimpath -ldflags "-s -w ${4:-}" -o "$folder/$1.new" "$3" >&2
  mv "$folder/$1.new" "$folder/$1"
}

mkdir -p "$folder"
exec 9>"$folder.lock"
flock 9
build kind $tools sigs.k8s.io/kind
build helm $tools helm.sh/helm/v4/cmd/helm "-X helm.sh/helm/v4/internal/version.version=$helm"
if [ "$what" = client ]; then
  build kubectl $controlplane k8s.io/kubernetes/cmd/kubectl "$stamp"
  echo "$folder"
  exit 0
fi
for program in kubectl kube-apiserver kubeadm kubelet kube-controller-manager kube-scheduler kube-proxy; do
  build $program $controlplane k8s.io/kubernetes/cmd/$program "$stamp"
done
build etcd $controlplane go.etcd.io/etcd/server/v3
build coredns $tools ./coredns
build crictl $tools ./crictl
build runc . ./hack/kind/runc
build pause . ./hack/kind/pause
echo "$folder"
