SUMMARY = "A scanner kiosk's touch screen"
DESCRIPTION = "The unit that shows the kiosk's pages, a browser that draws on the display itself, and letters for \
Vietnamese and English."
HOMEPAGE = "https://github.com/cic-kiosk/cic-kiosk"

PACKAGE_ARCH = "${MACHINE_ARCH}"

inherit features_check packagegroup

REQUIRED_DISTRO_FEATURES = "opengl systemd"

RDEPENDS:${PN} = "\
    cic-kiosk-screen \
    cog \
    ttf-dejavu-sans \
"

# There is no ONNX Runtime for smaller machines.
COMPATIBLE_HOST = "(aarch64|x86_64).*-linux"
