"""A clock that is wrong."""

from glob import glob
from pathlib import Path

TEN_YEARS = 10 * 365


class Clock:
    """A clock that can be set wrong by days. Only the time of day jumps, as it does in a machine: what counts seconds
    since the start goes on."""

    def __init__(self, file: Path):
        libraries = glob("/usr/lib/*/faketime/libfaketimeMT.so.1")
        assert libraries, "libfaketime is missing: run scripts/setup.sh test"
        self.file = file
        self.set(0)
        self.env = {
            "LD_PRELOAD": libraries[0],
            "FAKETIME_TIMESTAMP_FILE": file,
            "FAKETIME_NO_CACHE": 1,
            "FAKETIME_DONT_FAKE_MONOTONIC": 1,
        }

    def set(self, days: int):
        new = self.file.with_suffix(".new")
        new.write_text(f"{days:+d}d\n", encoding="utf-8")
        new.rename(self.file)
