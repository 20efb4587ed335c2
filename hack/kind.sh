#!/usr/bin/env bash
# Copyright The netboot-operator Authors.
# SPDX-License-Identifier: Apache-2.0
#
# hack/kind.sh up | down | in COMMAND... | logs FOLDER
#
# A real cluster for tests: made by kind and kubeadm as they are, with a control plane and two workers.
#
#   KIND_IMAGE=kindest/node:v1.37.2 hack/kind.sh up    kind's image, in the Docker that runs here
#   hack/kind.sh up                                    an image of our own, in a dockerd of our own: for machines that
#                                                      reach no registry, or have no Docker (Debian, root, cgroup v1)
#
# "in" runs a command where the bridge of kind's network is, with kubectl, helm and kind in its PATH, and KUBECONFIG set.
set -euo pipefail
cd "$(dirname "$0")/.."
image=${KIND_IMAGE:-}
cluster=netboot-e2e # the name in hack/kind/cluster.yaml
kubeconfig=$PWD/build/kind/kubeconfig

# inside runs a command where Docker is.
inside() {
  if [ -n "$image" ]; then "$@"; else hack/kind/docker.sh in "$@"; fi
}

# install installs Debian packages that are missing.
install() {
  local package missing=()
  for package in "$@"; do
    [[ $(dpkg-query -W -f '${Status}' "$package" 2>/dev/null) == *" installed" ]] || missing+=("$package")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  echo "hack/kind.sh: installing ${missing[*]}" >&2
  apt-get update -qq >&2
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

up() {
  mkdir -p build/kind
  local retain=
  if [ -z "$image" ]; then
    [ "$(id -u)" = 0 ] || {
      echo "hack/kind.sh: a dockerd of our own needs root; or set KIND_IMAGE to use the Docker that runs here" >&2
      exit 1
    }
    install docker.io mmdebstrap
    hack/kind/docker.sh up
    retain=--retain # it goes with its Docker
    hack/kind/docker.sh in hack/kind/node-image.sh local.test/node:dev
  fi
  rm -f "$kubeconfig"
  inside "$programs/kind" create cluster --image "${image:-local.test/node:dev}" --config hack/kind/cluster.yaml \
    --kubeconfig "$kubeconfig" --wait 600s $retain
  inside "$programs/kubectl" --kubeconfig "$kubeconfig" wait --for=condition=Ready node --all --timeout=600s
}

case ${1:-} in
  up)
    programs=$(hack/kind/programs.sh ${image:+client})
    up
    ;;
  down)
    if [ -z "$image" ]; then
      hack/kind/docker.sh down
    else
      "$(hack/kind/programs.sh client)/kind" delete cluster --name $cluster
    fi
    rm -f "$kubeconfig"
    ;;
  in)
    shift
    programs=$(hack/kind/programs.sh ${image:+client})
    PATH=$programs:$PATH KUBECONFIG=$kubeconfig inside "$@"
    ;;
  logs)
    programs=$(hack/kind/programs.sh ${image:+client})
    inside "$programs/kind" export logs "${2:?hack/kind.sh logs needs a folder}" --name $cluster
    ;;
  *)
    echo "usage: hack/kind.sh up | down | in COMMAND... | logs FOLDER" >&2
    exit 2
    ;;
esac
