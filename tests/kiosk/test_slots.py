"""An update: the boot loader starts the new slot, and keeps it only when the kiosk has confirmed that it works.

RAUC is the real one; what its installation would leave behind, an image in slot B and a record of it, is put there.
"""

import hashlib
import shutil
import subprocess

from conftest import new_paper, open_branch
from machine import CACHE, TRIES, until

ROOT_IMAGE = CACHE / "root.ext4"
MODEL = "/usr/share/cic-kiosk/models/recogniser.int8.onnx"


def install(kiosk, image):
    """What RAUC leaves behind when it has written the image to slot B: it comes first, and has one try."""
    with image.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    record = ["[slot.rootfs.1]", "bundle.compatible=virtual-cic-kiosk", "status=ok", f"sha256={digest}"]
    record += [f"size={image.stat().st_size}", "installed.timestamp=2026-01-01T00:00:00Z", "installed.count=1"]
    kiosk.give("rauc.status", "\n".join(record) + "\n")
    kiosk.make_data()
    kiosk.set_boot_env({"order": "B A", "A": str(TRIES), "B": "1"})


def test_slot_that_works_is_confirmed_and_stays(tmp_path):
    with open_branch("good-slot", tmp_path, {"A": ROOT_IMAGE, "B": ROOT_IMAGE}) as branch:
        kiosk = branch.kiosk
        install(kiosk, ROOT_IMAGE)
        kiosk.start()
        kiosk.wait_until_up()
        assert "rauc.slot=B" in kiosk.run("cat /proc/cmdline")
        until(lambda: kiosk.get_boot_env()["B"] == str(TRIES))
        until(lambda: "slot B works and is confirmed" in confirmation(kiosk))
        branch.check(kiosk.submit(new_paper()))


def test_slot_whose_model_is_spoilt_is_not_confirmed_and_the_old_one_comes_back(tmp_path):
    spoilt = tmp_path / "spoilt.ext4"
    shutil.copy(ROOT_IMAGE, spoilt)
    (tmp_path / "model").write_bytes(b"no model")
    for request in (f"rm {MODEL}", f"write {tmp_path}/model {MODEL}"):
        subprocess.run(["/sbin/debugfs", "-w", "-R", request, spoilt], check=True, capture_output=True)
    with open_branch("bad-slot", tmp_path, {"A": ROOT_IMAGE, "B": spoilt}) as branch:
        kiosk = branch.kiosk
        install(kiosk, spoilt)
        kiosk.start()
        kiosk.wait_until_up()
        assert "rauc.slot=B" in kiosk.run("cat /proc/cmdline")
        # It restarts by itself when its time is over.
        kiosk.wait_for_end()
        assert kiosk.get_boot_env()["B"] == "0"
        kiosk.start()
        kiosk.wait_until_up()
        assert "rauc.slot=A" in kiosk.run("cat /proc/cmdline")
        until(lambda: "this kiosk fell back" in confirmation(kiosk))
        branch.check(kiosk.submit(new_paper()))


def confirmation(kiosk) -> str:
    return kiosk.run("journalctl --output=cat --unit=cic-kiosk-confirm")
