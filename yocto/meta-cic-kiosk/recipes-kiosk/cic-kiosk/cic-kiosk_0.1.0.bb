SUMMARY = "Reads credit reports on a scanner kiosk and publishes the results"
DESCRIPTION = "Captures the pages of CIC credit reports from a camera or a document scanner, reads them on the spot \
with ONNX models, and delivers the results over MQTT."
HOMEPAGE = "https://github.com/cic-kiosk/cic-kiosk"
SECTION = "misc"
LICENSE = "Apache-2.0 | MIT"
LIC_FILES_CHKSUM = "\
    file://LICENSE-APACHE;md5=22a53954e4e0ec258dfce4391e905dac \
    file://LICENSE-MIT;md5=efae7a8acd2d775ae3859f1911ba8b83 \
"

# bindgen, which reads the kernel's headers for v4l, loads libclang.
DEPENDS = "clang-native"

SRC_URI = "git://${CIC_KIOSK_REPOSITORY};protocol=file;nobranch=1"
# Where the repository lies is no matter; which commit it is, is.
SRC_URI[vardepsexclude] = "CIC_KIOSK_REPOSITORY"
SRCREV = "${@cic_kiosk_revision(d)}"

def cic_kiosk_revision(d):
    """The commit that the repository is checked out at. Another one, which may change no recipe, has this one parsed anew."""
    repository = d.getVar('CIC_KIOSK_REPOSITORY')
    try:
        head, _ = bb.process.run('git rev-parse --git-path logs/HEAD', cwd=repository)
        bb.parse.mark_dependency(d, os.path.join(repository, head.strip()))
    except (bb.process.ExecutionError, bb.process.NotFoundError):
        bb.warn('%s is no git repository that may be read: set CIC_KIOSK_REPOSITORY' % repository)
    return oe.buildcfg.get_metadata_git_revision(repository)

require cic-kiosk-crates.inc

inherit cargo cargo-update-recipe-crates systemd useradd

# Each brings the library to the one place where the program looks for it.
PACKAGECONFIG ??= "prebuilt"
PACKAGECONFIG[prebuilt] = ",,,onnxruntime-prebuilt,,source vendor"
PACKAGECONFIG[source] = ",,,onnxruntime-source,,prebuilt vendor"
PACKAGECONFIG[vendor] = ",,,onnxruntime-vendor,,prebuilt source"

CVE_PRODUCT = "cic-kiosk"

export LIBCLANG_PATH = "${STAGING_LIBDIR_NATIVE}"
export BINDGEN_EXTRA_CLANG_ARGS = "--target=${TARGET_SYS} --sysroot=${STAGING_DIR_TARGET}"
# Boards have kernels of 4, 16 and 64 KiB pages; jemalloc bears smaller ones than it was built for, not larger ones.
JEMALLOC_SYS_WITH_LG_PAGE:aarch64 = "16"
export JEMALLOC_SYS_WITH_LG_PAGE

do_install:append() {
    install -d ${D}${sysconfdir}/cic-kiosk ${D}${systemd_system_unitdir} ${D}${systemd_unitdir}/journald.conf.d \
        ${D}${nonarch_libdir}/sysusers.d ${D}${nonarch_libdir}/tmpfiles.d ${D}${nonarch_base_libdir}/udev/rules.d
    install -m 0644 ${S}/systemd/config.toml ${D}${sysconfdir}/cic-kiosk
    install -m 0644 ${S}/systemd/*.path ${S}/systemd/*.service ${S}/systemd/*.socket ${D}${systemd_system_unitdir}
    install -m 0644 ${S}/systemd/journald.conf.d/*.conf ${D}${systemd_unitdir}/journald.conf.d
    install -m 0644 ${S}/systemd/sysusers.d/*.conf ${D}${nonarch_libdir}/sysusers.d
    install -m 0644 ${S}/systemd/tmpfiles.d/*.conf ${D}${nonarch_libdir}/tmpfiles.d
    install -m 0644 ${S}/systemd/udev/*.rules ${D}${nonarch_base_libdir}/udev/rules.d

    install -d ${D}${nonarch_libdir}/cic-kiosk ${D}${systemd_unitdir}/system.conf.d ${D}${systemd_system_unitdir}/cic-kiosk.service.d
    install -m 0755 ${S}/systemd/confirm ${D}${nonarch_libdir}/cic-kiosk
    install -m 0644 ${S}/systemd/system.conf.d/*.conf ${D}${systemd_unitdir}/system.conf.d
    install -m 0644 ${S}/systemd/examples/encrypted-credentials.conf ${D}${systemd_system_unitdir}/cic-kiosk.service.d
    cp -R --no-preserve=ownership ${S}/systemd/appliance/. ${D}${systemd_system_unitdir}

    install -d ${D}${datadir}/cic-kiosk/screen ${D}${sysconfdir}/cic-kiosk/config.d ${D}${systemd_system_unitdir}/cic-kiosk-screen.service.d
    install -m 0644 ${S}/systemd/screen/*.json ${D}${datadir}/cic-kiosk/screen
    install -m 0644 ${S}/systemd/screen/40-screen.toml ${D}${sysconfdir}/cic-kiosk/config.d
    install -m 0644 ${S}/systemd/examples/screen-wpe.conf ${D}${systemd_system_unitdir}/cic-kiosk-screen.service.d
}

# What makes a machine a kiosk that looks after itself: the hardware's watchdog, confirmed updates, sealed credentials.
PACKAGES =+ "${PN}-screen ${PN}-appliance"
FILES:${PN}-appliance += "\
    ${nonarch_libdir}/cic-kiosk/confirm \
    ${systemd_system_unitdir}/*.d \
    ${systemd_system_unitdir}/cic-kiosk-check.service \
    ${systemd_system_unitdir}/cic-kiosk-claim.service \
    ${systemd_system_unitdir}/cic-kiosk-confirm.service \
    ${systemd_unitdir}/system.conf.d \
"
# What shows the service's pages on a display, with WPE; the browser comes by packagegroup-cic-kiosk-screen.
FILES:${PN}-screen += "\
    ${datadir}/cic-kiosk/screen \
    ${nonarch_libdir}/sysusers.d/cic-kiosk-screen.conf \
    ${sysconfdir}/cic-kiosk/config.d/40-screen.toml \
    ${systemd_system_unitdir}/cic-kiosk-screen.service \
    ${systemd_system_unitdir}/cic-kiosk-screen.service.d \
"
FILES:${PN} += "\
    ${nonarch_base_libdir}/udev/rules.d \
    ${nonarch_libdir}/sysusers.d \
    ${nonarch_libdir}/tmpfiles.d \
    ${systemd_unitdir} \
"
CONFFILES:${PN} = "${sysconfdir}/cic-kiosk/config.toml"
RDEPENDS:${PN} = "ca-certificates cic-kiosk-models"
RDEPENDS:${PN}-appliance = "${PN} rauc"
CONFFILES:${PN}-screen = "${sysconfdir}/cic-kiosk/config.d/40-screen.toml"
RDEPENDS:${PN}-screen = "${PN}"

SYSTEMD_PACKAGES = "${PN} ${PN}-appliance ${PN}-screen"
SYSTEMD_SERVICE:${PN} = "cic-kiosk.service cic-kiosk-worker.socket"
SYSTEMD_SERVICE:${PN}-appliance = "cic-kiosk-claim.service cic-kiosk-confirm.service"
SYSTEMD_SERVICE:${PN}-screen = "cic-kiosk-screen.service"

# /var outlives the system that wrote it: the next one must know its owner by the same number.
USERADD_PACKAGES = "${PN} ${PN}-screen"
GROUPADD_PARAM:${PN} = "--system --gid 960 cic-kiosk; --system --gid 961 gpio; --system systemd-journal"
USERADD_PARAM:${PN} = "--system --uid 960 --gid cic-kiosk --groups video,gpio,systemd-journal --home-dir ${localstatedir}/lib/cic-kiosk \
    --no-create-home --shell ${base_sbindir}/nologin cic-kiosk"
GROUPADD_PARAM:${PN}-screen = "--system --gid 962 cic-kiosk-screen; --system input; --system render"
USERADD_PARAM:${PN}-screen = "--system --uid 962 --gid cic-kiosk-screen --groups video,input,render --home-dir /run/cic-kiosk-screen \
    --no-create-home --shell ${base_sbindir}/nologin cic-kiosk-screen"

# There is no ONNX Runtime for smaller machines.
COMPATIBLE_HOST = "(aarch64|x86_64).*-linux"
