#!/usr/bin/env bash
# Copyright The netboot-operator Authors.
# SPDX-License-Identifier: Apache-2.0
#
# Checks the alerts of the chart with Prometheus' own promtool: that they can be read, and that each is raised by the series in
# test/alerts/testdata/alerts.yaml, and not by others. promtool comes from Debian's package, which is only unpacked, into
# build/promtool. Needs Debian's apt-get and dpkg, no root when apt knows the package.
set -euo pipefail
cd "$(dirname "$0")/.."
tool=build/promtool
rules=charts/netboot-operator/files/rules/netboot-operator.yaml

fetch() { (cd "$tool.new" && apt-get download -qq -o APT::Sandbox::User=root prometheus >&2); }

if [ ! -x $tool/usr/bin/promtool ]; then
  command -v apt-get >/dev/null && command -v dpkg >/dev/null || {
    echo "hack/alerts.sh: needs Debian's apt-get and dpkg" >&2
    exit 1
  }
  rm -rf $tool $tool.new
  mkdir -p $tool.new
  if ! fetch 2>/dev/null; then # apt does not know the package, or knows one that the archive has no more
    if [ "$(id -u)" = 0 ]; then apt-get update -qq; else sudo apt-get update -qq; fi >&2
    fetch
  fi
  dpkg -x $tool.new/prometheus_*.deb $tool.new
  rm $tool.new/prometheus_*.deb
  mv $tool.new $tool
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp $rules test/alerts/testdata/alerts.yaml "$work" # the latter names the former, beside it
promtool=$PWD/$tool/usr/bin/promtool
cd "$work"
"$promtool" check rules netboot-operator.yaml
"$promtool" test rules alerts.yaml
