#!/usr/bin/env python3
"""Prints the licences of all crates that are linked into the program, for those who get it as a binary.

licences.py TARGET
"""

import json
import re
import subprocess
import sys
from pathlib import Path

TEXT = re.compile(r"(LICEN[CS]E|COPYING|COPYRIGHT|NOTICE)", re.I)


def linked(metadata):
    """The packages of others that the program's code comes from: not what only builds or tests it."""
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    root = metadata["resolve"]["root"]
    seen, open_ones = {root}, [root]
    while open_ones:
        for dependency in nodes[open_ones.pop()]["deps"]:
            if any(one["kind"] is None for one in dependency["dep_kinds"]) and dependency["pkg"] not in seen:
                seen.add(dependency["pkg"])
                open_ones.append(dependency["pkg"])
    packages = (package for package in metadata["packages"] if package["id"] in seen and package["source"])
    return sorted(packages, key=lambda package: (package["name"], package["version"]))


def texts(package):
    """Those of the crate, and of the C code in a folder of it."""
    folder = Path(package["manifest_path"]).parent
    files = [file for pattern in ("*", "*/*") for file in sorted(folder.glob(pattern))]
    return [file.read_text(errors="replace").strip() for file in files if file.is_file() and TEXT.match(file.name)]


def main():
    command = ["cargo", "metadata", "--locked", "--format-version", "1", "--filter-platform", sys.argv[1]]
    metadata = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    numbers = {}
    for package in linked(metadata):
        given = sorted({numbers.setdefault(text, len(numbers) + 1) for text in texts(package)})
        where = f"; texts {', '.join(map(str, given))}" if given else ""
        licence = package["license"] or "see its text"
        print(f"{package['name']} {package['version']}: {licence}{where}")
    for text, number in numbers.items():
        print(f"\n{'-' * 20} text {number} {'-' * 20}\n\n{text}")


if __name__ == "__main__":
    main()
