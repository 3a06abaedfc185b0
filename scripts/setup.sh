#!/usr/bin/env bash
# Gets what the Makefile's targets need, and nothing that is there already.
#
# setup.sh build|broker|onnxruntime|onnxruntime-aarch64|aarch64|deb|test|appliance|screen|bench|training|fuzz|vm|kiosk ...
#
# Debian packages are installed when this runs as root; otherwise a line says which ones to install.
set -euo pipefail
cd "$(dirname "$0")/.."

die() {
    echo "setup: $*" >&2
    exit 1
}

missing=()

# The target of a kiosk's board.
BOARD=aarch64-unknown-linux-gnu
CARGO_DEB=3.8.0

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

# The library for this machine, as .cache/onnxruntime/libonnxruntime.so.
onnxruntime() {
    runtime "$(uname -m)" .cache/onnxruntime
}

# The library for a kiosk's board.
onnxruntime_aarch64() {
    runtime aarch64 .cache/onnxruntime-aarch64
}

# runtime MACHINE FOLDER: the library out of the wheel, and the licences that go with it wherever it goes.
runtime() {
    local machine=$1 folder=$2 wheel
    [ -e "$folder/ThirdPartyNotices.txt" ] && [ "$folder/libonnxruntime.so" -nt scripts/onnxruntime.txt ] && return
    want python3 -- python3 --version
    want python3-pip -- python3 -m pip --version
    install_missing
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
    [library] = [n for n in archive.namelist() if re.fullmatch(r"onnxruntime/capi/libonnxruntime\.so[.\d]*", n)]
    texts = {name: f"onnxruntime/{name}" for name in ("LICENSE", "ThirdPartyNotices.txt")}
    for name, member in {"libonnxruntime.so": library, **texts}.items():
        pathlib.Path(folder, name).write_bytes(archive.read(member))
PYTHON
    rm "$wheel"
}

# What links and compiles C for aarch64, and a Rust with its standard library: rustup's own where it has the target
# (rustup target add aarch64-unknown-linux-gnu), otherwise Debian's, as .cache/aarch64/rustc. That one is unpacked, not
# installed, and the machine's own Rust stays as it is.
aarch64() {
    build
    want gcc-aarch64-linux-gnu libc6-dev-arm64-cross -- aarch64-linux-gnu-gcc --version
    install_missing
    [ -e "$(rustc --print sysroot)/lib/rustlib/$BOARD/lib" ] || [ -e .cache/aarch64/rustc ] || debian_rust
}

debian_rust() {
    local folder=$PWD/.cache/aarch64 apt package
    [ "$(uname -m)" = x86_64 ] || die "please run: rustup target add $BOARD"
    rm -rf "$folder"
    mkdir -p "$folder"/apt/{state/lists,cache/archives}/partial
    # apt with both architectures and lists of its own: the machine's need not know arm64.
    apt=(apt-get -qq -o Dir::State="$folder/apt/state" -o Dir::State::status=/var/lib/dpkg/status
        -o Dir::Cache="$folder/apt/cache" -o APT::Architectures::=amd64 -o APT::Architectures::=arm64
        -o APT::Sandbox::User= -o Debug::NoLocking=1)
    "${apt[@]}" update
    # All that this machine lacks of it, LLVM among others; --reinstall, because nothing here may be left out.
    "${apt[@]}" install --download-only --reinstall --yes --no-install-recommends rustc-web libstd-rust-web-dev
    (cd "$folder/apt/cache/archives" && "${apt[@]}" download libstd-rust-web-dev:arm64)
    for package in "$folder"/apt/cache/archives/*.deb; do
        dpkg-deb -x "$package" "$folder"
    done
    rm -r "$folder/apt"
    printf '#!/bin/sh\nLD_LIBRARY_PATH=%q exec %q "$@"\n' \
        "$folder/usr/lib/x86_64-linux-gnu" "$folder/usr/bin/rustc" >"$folder/rustc.new"
    chmod +x "$folder/rustc.new"
    mv "$folder/rustc.new" "$folder/rustc"
}

# What makes packages, and what judges them.
deb() {
    want lintian -- lintian --version
    want dpkg-dev -- is_installed dpkg-dev
    want qemu-user-static -- qemu-aarch64-static --version
    install_missing
    venv .cache/http tests/http/requirements.txt
    .cache/cargo-deb/bin/cargo-deb --version 2>/dev/null | grep -qw "$CARGO_DEB" ||
        cargo install --locked --quiet --root .cache/cargo-deb --no-default-features --force "cargo-deb@$CARGO_DEB"
}

# venv FOLDER PINS [PATTERN]: a virtual environment with the pinned requirements, those left out that match the pattern.
venv() {
    local folder=$1 pins=$2 without=${3:-^#}
    [ -e "$folder/ready" ] && [ "$folder/ready" -nt "$pins" ] && return
    want python3 -- python3 --version
    want python3-venv -- python3 -c 'import ensurepip, venv'
    install_missing
    # Clearing would empty what the link leads to.
    [ ! -L "$folder" ] || die "$folder is a link, and what it leads to is older than $pins: remove the link, or mend that"
    python3 -m venv --clear "$folder"
    grep -v "$without" "$pins" >"$folder/requirements.txt"
    "$folder/bin/python" -m pip install --quiet --disable-pip-version-check --requirement "$folder/requirements.txt"
    touch "$folder/ready"
}

broker() {
    want mosquitto -- env PATH="$PATH:/usr/sbin" which mosquitto
    want python3 -- python3 --version
    install_missing
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
    broker
    want mosquitto-clients -- which mosquitto_sub
    want curl -- curl --version
    want chromium -- which chromium
    want faketime -- which faketime
    # EMQX's rules are terms of Erlang.
    want erlang-base -- which erl
    want sane-utils -- which scanimage
    want mount -- mount --version
    want systemd -- which journalctl
    fonts
    venv .cache/python models/training/requirements.txt '^torch'
    venv .cache/http tests/http/requirements.txt
    venv .cache/yocto yocto/requirements.txt
}

# Units are booted in namespaces, and updates installed.
appliance() {
    want systemd -- test -x /lib/systemd/systemd
    want dbus-daemon dbus-system-bus-common -- test -e /usr/share/dbus-1/system.conf
    want rauc -- rauc --version
    want rauc-service -- test -e /lib/systemd/system/rauc.service
    want squashfs-tools -- which mksquashfs
    want openssl -- which openssl
    want iproute2 -- which ip
    want shellcheck -- shellcheck --version
    install_missing
}

# What the screen's pages are looked at with: browsers, and for the full-screen unit a compositor; letters with Vietnamese
# accents; and axe-core, which knows what people with disabilities cannot use.
screen() {
    broker
    want chromium -- which chromium
    want cog -- which cog
    want cage -- which cage
    want xwayland -- which Xwayland
    want fonts-noto-core -- is_installed fonts-noto-core
    want curl -- curl --version
    want systemd -- test -x /lib/systemd/systemd
    install_missing
    venv .cache/http tests/http/requirements.txt
    axe
}

# One file of the package at npm's registry, for which nothing of npm's is needed.
AXE=4.14.1
AXE_SHA512=1477dafa598d8d065f273d6af302aa203c02e83131707b7fa648cd41bd3d6b734f8c22a0dab86ee6a6f64b8afbe804b214d36db85a2826965edfb3a0b9d546b5

axe() {
    local folder=.cache/axe
    [ -e "$folder/axe.min.js" ] && [ "$(cat "$folder/version")" = "$AXE" ] && return
    rm -rf "$folder"
    mkdir -p "$folder"
    curl --silent --show-error --fail --location --output "$folder/axe.tgz" \
        "https://registry.npmjs.org/axe-core/-/axe-core-$AXE.tgz"
    echo "$AXE_SHA512  $folder/axe.tgz" | sha512sum --check --quiet || die "axe-core $AXE is not what it was"
    tar -xzf "$folder/axe.tgz" -C "$folder" --strip-components 1 package/axe.min.js
    rm "$folder/axe.tgz"
    echo "$AXE" >"$folder/version"
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
    want binutils -- strip --version
    # OpenCV, which RapidOCR sees with, loads them.
    want libgl1 -- is_installed libgl1
    want libglib2.0-0 -- is_installed libglib2.0-0
    install_missing
    venv .cache/bench scripts/bench-requirements.txt
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
    want swtpm -- which swtpm
    # What systemd loads for a TPM2.
    local library
    for library in libtss2-esys-3.0.2-0 libtss2-mu0 libtss2-rc0 libtss2-tcti-device0; do
        want "$library" -- is_installed "$library"
    done
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
    # It asks this whether programs for arm64 run here.
    want arch-test -- which arch-test
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
    build | broker | onnxruntime | onnxruntime-aarch64 | aarch64 | deb | appliance | screen | training | fuzz | vm | kiosk) "${part//-/_}" ;;
    test | bench) "${part}_tools" ;;
    *) die "unknown part $part" ;;
    esac
done
