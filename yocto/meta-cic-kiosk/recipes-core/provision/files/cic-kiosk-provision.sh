#!/bin/sh
# Takes a branch's settings and credentials from a stick, once, where those who may update the kiosk signed them.
#
# cic-kiosk-provision DEVICE|FOLDER
#
# The stick has one file, provision.cms: a tar archive in a signed CMS message (openssl cms -sign -nodetach -binary
# -outform DER). Of the archive, these are taken, and nothing else:
#   config.d/NAME.toml   settings                    to /etc/cic-kiosk/config.d
#   NAME.pem             certificates                to /etc/cic-kiosk
#   network/NAME.network addresses (systemd.network) to /etc/systemd/network
#   credentials/NAME     secrets                     sealed to this machine, to /etc/credstore.encrypted
set -eu
umask 077

stick=$1
root=${CIC_KIOSK_ROOT:-}
done=$root/var/lib/cic-kiosk-provision/done
# The same as RAUC's keyring: who signs this could as well replace the whole system.
authority=${CIC_KIOSK_AUTHORITY:-/usr/lib/rauc/@KEYRING@}

die() {
    echo "provisioning: $*" >&2
    exit 1
}

[ ! -e "$done" ] || die "this kiosk has been provisioned already"

# In memory: what is checked is what is used, whatever the stick does meanwhile, and no secret gets to a disk.
work=$(mktemp -d "${RUNTIME_DIRECTORY:-/run}/provision.XXXXXX")
trap 'umount "$work/stick" 2>/dev/null || true; rm -rf "$work"' EXIT

if [ -b "$stick" ]; then
    mkdir "$work/stick"
    mount -t vfat -o ro,nodev,nosuid,noexec "$stick" "$work/stick"
    stick=$work/stick
fi
# One byte more than is allowed, so that more is noticed.
dd if="$stick/provision.cms" of="$work/provision.cms" bs=1048577 count=1 2>/dev/null || die "the stick has no provision.cms"
[ "$(wc -c <"$work/provision.cms")" -le 1048576 ] || die "provision.cms is larger than 1 MiB"

# The clock of a machine that has never seen the network says nothing about certificates.
openssl cms -verify -binary -inform DER -in "$work/provision.cms" -CAfile "$authority" -purpose any -no_check_time \
    -out "$work/provision.tar" 2>/dev/null || die "nobody whom this kiosk knows has signed provision.cms"
mkdir "$work/new"
tar -x -f "$work/provision.tar" -C "$work/new"
cd "$work/new"

is_plain() {
    [ -f "$1" ] && [ ! -L "$1" ]
}

# take FOLDER FILE...: patterns that nothing matches are left out.
take() {
    folder=$root$1
    shift
    for file; do
        if is_plain "$file"; then
            mkdir -p "$folder"
            cp "$file" "$folder/"
        fi
    done
}

seal() {
    mkdir -p "$root/etc/credstore.encrypted"
    systemd-creds encrypt --name="$1" - "$root/etc/credstore.encrypted/cic-kiosk.$1"
}

# Settings may be read by all.
umask 022
chmod -R u=rwX,go=rX .
take /etc/cic-kiosk ./*.pem
take /etc/cic-kiosk/config.d config.d/*.toml
take /etc/systemd/network network/*.network
# With a mistake in it the kiosk would not start: another stick can still mend it.
cic-kiosk config check --config "$root/etc/cic-kiosk/config.toml" || die "the settings are wrong"
umask 077
for file in credentials/*; do
    if is_plain "$file"; then
        seal "${file#credentials/}" <"$file"
    fi
done
# Made here, it never was anywhere else.
[ -e "$root/etc/credstore.encrypted/cic-kiosk.outbox-key" ] || cic-kiosk outbox key | seal outbox-key

mkdir -p "${done%/*}"
sync
: >"$done"
echo "provisioned"
