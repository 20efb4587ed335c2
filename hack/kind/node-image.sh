#!/usr/bin/env bash
# Copyright The netboot-operator Authors.
# SPDX-License-Identifier: Apache-2.0
#
# hack/kind/node-image.sh NAME makes the image of a node, for a kind that can't pull one, in the Docker that DOCKER_HOST
# names. It is Debian with systemd and containerd, Kubernetes built from Go modules, hack/kind/node, and as images all that
# kubeadm runs. It is kept as an archive beside the programs and made anew when one of them changes.
set -euo pipefail
cd "$(dirname "$0")/../.."
name=$1
programs=$(hack/kind/programs.sh)
cache=$(dirname "$programs")
packages=systemd,systemd-sysv,containerd,runc,containernetworking-plugins,iproute2,iptables,nftables,conntrack,ethtool
packages+=,socat,util-linux,mount,kmod,procps,jq,ca-certificates,e2fsprogs
sum=$( (basename "$programs" && cat hack/kind/node-image.sh && cd hack/kind/node && find . -type f | LC_ALL=C sort | xargs sha256sum) |
  sha256sum | cut -c 1-12)
archive=$cache/node-$sum.tar

# base FILE writes Debian's part, with libraries for the image of kube-proxy in it, as a tar archive.
base() {
  local sources=/etc/apt/sources.list
  [ ! -e /etc/apt/sources.list.d/debian.sources ] || sources=/etc/apt/sources.list.d/debian.sources
  echo "hack/kind/node-image.sh: fetching Debian's packages" >&2
  mmdebstrap --quiet --variant=minbase --mode=root --aptopt='APT::Install-Recommends "false"' \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' --include="$packages" bookworm "$1" "$sources"
}

# image NAME FOLDER [ENTRYPOINT] makes an image of a folder and puts its archive where the node finds it.
image() {
  tar -C "$2" -c --owner 0 --group 0 . | docker import ${3:+--change "ENTRYPOINT [\"$3\"]"} - "$1" >/dev/null
  docker save -o "$root/kind/images/$(basename "${1%%:*}").tar" "$1"
  docker image rm "$1" >/dev/null
  rm -rf "$2"
}

# images makes the images that kubeadm names, of the programs, under those very names.
images() {
  local names program stage=$work/stage tables=/usr/sbin/xtables-nft-multi file
  names=$("$programs/kubeadm" config images list --kubernetes-version "$version")
  named() { grep "/$1:" <<<"$names"; }
  for program in kube-apiserver kube-controller-manager kube-scheduler etcd; do
    install -D "$programs/$program" "$stage/usr/local/bin/$program"
    image "$(named $program)" "$stage"
  done
  install -D "$programs/pause" "$stage/pause"
  image "$(named pause)" "$stage" /pause
  install -D "$programs/coredns" "$stage/coredns"
  install -D -m 644 "$root/etc/ssl/certs/ca-certificates.crt" "$stage/etc/ssl/certs/ca-certificates.crt"
  image "$(named coredns)" "$stage" /coredns
  # kube-proxy calls nft or iptables; these load extensions, which have libraries of their own.
  install -D "$programs/kube-proxy" "$stage/usr/local/bin/kube-proxy"
  (
    cd "$root"
    extensions=$(ls usr/lib/*/xtables/*.so | sed s,^,/,)
    for file in /usr/sbin/nft $tables $extensions $(chroot . ldd /usr/sbin/nft $tables $extensions | grep -o '/lib[^ :]*' | sort -u); do
      [ -e "$stage$file" ] || install -D ".$file" "$stage$file"
    done
  )
  for file in iptables iptables-save iptables-restore ip6tables ip6tables-save ip6tables-restore; do
    ln -s xtables-nft-multi "$stage/usr/sbin/$file"
  done
  image "$(named kube-proxy)" "$stage"
  sed -i "s,PAUSE,$(named pause)," "$root/etc/containerd/config.toml"
}

# units leaves in systemd only the journal, containerd, the kubelet and the pods' network: the others touch the machine.
units() {
  local system=$root/lib/systemd/system own=$root/etc/systemd/system unit
  rm -f "$system"/*.wants/* "$own"/*.wants/* "$root"/lib/systemd/system-generators/* "$root/etc/machine-id"
  ln -s ../systemd-journald.socket ../systemd-journald-dev-log.socket "$system/sockets.target.wants/"
  ln -s ../systemd-journald.service "$system/sysinit.target.wants/"
  mkdir -p "$own/multi-user.target.wants"
  for unit in containerd kubelet pod-network; do
    ln -s "/etc/systemd/system/$unit.service" "$own/multi-user.target.wants/"
  done
  ln -sf /lib/systemd/system/multi-user.target "$own/default.target"
  for unit in binfmt sysctl timesyncd logind udevd modules-load networkd resolved; do
    ln -sf /dev/null "$own/systemd-$unit.service"
  done
}

if [ ! -e "$archive" ]; then
  work=$(mktemp -d "$cache/node.XXXXXX")
  trap 'rm -rf "$work"' EXIT
  root=$work/root
  mkdir "$root"
  debian=$cache/debian-$(sha256sum <<<"$packages" | cut -c 1-12).tar
  if [ ! -e "$debian" ]; then
    base "$work/debian.tar"
    mv "$work/debian.tar" "$debian"
  fi
  tar -C "$root" -xf "$debian" --numeric-owner
  cp -r hack/kind/node/. "$root/"
  chmod 755 "$root"/kind/bin/*
  version=$("$programs/kubelet" --version | sed 's/.* //')
  echo -n "$version" >"$root/kind/version"
  install -m 755 "$programs"/{kubelet,kubectl,kubeadm,crictl} "$root/usr/bin/"
  mkdir -p "$root/kind/images" "$root/etc/kubernetes/manifests"
  images
  units
  rm -rf "$root"/var/cache/apt/* "$root"/var/lib/apt/lists/*
  rm -f "$cache"/node-*.tar # of earlier versions: each is a gigabyte
  tar -C "$root" -c --numeric-owner -f "$work/node.tar" .
  mv "$work/node.tar" "$archive"
fi
docker import --change 'ENTRYPOINT ["/kind/bin/entrypoint","/sbin/init"]' --change 'ENV container=docker' \
  --change 'ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' - "$name" <"$archive" >/dev/null
