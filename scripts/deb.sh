#!/usr/bin/env bash
# Makes the Debian packages for x86-64 and aarch64 out of the release builds: target/debian/cic-kiosk_VERSION_ARCH.deb.
#
# What is in them stands in Cargo.toml under [package.metadata.deb]. Needs `setup.sh deb onnxruntime onnxruntime-aarch64`.
set -euo pipefail
cd "$(dirname "$0")/.."

[ "$(uname -m)" = x86_64 ] || { echo "deb: the packages are made on x86-64" >&2; exit 1; }

# licences TARGET RUNTIME: lays out, compressed, what the binaries owe to others.
licences() {
    rm -rf target/debian/doc
    mkdir -p target/debian/doc
    python3 scripts/licences.py "$1" | gzip -9n >target/debian/doc/crates.txt.gz
    gzip -9nc "$2/ThirdPartyNotices.txt" >target/debian/doc/onnxruntime-notices.txt.gz
}

# The same sources make the same package.
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct 2>/dev/null || date +%s)
export SOURCE_DATE_EPOCH

licences x86_64-unknown-linux-gnu .cache/onnxruntime
.cache/cargo-deb/bin/cargo-deb --no-build --quiet --output target/debian/ --variant x86_64

licences aarch64-unknown-linux-gnu .cache/onnxruntime-aarch64
.cache/cargo-deb/bin/cargo-deb --no-build --quiet --output target/debian/ \
    --target aarch64-unknown-linux-gnu --variant aarch64
