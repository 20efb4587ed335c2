#!/usr/bin/env bash
# Copyright The netboot-operator Authors.
# SPDX-License-Identifier: Apache-2.0
#
# hack/bench-http.sh [FLAG...] measures our HTTP server against Debian's nginx, and prints a table in markdown. See
# docs/benchmarks.md; the flags are those of "go run ./test/bench/http -h". Needs Debian, and root: it makes a network
# namespace.
set -euo pipefail
cd "$(dirname "$0")/.."

# nginx is only unpacked, with the libraries that a host may lack: installed it would start at once.
packages=(nginx nginx-common libcrypt1 libpcre2-8-0 libssl3 zlib1g)
out=build/bench

fail() {
  echo "hack/bench-http.sh: $*" >&2
  exit 1
}

# download fetches the packages into the folder $out/nginx-debs; apt's own user could not write there.
download() {
  rm -rf $out/nginx-debs
  mkdir -p $out/nginx-debs
  (cd $out/nginx-debs && apt-get download -qq -o APT::Sandbox::User=root "${packages[@]}" >&2)
}

[ "$(id -u)" = 0 ] || fail "needs root: it makes a network namespace"
command -v apt-get >/dev/null || fail "needs Debian: it compares with Debian's nginx"
if ! command -v unshare >/dev/null || ! command -v ip >/dev/null; then
  apt-get update -qq >&2
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends iproute2 util-linux >/dev/null
fi
if [ ! -d $out/nginx ]; then
  download || { apt-get update -qq >&2 && download; }
  rm -rf $out/nginx.new
  for deb in $out/nginx-debs/*.deb; do
    dpkg -x "$deb" $out/nginx.new
  done
  mv $out/nginx.new $out/nginx
fi
CGO_ENABLED=0 go build -trimpath -o $out/bin/http ./test/bench/http

libraries=$(find "$PWD/$out/nginx" -name '*.so*' -printf '%h\n' | sort -u | paste -sd:)
# shellcheck disable=SC2016 # $@ is for the shell in the namespace
exec unshare --net --pid --fork --kill-child --mount-proc bash -euc 'ip link set lo up; "$@"' bench-http \
  "$out/bin/http" -work "$out" -commit "$(git describe --always --dirty 2>/dev/null || true)" -netboot bin/netboot \
  -nginx "$out/nginx/usr/sbin/nginx" -mime "$PWD/$out/nginx/etc/nginx/mime.types" -libraries "$libraries" "$@"
