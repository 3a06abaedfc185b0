SUMMARY = "A scanner kiosk's system"
DESCRIPTION = "Read-only, with the kiosk's service, RAUC and nothing to log in with; and a disk with two of it, with \
/var as the only place that is written to."
LICENSE = "Apache-2.0 | MIT"

inherit core-image features_check

REQUIRED_DISTRO_FEATURES = "rauc systemd"
REQUIRED_IMAGE_FEATURES = "overlayfs-etc read-only-rootfs"

# No ssh, no password for root, no package manager: what changes, changes by a signed bundle.
IMAGE_FEATURES += "overlayfs-etc read-only-rootfs"
IMAGE_INSTALL = "\
    cic-kiosk \
    cic-kiosk-appliance \
    cic-kiosk-provision \
    kernel-image \
    kernel-modules \
    packagegroup-core-boot \
    rauc \
    tzdata-core \
    ${@'kernel-devicetree' if d.getVar('KERNEL_DEVICETREE') else ''} \
    ${@'cic-kiosk-boot' if d.getVar('CIC_KIOSK_BOOTLOADER') == 'uboot' else ''} \
"
# It calls every system good that starts; cic-kiosk-confirm.service is harder to please.
BAD_RECOMMENDATIONS += "rauc-mark-good"

# /var is mounted before systemd starts, and keeps what differs in /etc: the machine's identity, what the branch
# set, and its sealed credentials.
OVERLAYFS_ETC_MOUNT_POINT = "${localstatedir}"
OVERLAYFS_ETC_DEVICE = "/dev/${CIC_KIOSK_VAR_PARTITION}"
OVERLAYFS_ETC_FSTYPE = "ext4"
OVERLAYFS_ETC_MOUNT_OPTIONS = "nodev,nosuid,noexec"
# Else it would make the root writable for a moment, and no bundle could ever describe it again.
OVERLAYFS_ETC_CREATE_MOUNT_DIRS = "0"

# As large as its partition at most (wic/cic-kiosk.wks.in), with room for what ext4 keeps for itself.
IMAGE_ROOTFS_EXTRA_SPACE = "0"
IMAGE_ROOTFS_MAXSIZE = "983040"

do_image_wic[depends] += "${@'cic-kiosk-boot:do_deploy' if d.getVar('CIC_KIOSK_BOOTLOADER') == 'uboot' else ''}"

COMPATIBLE_HOST = "(aarch64|x86_64).*-linux"
