#!/usr/bin/env python3
"""Looks for what no log may hold: secrecy.py FOLDER...

Every file below the folders is searched for the values of all sample reports: those in tests/data/reports and, where
they are beside the checkout, in shared/samples. Says where one was found, but not what; then the exit status is 1.
"""

import json
import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SAMPLES = [ROOT / "tests/data/reports", ROOT.parent / "shared/samples"]


def values(truth) -> set[str]:
    """All values of a report."""
    if isinstance(truth, str):
        return {truth}
    parts = truth.values() if isinstance(truth, dict) else truth if isinstance(truth, list) else ()
    return {value for part in parts for value in values(part)}


def could_be_chance(value: str) -> bool:
    """Times, sizes and ids have short numbers and words in them, too."""
    return len(value) < 5 or re.fullmatch(r"[\d.,]{1,7}|[\w ]{1,5}", value) is not None


def forbidden() -> set[str]:
    """All values of the sample reports that nobody says by chance."""
    files = [file for folder in SAMPLES for file in folder.glob("*.json")]
    truths = (json.loads(file.read_text(encoding="utf-8")) for file in files)
    printed = {value for truth in truths for value in values(truth.get("info", {}))}
    return {value for value in printed if not could_be_chance(value)}


def found(words: Iterable[str], folders: Iterable[Path]) -> set[str]:
    """File and line of each place that has one of the words. There are thousands of them, and logs are long: grep looks
    for all at once."""
    command = ["grep", "-rnHaFf", "-", "--", *folders]
    result = subprocess.run(command, input="\n".join(words).encode(), capture_output=True, env={"LC_ALL": "C"})
    if result.returncode > 1:
        raise OSError(result.stderr.decode())
    # A place is FILE:LINE:TEXT, and of the text nothing may be told here either.
    return {match[1].decode() for match in re.finditer(rb"^(.*?:\d+):", result.stdout, re.M)}


def main(folders: list[str]) -> int:
    words, places = forbidden(), [Path(folder) for folder in folders]
    files = [file for place in places for file in place.rglob("*") if file.is_file()]
    if not files or not words:
        sys.exit(f"secrecy: there is nothing to look for or at: {len(words)} values, {len(files)} files")
    told = sorted(found(words, places))
    for place in told:
        print(f"{place}: a value of a report")
    print(f"secrecy: {len(words)} values looked for in {len(files)} files, {len(told)} lines with one", file=sys.stderr)
    return 1 if told else 0


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    sys.exit(main(sys.argv[1:]))
