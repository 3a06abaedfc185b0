SUMMARY = "ONNX Runtime from its source, for the kiosk alone"
DESCRIPTION = "The inference engine, built for the board's own processor, where cic-kiosk loads it from."
HOMEPAGE = "https://onnxruntime.ai"
SECTION = "libs"
LICENSE = "MIT"
LIC_FILES_CHKSUM = "file://LICENSE;md5=0f7e3b1308cb5c00b372a6e78835732d"

SRC_URI = "git://github.com/microsoft/onnxruntime.git;protocol=https;branch=rel-1.27.1"
SRCREV = "df2ba1cf8108aa63627cf4cdf8f807880b938616"

inherit cmake python3native

OECMAKE_SOURCEPATH = "${S}/cmake"
EXTRA_OECMAKE = "\
    -Donnxruntime_BUILD_SHARED_LIB=ON \
    -Donnxruntime_BUILD_UNIT_TESTS=OFF \
    -Donnxruntime_ENABLE_LTO=ON \
    -DCMAKE_COMPILE_WARNING_AS_ERROR=OFF \
"

# Its build would fetch some thirty libraries by itself. The commit's own list has an address and a SHA-1 for each:
# they are fetched as everything else is, from mirrors too, into the folder where the build looks first.
python do_fetch_libraries() {
    import csv

    with open(d.expand('${S}/cmake/deps.txt')) as file:
        libraries = [row for row in csv.reader(file, delimiter=';') if len(row) == 3 and not row[0].startswith('#')]
    for name, url, sha1 in libraries:
        place = d.expand('${S}/mirror/%s' % url.removeprefix('https://'))
        fetcher = bb.fetch2.Fetch(['%s;name=%s;sha1sum=%s;downloadfilename=onnxruntime-%s-%s;unpack=0'
                                   % (url, name, sha1.lower(), name, os.path.basename(url))], d)
        fetcher.download()
        bb.utils.mkdirhier(os.path.dirname(place))
        bb.utils.copyfile(fetcher.localpaths()[0], place)
}
# nooelint: oelint.task.network
do_fetch_libraries[network] = "1"
addtask fetch_libraries after do_unpack before do_patch

do_install() {
    install -d ${D}${nonarch_libdir}/cic-kiosk
    install -m 0644 ${B}/libonnxruntime.so.${PV} ${D}${nonarch_libdir}/cic-kiosk/libonnxruntime.so
}

FILES:${PN} += "${nonarch_libdir}/cic-kiosk/libonnxruntime.so"
PRIVATE_LIBS:${PN} = "libonnxruntime.so.1"

CVE_PRODUCT = "microsoft:onnxruntime linuxfoundation:onnxruntime"

COMPATIBLE_HOST = "(aarch64|x86_64).*-linux"
