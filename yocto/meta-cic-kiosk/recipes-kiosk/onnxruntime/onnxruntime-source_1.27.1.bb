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
# they are fetched as everything else is, from mirrors too, and put into the folder where the build looks first.
def libraries(text):
    """Of each library in a text like cmake/deps.txt: what BitBake fetches, and where the build looks for it."""
    import csv

    for row in csv.reader(text.splitlines(), delimiter=';'):
        if len(row) == 3 and not row[0].startswith('#'):
            name, url, sha1 = row
            file = 'onnxruntime-%s-%s' % (name, os.path.basename(url))
            yield ('%s;name=%s;sha1sum=%s;downloadfilename=%s;unpack=0' % (url, name, sha1.lower(), file),
                   'mirror/' + url.removeprefix('https://'))

python do_fetch:append() {
    [source] = bb.fetch2.Fetch(d.getVar('SRC_URI').split(), d).ud.values()
    text, _ = bb.process.run(['git', '-C', source.clonedir, 'show', d.getVar('SRCREV') + ':cmake/deps.txt'])
    bb.fetch2.Fetch([uri for uri, _ in libraries(text)], d).download()
}

python do_unpack:append() {
    with open(d.expand('${S}/cmake/deps.txt')) as file:
        listed = dict(libraries(file.read()))
    fetcher = bb.fetch2.Fetch(list(listed), d)
    for uri, place in listed.items():
        target = d.expand('${S}/' + place)
        bb.utils.mkdirhier(os.path.dirname(target))
        bb.utils.copyfile(fetcher.localpath(uri), target)
}

do_install() {
    install -d ${D}${nonarch_libdir}/cic-kiosk
    install -m 0644 ${B}/libonnxruntime.so.${PV} ${D}${nonarch_libdir}/cic-kiosk/libonnxruntime.so
}

FILES:${PN} += "${nonarch_libdir}/cic-kiosk/libonnxruntime.so"
PRIVATE_LIBS:${PN} = "libonnxruntime.so.1"

CVE_PRODUCT = "microsoft:onnxruntime linuxfoundation:onnxruntime"

COMPATIBLE_HOST = "(aarch64|x86_64).*-linux"
