SUMMARY = "How U-Boot chooses between a kiosk's two systems"
DESCRIPTION = "A boot script that counts attempts, and where U-Boot and RAUC keep the count."
HOMEPAGE = "https://github.com/cic-kiosk/cic-kiosk"
SECTION = "bootloaders"
LICENSE = "Apache-2.0 | MIT"
LIC_FILES_CHKSUM = "\
    file://${COREBASE}/meta/files/common-licenses/Apache-2.0;md5=89aea4e17d99a7cacdbeed46a0096b10 \
    file://${COREBASE}/meta/files/common-licenses/MIT;md5=0835ade698e0bcf8506ecda2f7b4f302 \
"

DEPENDS = "u-boot-mkimage-native"
# A board's layer may ask for a script by this name.
PROVIDES += "u-boot-default-script"

SRC_URI = "\
    file://boot.cmd.in \
    file://fw_env.config.in \
"

S = "${UNPACKDIR}"

inherit deploy kernel-arch

INHIBIT_DEFAULT_DEPS = "1"

do_compile() {
    sed -e 's!@KERNEL@!${KERNEL_IMAGETYPE}!' -e 's!@DEVICETREE@!${CIC_KIOSK_DEVICETREE}!' \
        -e 's!@CONSOLE@!${KERNEL_CONSOLE}!' ${S}/boot.cmd.in >${B}/boot.cmd
    mkimage -A ${UBOOT_ARCH} -T script -C none -n "cic-kiosk" -d ${B}/boot.cmd ${B}/boot.scr
    sed 's!@DISK@!${CIC_KIOSK_DISK}!' ${S}/fw_env.config.in >${B}/fw_env.config
}

do_install() {
    install -d ${D}${sysconfdir}
    install -m 0644 ${B}/fw_env.config ${D}${sysconfdir}
}

do_deploy() {
    install -m 0644 ${B}/boot.scr ${DEPLOYDIR}
}
addtask deploy after do_compile before do_build

PACKAGE_ARCH = "${MACHINE_ARCH}"
# The board's own place for the environment is not this one.
RPROVIDES:${PN} = "u-boot-default-env"
RCONFLICTS:${PN} = "u-boot-env"
RREPLACES:${PN} = "u-boot-env"

COMPATIBLE_HOST = "aarch64.*-linux"
