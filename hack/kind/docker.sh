#!/usr/bin/env bash
# Copyright The netboot-operator Authors.
# SPDX-License-Identifier: Apache-2.0
#
# hack/kind/docker.sh up | down | in COMMAND...
#
# A dockerd of our own in namespaces of its own: nothing listens on, or is routed to, this machine's network; and killing
# its first process ends all that runs in it. "in" runs a command of this machine in its network, which has the bridges
# of Docker's networks. For machines without a Docker that may start privileged containers; needs root and cgroup v1.
set -euo pipefail
cd "$(dirname "$0")/../.."
folder=${NETBOOT_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/netboot-operator}/kind/docker # not below build: Go walks that

fail() {
  echo "hack/kind/docker.sh: $*" >&2
  exit 1
}

answers() { docker -H "unix://$folder/docker.sock" version --format 'Docker {{.Server.Version}}' 2>/dev/null; }

up() {
  [ ! -e "$folder/pid" ] || fail "is up already; first: hack/kind.sh down"
  [ -d /sys/fs/cgroup/memory ] || fail "this machine has no cgroup v1: start its own Docker, and set KIND_IMAGE (hack/kind.sh)"
  rm -rf "$folder"
  mkdir -p "$folder"
  [ -d /lib/modules ] || { # kind mounts it into the nodes
    mkdir /lib/modules
    touch "$folder/made-modules"
  }
  setsid unshare --mount --net --pid --uts --ipc --cgroup --fork --kill-child --mount-proc \
    hack/kind/dockerd.sh "$folder" "$programs/runc" </dev/null >"$folder/init.log" 2>&1 &
  local parent=$! child
  for _ in $(seq 600); do
    child=$(pgrep -P "$parent" || true)
    [ -z "$child" ] || break
    sleep 0.1
  done
  echo "${child:?hack/kind/docker.sh: unshare started nothing}" >"$folder/pid"
  for _ in $(seq 1200); do
    ! answers || return 0
    [ -d "/proc/$child" ] || break
    sleep 0.1
  done
  tail -n 20 "$folder/init.log" "$folder/dockerd.log" >&2
  fail "dockerd does not answer"
}

down() {
  [ -e "$folder/pid" ] || return 0
  local pid
  pid=$(cat "$folder/pid")
  if grep -qzF hack/kind/dockerd.sh "/proc/$pid/cmdline" 2>/dev/null; then
    kill -9 "$pid"
    for _ in $(seq 600); do
      [ -d "/proc/$pid" ] || break
      sleep 0.1
    done
  fi
  # The groups of what ran there are empty now.
  find /sys/fs/cgroup -maxdepth 6 -name docker -type d 2>/dev/null | while read -r group; do
    find "$group" -depth -type d -exec rmdir {} + 2>/dev/null || true
  done
  [ ! -e "$folder/made-modules" ] || rmdir /lib/modules
  rm -rf "$folder"
}

case ${1:-} in
  up)
    programs=$(hack/kind/programs.sh)
    up
    ;;
  down) down ;;
  in)
    shift
    [ -e "$folder/pid" ] || fail "is not up; first: hack/kind.sh up"
    exec nsenter -t "$(cat "$folder/pid")" --net env DOCKER_HOST="unix://$folder/docker.sock" "$@"
    ;;
  *) fail "usage: up | down | in COMMAND..." ;;
esac
