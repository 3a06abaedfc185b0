#!/usr/bin/env bash
# The virtual kiosk: an arm64 machine with Debian 12, systemd, a read-only root and a data partition, in which the real
# package is installed. QEMU emulates it; nothing of it runs on this machine. docs/virtual-kiosk.md says how it is put together.
#
# kiosk.sh image [PACKAGE]   builds what is missing or out of date; without a package, the one in target/debian
# kiosk.sh test              runs the tests in tests/kiosk, and records that they passed
# kiosk.sh check             the same, where something has changed since then
# kiosk.sh inputs            a digest of everything that decides what its tests come to
#
# Stages, each kept under .cache/kiosk until what it is made of changes:
#   apt/        what Debian offers, kept until deleted: so all stages are of one day
#   base.tar    Debian without kernel and package (minutes)
#   kernel/     vmlinuz, modules with gpio-sim, what the initramfs is made of (a minute)
#   initramfs.cpio.gz
#   root.ext4   all that and the package (seconds)
set -euo pipefail

checkout=$(realpath "$(dirname "$0")/..")
cache=$checkout/.cache/kiosk
PATH=$PATH:/usr/sbin:/sbin

die() {
    echo "kiosk: $*" >&2
    exit 1
}

. "$checkout/scripts/gpio-sim.sh"

PACKAGES=(
    systemd systemd-sysv udev dbus kmod ca-certificates
    e2fsprogs v4l-utils gpiod libstdc++6
    # Which slot boots, and what becomes of it.
    rauc rauc-service
)

# Of Debian's kernel: what finds the disks; and what the machine has, or the tests plug into it.
EARLY=(virtio_pci virtio_blk ext4 i6300esb)
MODULES=(virtio_net virtio_console virtio_rng 9pnet_virtio 9p vivid gpio-sim configfs)

# is_current STAGE WORDS...: whether the stage was made of the same; else remember, for `done_with`.
is_current() {
    stage=$cache/$1
    shift
    made_of=$(printf '%s\n' "$@" | sha256sum)
    [ -e "$stage" ] && [ "$(cat "$stage.stamp" 2>/dev/null)" = "$made_of" ]
}

done_with() {
    echo "$made_of" >"$stage.stamp"
}

# APT for arm64, apart from this machine's: nothing here becomes a second architecture of it.
use_apt() {
    local apt=$cache/apt mirror=${KIOSK_MIRROR:-http://deb.debian.org}
    export APT_CONFIG=$apt/apt.conf
    [ ! -e "$apt/ready" ] || return 0
    echo "kiosk: asking what Debian offers" >&2
    rm -rf "$apt"
    mkdir -p "$apt"/{state/lists/partial,cache/archives/partial}
    printf '%s\n' "deb $mirror/debian bookworm main" "deb $mirror/debian-security bookworm-security main" >"$apt/sources.list"
    cat >"$APT_CONFIG" <<CONF
APT::Architecture "arm64";
APT::Architectures { "arm64"; "$(dpkg --print-architecture)"; };
APT::Sandbox::User "root";
#clear APT::Update::Post-Invoke-Success;
Acquire::Languages "none";
Dir::State "$apt/state";
Dir::State::status "/dev/null";
Dir::Cache "$apt/cache";
Dir::Etc::sourcelist "$apt/sources.list";
Dir::Etc::sourceparts "-";
CONF
    apt-get update -qq
    touch "$apt/ready"
}

# as_arm64 COMMAND...: runs it where arm64 programs run, in namespaces of its own: the kernel's table of interpreters
# (binfmt_misc) is one for each user namespace, and this machine's stays as it is. Every user is itself.
as_arm64() {
    local go pid status=0
    go=$(mktemp -u)
    mkfifo "$go"
    # shellcheck disable=SC2016
    unshare --user --mount --pid --fork bash -euc '
        read -r _ <"$0"
        mount -t proc proc /proc
        mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc
        printf %s ":arm64:M::\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00:\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff:$1:F" \
            >/proc/sys/fs/binfmt_misc/register
        shift
        exec "$@"
    ' "$go" "$(command -v qemu-aarch64-static)" "$@" &
    pid=$!
    until [ "$(readlink "/proc/$pid/ns/user")" != "$(readlink /proc/self/ns/user)" ]; do sleep 0.01; done
    echo "0 0 65536" >"/proc/$pid/uid_map"
    echo "0 0 65536" >"/proc/$pid/gid_map"
    echo >"$go"
    rm "$go"
    wait "$pid" || status=$?
    return "$status"
}

base() {
    is_current base.tar "${PACKAGES[@]}" "$(declare -f base)" && return
    use_apt
    echo "kiosk: installing Debian for arm64" >&2
    as_arm64 mmdebstrap --quiet --mode=root --architectures=arm64 --variant=minbase \
        --include="$(IFS=,; echo "${PACKAGES[*]}")" \
        --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
        --dpkgopt='path-exclude=/usr/share/locale/*' \
        bookworm "$cache/base.tar" "$(dirname "$APT_CONFIG")/sources.list"
    done_with
}

# The modules and those that they need, in the order of loading.
closure() {
    local module
    for module in "$@"; do
        modprobe --dirname "$PWD/root" --set-version "$kernel" --ignore-install --show-depends "$module"
    done | awk '$1 == "insmod" && !seen[$2]++ { print $2 }'
}

kernel() {
    is_current kernel "${EARLY[@]}" "${MODULES[@]}" "$(declare -f kernel closure build_gpio_sim)" && return
    use_apt
    local kernel version tree file
    kernel=$(apt-cache depends linux-image-arm64 | sed -n 's/.*Depends: linux-image-//p')
    [[ $kernel == 6.1.* ]] || die "apt knows no Debian 12 kernel for arm64"
    echo "kiosk: getting Debian's kernel $kernel, building gpio-sim" >&2
    rm -rf "$cache/kernel"
    mkdir -p "$cache/kernel/build"
    cd "$cache/kernel/build"
    unpack "linux-image-$kernel"
    version=$(dpkg-deb --field "linux-image-$kernel"_*.deb Version)
    build_gpio_sim "$kernel" "$version" ARCH=arm64 CROSS_COMPILE=aarch64-linux-gnu-
    depmod -b root "$kernel"
    cp "root/boot/vmlinuz-$kernel" ../vmlinuz
    echo "$kernel" >../version

    tree=../modules/lib/modules/$kernel
    mkdir -p "$tree"
    cp "root/lib/modules/$kernel"/modules.{builtin,builtin.modinfo,order} "$tree/"
    closure "${EARLY[@]}" "${MODULES[@]}" | while read -r file; do
        install -D -m 644 "$file" "$tree/${file#*"/$kernel/"}"
    done
    depmod -b ../modules "$kernel"

    # For the initramfs: its programs, and the modules in the order of loading.
    unpack busybox-static e2fsck-static
    mkdir -p ../early/{bin,modules}
    cp root/bin/busybox ../early/bin/
    cp root/sbin/e2fsck.static ../early/bin/e2fsck
    closure "${EARLY[@]}" | while read -r file; do
        cp "$file" ../early/modules/
        basename "$file" >>../early/modules/order
    done
    cd "$checkout"
    rm -rf "$cache/kernel/build"
    done_with
}

initramfs() {
    local tree=$cache/initramfs
    is_current initramfs.cpio.gz "$(cat "$cache/kernel.stamp")" "$(cat "$checkout/scripts/kiosk-init.sh")" && return
    rm -rf "$tree"
    cp -r "$cache/kernel/early" "$tree"
    mkdir -p "$tree"/{proc,sys,dev,run,root}
    install -m 755 "$checkout/scripts/kiosk-init.sh" "$tree/init"
    (cd "$tree" && find . | busybox cpio -o -H newc 2>/dev/null) | gzip -1 >"$cache/initramfs.cpio.gz"
    rm -rf "$tree"
    done_with
}

# What a virtual kiosk has that the package does not bring: a read-only root, a network, nobody who logs in.
configure() {
    local root=$1
    mkdir -p "$root/data" "$root/etc/rauc" "$root/etc/cic-kiosk/config.d" "$root"/etc/credstore{,.encrypted}
    echo kiosk >"$root/etc/hostname"
    : >"$root/etc/machine-id"
    : >"$root/etc/fstab"
    rm -f "$root/etc/resolv.conf"
    printf '%s\n' '[Match]' 'Type=ether' '' '[Network]' 'DHCP=ipv4' 'LinkLocalAddressing=no' 'IPv6AcceptRA=no' \
        >"$root/etc/systemd/network/80-wired.network"
    cp "$root/usr/share/systemd/tmp.mount" "$root/etc/systemd/system/"
    systemctl --quiet --root="$root" set-default multi-user.target
    systemctl --quiet --root="$root" enable systemd-networkd tmp.mount 2>/dev/null
    systemctl --quiet --root="$root" disable systemd-networkd-wait-online apt-daily.timer apt-daily-upgrade.timer \
        e2scrub_all.timer e2scrub_reap 2>/dev/null
    # Nobody logs in; and what a machine without these things need not wait for.
    systemctl --quiet --root="$root" mask systemd-logind getty.target console-getty serial-getty@ttyAMA0 \
        systemd-firstboot systemd-hwdb-update systemd-update-utmp systemd-update-utmp-runlevel systemd-user-sessions \
        systemd-network-generator systemd-pstore modprobe@{efi_pstore,dm_mod,fuse,loop,drm} dev-hugepages.mount \
        dev-mqueue.mount sys-kernel-debug.mount sys-kernel-tracing.mount sys-fs-fuse-connections.mount \
        proc-sys-fs-binfmt_misc.automount
    # The part of the units that only an appliance has.
    install -D -m 644 "$checkout"/systemd/system.conf.d/*.conf -t "$root/usr/lib/systemd/system.conf.d"
    cp -r "$checkout"/systemd/appliance/. "$root/usr/lib/systemd/system/"
    install -D -m 755 "$checkout/scripts/kiosk-boot-env.sh" "$root/usr/lib/kiosk/boot-env"
    cat >"$root/etc/rauc/system.conf" <<'CONF'
[system]
compatible=virtual-cic-kiosk
bootloader=custom
statusfile=/data/rauc.status

[handlers]
bootloader-custom-backend=/usr/lib/kiosk/boot-env

[slot.rootfs.0]
device=/dev/disk/by-id/virtio-root-a
type=ext4
bootname=A

[slot.rootfs.1]
device=/dev/disk/by-id/virtio-root-b
type=ext4
bootname=B
CONF
}

image() {
    local package=${1:-} root=$cache/root
    [ -n "$package" ] || package=$(ls -t "$checkout"/target/debian/cic-kiosk_*_arm64.deb 2>/dev/null | head -1)
    [ -e "$package" ] || die "there is no arm64 package: run make vm"
    is_current root.ext4 "$(sha256sum <"$package")" "$(cat "$cache"/{base.tar,kernel}.stamp)" "$(declare -f image configure)" \
        "$(cat "$checkout"/systemd/{system.conf.d,appliance/*}/*.conf "$checkout/scripts/kiosk-boot-env.sh")" && return
    echo "kiosk: installing $(basename "$package")" >&2
    rm -rf "$root"
    mkdir "$root"
    tar -x --numeric-owner -f "$cache/base.tar" -C "$root" --exclude='./dev/*'
    cp -r "$cache/kernel/modules/lib/modules" "$root/lib/"
    cp "$package" "$root/package.deb"
    # shellcheck disable=SC2016
    as_arm64 bash -euc '
        mount --bind "$0" "$0"
        mount -t proc proc "$0/proc"
        touch "$0/dev/null"
        mount --bind /dev/null "$0/dev/null"
        chroot "$0" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin DEBIAN_FRONTEND=noninteractive dpkg --install /package.deb
    ' "$root" >"$cache/dpkg.log" 2>&1 || { cat "$cache/dpkg.log" >&2; die "the package cannot be installed"; }
    rm "$root/package.deb" "$root/dev/null"
    configure "$root"
    rm -f "$cache/root.ext4"
    # It is never written to: no journal, no room.
    mke2fs -q -t ext4 -O ^has_journal -m 0 -L cic-kiosk -d "$root" "$cache/root.ext4" \
        "$(($(du -s --block-size=1M "$root" | cut -f1) * 5 / 4 + 32))M"
    rm -rf "$root"
    sha256sum <"$package" | cut -d' ' -f1 >"$cache/package"
    done_with
}

record_name=tests/kiosk/passed.toml
record=$checkout/$record_name

# What decides what the tests come to: the program, how it is compiled and packed, and the tests.
inputs() {
    cd "$checkout"
    find Cargo.toml Cargo.lock .cargo src models/*.onnx models/manifest.toml models/golden packaging systemd scripts/onnxruntime.txt \
        scripts/{aarch64,deb,gpio-sim,kiosk*}.sh scripts/licences.py \
        tests/kiosk tests/data/reports tests/daemon/{broker,papers}.py tests/secrecy.py \
        -type f ! -path "$record_name" ! -path '*/__pycache__/*' ! -name '*.md' -print0 |
        LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum | cut -d' ' -f1
}


recorded() {
    sed -n "s/^$1 = \"\(.*\)\"/\1/p" "$record" 2>/dev/null
}

# All of the tests; that they have passed is recorded beside them, to be committed.
run_tests() {
    local before
    before=$(inputs)
    "$checkout/.cache/http/bin/python" -m pytest --durations=0 "$checkout/tests/kiosk"
    [ "$(inputs)" = "$before" ] || die "something has changed while the tests ran: nothing is recorded"
    cat >"$record" <<TOML
# Written by \`make vm-test\` when all of its tests have passed; \`scripts/kiosk.sh check\` compares it with what is there.
inputs = "$before"
package = "$(cat "$cache/package")"
date = "$(date --utc +%F)"
TOML
}

# For CI: minutes, where nothing has changed that the tests depend on; and no green without either.
check() {
    if [ "$(inputs)" = "$(recorded inputs)" ]; then
        echo "kiosk: not run: the tests of the virtual kiosk passed on $(recorded date) with all that they depend on"
        return
    fi
    echo "kiosk: something has changed since the tests of the virtual kiosk passed: running them" >&2
    [ "$(uname -m)" = x86_64 ] || die "they cannot run: the cross compiler is for x86-64, this machine is $(uname -m)"
    [ "$(id -u)" = 0 ] || die "they cannot run: building the image takes root"
    make -C "$checkout" vm-test
}

case ${1:-} in
image)
    [ "$(id -u)" = 0 ] || die "it takes root: files of many users are made"
    mkdir -p "$cache"
    exec 9>"$cache/lock"
    flock 9
    base
    kernel
    initramfs
    image "${2:-}"
    ;;
test) run_tests ;;
check) check ;;
inputs) inputs ;;
*) die "say image [PACKAGE], test, check or inputs" ;;
esac
