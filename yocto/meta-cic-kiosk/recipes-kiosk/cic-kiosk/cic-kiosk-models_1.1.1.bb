SUMMARY = "Models that find and read the lines of a credit report"
DESCRIPTION = "A detector and a recogniser, each in full and in 8-bit precision, with the manifest that the program \
checks them against."
HOMEPAGE = "https://github.com/cic-kiosk/cic-kiosk"
SECTION = "misc"
LICENSE = "Apache-2.0 | MIT"
LIC_FILES_CHKSUM = "\
    file://../LICENSE-APACHE;md5=22a53954e4e0ec258dfce4391e905dac \
    file://../LICENSE-MIT;md5=efae7a8acd2d775ae3859f1911ba8b83 \
"

# As files, not out of a commit: they are built anew only when they change.
# nooelint: oelint.vars.fileextrapaths,oelint.vars.outofcontext
FILESEXTRAPATHS:prepend := "${CIC_KIOSK_REPOSITORY}:"
SRC_URI = "\
    file://LICENSE-APACHE \
    file://LICENSE-MIT \
    file://models/CARD.md \
    file://models/detector.int8.onnx \
    file://models/detector.onnx \
    file://models/golden/page.json \
    file://models/golden/page.pdf \
    file://models/manifest.toml \
    file://models/recogniser.int8.onnx \
    file://models/recogniser.onnx \
"

S = "${UNPACKDIR}/models"

inherit allarch

do_configure[noexec] = "1"

# The program refuses a model that is not the manifest's; here, it is refused before it is in an image.
python do_compile() {
    import hashlib
    import tomllib

    with open(d.expand('${S}/manifest.toml'), 'rb') as file:
        models = tomllib.load(file)['model']
    for model in models:
        with open(d.expand('${S}/%s' % model['file']), 'rb') as file:
            if hashlib.file_digest(file, 'sha256').hexdigest() != model['sha256']:
                bb.fatal('%s is not the model that manifest.toml means' % model['file'])
}

do_install() {
    install -d ${D}${datadir}/cic-kiosk/models/golden
    install -m 0644 ${S}/CARD.md ${S}/manifest.toml ${S}/*.onnx ${D}${datadir}/cic-kiosk/models
    install -m 0644 ${S}/golden/page.json ${S}/golden/page.pdf ${D}${datadir}/cic-kiosk/models/golden
}

FILES:${PN} += "${datadir}/cic-kiosk/models"
