SUMMARY = "ONNX Runtime as Microsoft builds it, for the kiosk alone"
DESCRIPTION = "The shared library out of the wheel that scripts/onnxruntime.txt pins, where cic-kiosk loads it from."
HOMEPAGE = "https://onnxruntime.ai"
SECTION = "libs"
LICENSE = "MIT"
LIC_FILES_CHKSUM = "\
    file://LICENSE;md5=0f7e3b1308cb5c00b372a6e78835732d \
    file://ThirdPartyNotices.txt;md5=0273f4458ab21c4f04b2bf7b9c891f6c \
"

SRC_URI = "${PYPI}/${WHEEL};name=${TARGET_ARCH};downloadfilename=${WHEEL}.zip"
SRC_URI[aarch64.sha256sum] = "2303372a85299b6757b0e11e1cbf13e410ddf7e10c37f4b37e99d1c90e7daf7c"
SRC_URI[x86_64.sha256sum] = "5a34fc4dfeb5a7b4a74c95dcba1e773d722abda720b474edf1b0c419dc6d163d"

PYPI:aarch64 = "https://files.pythonhosted.org/packages/b7/30/103820b32e9dc1d1fcfc5b519fd2de5bd699d25a25895caf5d726350d1b5"
PYPI:x86-64 = "https://files.pythonhosted.org/packages/1d/46/e6f356c9539d2eed44126de3421a81e217da2ad91b22dc11b379cb1e384f"
WHEEL = "onnxruntime-${PV}-cp311-cp311-manylinux_2_28_${TARGET_ARCH}.whl"

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
