#!/usr/bin/env bash
# Gets what the Makefile's targets need, and nothing that is there already.
#
# setup.sh build|onnxruntime|test|bench|training|fuzz|vm|kiosk ...
#
# Debian packages are installed when this runs as root; otherwise a line says which ones to install.
set -euo pipefail
cd "$(dirname "$0")/.."

die() {
    echo "setup: $*" >&2
    exit 1
}

missing=()

# want PACKAGE... -- COMMAND...: the packages are missing where the command fails.
want() {
    local packages=()
    while [ "$1" != -- ]; do
        packages+=("$1")
        shift
    done
    shift
    "$@" >/dev/null 2>&1 || missing+=("${packages[@]}")
}

install_missing() {
    [ ${#missing[@]} -gt 0 ] || return 0
    command -v apt-get >/dev/null || die "please install what Debian calls: ${missing[*]}"
    [ "$(id -u)" = 0 ] || die "please run: sudo apt-get install --no-install-recommends ${missing[*]}"
    echo "setup: installing ${missing[*]}" >&2
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq
    apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
    missing=()
}

build() {
    want gcc libc6-dev -- cc --version
    # v4l reads the kernel's headers with it.
    want libclang1 -- is_installed libclang1-14
    install_missing
    command -v cargo >/dev/null ||
        die "cargo is missing: install Rust $(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml) or later, see https://rustup.rs"
}

# The library out of the wheel, as .cache/onnxruntime/libonnxruntime.so.
onnxruntime() {
    local folder=.cache/onnxruntime machine wheel
    [ -e "$folder/libonnxruntime.so" ] && [ "$folder/libonnxruntime.so" -nt scripts/onnxruntime.txt ] && return
    want python3 -- python3 --version
    want python3-pip -- python3 -m pip --version
    install_missing
    machine=$(uname -m)
    case $machine in
    x86_64 | aarch64) ;;
    *) die "no ONNX Runtime wheel for $machine is pinned in scripts/onnxruntime.txt" ;;
    esac
    rm -rf "$folder"
    mkdir -p "$folder"
    # The wheel is only unpacked, so that its Python version need not be this machine's.
    python3 -m pip download --quiet --no-deps --only-binary=:all: --require-hashes \
        --implementation cp --python-version 3.11 --abi cp311 --platform "manylinux_2_28_$machine" \
        --dest "$folder" --requirement scripts/onnxruntime.txt
    wheel=$(echo "$folder"/*.whl)
    python3 - "$wheel" "$folder" <<'PYTHON'
import pathlib, re, sys, zipfile

wheel, folder = sys.argv[1:]
with zipfile.ZipFile(wheel) as archive:
    [name] = [n for n in archive.namelist() if re.fullmatch(r"onnxruntime/capi/libonnxruntime\.so[.\d]*", n)]
    pathlib.Path(folder, "libonnxruntime.so").write_bytes(archive.read(name))
PYTHON
    rm "$wheel"
}

# venv FOLDER PINS [PATTERN]: a virtual environment with the pinned requirements, those left out that match the pattern.
venv() {
    local folder=$1 pins=$2 without=${3:-^#}
    [ -e "$folder/ready" ] && [ "$folder/ready" -nt "$pins" ] && return
    want python3 -- python3 --version
    want python3-venv -- python3 -c 'import ensurepip, venv'
    install_missing
    python3 -m venv --clear "$folder"
    grep -v "$without" "$pins" >"$folder/requirements.txt"
    "$folder/bin/python" -m pip install --quiet --disable-pip-version-check --requirement "$folder/requirements.txt"
    touch "$folder/ready"
}

is_installed() {
    [ "$(dpkg-query --show --showformat='${db:Status-Status}' "$1")" = installed ]
}

# The generator draws with Debian's fonts and word lists.
fonts() {
    local package
    while read -r package; do
        want "$package" -- is_installed "$package"
    done <models/training/fonts.txt
    install_missing
}

# PyTorch weighs gigabytes, and only training needs it.
test_tools() {
    want mosquitto -- env PATH="$PATH:/usr/sbin" which mosquitto
    want mosquitto-clients -- which mosquitto_sub
    want curl -- curl --version
    want chromium -- which chromium
    want faketime -- which faketime
    want sane-utils -- which scanimage
    want mount -- mount --version
    want systemd -- which journalctl
    fonts
    venv .cache/python models/training/requirements.txt '^torch'
    venv .cache/http tests/http/requirements.txt
}

training() {
    fonts
    venv .cache/training models/training/requirements.txt
}

bench_tools() {
    want python3 -- python3 --version
    want tesseract-ocr -- tesseract --version
    want tesseract-ocr-vie -- is_installed tesseract-ocr-vie
    want poppler-utils -- pdftoppm -v
    install_missing
}

# libFuzzer is C++ and is built with the fuzz targets.
fuzz() {
    want g++ -- g++ --version
    install_missing
    cargo fuzz --version >/dev/null 2>&1 || cargo install --locked cargo-fuzz@0.13.2
}

# The virtual machine of tests/device: its tools, a C compiler for a kernel module, and what the machine uses of this one.
vm() {
    [ "$(uname -m)" = x86_64 ] || die "the virtual machine runs on x86-64 only"
    want qemu-system-x86 -- qemu-system-x86_64 --version
    want busybox-static -- which busybox
    want kmod -- env PATH="$PATH:/usr/sbin" which depmod
    want udev -- test -x /lib/systemd/systemd-udevd
    want v4l-utils -- which v4l2-ctl
    want gpiod -- which gpioget
    want gcc-12 libc6-dev -- gcc-12 --version
    want make -- make --version
    want xz-utils -- xz --version
    install_missing
    scripts/vm.sh prepare
}

# The virtual kiosk: an emulator, Debian for arm64, a cross compiler for a kernel module.
kiosk() {
    want qemu-system-arm -- qemu-system-aarch64 --version
    want qemu-user-static -- qemu-aarch64-static --version
    want mmdebstrap -- mmdebstrap --version
    want gcc-aarch64-linux-gnu -- aarch64-linux-gnu-gcc-12 --version
    want e2fsprogs -- env PATH="$PATH:/usr/sbin" which mke2fs debugfs
    want busybox-static -- which busybox
    want kmod -- env PATH="$PATH:/usr/sbin" which depmod
    want systemd -- which systemctl
    want make -- make --version
    want xz-utils -- xz --version
    install_missing
}

for part in "$@"; do
    case $part in
    build | onnxruntime | training | fuzz | vm | kiosk) "$part" ;;
    test | bench) "${part}_tools" ;;
    *) die "unknown part $part" ;;
    esac
done
