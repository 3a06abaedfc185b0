SUMMARY = "ONNX Runtime as Microsoft builds it, for the kiosk alone"
DESCRIPTION = "The shared library out of the wheel that scripts/onnxruntime.txt pins, where cic-kiosk loads it from."
HOMEPAGE = "https://onnxruntime.ai"
SECTION = "libs"
LICENSE = "MIT"
LIC_FILES_CHKSUM = "\
    file://LICENSE;md5=0f7e3b1308cb5c00b372a6e78835732d \
    file://ThirdPartyNotices.txt;md5=9eeadcc203053c6f321b6fa0a0f9b06b \
"

SRC_URI = "${PYPI}/${WHEEL};name=${TARGET_ARCH};downloadfilename=${WHEEL}.zip"
SRC_URI[aarch64.sha256sum] = "8d66f9ceb29909c70839e4e4fb3435c7b490050d8f162bd5f3aba4ca01ee517f"
SRC_URI[x86_64.sha256sum] = "a166b78ee04f3a37fa1ef82034b6a3ce96d9684e582d4d30b296de83e9998bb5"

PYPI:aarch64 = "https://files.pythonhosted.org/packages/ea/97/b7ce1bc8bb6048b5fe9129f55d6506dc19499068ef2e0a0af1ae3c8aa4e7"
PYPI:x86-64 = "https://files.pythonhosted.org/packages/f3/17/4e5ecd8764f87573c495d834ce79e61ecca47f7a01d1e444a606e570edcb"
WHEEL = "onnxruntime-${PV}-cp311-cp311-manylinux_2_27_${TARGET_ARCH}.manylinux_2_28_${TARGET_ARCH}.whl"

S = "${UNPACKDIR}/onnxruntime"

do_configure[noexec] = "1"
do_compile[noexec] = "1"

do_install() {
    install -d ${D}${nonarch_libdir}/cic-kiosk
    install -m 0644 ${S}/capi/libonnxruntime.so.${PV} ${D}${nonarch_libdir}/cic-kiosk/libonnxruntime.so
}

FILES:${PN} += "${nonarch_libdir}/cic-kiosk/libonnxruntime.so"
# It is loaded by its path: no other package may be linked with it.
PRIVATE_LIBS:${PN} = "libonnxruntime.so.1"
# Microsoft strips it, and has built it with its own flags.
# nooelint: oelint.vars.insaneskip
INSANE_SKIP:${PN} = "already-stripped ldflags"
INHIBIT_PACKAGE_STRIP = "1"

CVE_PRODUCT = "microsoft:onnxruntime linuxfoundation:onnxruntime"

COMPATIBLE_HOST = "(aarch64|x86_64).*-linux"
