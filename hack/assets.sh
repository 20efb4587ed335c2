#!/usr/bin/env bash
# Copyright The netboot-operator Authors.
# SPDX-License-Identifier: Apache-2.0
#
# hack/assets.sh [OUT] prepares what the firmware tests and the demo boot (default OUT: build/assets):
#
#   OUT/loaders/   boot loaders, under the names that firmware asks for
#   OUT/files/     vmlinuz; initrd.img, which prints the kernel's command line and powers off; second.img, which only the
#                  former looks for; installer.img, which does what the kernel's command line says
#   OUT/packages   the Debian packages and versions that they came from
#
# All of it comes from Debian's packages. Tools are installed (root or sudo; only what is missing), loaders and the
# kernel are only unpacked. What is there is kept: a prepared machine needs neither network nor root. To get newer
# packages, remove OUT.
set -euo pipefail

out=${1:-$(dirname "$0")/../build/assets}
tools=(qemu-system-x86 ovmf ipxe-qemu dnsmasq-base iproute2 busybox-static cpio curl tftp-hpa atftp nftables ethtool)
unpacked=(pxelinux syslinux-common ipxe grub-efi-amd64-signed grub-efi-amd64-bin shim-signed)

# The kernel's modules for QEMU's virtio-net, in the order in which they load.
modules=(
  drivers/virtio/virtio_ring drivers/virtio/virtio drivers/virtio/virtio_pci_legacy_dev drivers/virtio/virtio_pci_modern_dev
  drivers/virtio/virtio_pci net/core/failover drivers/net/net_failover drivers/net/virtio_net
)

# "name in OUT/loaders: path in the unpacked packages"
loaders=(
  pxelinux.0:usr/lib/PXELINUX/pxelinux.0
  lpxelinux.0:usr/lib/PXELINUX/lpxelinux.0
  ldlinux.c32:usr/lib/syslinux/modules/bios/ldlinux.c32
  libcom32.c32:usr/lib/syslinux/modules/bios/libcom32.c32
  libutil.c32:usr/lib/syslinux/modules/bios/libutil.c32
  menu.c32:usr/lib/syslinux/modules/bios/menu.c32
  chain.c32:usr/lib/syslinux/modules/bios/chain.c32
  reboot.c32:usr/lib/syslinux/modules/bios/reboot.c32
  undionly.kpxe:usr/lib/ipxe/undionly.kpxe
  ipxe.efi:boot/ipxe.efi
  snponly.efi:usr/lib/ipxe/snponly.efi
  grubnetx64.efi:usr/lib/grub/x86_64-efi/monolithic/grubnetx64.efi
  grubnetx64.efi.signed:usr/lib/grub/x86_64-efi-signed/grubnetx64.efi.signed
  grubx64.efi:usr/lib/grub/x86_64-efi-signed/grubnetx64.efi.signed # the name that shim asks for
  shimx64.efi:usr/lib/shim/shimx64.efi.signed
  shimx64.efi.signed:usr/lib/shim/shimx64.efi.signed
)

fail() {
  echo "hack/assets.sh: $*" >&2
  exit 1
}

as_root() {
  if [ "$(id -u)" = 0 ]; then
    "$@"
  elif command -v sudo >/dev/null; then
    sudo "$@"
  else
    fail "not root and no sudo. Run as root: apt-get update && $*"
  fi
}

updated=
update_lists() {
  [ -n "$updated" ] || as_root apt-get update -qq >&2
  updated=yes
}

install_tools() {
  local package missing=()
  for package in "${tools[@]}"; do
    [[ $(dpkg-query -W -f '${Status}' "$package" 2>/dev/null) == *" installed" ]] || missing+=("$package")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  echo "hack/assets.sh: installing ${missing[*]}" >&2
  local install=(env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}")
  [ "$(id -u)" = 0 ] || command -v sudo >/dev/null || as_root "${install[@]}" # explains, with the whole command
  update_lists
  as_root "${install[@]}" >/dev/null
}

# current_kernel prints the package that the kernel's meta package depends on today; nothing when apt knows none.
current_kernel() {
  { apt-cache depends linux-image-cloud-amd64 2>/dev/null || true; } |
    sed -n 's/^ *Depends: \(linux-image-[0-9][^ ]*\).*/\1/p'
}

# unpack TREE puts the loaders' and the kernel's packages into TREE/root, their names and versions into TREE/packages.
unpack() {
  local tree=$1 deb kernel
  kernel=$(current_kernel)
  # Without lists there is no kernel to name; lists that are older than the archive name packages that are gone.
  if [ -z "$kernel" ] || ! download "$tree/debs" "$kernel"; then
    update_lists
    kernel=$(current_kernel)
    [ -n "$kernel" ] || fail "apt knows no linux-image-cloud-amd64: its sources must name Debian's main archive for amd64"
    download "$tree/debs" "$kernel" || fail "apt-get download: see above"
  fi
  for deb in "$tree"/debs/*.deb; do
    dpkg -x "$deb" "$tree/root"
    dpkg-deb -W --showformat='${Package} ${Version}\n' "$deb" >>"$tree/packages"
  done
}

# download FOLDER KERNEL; apt's own user could not write into FOLDER.
download() {
  rm -rf "$1"
  mkdir -p "$1"
  (cd "$1" && apt-get download -qq -o APT::Sandbox::User=root "${unpacked[@]}" "$2" >&2)
}

# make_initrd FILE writes an initrd whose only program prints the kernel's command line in one line, and before it what a
# second initrd brings along, if there is one.
make_initrd() {
  local root=$1.root
  mkdir -p "$root"/{bin,proc}
  cp "$(command -v busybox)" "$root/bin/busybox"
  cat >"$root/init" <<'INIT'
#!/bin/busybox sh
/bin/busybox mount -t proc proc /proc
echo 1 >/proc/sys/kernel/printk # no kernel message in the middle of the line
[ ! -f /second ] || printf '\nNETBOOT-SECOND [%s]\n' "$(/bin/busybox cat /second)"
printf '\nNETBOOT-CMDLINE [%s]\n' "$(/bin/busybox cat /proc/cmdline)"
/bin/busybox poweroff -f
INIT
  chmod 755 "$root/init"
  pack "$root" "$1"
}

# make_second_initrd FILE writes an initrd with one file, which only a kernel that got both sees beside /init.
make_second_initrd() {
  local root=$1.root
  mkdir "$root"
  echo "from the second initrd" >"$root/second"
  pack "$root" "$1"
}

# make_installer FILE MODULES writes an initrd that does what words on the kernel's command line say, in their order:
# address=ADDRESS/BITS of eth0, get=URL, post=URL, then=poweroff, then=reboot or then=wait.
make_installer() {
  local root=$1.root module
  mkdir -p "$root"/{bin,proc,lib}
  cp "$(command -v busybox)" "$root/bin/busybox"
  for module in "${modules[@]}"; do
    cp "$2/$module.ko" "$root/lib/${module##*/}.ko"
    echo "/lib/${module##*/}.ko" >>"$root/modules"
  done
  cat >"$root/init" <<'INIT'
#!/bin/busybox sh
b=/bin/busybox
$b mount -t proc proc /proc
echo 1 >/proc/sys/kernel/printk
while read -r module; do $b insmod "$module"; done </modules
for word in $($b cat /proc/cmdline); do
  value=${word#*=}
  case $word in
  address=*) $b ip address add "$value" dev eth0 && $b ip link set eth0 up ;;
  get=*) $b wget -q -O /dev/null "$value" && echo "NETBOOT-GOT [$value]" || echo "NETBOOT-REFUSED [$value]" ;;
  post=*) $b wget -q -O /dev/null --post-data "message=no+disk+was+found" "$value" && echo "NETBOOT-GOT [$value]" || echo "NETBOOT-REFUSED [$value]" ;;
  then=wait) echo NETBOOT-WAITS && $b sleep 3600 ;;
  then=*) echo "NETBOOT-ENDS [$value]" && $b "$value" -f ;;
  esac
done
$b poweroff -f
INIT
  chmod 755 "$root/init"
  pack "$root" "$1"
}

# pack FOLDER FILE makes an initrd of a folder, and removes the folder.
pack() {
  local root=$1
  find "$root" -exec touch -d @0 {} + # the same packages give the same digest
  (cd "$root" && find . | LC_ALL=C sort | cpio -o -H newc --quiet --reproducible -R 0:0 | gzip -9n) >"$2"
  rm -rf "$root"
}

complete() {
  local loader
  for loader in "${loaders[@]}"; do
    [ -s "$out/loaders/${loader%%:*}" ] || return 1
  done
  [ -s "$out/files/vmlinuz" ] && [ -s "$out/files/initrd.img" ] && [ -s "$out/files/second.img" ] &&
    [ -s "$out/files/installer.img" ]
}

[ "$(dpkg --print-architecture 2>/dev/null)" = amd64 ] || fail "needs Debian on amd64 (apt-get and dpkg)"
install_tools
if complete; then
  exit 0
fi

mkdir -p "$out"
new=$(mktemp -d "$out/new.XXXXXX")
trap 'rm -rf "$new"' EXIT
echo "hack/assets.sh: fetching boot loaders and a kernel into $out" >&2
unpack "$new"
mkdir "$new/loaders" "$new/files"
for loader in "${loaders[@]}"; do
  from=$new/root/${loader#*:}
  [ -s "$from" ] || fail "no ${loader#*:} in the packages ${unpacked[*]}"
  install -m 644 "$from" "$new/loaders/${loader%%:*}"
done
install -m 644 "$new"/root/boot/vmlinuz-*-cloud-amd64 "$new/files/vmlinuz"
make_initrd "$new/files/initrd.img"
make_second_initrd "$new/files/second.img"
make_installer "$new/files/installer.img" "$(echo "$new"/root/lib/modules/*-cloud-amd64/kernel)"
rm -rf "$out/loaders" "$out/files"
mv "$new/loaders" "$new/files" "$new/packages" "$out/"
echo "hack/assets.sh: ready: $(tr '\n' ',' <"$out/packages" | sed 's/,$//; s/,/, /g')" >&2
