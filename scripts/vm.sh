#!/usr/bin/env bash
# A virtual machine with a camera (the kernel module vivid), GPIO lines (gpio-sim) and room for a TPM2 (tpm_vtpm_proxy), for
# the tests in tests/device.
#
# vm.sh prepare          gets Debian's kernel and builds gpio-sim for it, unless that is there already
# vm.sh run COMMAND...   runs the command as root in the machine, and ends with its exit status
#
# The machine's root file system is this one, read only, with a layer in memory over it: what is installed here is
# there too, under the same path. What it writes into .cache/vm/share is there after its end; console.log is there, too.
# It has no network but its own loopback. Needs setup.sh's part vm.
#
# ORT_DYLIB_PATH, CIC_KIOSK and REGENERATE are in its environment, too, where they are set.
#
# VM_LIMIT=600      seconds until it is stopped, exit status 124
# VM_MEMORY=2048    MiB
# VM_CPUS=2
# VM_ACCEL=tcg      emulates even where /dev/kvm is usable
set -euo pipefail

checkout=$(realpath "$(dirname "$0")/..")
# Where checkouts share one .cache, it is a link, which leads nowhere before the root file system is put together.
cache=$(realpath --canonicalize-missing "$checkout/.cache/vm")
share=$cache/share
PATH=$PATH:/usr/sbin:/sbin

die() {
    echo "vm: $*" >&2
    exit 1
}

. "$checkout/scripts/gpio-sim.sh"

# What apt offers the first time is kept until .cache/vm is deleted.
prepare() {
    [ ! -e "$cache/ready" ] || return 0
    [ "$(uname -m)" = x86_64 ] || die "the kernel and its modules are for x86-64, this machine is $(uname -m)"
    local kernel version
    kernel=$(apt-cache depends linux-image-amd64 2>/dev/null | sed -n 's/.*Depends: linux-image-//p')
    [[ $kernel == 6.1.* ]] || die "apt knows no Debian 12 kernel (linux-image-amd64): try apt-get update first"
    echo "vm: getting Debian's kernel $kernel, building gpio-sim" >&2
    rm -rf "$cache"
    mkdir -p "$cache/build"
    cd "$cache/build"
    unpack "linux-image-$kernel"
    version=$(dpkg-deb --field "linux-image-$kernel"_*.deb Version)
    build_gpio_sim "$kernel" "$version"
    depmod -b root "$kernel"
    mv "root/boot/vmlinuz-$kernel" ../vmlinuz
    mv "root/lib/modules/$kernel" ../modules
    cd "$checkout"
    rm -rf "$cache/build"
    touch "$cache/ready"
}

# busybox, vm-init.sh, and the modules that it takes to reach the root file system, in the order of loading.
make_initramfs() {
    local tree=$cache/initramfs module
    rm -rf "$tree"
    mkdir -p "$tree"/{bin,modules,proc,sys,dev,lower,layer,new,share}
    cp "$(command -v busybox)" "$tree/bin/busybox"
    cp "$checkout/scripts/vm-init.sh" "$tree/init"
    for module in drivers/virtio/virtio_ring drivers/virtio/virtio drivers/virtio/virtio_pci_modern_dev \
        drivers/virtio/virtio_pci_legacy_dev drivers/virtio/virtio_pci drivers/char/virtio_console net/9p/9pnet \
        net/9p/9pnet_virtio fs/netfs/netfs fs/fscache/fscache fs/9p/9p fs/overlayfs/overlay; do
        cp "$cache/modules/kernel/$module.ko" "$tree/modules/"
        echo "${module##*/}" >>"$tree/modules/order"
    done
    (cd "$tree" && find . | busybox cpio -o -H newc 2>/dev/null) >"$cache/initramfs.cpio"
}

# The command as a script: the place, the environment that matters and the words as they are here.
write_command() {
    mkdir -p "$share"
    rm -f "$share"/{status,console.log}
    {
        echo '#!/bin/bash'
        printf 'cd %q || exit\n' "$PWD"
        printf 'export CIC_KIOSK_VM=1 HOME=%q PATH=%q\n' "$HOME" "$PATH"
        local name
        for name in ORT_DYLIB_PATH CIC_KIOSK REGENERATE; do
            [ -z "${!name:-}" ] || printf 'export %s=%q\n' "$name" "${!name}"
        done
        printf 'exec'
        printf ' %q' "$@"
        echo
    } >"$share/command"
    chmod +x "$share/command"
    echo "$cache" >"$share/cache"
}

run() {
    [ $# -gt 0 ] || die "run needs a command"
    command -v qemu-system-x86_64 >/dev/null || die "qemu-system-x86_64 is missing: run scripts/setup.sh vm"
    prepare
    exec 9>"$cache/lock"
    flock --nonblock 9 || die "another machine of this checkout is running"
    make_initramfs
    write_command "$@"

    local accel=(-accel kvm -accel tcg) limit=${VM_LIMIT:-600} status=0
    if [ "${VM_ACCEL:-}" = tcg ]; then
        accel=(-accel tcg)
    elif ! [ -r /dev/kvm ] || ! [ -w /dev/kvm ] || ! grep -Eqw "vmx|svm" /proc/cpuinfo; then
        echo "vm: /dev/kvm is not usable: the machine is emulated, which is slow" >&2
        accel=(-accel tcg)
    fi
    # The older the processor, the less there is to emulate: with AVX a page takes three times as long to read.
    # The command's output goes through a port of its own, apart from the kernel's messages. Of those, errors alone are
    # told: vivid's thread, whenever it is late, has a call trace with its "wrong timeout value", and takes no harm.
    timeout --foreground --kill-after=10 "$limit" qemu-system-x86_64 \
        -nodefaults -no-user-config -display none -no-reboot -machine q35 "${accel[@]}" -cpu Nehalem \
        -smp "${VM_CPUS:-2}" -m "${VM_MEMORY:-2048}" \
        -kernel "$cache/vmlinuz" -initrd "$cache/initramfs.cpio" \
        -append "console=ttyS0 loglevel=4 panic=-1 mitigations=off" \
        -serial "file:$share/console.log" \
        -device virtio-serial-pci -chardev file,id=out,path=/dev/stdout,append=on -device virtserialport,chardev=out \
        -virtfs "local,path=/,mount_tag=host,security_model=none,readonly=on,multidevs=remap" \
        -virtfs "local,path=$share,mount_tag=share,security_model=none" \
        </dev/null | cat || status=$?
    [ "$status" != 124 ] || { echo "vm: stopped after $limit s, see $share/console.log" >&2; exit 124; }
    [ -e "$share/status" ] || die "the machine ended before its command did, see $share/console.log"
    return "$(cat "$share/status")"
}

case ${1:-} in
prepare) prepare ;;
run) shift; run "$@" ;;
*) die "say prepare or run COMMAND..." ;;
esac
