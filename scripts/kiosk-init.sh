#!/bin/busybox sh
# shellcheck shell=dash
# The first process of the virtual kiosk of kiosk.sh: checks the data partition, puts read-only root and data together,
# and hands over to systemd. What a kiosk keeps and what it was given is on the data partition, and nowhere else:
#
# var                  /var: the service's state, the journal
# config.d             /etc/cic-kiosk/config.d: branch, id, broker, certificates
# credstore[.encrypted]  /etc/credstore[.encrypted]: secrets
# machine-id           /etc/machine-id, made at the first start
#
# The root is one of two slots, the disk root-a or root-b; which one, the boot loader says. The initramfs may hold /test/setup beside this, which a kiosk's does not.
set -e
/bin/busybox --install -s /bin

# Whatever fails: a machine that cannot start ends, and a boot loader counts that.
trap 'echo "kiosk: it cannot start"; sleep 1; echo o >/proc/sysrq-trigger; sleep 60' EXIT

mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mount -t tmpfs -o mode=755,nosuid,nodev tmpfs /run
while read -r module; do
    insmod "/modules/$module"
done </modules/order

# disk SERIAL: its device; disks appear when they like.
disk() {
    local block tries=0
    while [ $tries -lt 100 ]; do
        for block in /sys/block/vd*; do
            [ "$(cat "$block/serial" 2>/dev/null)" != "$1" ] || { echo "/dev/${block##*/}"; return; }
        done
        tries=$((tries + 1))
        sleep 0.1
    done
    echo "kiosk: there is no disk $1" >&2
    return 1
}

slot=$(sed -n 's/.*rauc\.slot=\([AB]\).*/\1/p' /proc/cmdline | tr AB ab)
mount -t ext4 -o ro "$(disk "root-$slot")" /root

# 1: it was mended, as after a power cut. 4 and more: it could not be.
data=$(disk data)
status=0
e2fsck -p "$data" >/run/kiosk-fsck.log 2>&1 || status=$?
echo "status $status" >>/run/kiosk-fsck.log
[ $status -lt 4 ] || { cat /run/kiosk-fsck.log; exit 1; }
mount -t ext4 -o noatime,nosuid,nodev,noexec "$data" /root/data

(
    cd /root/data
    for folder in var config.d; do [ -d $folder ] || mkdir -m 755 $folder; done
    for folder in credstore credstore.encrypted; do [ -d $folder ] || mkdir -m 700 $folder; done
)
[ -s /root/data/machine-id ] || {
    tr -d - </proc/sys/kernel/random/uuid >/root/data/machine-id.new
    sync
    mv /root/data/machine-id.new /root/data/machine-id
}
mount -o bind /root/data/var /root/var
mount -o bind /root/data/config.d /root/etc/cic-kiosk/config.d
mount -o bind /root/data/credstore /root/etc/credstore
mount -o bind /root/data/credstore.encrypted /root/etc/credstore.encrypted
mount -o bind /root/data/machine-id /root/etc/machine-id

[ ! -x /test/setup ] || /test/setup

mount --move /run /root/run
mount --move /dev /root/dev
mount --move /sys /root/sys
mount --move /proc /root/proc
exec switch_root /root /sbin/init
