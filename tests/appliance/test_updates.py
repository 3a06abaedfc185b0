"""Updates with a real RAUC, on a kiosk of two slots that boots; the test is its bootloader."""

import shutil
import subprocess
from pathlib import Path

import pytest

from kiosk import until
from machine import Machine, place

SYSTEM = """[system]
compatible=cic-kiosk
bootloader=custom
statusfile=/data/rauc.status
[handlers]
bootloader-custom-backend=/usr/lib/cic-kiosk-test/bootloader.sh
[keyring]
path=/etc/rauc/keyring.pem
[slot.rootfs.0]
device=/data/slot-a
type=raw
bootname=A
[slot.rootfs.1]
device=/data/slot-b
type=raw
bootname=B
"""

# A real one knows the slot from the kernel's command line.
RAUC = """[Service]
ExecStart=
ExecStart=/bin/sh -c 'exec rauc --override-boot-slot=$(cat /data/boot/current) --mount=/run/rauc service'
"""

LIMITS = "[Service]\nEnvironment=CONFIRM_SECONDS={seconds} CONFIRM_STEADY=2\n"

# For a slot that works, and for one that does not.
PATIENT, HASTY = 300, 10

MANIFEST = """[update]
compatible=cic-kiosk
version={version}
[bundle]
format=plain
[image.rootfs]
filename=rootfs.img
"""


class Box:
    """A kiosk with its two slots, whose software is in a folder each, and its bootloader."""

    def __init__(self, machine: Machine, folder: Path):
        self.machine = machine
        self.folder = folder
        place(machine.root, "etc/rauc/system.conf", SYSTEM)
        certificate = ["-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=test", "-keyout", folder / "key.pem"]
        subprocess.run(["openssl", "req", *certificate, "-out", folder / "cert.pem"], check=True, capture_output=True)
        shutil.copy(folder / "cert.pem", machine.root / "etc/rauc/keyring.pem")
        script = Path(__file__).with_name("bootloader.sh").read_text(encoding="utf-8")
        place(machine.root, "usr/lib/cic-kiosk-test/bootloader.sh", script, 0o755)
        units = "usr/lib/systemd/system"
        place(machine.root, f"{units}/rauc.service.d/slot.conf", RAUC)
        self.slots = {name: folder / name for name in "AB"}
        for name, root in self.slots.items():
            shutil.copytree(machine.root, root)
            self.hurry(name, PATIENT)
        self.data = machine.data / "data"
        self.data.mkdir(parents=True, exist_ok=True)
        for name in "ab":
            (self.data / f"slot-{name}").write_bytes(bytes(1 << 20))
        for name, text in {"primary": "A", "A.left": "3", "B.left": "0"}.items():
            place(self.data, f"boot/{name}", f"{text}\n")

    def hurry(self, slot: str, seconds: int):
        """The time that this slot's software has to show that it works."""
        drop_in = "usr/lib/systemd/system/cic-kiosk-confirm.service.d/limits.conf"
        place(self.slots[slot], drop_in, LIMITS.format(seconds=seconds))

    def left(self, slot: str) -> int:
        return int((self.data / f"boot/{slot}.left").read_text())

    def boot(self, *, broker: bool = True, slot: str | None = None) -> str:
        """As a bootloader does, unless it is to take this slot; then the kiosk starts. The slot that it runs from."""
        first = (self.data / "boot/primary").read_text().strip()
        order = [slot] if slot else [first, "B" if first == "A" else "A"]
        current = next(name for name in order if slot or self.left(name))
        place(self.data, f"boot/{current}.left", f"{max(self.left(current) - 1, 0)}\n")
        place(self.data, "boot/current", current)
        self.machine.root = self.slots[current]
        self.machine.start()
        self.machine.run("systemctl", "start", "dbus.socket", *(["broker.service"] if broker else []))
        self.machine.run("systemctl", "start", "--no-block", "cic-kiosk.service", "cic-kiosk-confirm.service")
        return current

    def install(self, version: int, slot: str):
        """RAUC checks a bundle, and installs it. The software that then runs is the slot's folder."""
        bundle = self.folder / f"bundle-{version}"
        place(bundle, "manifest.raucm", MANIFEST.format(version=version))
        place(bundle, "rootfs.img", f"software of version {version}\n")
        file = self.machine.data / f"data/{version}.raucb"
        signed = [f"--cert={self.folder}/cert.pem", f"--key={self.folder}/key.pem"]
        subprocess.run(["rauc", *signed, "bundle", bundle, file], check=True, capture_output=True)
        # RAUC asks which disk a bundle is on, and here a folder is mounted in the place of the data partition.
        self.machine.run("cp", f"/data/{version}.raucb", "/run/update.raucb")
        self.machine.run("rauc", "install", "/run/update.raucb")
        assert (self.data / f"slot-{slot.lower()}").read_text(encoding="utf-8").startswith("software of version")
        assert self.left(slot) == 3

    def restart(self):
        self.machine.run("systemctl", "reboot", ok=None)
        self.machine.wait()

    def said(self) -> str:
        return self.machine.journal("--unit=cic-kiosk-confirm.service")

    def confirmed(self, slot: str) -> bool:
        """The script has ended by itself, and left this slot with all its tries."""
        state = self.machine.property("cic-kiosk-confirm.service", "ActiveState")
        assert state != "failed", self.said()
        return state == "inactive" and self.left(slot) == 3


@pytest.fixture
def box(new_machine, tmp_path):
    machine = new_machine("updates")
    box = Box(machine, tmp_path)
    assert box.boot() == "A"
    until(lambda: box.confirmed("A"))
    yield box
    machine.stop()


def test_update_that_works_is_confirmed_and_stays_so_without_a_broker(box):
    box.install(2, "B")
    box.restart()
    assert box.boot() == "B" and box.left("B") == 2
    until(lambda: box.confirmed("B"))
    assert "slot B works and is confirmed" in box.said()
    box.restart()
    box.hurry("B", HASTY)
    assert box.boot(broker=False) == "B"
    until(lambda: box.confirmed("B"))
    assert "is new" not in box.said()


def test_update_that_reads_no_paper_falls_back(box):
    # It starts, it is connected, and its models are damaged.
    model = box.slots["B"] / "usr/share/cic-kiosk/models/recogniser.int8.onnx"
    model.write_bytes(model.read_bytes()[:-1])
    box.hurry("B", HASTY)
    box.install(2, "B")
    box.restart()
    for left in [2, 1, 0]:
        assert box.boot() == "B" and box.left("B") == left
        # It restarts by itself.
        box.machine.wait()
    assert box.boot() == "A"
    until(lambda: box.confirmed("A"))
    assert "installed in slot B is not confirmed" in box.said()
    until(lambda: box.machine.property("cic-kiosk.service", "StatusText").endswith("broker connected"))


def test_new_slot_stays_where_the_bootloader_does_not_fall_back_and_is_confirmed_later(box):
    box.hurry("B", HASTY)
    box.install(2, "B")
    box.restart()
    for _ in range(3):
        box.boot(slot="B", broker=False)
        box.machine.wait()
    box.boot(slot="B", broker=False)
    until(lambda: "staying here" in box.said())
    box.machine.run("systemctl", "start", "broker.service")
    until(lambda: box.confirmed("B"), 180)
