#!/bin/sh
# What a bootloader knows, for RAUC (bootloader-custom-backend): which slot comes first, and the tries that each has left,
# as U-Boot keeps them. The tests are the bootloader itself.
set -eu
cd /data/boot
left() { cat "$1.left"; }
case $1 in
get-primary)
    primary=$(cat primary)
    if [ "$(left "$primary")" = 0 ]; then
        [ "$primary" = A ] && primary=B || primary=A
    fi
    echo "$primary"
    ;;
set-primary) echo "$2" >primary && echo 3 >"$2.left" ;;
get-state) [ "$(left "$2")" = 0 ] && echo bad || echo good ;;
set-state) if [ "$3" = good ]; then echo 3; else echo 0; fi >"$2.left" ;;
esac
