#!/usr/bin/env bash
# Copyright The netboot-operator Authors.
# SPDX-License-Identifier: Apache-2.0
#
# Serves the samples standalone on ports that need no root, and prints how to try it.
set -euo pipefail
cd "$(dirname "$0")/.."
tftp=${NETBOOT_TFTP_PORT:-6969} http=${NETBOOT_HTTP_PORT:-8080} metrics=${NETBOOT_METRICS_PORT:-8081}
go run ./hack/demo -out build/demo -assets build/assets

cat <<TEXT

Serving the samples of build/demo/manifests (Ctrl-C ends it). In another terminal:

  curl tftp://127.0.0.1:$tftp/pxelinux.cfg/01-52-54-00-aa-bb-01      # what PXELINUX gets
  curl tftp://127.0.0.1:$tftp/grub/grub.cfg-52:54:00:aa:bb:01        # what GRUB gets
  curl 'http://127.0.0.1:$http/ipxe?mac=52-54-00-aa-bb-01'           # what iPXE gets
  curl -O http://127.0.0.1:$http/artifacts/sha256/$(sha256sum build/demo/files/vmlinuz | cut -c 1-64)/vmlinuz
  curl http://127.0.0.1:$metrics/apis/netboot.dev/v1alpha1/namespaces/default/machines/node-01

Edit build/demo/manifests/demo.yaml and ask again. \`make demo\` boots the machine in QEMU.

TEXT
exec bin/netboot serve --manifests build/demo/manifests --files-dir build/demo/files --loaders-dir build/demo/loaders \
  --data-dir build/demo/data --tftp-bind-address "[::]:$tftp" --http-bind-address "[::]:$http" \
  --metrics-bind-address "127.0.0.1:$metrics"
