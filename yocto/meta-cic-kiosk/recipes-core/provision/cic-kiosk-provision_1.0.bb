SUMMARY = "Brings a branch's settings and credentials into a kiosk, once"
DESCRIPTION = "From a stick, where they are signed by those who may update the kiosk; and lets the partition that \
they live on grow to the disk's end."
HOMEPAGE = "https://github.com/cic-kiosk/cic-kiosk"
SECTION = "misc"
LICENSE = "Apache-2.0 | MIT"
LIC_FILES_CHKSUM = "\
    file://${COREBASE}/meta/files/common-licenses/Apache-2.0;md5=89aea4e17d99a7cacdbeed46a0096b10 \
    file://${COREBASE}/meta/files/common-licenses/MIT;md5=0835ade698e0bcf8506ecda2f7b4f302 \
"

SRC_URI = "\
    file://50-var.conf \
    file://61-cic-kiosk-provision.rules \
    file://cic-kiosk-provision.sh \
    file://cic-kiosk-provision@.service \
"

S = "${UNPACKDIR}"

inherit features_check systemd

REQUIRED_DISTRO_FEATURES = "systemd"

RAUC_KEYRING_FILE ??= "ca.cert.pem"

do_configure[noexec] = "1"
do_compile[noexec] = "1"

do_install() {
    install -d ${D}${libexecdir} ${D}${nonarch_base_libdir}/udev/rules.d ${D}${nonarch_libdir}/repart.d ${D}${systemd_system_unitdir}
    install -m 0755 ${S}/cic-kiosk-provision.sh ${D}${libexecdir}/cic-kiosk-provision
    sed -i 's!@KEYRING@!${RAUC_KEYRING_FILE}!' ${D}${libexecdir}/cic-kiosk-provision
    install -m 0644 ${S}/cic-kiosk-provision@.service ${D}${systemd_system_unitdir}
    install -m 0644 ${S}/61-cic-kiosk-provision.rules ${D}${nonarch_base_libdir}/udev/rules.d
    install -m 0644 ${S}/50-var.conf ${D}${nonarch_libdir}/repart.d
}

PACKAGE_ARCH = "${MACHINE_ARCH}"
FILES:${PN} += "\
    ${nonarch_base_libdir}/udev/rules.d \
    ${nonarch_libdir}/repart.d \
    ${systemd_system_unitdir} \
"
# The stick's signature is checked against RAUC's keyring.
RDEPENDS:${PN} = "cic-kiosk openssl-bin virtual-rauc-conf"
