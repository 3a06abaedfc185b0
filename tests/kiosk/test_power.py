"""The power fails, again and again. Nothing that was accepted is lost, and the kiosk comes back by itself.

What fails is the machine: QEMU is killed. What it had handed to its disk is kept; what its kernel held in memory is
lost. A disk that lies about what it has written is not tried here, as this machine's own cache stays.
"""

import os
import random
import shutil
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

from conftest import new_paper, open_branch
from machine import until

CUTS = int(os.environ.get("KIOSK_CUTS", "20"))
SEED = int(os.environ.get("KIOSK_SEED") or random.SystemRandom().randrange(1 << 32))

# Two at a time: the emulation of a machine that boots keeps one core busy.
MACHINES = 2

# Papers that lie ready.
READY = 40


def test_power_fails_at_random_moments_and_every_accepted_paper_arrives(tmp_path):
    print(f"KIOSK_SEED={SEED} KIOSK_CUTS={CUTS}")
    with ThreadPoolExecutor(MACHINES) as pool:
        runs = [pool.submit(fail_often, tmp_path, number, CUTS // MACHINES) for number in range(MACHINES)]
        accepted = [run.result() for run in runs]
    print(f"{CUTS} power cuts, {accepted} papers accepted")
    assert sum(accepted) >= CUTS, "hardly any paper came in"


def fail_often(folder, number: int, cuts: int) -> int:
    """One machine's life; gives how many papers it accepted."""
    dice = random.Random(f"{SEED} {number}")
    papers = {}
    # Each cut counts as an attempt for what was being read. That is not what is tested here.
    with open_branch(f"power-{number}", folder, kiosk={"branch": "hn-01", "id": "kiosk-1", "attempts": 100}) as branch:
        kiosk = branch.kiosk
        record = kiosk.share / "accepted"
        record.touch()
        for _ in range(cuts):
            lie_ready(kiosk, papers)
            before = record.stat().st_size
            kiosk.start("test.papers")
            # A third of the cuts come before the service is up.
            if dice.random() < 0.33:
                time.sleep(dice.uniform(1, 20))
            else:
                check_start(kiosk)
                until(lambda: record.stat().st_size > before)
                time.sleep(dice.uniform(0, 5))
            kiosk.cut()
            check_disk(kiosk)
        kiosk.start()
        check_start(kiosk)
        # A paper that was accepted just before a cut may be handed in again: two scans of one paper.
        scans = dict(line.split() for line in record.read_text(encoding="utf-8").splitlines())
        branch.check({scan_id: papers[name] for scan_id, name in scans.items()})
        assert kiosk.run("cic-kiosk outbox list --json | grep -c dead || true") == "0"
        kiosk.run("systemctl poweroff")
        kiosk.wait_for_end()
        check_disk(kiosk)
    return len(scans)


def lie_ready(kiosk, papers: dict):
    folder = kiosk.share / "papers"
    while len(list(folder.glob("*.pdf"))) < READY:
        paper = new_paper()
        name = f"{paper.number}.pdf"
        papers[name] = paper
        paper.put(folder, name)


def check_start(kiosk):
    """The service is up by itself, on a file system that was whole, or was made whole from its own journal."""
    kiosk.wait_until_up()
    log = kiosk.run("cat /run/kiosk-fsck.log")
    assert "status 0" in log or "status 1" in log, log
    assert "UNEXPECTED" not in log, log


def check_disk(kiosk):
    """With its journal played back, the file system has no fault at all."""
    copy = kiosk.folder / "copy.ext4"
    shutil.copy(kiosk.data, copy)
    for how in ("-p", "-fn"):
        check = subprocess.run(["/sbin/e2fsck", how, copy], capture_output=True, text=True)
        assert check.returncode <= (1 if how == "-p" else 0), check.stdout
    copy.unlink()
