#!/usr/bin/env bash
# Copyright The netboot-operator Authors.
# SPDX-License-Identifier: Apache-2.0
#
# hack/demo.sh boots a machine in QEMU from bin/netboot in standalone mode: the whole way, without a cluster and without
# root (hack/assets.sh may need it once, for QEMU). The machine's console shows here; its initrd prints the kernel's
# command line and powers off. Ctrl-A X ends it early.
#
#   hack/demo.sh                  show it
#   hack/demo.sh --expect TEXT    for tests: exit 0 if TEXT shows on the console within 10 minutes, else 1
#
# The ports are those of make run: NETBOOT_TFTP_PORT (6969), NETBOOT_HTTP_PORT (8080), NETBOOT_METRICS_PORT (8081).
set -euo pipefail
cd "$(dirname "$0")/.."

expect=
case "${1:-}" in
  "") ;;
  --expect) expect=${2:?hack/demo.sh: --expect needs a text} ;;
  *)
    echo "usage: hack/demo.sh [--expect TEXT]" >&2
    exit 2
    ;;
esac
[ -x bin/netboot ] || {
  echo "hack/demo.sh: no bin/netboot: run make build" >&2
  exit 1
}
tftp=${NETBOOT_TFTP_PORT:-6969} http=${NETBOOT_HTTP_PORT:-8080} metrics=${NETBOOT_METRICS_PORT:-8081}
demo=build/demo

hack/assets.sh build/assets
go run ./hack/demo -out "$demo" -assets build/assets

data=$(mktemp -d) # new each time: no boot in it that is done already
server=
stop() {
  [ -z "$server" ] || kill "$server" 2>/dev/null || true
  [ -z "$server" ] || wait "$server" || true
  rm -rf "$data"
}
trap stop EXIT
bin/netboot serve --manifests "$demo/manifests" --files-dir "$demo/files" --loaders-dir "$demo/loaders" \
  --data-dir "$data" --tftp-bind-address "127.0.0.1:$tftp" --http-bind-address "127.0.0.1:$http" \
  --metrics-bind-address "127.0.0.1:$metrics" >"$demo/server.log" 2>&1 &
server=$!

give_up() {
  echo "hack/demo.sh: $1; the end of $demo/server.log:" >&2
  tail -n 20 "$demo/server.log" >&2
  exit 1
}
ready() { kill -0 "$server" 2>/dev/null && curl -fsS -o /dev/null "http://127.0.0.1:$metrics/readyz" 2>/dev/null; }
for _ in $(seq 600); do
  ready && break
  kill -0 "$server" 2>/dev/null || give_up "the server ended"
  sleep 0.1
done
ready || give_up "the server is not ready after a minute"

# In QEMU's user network the host is 10.0.2.2. The network card's ROM is iPXE, which can boot an http URL right away.
machine=(qemu-system-x86_64 -accel tcg -machine q35,graphics=off -m 1024 -nographic -no-reboot -boot reboot-timeout=1000
  -netdev "user,id=n0,bootfile=http://10.0.2.2:$http/boot.ipxe"
  -device virtio-net-pci,netdev=n0,mac=52:54:00:aa:bb:01,bootindex=1)
if [ -z "$expect" ]; then
  "${machine[@]}"
  exit 0
fi
timeout 600 "${machine[@]}" </dev/null | tee "$demo/console.log" || true # the console decides
grep -qaF -- "$expect" "$demo/console.log" || give_up "\"$expect\" did not show on the console"
