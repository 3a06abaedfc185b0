# For this distribution alone: what this layer is laid over stays as it is.
FILESEXTRAPATHS:prepend:cic-kiosk-os := "${THISDIR}/files:"

PACKAGE_ARCH:cic-kiosk-os = "${MACHINE_ARCH}"

do_install:append:cic-kiosk-os() {
    grep -q 'BEGIN CERTIFICATE' ${D}${nonarch_libdir}/rauc/${RAUC_KEYRING_FILE} ||
        bbfatal "RAUC_KEYRING_FILE must name the certificates of those who may update a kiosk (yocto/meta-cic-kiosk/README.md)"
    sed -i -e 's!@MACHINE@!${MACHINE}!' -e 's!@BOOTLOADER@!${CIC_KIOSK_BOOTLOADER}!' -e 's!@KEYRING@!${RAUC_KEYRING_FILE}!' \
        ${D}${nonarch_libdir}/rauc/system.conf
    # RAUC refuses a number of attempts where nothing counts them.
    [ "${CIC_KIOSK_BOOTLOADER}" = uboot ] || sed -i '/^boot-attempts/d' ${D}${nonarch_libdir}/rauc/system.conf
    # Where cic-kiosk-confirm.service looks whether the machine is updated by RAUC.
    install -d ${D}${sysconfdir}/rauc
    ln -s ${nonarch_libdir}/rauc/system.conf ${D}${sysconfdir}/rauc/system.conf
}
