#!/usr/bin/env bash
# Copyright The netboot-operator Authors.
# SPDX-License-Identifier: Apache-2.0
#
# hack/kind/dockerd.sh FOLDER RUNC is the first process in the namespaces that hack/kind/docker.sh makes: it mounts what
# dockerd needs, starts it, and waits for orphans.
set -euo pipefail
folder=$1 runc=$2
trap : TERM INT

mount -t sysfs sysfs /sys
mount -t tmpfs cgroup /sys/fs/cgroup
awk '!/^#/ && $2 > 0 {print $1}' /proc/cgroups | while read -r controller; do
  mkdir "/sys/fs/cgroup/$controller"
  mount -t cgroup -o "$controller" cgroup "/sys/fs/cgroup/$controller" || rmdir "/sys/fs/cgroup/$controller"
done
mkdir /sys/fs/cgroup/systemd
mount -t cgroup -o none,name=systemd cgroup /sys/fs/cgroup/systemd
mount -t tmpfs run /run
mount --make-rshared /
ip link set lo up
echo 1 >/proc/sys/net/ipv4/ip_forward

# The addresses are for documentation and benchmarks: nobody routes to them.
dockerd --data-root "$folder/data" --exec-root /run/docker --pidfile /run/docker.pid -H "unix://$folder/docker.sock" \
  --bip 198.18.0.1/24 --default-address-pool base=198.51.100.0/24,size=25 --default-cgroupns-mode private \
  --add-runtime "ours=$runc" --default-runtime ours >"$folder/dockerd.log" 2>&1 &
while :; do
  wait || true
  sleep 1
done
