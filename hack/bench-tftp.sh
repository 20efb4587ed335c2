#!/usr/bin/env bash
# Copyright The netboot-operator Authors.
# SPDX-License-Identifier: Apache-2.0
#
# hack/bench-tftp.sh [FLAG...] measures our TFTP server against Debian's and pin/tftp, and prints tables in markdown. See
# docs/benchmarks.md; the flags are those of "go run ./test/bench/tftp run -h". Needs Debian, and root: it makes a network
# namespace.
set -euo pipefail
cd "$(dirname "$0")/.."

# Installed are libraries and tools; the servers are only unpacked: the packages of two of them exclude each other, and
# installed they would start at once.
tools=(dnsmasq-base iproute2 libpcre2-8-0 libwrap0 python3-minimal util-linux)
servers=(tftpd-hpa atftpd python3-fbtftp)
out=build/bench

fail() {
  echo "hack/bench-tftp.sh: $*" >&2
  exit 1
}

updated=
update_lists() {
  [ -n "$updated" ] || apt-get update -qq >&2
  updated=yes
}

# download fetches the servers' packages into the folder $out/debs; apt's own user could not write there.
download() {
  rm -rf $out/debs
  mkdir -p $out/debs
  (cd $out/debs && apt-get download -qq -o APT::Sandbox::User=root "${servers[@]}" >&2)
}

[ "$(id -u)" = 0 ] || fail "needs root: it makes a network namespace for servers on port 69"
command -v apt-get >/dev/null || fail "needs Debian: it compares with Debian's servers"

missing=()
for package in "${tools[@]}"; do
  [[ $(dpkg-query -W -f '${Status}' "$package" 2>/dev/null) == *" installed" ]] || missing+=("$package")
done
if [ ${#missing[@]} -gt 0 ]; then
  update_lists
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi
if [ ! -d $out/root ]; then
  download || { update_lists && download; }
  for deb in $out/debs/*.deb; do
    dpkg -x "$deb" $out/root.new
  done
  mv $out/root.new $out/root
fi

for package in examples/directory test/bench/pinserver test/bench/tftp; do
  CGO_ENABLED=0 go build -trimpath -o "$out/bin/${package##*/}" "./$package"
done

# shellcheck disable=SC2016 # $@ is for the shell in the namespace
exec unshare --net --pid --fork --kill-child --mount-proc bash -euc '
  ip link set lo up
  ip address add 192.0.2.69/32 dev lo # in.tftpd resolves no IPv4 address on a host that has none but 127.0.0.0/8
  export PYTHONPATH='"$out"'/root/usr/lib/python3/dist-packages PYTHONDONTWRITEBYTECODE=1
  "$@"' bench-tftp "$out/bin/tftp" run -work "$out" \
  -commit "$(git describe --always --dirty 2>/dev/null || true)" -directory "$out/bin/directory" -netboot bin/netboot -pin "$out/bin/pinserver" \
  -tftpd-hpa "$out/root/usr/sbin/in.tftpd" -atftpd "$out/root/usr/sbin/atftpd" -dnsmasq "$(command -v dnsmasq || echo /usr/sbin/dnsmasq)" \
  -fbtftp test/bench/fbtftp_directory.py "$@"
