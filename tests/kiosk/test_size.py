"""What the service and its worker hold of a board's memory, and how soon the service is ready; `make size` prints it."""

import json
import shutil
import time

from conftest import open_branch
from machine import CACHE, ROOT

MOST_IDLE = 25.0  # MiB, the service alone
MOST_IDLE_AFTER = 28.0  # MiB, once it has read: some of each kind of memory stays
MOST_READING = 250.0  # MiB, with its worker

# Memory that is not used any more has gone back to the kernel by then.
SETTLE = 10


def test_service_and_worker_take_little_memory(tmp_path):
    with open_branch("size", tmp_path) as branch:
        kiosk = branch.kiosk
        for name in ("scan", "copy", "camera"):
            shutil.copy(ROOT / f"tests/data/reports/{name}.pdf", kiosk.share)
        kiosk.start()
        kiosk.wait_until_up()
        kiosk.wait_until_connected()
        time.sleep(SETTLE)
        measured = {"ready_s": start_seconds(kiosk), "idle_mib": held(kiosk, "cic-kiosk", "VmRSS")}
        ids = [line.split()[0] for line in kiosk.run("cd share && cic-kiosk submit scan.pdf copy.pdf camera.pdf").splitlines()]
        branch.listener.wait_for(ids, patience=600)
        measured["service_peak_mib"] = held(kiosk, "cic-kiosk", "VmHWM")
        measured["worker_peak_mib"] = held(kiosk, "cic-kiosk-worker@*", "VmHWM")
        time.sleep(SETTLE)
        measured["idle_after_mib"] = held(kiosk, "cic-kiosk", "VmRSS")
    (CACHE / "measured.json").write_text(json.dumps(measured), encoding="utf-8")
    assert measured["idle_mib"] <= MOST_IDLE and measured["idle_after_mib"] <= MOST_IDLE_AFTER, measured
    # Both at their most, though they may not have been at the same time.
    assert measured["service_peak_mib"] + measured["worker_peak_mib"] <= MOST_READING, measured


def held(kiosk, unit: str, what: str) -> float:
    """MiB in memory of all processes of a unit that are alive."""
    pids = kiosk.run(f"systemctl show --value --property=MainPID '{unit}'").split()
    assert pids, "no such process"
    lines = kiosk.run("; ".join(f"grep {what}: /proc/{pid}/status" for pid in pids)).splitlines()
    return sum(int(line.split()[1]) for line in lines) / 1024


def start_seconds(kiosk) -> float:
    """From the start of the unit until the service said that it was ready."""
    times = kiosk.run("systemctl show --property=InactiveExitTimestampMonotonic,ActiveEnterTimestampMonotonic cic-kiosk")
    of = dict(line.split("=") for line in times.splitlines())
    return (int(of["ActiveEnterTimestampMonotonic"]) - int(of["InactiveExitTimestampMonotonic"])) / 1e6
