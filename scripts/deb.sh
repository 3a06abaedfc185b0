#!/usr/bin/env bash
# Makes Debian packages out of the release builds: target/debian/cic-kiosk_VERSION_ARCH.deb.
#
# deb.sh [x86_64|aarch64]...   for these machines; else for both
#
# What is in them stands in Cargo.toml under [package.metadata.deb]. Needs `setup.sh deb`, and for each machine its build
# and its ONNX Runtime (onnxruntime, onnxruntime-aarch64).
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

[ $# -gt 0 ] || set -- x86_64 aarch64
for machine in "$@"; do
    case $machine in
    x86_64) runtime=.cache/onnxruntime build=() ;;
    aarch64) runtime=.cache/onnxruntime-aarch64 build=(--target aarch64-unknown-linux-gnu) ;;
    *) echo "deb: say x86_64 or aarch64" >&2; exit 1 ;;
    esac
    licences "$machine-unknown-linux-gnu" "$runtime"
    .cache/cargo-deb/bin/cargo-deb --no-build --quiet --output target/debian/ "${build[@]}" --variant "$machine"
done
