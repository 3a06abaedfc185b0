SUMMARY = "The board maker's ONNX Runtime, where the kiosk looks for it"
DESCRIPTION = "A link to the library of the package that CIC_KIOSK_ONNXRUNTIME names, which knows the board's NPU."
HOMEPAGE = "https://github.com/cic-kiosk/cic-kiosk"
SECTION = "libs"
LICENSE = "Apache-2.0 | MIT"
LIC_FILES_CHKSUM = "\
    file://${COREBASE}/meta/files/common-licenses/Apache-2.0;md5=89aea4e17d99a7cacdbeed46a0096b10 \
    file://${COREBASE}/meta/files/common-licenses/MIT;md5=0835ade698e0bcf8506ecda2f7b4f302 \
"

CIC_KIOSK_ONNXRUNTIME ??= ""
CIC_KIOSK_ONNXRUNTIME[doc] = "The package of the board's layer that holds ONNX Runtime's shared library."
CIC_KIOSK_ONNXRUNTIME_PATH ??= "${libdir}/libonnxruntime.so.1"
CIC_KIOSK_ONNXRUNTIME_PATH[doc] = "The library's path."

do_configure[noexec] = "1"
do_compile[noexec] = "1"

do_install() {
    [ -n "${CIC_KIOSK_ONNXRUNTIME}" ] || bbfatal "CIC_KIOSK_ONNXRUNTIME must name the package of the board's layer that has the library"
    install -d ${D}${nonarch_libdir}/cic-kiosk
    ln -s ${CIC_KIOSK_ONNXRUNTIME_PATH} ${D}${nonarch_libdir}/cic-kiosk/libonnxruntime.so
}

PACKAGE_ARCH = "${MACHINE_ARCH}"
FILES:${PN} += "${nonarch_libdir}/cic-kiosk/libonnxruntime.so"
RDEPENDS:${PN} = "${CIC_KIOSK_ONNXRUNTIME}"
# The link is the very point of the package.
# nooelint: oelint.vars.insaneskip
INSANE_SKIP:${PN} = "dev-so"

# It is for those who choose it.
EXCLUDE_FROM_WORLD = "1"
