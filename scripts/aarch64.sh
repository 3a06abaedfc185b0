#!/usr/bin/env bash
# Builds the release for a kiosk's board: target/aarch64-unknown-linux-gnu/release/cic-kiosk.
#
# Everything that a board needs and a compiler has to know stands in .cargo/config.toml, so that `cross build` makes the
# same of it. This script only finds a Rust that knows the target, after `setup.sh aarch64`.
set -euo pipefail
cd "$(dirname "$0")/.."

target=aarch64-unknown-linux-gnu

if [ ! -e "$(rustc --print sysroot)/lib/rustlib/$target/lib" ]; then
    export RUSTC=$PWD/.cache/aarch64/rustc
fi
cargo build --release --locked --target "$target"

program=target/$target/release/cic-kiosk
stripped=$(mktemp)
trap 'rm -f "$stripped"' EXIT
aarch64-linux-gnu-strip -o "$stripped" "$program"
# The newest of the C library's symbols that it uses is the oldest C library that it runs with.
printf '%s: %d bytes, %d stripped; needs %s or later\n' "$program" "$(stat -c %s "$program")" "$(stat -c %s "$stripped")" \
    "$(aarch64-linux-gnu-readelf --version-info "$program" | grep -o 'GLIBC_[0-9.]*' | sort -Vu | tail -1 | tr _ ' ')"
