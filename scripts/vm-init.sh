#!/bin/busybox sh
# The first process of the virtual machine of vm.sh: puts the root file system together and runs the command.
set -e
/bin/busybox --install -s /bin

# Whatever fails: the machine ends, and vm.sh finds no status.
trap 'echo o >/proc/sysrq-trigger; sleep 60' EXIT

mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
while read -r module; do
    insmod "/modules/$module.ko"
done </modules/order

p9=trans=virtio,version=9p2000.L,msize=512000
mount -t 9p -o "ro,cache=loose,$p9" host /lower
mount -t 9p -o "$p9" share /share
cache=$(cat /share/cache)

mount -t tmpfs tmpfs /layer
mkdir /layer/upper /layer/work
mount -t overlay -o lowerdir=/lower,upperdir=/layer/upper,workdir=/layer/work overlay /new

modules=/new/lib/modules/$(uname -r)
mkdir -p "$modules"
mount --bind "/lower$cache/modules" "$modules"
mount --move /share "/new$cache/share"
mount --move /proc /new/proc
mount --move /sys /new/sys
mount --move /dev /new/dev
mkdir -p /new/dev/pts /new/dev/shm
mount -t devpts devpts /new/dev/pts
mount -t tmpfs tmpfs /new/dev/shm
mount -t tmpfs tmpfs /new/run
ln -s /proc/self/fd /new/dev/fd
ln -s /proc/self/fd/0 /new/dev/stdin
ln -s /proc/self/fd/1 /new/dev/stdout
ln -s /proc/self/fd/2 /new/dev/stderr

# It is a machine, whatever that is whose files it has.
rm -f /new/.dockerenv /new/run/.containerenv
hostname kiosk
ip link set lo up

# The port takes one opener; through the pipe, programs may open /dev/stdout again.
# shellcheck disable=SC2016
exec switch_root /new /bin/bash -c '
    modprobe configfs
    mount -t configfs configfs /sys/kernel/config
    mkdir -p /run/lock
    [ ! -x /lib/systemd/systemd-udevd ] || /lib/systemd/systemd-udevd --daemon
    { "$0/command"; echo $? >"$0/status"; } </dev/null 2>&1 | cat >/dev/vport0p1
    echo o >/proc/sysrq-trigger
    sleep 60
' "$cache/share"
