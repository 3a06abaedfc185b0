#!/bin/sh
# RAUC's way to the boot loader of the virtual kiosk, which is who starts QEMU (tests/kiosk/machine.py): the disk `boot`
# has a line `order A B`, and for each slot a line `A LEFT` with the tries that it has left.
set -eu
disk=/dev/disk/by-id/virtio-boot
tries=3

read_env() {
    tr -d '\0' <"$disk"
}

# One sector is written as a whole or not at all.
write_env() {
    head -c 512 /dev/zero | { cat "$1" -; } | head -c 512 | dd of="$disk" bs=512 conv=fsync,nocreat status=none
}

# left SLOT: its tries; of one that is not there, none.
left() {
    read_env | sed -n "s/^$1 //p" | grep . || echo 0
}

order() {
    read_env | sed -n 's/^order //p'
}

# change SCRIPT-OF-SED
change() {
    new=$(mktemp)
    read_env | sed "$1" >"$new"
    write_env "$new"
    rm "$new"
}

case $1 in
get-primary)
    for slot in $(order); do
        [ "$(left "$slot")" -eq 0 ] || { echo "$slot"; exit; }
    done
    exit 1
    ;;
set-primary)
    change "s/^order .*/order $2 $(order | tr ' ' '\n' | grep -vx "$2" | tr '\n' ' ')/; s/ \$//; s/^$2 .*/$2 $tries/"
    ;;
get-state) if [ "$(left "$2")" -eq 0 ]; then echo bad; else echo good; fi ;;
set-state)
    case $3 in
    good) change "s/^$2 .*/$2 $tries/" ;;
    bad) change "s/^$2 .*/$2 0/" ;;
    esac
    ;;
*) exit 1 ;;
esac
