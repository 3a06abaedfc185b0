"""A kiosk that boots: systemd as PID 1 with the units of `systemd/`, and the program (see `boot.py`)."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from kiosk import ONNXRUNTIME, PATIENCE, PROGRAM, ROOT, until

UNITS = ROOT / "systemd"

# A path in the package, and what it is in the repository. The package installs the same.
PACKAGE = {
    "usr/bin/cic-kiosk": Path(PROGRAM),
    "usr/lib/cic-kiosk/libonnxruntime.so": Path(ONNXRUNTIME),
    "usr/lib/cic-kiosk/confirm": UNITS / "confirm",
    **{f"usr/lib/sysusers.d/{path.name}": path for path in UNITS.glob("sysusers.d/*.conf")},
    **{f"usr/share/cic-kiosk/screen/{path.name}": path for path in UNITS.glob("screen/*.json")},
    "usr/lib/tmpfiles.d/cic-kiosk.conf": UNITS / "tmpfiles.d/cic-kiosk.conf",
    "usr/lib/systemd/journald.conf.d/cic-kiosk.conf": UNITS / "journald.conf.d/cic-kiosk.conf",
    "usr/lib/udev/rules.d/60-cic-kiosk.rules": UNITS / "udev/60-cic-kiosk.rules",
    "etc/cic-kiosk/config.toml": UNITS / "config.toml",
    **{f"usr/lib/systemd/system/{unit.name}": unit for unit in UNITS.glob("cic-kiosk*.*")},
    **{f"usr/share/cic-kiosk/models/{path.name}": path for path in (ROOT / "models").glob("*.onnx")},
    "usr/share/cic-kiosk/models/manifest.toml": ROOT / "models/manifest.toml",
}

# What sysinit.target of this machine wants is not the kiosk's.
TARGETS = {
    "sysinit.target": "[Unit]\nDefaultDependencies=no\nWants=systemd-journald.service\n",
    "basic.target": "[Unit]\nWants=sockets.target\nAfter=sysinit.target sockets.target\n",
    "kiosk-test.target": "[Unit]\nRequires=basic.target\nAfter=basic.target\n",
}

NAMESPACES = ["--mount", "--net", "--pid", "--ipc", "--uts", "--cgroup"]


def place(folder: Path, path: str, text: str, mode: int = 0o644) -> Path:
    target = folder / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text, encoding="utf-8")
    target.chmod(mode)
    return target


def install(folder: Path):
    """The package's files in this folder, and its user."""
    for path, source in PACKAGE.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, target)
    # As the package's installation does.
    sysusers, tmpfiles = ["systemd-sysusers", f"--root={folder}"], ["systemd-tmpfiles", "--create", f"--root={folder}"]
    for command in [[*sysusers, "cic-kiosk.conf", "cic-kiosk-screen.conf"], [*tmpfiles, "cic-kiosk.conf"]]:
        subprocess.run(command, check=True)


def is_removed(folder: Path) -> bool:
    try:
        folder.rmdir()
    except OSError:
        return False
    return True


class Machine:
    """Runs from `start` to `stop`, or until it ends by itself. What is in its folder's `root` lies over this machine's
    files, and is not changed; what is in `data` is."""

    def __init__(self, folder: Path):
        self.root = folder / "root"
        self.data = folder / "data"
        self.log = folder / "console.log"
        self.process: subprocess.Popen | None = None
        groups = Path("/sys/fs/cgroup")
        unified = groups if (groups / "cgroup.procs").exists() else groups / "unified"
        self.group = unified / f"cic-kiosk-test-{os.getpid()}-{folder.name}"
        self.pid = 0
        # Their users and groups are in files that lie over this machine's.
        for name in ["passwd", "group", "shadow", "gshadow"]:
            (self.root / "etc").mkdir(parents=True, exist_ok=True)
            shutil.copy(f"/etc/{name}", self.root / "etc")
        install(self.root)
        for name, text in TARGETS.items():
            place(self.root, f"usr/lib/systemd/system/{name}", text)
        place(self.root, "etc/fstab", "")

    def start(self):
        # On a machine where one systemd runs, another needs a branch of control groups of its own.
        self.group.mkdir()
        boot = [sys.executable, Path(__file__).with_name("boot.py"), self.root, self.data]
        with self.log.open("a") as log:
            self.process = subprocess.Popen(
                ["unshare", "--fork", "--kill-child", *NAMESPACES, "setsid", *boot],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=lambda: (self.group / "cgroup.procs").write_text(str(os.getpid())),
            )
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        self.pid = int(until(children.read_text).split()[0])
        until(self.is_up)

    def is_up(self) -> bool:
        assert self.process.poll() is None, self.log.read_text(encoding="utf-8")
        return self.run("systemctl", "is-active", "kiosk-test.target", ok=None) == "active"

    def run(self, *command: object, ok: int | None = 0, **more) -> str:
        """What a command on the machine prints."""
        into = ["nsenter", f"--target={self.pid}", "--mount", "--net", "--pid", "--ipc", "--uts", "--cgroup", "--"]
        done = subprocess.run(
            [*into, *map(str, command)], capture_output=True, text=True, timeout=180, check=False, cwd="/", **more
        )
        assert ok is None or done.returncode == ok, f"{command}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout.strip()

    def as_kiosk(self, *command: object, **more) -> str:
        return self.run("setpriv", "--reuid=cic-kiosk", "--regid=cic-kiosk", "--init-groups", *command, **more)

    def property(self, unit: str, name: str) -> str:
        return self.run("systemctl", "show", "--value", f"--property={name}", unit)

    def journal(self, *options: str) -> str:
        return self.run("journalctl", "--boot", "--output=cat", *options)

    def stop(self):
        if self.process is not None:
            # And with it, its child: the machine.
            self.process.kill()
            self.wait()

    def wait(self):
        """Until it has ended."""
        if self.process is not None:
            self.process.wait(PATIENCE)
            self.process = None
            # The deepest first; one is busy until its last process is quite gone.
            for group in sorted(self.group.glob("**/"), reverse=True):
                until(lambda group=group: is_removed(group))
