"""The virtual kiosk as the tests have it: its disks, its power switch, its boot loader, and a way in."""

import base64
import gzip
import os
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import ClassVar, TextIO

ROOT = Path(__file__).parents[2]
CACHE = ROOT / ".cache" / "kiosk"
GUEST = Path(__file__).parent / "guest"

# An emulated machine is slow, and this one may have other work.
PATIENCE = 300.0

# Pointers are not signed, as that takes time and shows nothing; whoever reads with int8 has what a board's cores have.
CPU = "max,pauth=off,sve=off"


def until(condition, patience: float = PATIENCE, pause: float = 0.3):
    """What the condition gives as soon as that counts as true."""
    deadline = time.monotonic() + patience
    while not (result := condition()):
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(pause)
    return result


# Of a slot that is marked good, as scripts/kiosk-boot-env.sh has it.
TRIES = 3


class Failed(AssertionError):
    """A script in the machine ended with another status than 0."""


class Ended(AssertionError):
    """The machine has no power any more, or has reset itself."""


class Machine:
    """A kiosk with a data partition of its own; entering makes it, leaving turns it off."""

    # The log of the test that runs, and the machines that are on.
    log: TextIO | None = None
    on: ClassVar[list["Machine"]] = []

    @classmethod
    def log_to(cls, log: TextIO | None):
        """The end of one test's log, and the beginning of the next one's."""
        if cls.log is not None:
            for machine in cls.on:
                machine.log_journal()
        cls.log = log

    def say(self, words: str):
        if Machine.log is not None:
            Machine.log.write(f"{time.strftime('%H:%M:%S')} {self.name}: {words}\n")
            Machine.log.flush()

    def log_journal(self):
        """What it has written to its journal since the last time."""
        if self.link is None or self.process.poll() is not None:
            return
        try:
            self.try_run("journalctl --quiet --no-pager --output=short-monotonic --cursor-file=/run/test/cursor")
        except (AssertionError, OSError) as error:
            self.say(f"its journal cannot be had: {error}")

    def __init__(self, name: str, logs: Path, slots: dict[str, Path] | None = None):
        self.name, self.logs = name, logs
        self.slots = slots or {"A": CACHE / "root.ext4"}
        self.console = logs / f"{name}.console.log"
        self.process: subprocess.Popen | None = None
        self.link: socket.socket | None = None

    def __enter__(self):
        # Short, as the path of a socket must be.
        self.folder = Path(tempfile.mkdtemp(prefix="kiosk-"))
        self.share = self.folder / "share"
        self.given = self.folder / "data"
        for folder in (self.share, self.given / "config.d", self.given / "credstore"):
            folder.mkdir(parents=True)
        self.data = self.folder / "data.ext4"
        self.boot_env = self.folder / "boot"
        self.set_boot_env({"order": " ".join(self.slots), **dict.fromkeys(self.slots, str(TRIES))})
        Machine.on.append(self)
        self.initramfs = self.folder / "initramfs"
        self.initramfs.write_bytes((CACHE / "initramfs.cpio.gz").read_bytes() + gzip.compress(archive(), 1))
        return self

    def __exit__(self, *_):
        self.cut()
        Machine.on.remove(self)
        shutil.rmtree(self.folder)

    # Before the first start.

    def give(self, name: str, content: str | bytes):
        """Puts a file on the data partition, which `make_data` makes."""
        path = self.given / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        path.chmod(0o600 if path.parent.name == "credstore" else 0o644)

    def make_data(self, megabytes: int = 512):
        (self.given / "credstore").chmod(0o700)
        command = ["mke2fs", "-q", "-t", "ext4", "-L", "data", "-d", self.given, self.data, f"{megabytes}M"]
        subprocess.run(command, check=True, env={**os.environ, "PATH": os.environ["PATH"] + ":/usr/sbin:/sbin"})

    # Its boot loader.

    def get_boot_env(self) -> dict[str, str]:
        """The slots in the order in which they are to be tried, and the tries that each has left."""
        lines = self.boot_env.read_bytes().rstrip(b"\0").decode().splitlines()
        return dict(line.split(" ", 1) for line in lines)

    def set_boot_env(self, env: dict[str, str]):
        text = "".join(f"{name} {value}\n" for name, value in env.items())
        self.boot_env.write_bytes(text.encode().ljust(512, b"\0"))

    def choose_slot(self) -> str:
        """The first slot that has a try left, which this is. Without any, all begin anew: to stay off helps nobody."""
        env = self.get_boot_env()
        order = env["order"].split()
        if all(env[slot] == "0" for slot in order):
            env |= dict.fromkeys(order, str(TRIES))
        slot = next(slot for slot in order if env[slot] != "0")
        self.set_boot_env({**env, slot: str(int(env[slot]) - 1)})
        return slot

    # Its power switch.

    def start(self, *words: str, clock: str = "utc", network: bool = True):
        """Turns it on; `words` go to the kernel's command line."""
        assert self.process is None or self.process.poll() is not None, "it is on"
        self.hang_up()
        slot = self.choose_slot()
        disks = [(f"root-{name.lower()}", file, "on") for name, file in self.slots.items()]
        disks += [("data", self.data, "off"), ("boot", self.boot_env, "off")]
        options = []
        for name, file, readonly in disks:
            # What the machine has written is the file's, when it says so; a cut takes the rest.
            options += ["-drive", f"if=none,id={name},file={file},format=raw,readonly={readonly},cache=writeback"]
            options += ["-device", f"virtio-blk-pci,drive={name},serial={name}"]
        restrict = "off" if network else "on"
        command = [
            *("qemu-system-aarch64", "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"),
            *("-machine", "virt", "-accel", "tcg,thread=multi", "-cpu", CPU, "-smp", "2", "-m", "1536"),
            *("-kernel", CACHE / "kernel" / "vmlinuz", "-initrd", self.initramfs),
            *("-append", " ".join(["console=ttyAMA0", "quiet", "loglevel=4", "panic=5", f"rauc.slot={slot}", *words])),
            *("-chardev", f"file,id=console,path={self.console},append=on", "-serial", "chardev:console"),
            *("-device", "virtio-serial-pci", "-chardev", f"socket,id=agent,path={self.folder}/agent,server=on,wait=off"),
            *("-device", "virtserialport,chardev=agent,name=agent", "-rtc", f"base={clock}"),
            *("-netdev", f"user,id=net,ipv6=off,restrict={restrict}", "-device", "virtio-net-pci,netdev=net,romfile="),
            *("-device", "i6300esb", "-watchdog-action", "reset", "-device", "virtio-rng-pci"),
            *("-virtfs", f"local,path={self.share},mount_tag=share,security_model=none"),
            *options,
        ]
        with (self.logs / f"{self.name}.qemu.log").open("ab") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.say(f"power is on, slot {slot}")

    def cut(self):
        """The power fails. What the machine has handed to its disk is kept; what it held in memory is lost."""
        self.hang_up()
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.say("power is off")

    def wait_for_end(self, patience: float = PATIENCE):
        """Until it has reset itself, or turned itself off: both end it."""
        try:
            self.process.wait(patience)
        except subprocess.TimeoutExpired:
            raise AssertionError("the machine neither reset itself nor turned itself off") from None

    # The way in.

    def hang_up(self):
        if self.link is not None:
            self.link.close()
            self.link = None

    def connect(self, patience: float = PATIENCE):
        """Waits until somebody answers."""
        deadline = time.monotonic() + patience
        self.link = socket.socket(socket.AF_UNIX)
        while True:
            try:
                self.link.connect(f"{self.folder}/agent")
                break
            except OSError:
                self._must_go_on(deadline)
                time.sleep(0.05)
        self.received, self.count = b"", 0
        while self._line(deadline) != "hello":
            pass
        self.say("somebody answers")

    def _must_go_on(self, deadline: float):
        if self.process.poll() is not None:
            raise Ended(f"the machine has ended, see {self.console}")
        assert time.monotonic() < deadline, f"the machine does not answer, see {self.console}"

    def _line(self, deadline: float) -> str:
        while b"\n" not in self.received:
            self.link.settimeout(1)
            try:
                part = self.link.recv(1 << 16)
            except TimeoutError:
                part = None
            except OSError:
                part = b""
            if part == b"":
                time.sleep(0.2)
            self.received += part or b""
            self._must_go_on(deadline)
        line, _, self.received = self.received.partition(b"\n")
        return line.decode()

    def try_run(self, script: str, patience: float = PATIENCE) -> tuple[int, str]:
        """Runs a script as root; gives its status, and what it said."""
        self.count += 1
        self.say(f"$ {script}")
        words = f"{self.count} {int(patience)} {base64.b64encode(script.encode()).decode()}\n"
        self.link.sendall(words.encode())
        deadline = time.monotonic() + patience + 60
        while True:
            number, _, rest = self._line(deadline).partition(" ")
            if number == str(self.count):
                status, _, output = rest.partition(" ")
                said = base64.b64decode(output).decode(errors="replace").rstrip("\n")
                self.say(f"[{status}] {said}")
                return int(status), said

    def run(self, script: str, patience: float = PATIENCE) -> str:
        """What a script said that must succeed."""
        status, output = self.try_run(script, patience)
        if status != 0:
            raise Failed(f"{script}\nended with {status}: {output}")
        return output


def archive() -> bytes:
    """What the tests have in the machine, as /test of an initramfs."""
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(GUEST, f"{folder}/test")
        return subprocess.run(
            "find test | busybox cpio -o -H newc", shell=True, check=True, cwd=folder, capture_output=True
        ).stdout
