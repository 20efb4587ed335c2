#!/usr/bin/env bash
# Copyright The netboot-operator Authors.
# SPDX-License-Identifier: Apache-2.0
#
# hack/loaders.sh [OUT] fetches what the container image has of Debian (default OUT: build/loaders):
#
#   OUT/tree/       boot loaders of all architectures, their licences, certificate authorities: what goes into the image
#   OUT/packages    what they came from, in columns divided by tabs:
#                   package, version, architecture, release, source packages (a, b (= version)), licence
#
# hack/loaders.txt says which. Files keep their times: the same packages give the same image, and HTTP clients see when a
# loader is newer. Nothing is installed, and apt and dpkg keep their configuration: lists and packages of a foreign
# architecture live below OUT. Needs Debian's apt-get and dpkg-deb, no root. The packages come from the mirror that this
# machine's own sources name, or from DEBIAN_MIRROR and DEBIAN_SECURITY_MIRROR (on Ubuntu, say; then the package
# debian-archive-keyring must be there).
#
# What is there is kept: to get newer packages, remove OUT. hack/loaders.lock has the versions that docs/loaders.md tells.
set -euo pipefail
cd "$(dirname "$0")/.."

out=${1:-build/loaders}
list=hack/loaders.txt
releases=(bookworm trixie)
keyring=/usr/share/keyrings/debian-archive-keyring.gpg

fail() {
  echo "hack/loaders.sh: $*" >&2
  exit 1
}

if cmp -s "$list" "$out/list" && [ -s "$out/packages" ]; then
  exit 0
fi
command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || fail "needs Debian's apt-get and dpkg-deb"
[ -s "$keyring" ] || fail "no $keyring: install debian-archive-keyring"

# mirror DIST prints the URI of the first source of this machine whose distribution matches.
mirror() {
  apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' |
    awk -v "release=$1" '$2 ~ release && $3 == "main" { print $1; exit }'
}
pattern=$(IFS='|' && echo "${releases[*]}")
main=${DEBIAN_MIRROR:-$(mirror "^($pattern)\$")}
security=${DEBIAN_SECURITY_MIRROR:-$(mirror "^($pattern)-security\$")}
[ -n "$main" ] || fail "apt has no source for Debian's ${releases[*]}: set DEBIAN_MIRROR, and DEBIAN_SECURITY_MIRROR for fixes"

new=$out.new
rm -rf "$new"
mkdir -p "$new/debs" "$new/sources"
new=$(cd "$new" && pwd)
for release in "${releases[@]}"; do
  echo "deb [signed-by=$keyring] $main $release main"
  [ -z "$security" ] || echo "deb [signed-by=$keyring] $security $release-security main"
done >"$new/sources/debian.list"

# apt ARCHITECTURE RELEASE ARGUMENTS… runs apt-get as a machine of that architecture and release would, with a state of
# its own. RELEASE-security comes with it.
apt() {
  local architecture=$1 release=$2 state=$new/apt-$1
  shift 2
  if [ ! -d "$state" ]; then
    mkdir -p "$state/state/lists/partial" "$state/cache/archives/partial"
    touch "$state/status"
  fi
  apt-get -qq -o "APT::Architecture=$architecture" -o "APT::Architectures::=$architecture" \
    -o "APT::Default-Release=/^$release(-security)?\$/" -o APT::Sandbox::User= \
    -o "Dir::State=$state/state" -o "Dir::State::status=$state/status" -o "Dir::Cache=$state/cache" \
    -o Dir::Etc::sourcelist=/dev/null -o "Dir::Etc::sourceparts=$new/sources" -o Dir::Etc::preferencesparts=/dev/null \
    -o Acquire::Languages=none -o Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false "$@" >&2
}

echo "hack/loaders.sh: fetching boot loaders into $out" >&2
for architecture in amd64 arm64; do
  apt "$architecture" "${releases[0]}" update
done

# unpack PACKAGE LICENCE fetches a package, unpacks it to $new/unpacked and adds it to $new/packages and its licence to the
# tree.
unpack() {
  local name=$1 licence=$2 release=${1#*/} architecture=amd64 deb folder=$new/debs
  name=${name%/*}
  [ "${name#*:}" = "$name" ] || architecture=${name#*:}
  name=${name%:*}
  rm -rf "$new/unpacked" "$folder"
  mkdir -p "$folder"
  (cd "$folder" && apt "$architecture" "$release" download "$name") || fail "apt-get download $1: see above"
  deb=$(echo "$folder"/*.deb)
  dpkg-deb -x "$deb" "$new/unpacked"
  dpkg-deb -W --showformat='${Package}\t${Version}\t${Architecture}\t'"$release"'\t${source:Package} (= ${source:Version}), ${Built-Using}\t'"$licence"'\n' \
    "$deb" | sed 's/, \t/\t/' >>"$new/packages"
  local to=$new/tree/usr/share/doc/$name/copyright
  [ ! -e "$to" ] || cmp -s "$new/unpacked/usr/share/doc/$name/copyright" "$to" || to=$to.$release # the same of two releases
  install -D -p -m 644 "$new/unpacked/usr/share/doc/$name/copyright" "$to"
}

while read -r first second third; do
  case $first in
  "" | "#"*) ;;
  package)
    unpack "$second" "$third"
    case $second in
    base-files*) # the texts that the other packages' copyright files mean
      for licence in "$new"/unpacked/usr/share/common-licenses/{GPL,LGPL,MPL}-*; do
        install -D -p -m 644 "$licence" "$new/tree/usr/share/common-licenses/${licence##*/}"
      done
      ;;
    ca-certificates*)
      mkdir -p "$new/tree/etc/ssl/certs"
      cat "$new"/unpacked/usr/share/ca-certificates/mozilla/*.crt >"$new/tree/etc/ssl/certs/ca-certificates.crt"
      touch -r "$new/unpacked/usr/share/doc/ca-certificates/copyright" "$new/tree/etc/ssl/certs/ca-certificates.crt"
      ;;
    esac
    ;;
  *)
    [ -s "$new/unpacked/$second" ] || fail "$list: the package before $first has no $second"
    install -D -p -m 644 "$new/unpacked/$second" "$new/tree/usr/share/netboot/loaders/$first"
    ;;
  esac
done <"$list"

cp "$list" "$new/list"
rm -rf "$new"/{debs,sources,unpacked} "$new"/apt-* "$out"
mv "$new" "$out"
echo "hack/loaders.sh: ready: $(wc -l <"$out/packages") packages" >&2
if [ -f hack/loaders.lock ] && ! diff -u hack/loaders.lock "$out/packages" >&2; then
  echo "hack/loaders.sh: Debian has other versions than docs/loaders.md says (Others, or newer ones)" >&2
fi
