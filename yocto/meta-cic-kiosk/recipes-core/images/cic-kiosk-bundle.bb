SUMMARY = "A signed update of a scanner kiosk"
DESCRIPTION = "The kiosk's system as a RAUC bundle, whose every block is checked while it is read."
HOMEPAGE = "https://github.com/cic-kiosk/cic-kiosk"
LICENSE = "Apache-2.0 | MIT"

inherit bundle features_check

# Those of the image in it.
REQUIRED_DISTRO_FEATURES = "rauc systemd"

RAUC_BUNDLE_COMPATIBLE = "cic-kiosk-${MACHINE}"
RAUC_BUNDLE_VERSION = "${DISTRO_VERSION}"
RAUC_BUNDLE_DESCRIPTION = "CIC kiosk"
RAUC_BUNDLE_FORMAT = "verity"

RAUC_BUNDLE_SLOTS = "rootfs"
RAUC_SLOT_rootfs = "cic-kiosk-image"
RAUC_SLOT_rootfs[fstype] = "ext4"
# Only blocks that differ from what the kiosk has are fetched.
RAUC_SLOT_rootfs[adaptive] = "block-hash-index"

# The key is never in a tree: RAUC_KEY_FILE and RAUC_CERT_FILE name files outside, or PKCS#11 objects.

COMPATIBLE_HOST = "(aarch64|x86_64).*-linux"
