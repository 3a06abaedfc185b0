#!/usr/bin/env python3
"""Measures what a kiosk takes: the size of each part, how soon the service is ready, and its memory; prints Markdown.

Parts that were not built are left out: `make aarch64`, `make deb` and `make vm` build them. The service is started as
systemd starts it, with a broker in reach. It reads scanned reports, one after the other; where the program can read in
worker processes, this is measured once more with them. What `make vm-test` measured in the virtual kiosk comes last.
Nothing here fails: machines are noisy.

Needs the tests' Python: .cache/http/bin/python scripts/size.py
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import ExitStack
from pathlib import Path

from bench_daemon import ROOT, bar, memory

MOST_PROGRAM = 20.0  # MB, on a board
MOST_START = 1.5  # seconds from the start to READY=1
MOST_IDLE = 25.0  # MiB
MOST_READING = 250.0  # MiB, workers and all
STARTS = 5
SETTLE = 10  # seconds, in which memory that is not used any more goes back to the kernel

PARTS = {
    "program": "target/release/cic-kiosk",
    "program, aarch64": "target/aarch64-unknown-linux-gnu/release/cic-kiosk",
    "models": "models/*.onnx",
    "ONNX Runtime": ".cache/onnxruntime/libonnxruntime.so",
    "ONNX Runtime, aarch64": ".cache/onnxruntime-aarch64/libonnxruntime.so",
    "package": "target/debian/*.deb",
    "virtual kiosk": ".cache/kiosk/root.ext4",
}
MEASURED = ROOT / ".cache/kiosk/measured.json"


def stripped(program, folder):
    """Bytes without symbols, as a package has it."""
    tool = "aarch64-linux-gnu-strip" if "aarch64" in program.parts[-3] else "strip"
    subprocess.run([tool, "-o", folder / "stripped", program], check=True)
    return (folder / "stripped").stat().st_size


def show_parts(folder):
    print("| part | MB | |\n| --- | ---: | --- |")
    for part, pattern in PARTS.items():
        for file in sorted(ROOT.glob(pattern)):
            if part.startswith("program"):
                size = stripped(file, folder) / 1e6
                note = bar(size <= MOST_PROGRAM, f"≤ {MOST_PROGRAM:.0f} MB stripped") if "aarch64" in part else "stripped"
            else:
                size, note = file.stat().st_size / 1e6, ""
            # A picture of a disk has holes.
            used = file.stat().st_blocks * 512 / 1e6
            note = f"{used:.1f} MB of it used" if file.suffix == ".ext4" else note
            print(f"| {part}: `{file.relative_to(ROOT)}` | {size:.1f} | {note} |")
    print()


def show_virtual_kiosk():
    """What tests/kiosk/test_size.py measured last."""
    if not MEASURED.exists():
        return
    measured = json.loads(MEASURED.read_text(encoding="utf-8"))
    together = measured["service_peak_mib"] + measured["worker_peak_mib"]
    print("| virtual kiosk, emulated, reading in workers | | |\n| --- | ---: | --- |")
    print(f"| start of the unit to ready, s | {measured['ready_s']:.2f} | |")
    for when, key in (("idle, connected", "idle_mib"), (f"idle {SETTLE} s after reading", "idle_after_mib")):
        print(f"| {when}, MiB | {measured[key]:.1f} | {bar(measured[key] <= MOST_IDLE, f'≤ {MOST_IDLE:.0f} MiB')} |")
    reading = bar(together <= MOST_READING, f"≤ {MOST_READING:.0f} MiB")
    print(f"| service and worker, each at its most, MiB | {together:.1f} | {reading} |")
    print()


class Watch:
    """What a kiosk and its workers held at most, in MiB, looked at twenty times a second."""

    def __init__(self, kiosk, workers):
        self.kiosk, self.workers = kiosk, workers
        self.daemon = self.worker = self.together = 0.0
        self.done = threading.Event()
        self.thread = threading.Thread(target=self._look)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.done.set()
        self.thread.join()

    def _look(self):
        while not self.done.wait(0.05):
            now, most = memory(self.kiosk)
            for worker in self.workers.pids() if self.workers else []:
                try:
                    held, most_held = memory(worker)
                except (OSError, TypeError):
                    continue  # It has just ended.
                now += held
                self.worker = max(self.worker, most_held)
            self.daemon, self.together = max(self.daemon, most), max(self.together, now)


def environment():
    """What the unit sets."""
    unit = (ROOT / "systemd/cic-kiosk.service").read_text(encoding="utf-8")
    return dict(line.removeprefix("Environment=").split("=", 1) for line in unit.splitlines() if line.startswith("Environment="))


def measure(options, folder, with_workers):
    # They find the program by the environment.
    from broker import Mosquitto
    from daemon import Daemon
    from kiosk import until
    from systemd import Systemd
    from workers import Workers

    folder.mkdir()
    workers = None
    broker = Mosquitto(folder / "broker")
    broker.configure()
    with broker, Systemd(folder / "notify") as systemd, ExitStack() as at_end:
        kiosk = Daemon("size", folder / "kiosk", folder, f"mqtt://127.0.0.1:{broker.port}")
        if with_workers:
            workers = Workers(folder / "workers.sock", folder / "workers.log", "info")
            at_end.callback(workers.close)
            workers.listen()
            kiosk.configure(reading={"worker": str(workers.socket)})

        def start(number):
            begun = time.monotonic()
            kiosk.start(log_level="info", **systemd.env, **environment())
            return systemd.wait_for("READY", "1", number).at - begun

        starts = []
        for number in range(1, STARTS + 1):
            starts.append(start(number))
            if number < STARTS:
                kiosk.stop()
        time.sleep(SETTLE)
        idle, _ = memory(kiosk.process.pid)
        with Watch(kiosk.process.pid, workers) as watch:
            for paper in sorted(file for file in options.folder.iterdir() if file.suffix == ".pdf")[: options.papers]:
                if kiosk.submit(paper).status:
                    raise SystemExit("submit failed")
                until(lambda: not kiosk.waiting("document"), 300)
        time.sleep(SETTLE)
        after, _ = memory(kiosk.process.pid)
        left = [memory(worker)[0] for worker in workers.pids()] if workers else []
        kiosk.kill()

    print("| service" + (", reading in workers" if with_workers else "") + " | | |\n| --- | ---: | --- |")
    worst = max(starts)
    print(f"| start to READY=1, s, most of {STARTS} | {worst:.2f} | {bar(worst < MOST_START, f'< {MOST_START} s')} |")
    print(f"| idle, connected, MiB | {idle:.1f} | {bar(idle <= MOST_IDLE, f'≤ {MOST_IDLE:.0f} MiB')} |")
    reading = bar(watch.together <= MOST_READING, f"≤ {MOST_READING:.0f} MiB")
    print(f"| while reading {options.papers} documents, at most, MiB | {watch.together:.1f} | {reading} |")
    print(f"| … the service alone; one worker | {watch.daemon:.1f}; {watch.worker:.1f} | |")
    print(f"| idle {SETTLE} s after it | {after:.1f} | {bar(after <= MOST_IDLE, f'≤ {MOST_IDLE:.0f} MiB') if with_workers else ''} |")
    print(f"| … workers that still wait for work; what they hold, MiB | {len(left)}; {sum(left):.1f} | |")
    print()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--program", default=str(ROOT / "target/release/cic-kiosk"), help="cic-kiosk")
    samples = (ROOT / "../shared/samples").resolve()
    here = samples if samples.exists() else ROOT / "tests/data/reports"
    parser.add_argument("--folder", type=Path, default=here, help="the PDF files in it are read")
    parser.add_argument("--papers", type=int, default=12)
    options = parser.parse_args()
    os.environ["CIC_KIOSK"] = options.program
    sys.path[:0] = [str(ROOT / "tests/daemon"), str(ROOT / "tests/http")]
    has_workers = subprocess.run([options.program, "worker", "--help"], capture_output=True).returncode == 0
    with tempfile.TemporaryDirectory() as folder:
        show_parts(Path(folder))
        for with_workers in [False, True][: 1 + has_workers]:
            measure(options, Path(folder, f"workers-{with_workers}"), with_workers)
    show_virtual_kiosk()


if __name__ == "__main__":
    main()
