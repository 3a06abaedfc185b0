"""Boots systemd as PID 1 of a copy of this machine's files, with a folder's files over them: boot.py FOLDER DATA

To be run as root in namespaces of its own (`machine.py` does). The machine has a loopback network alone, no
hardware, and a kernel that it cannot change: nothing that it does is felt outside. All of it is gone when it ends, but
for the folders of DATA, which are its data partition.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

WORK = Path("/run/cic-kiosk-test")

# Devices that every program has, loop devices for RAUC, and two to tell apart: a camera, and what is none.
DEVICES = [
    ("null", "c", 1, 3),
    ("zero", "c", 1, 5),
    ("full", "c", 1, 7),
    ("random", "c", 1, 8),
    ("urandom", "c", 1, 9),
    ("tty", "c", 5, 0),
    ("loop-control", "c", 10, 237),
    *((f"loop{number}", "b", 7, number) for number in range(16)),
    ("video7", "c", 81, 7),
    ("fuse", "c", 10, 229),
]

# Beside the loopback's own: an address of a branch, and one of the internet (RFC 5737).
ADDRESSES = ["10.1.2.3/32", "192.0.2.7/32"]


def run(*command: object):
    subprocess.run([*map(str, command)], check=True)


def mount(kind: str, at: Path, *options: str):
    at.mkdir(parents=True, exist_ok=True)
    run("mount", "-t", kind, *options, kind, at)


def main(folder: Path, data: Path):
    run("mount", "--make-rprivate", "/")
    mount("tmpfs", WORK)
    root, upper, work = WORK / "root", WORK / "upper", WORK / "work"
    for path in [root, work]:
        path.mkdir()
    run("cp", "--archive", folder, upper)
    # What this machine's administrator has switched on is not the kiosk's.
    (upper / "etc/systemd/system").mkdir(parents=True, exist_ok=True)
    os.setxattr(upper / "etc/systemd/system", "trusted.overlay.opaque", b"y")
    run("mount", "-t", "overlay", "overlay", "-o", f"lowerdir=/,upperdir={upper},workdir={work}", root)
    for path in ["data", "var/lib/cic-kiosk", "var/lib/cic-kiosk-confirm"]:
        for place in [data / path, root / path]:
            place.mkdir(parents=True, exist_ok=True)
        run("mount", "--bind", data / path, root / path)
    mount("proc", root / "proc")
    run("mount", "--bind", root / "proc/sys", root / "proc/sys")
    run("mount", "-o", "remount,ro,bind", root / "proc/sys")
    mount("sysfs", root / "sys", "-o", "ro")
    mount("cgroup2", root / "sys/fs/cgroup")
    for name in ["run", "tmp", "dev", "dev/shm"]:
        mount("tmpfs", root / name)
    for name, kind, major, minor in DEVICES:
        run("mknod", "--mode", "666", root / "dev" / name, kind, major, minor)
    (root / "dev/ptmx").symlink_to("pts/ptmx")
    shutil.chown(root / "dev/video7", group="video")
    (root / "dev/video7").chmod(0o660)
    run("ip", "link", "set", "lo", "up")
    for address in ADDRESSES:
        run("ip", "address", "add", address, "dev", "lo")
    os.chdir(root)
    run("pivot_root", ".", "mnt")
    run("umount", "--lazy", "/mnt")
    # As at a real boot: what is mounted for a service reaches it.
    run("mount", "--make-rshared", "/")
    path = "/usr/sbin:/usr/bin:/sbin:/bin"
    systemd = ["/lib/systemd/systemd", "--unit=kiosk-test.target", "--log-target=journal", "--log-level=notice"]
    os.execve(systemd[0], systemd, {"container": "other", "PATH": path})


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
