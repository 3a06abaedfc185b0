#!/usr/bin/env python3
"""Writes the Yocto recipe's list of crates out of Cargo.lock: one address and one checksum each.

yocto-crates.py            writes yocto/meta-cic-kiosk/recipes-kiosk/cic-kiosk/cic-kiosk-crates.inc
yocto-crates.py --check    fails when that file says something else

`bitbake -c update_crates cic-kiosk` gathers the same, but needs a build folder, and takes the lock files of fuzz/ along.
"""

import pathlib
import sys
import tomllib

ROOT = pathlib.Path(__file__).resolve().parent.parent
LIST = ROOT / "yocto/meta-cic-kiosk/recipes-kiosk/cic-kiosk/cic-kiosk-crates.inc"
REGISTRY = "registry+https://github.com/rust-lang/crates.io-index"


def crates(lock: str) -> str:
    """The list for a Cargo.lock, as BitBake reads it."""
    packages = [package for package in tomllib.loads(lock)["package"] if "source" in package]
    for package in packages:
        if package["source"] != REGISTRY:
            sys.exit(f"yocto-crates: {package['name']} comes from {package['source']}: only crates.io can be listed")
    lines = ["# Written by scripts/yocto-crates.py out of Cargo.lock.", "", 'SRC_URI += "\\']
    lines += [f"    crate://crates.io/{package['name']}/{package['version']} \\" for package in packages]
    lines += ['"', ""]
    lines += [
        f'SRC_URI[{package["name"]}-{package["version"]}.sha256sum] = "{package["checksum"]}"' for package in packages
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    text = crates((ROOT / "Cargo.lock").read_text())
    if sys.argv[1:] == ["--check"]:
        if not LIST.exists() or LIST.read_text() != text:
            sys.exit(f"yocto-crates: {LIST.relative_to(ROOT)} is out of step with Cargo.lock: run scripts/yocto-crates.py")
    elif sys.argv[1:]:
        sys.exit(__doc__)
    else:
        LIST.write_text(text)


if __name__ == "__main__":
    main()
