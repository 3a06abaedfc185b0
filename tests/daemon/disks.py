"""Disks that are full, read-only or broken."""

import subprocess
from pathlib import Path

EIO, ENOSPC, EROFS = 5, 28, 30


class SmallDisk:
    """A file system of its own, so small that it can be filled."""

    def __init__(self, place: Path, mebibytes: int):
        self.place, self.ballast = place, place / "ballast"
        place.mkdir()
        self._mount("-t", "tmpfs", "-o", f"size={mebibytes}m,mode=0700", "kiosk-test")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        subprocess.run(["umount", "--lazy", self.place], check=True)

    def _mount(self, *options: str):
        result = subprocess.run(["mount", *options, self.place], capture_output=True, text=True)
        # Not to be passed over in silence: what a full disk does to scans must be known.
        assert result.returncode == 0, (
            f"{result.stderr}these tests mount a file system: run them as root, or with "
            "`unshare --map-root-user --mount`"
        )

    def fill(self):
        """Leaves not a single byte."""
        with self.ballast.open("ab", buffering=0) as file:
            for size in (1 << 20, 4096, 1):
                try:
                    while True:
                        file.write(bytes(size))
                except OSError as error:
                    assert error.errno == ENOSPC

    def clear(self):
        self.ballast.unlink()

    def set_read_only(self, read_only: bool):
        """Nobody may have a file open there for writing."""
        self._mount("-o", "remount,bind,ro" if read_only else "remount,bind,rw")


class FailingDisk:
    """A folder on a disk that fails while it is told to."""

    def __init__(self, library: Path, folder: Path, flag: Path):
        self.flag = flag
        self.env = {"LD_PRELOAD": library, "DISK_FAILS_BELOW": f"{folder}/", "DISK_FAILS_FLAG": flag}

    def fail(self, call: str, errno: int):
        """From now on each `fsync` or `write` comes to this. It is so at once and as a whole."""
        new = self.flag.with_suffix(".new")
        new.write_text(f"{call} {errno}\n", encoding="utf-8")
        new.rename(self.flag)

    def heal(self):
        self.flag.unlink()


def build_library(folder: Path) -> Path:
    source, library = Path(__file__).with_name("disk_fails.c"), folder / "disk_fails.so"
    command = ["cc", "-O1", "-Wall", "-Werror", "-shared", "-fPIC", "-o", library, source, "-ldl"]
    subprocess.run(command, check=True)
    return library
