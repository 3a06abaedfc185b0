#!/usr/bin/env python3
"""What a second machine adds: the same files, read over a queue by one worker and by two, each with one core of its own.

Broker, submitter and workers run on this machine; each worker is held to a core with taskset, the others may use any. Each
run is made anew and repeated; the fastest counts, because anything else that runs here can only slow one down. The load
of the machine is told with the figures. Needs mosquitto, and a build with --all-features.
"""

import argparse
import os
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NEEDED = 1.8


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def seconds(program: Path, url: str, files: list[Path], cores: list[int]) -> float:
    """The time for all files with a worker on each of these cores, from when they are ready."""
    workers = []
    try:
        for core in cores:
            command = ["taskset", "-c", str(core), program, "worker", "--queue", url, "--name", f"core-{core}", "--threads", "1"]
            command += ["--models", ROOT / "models"]
            workers.append(subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, text=True))
        for worker in workers:
            assert worker.stdout.readline().startswith("reading as"), "a worker does not start"
        submit = list(map(str, [program, "submit", "--queue", url]))
        # Until both are known, and warm.
        subprocess.run([*submit, "--name", "warm", *map(str, files[:4])], check=True, stdout=subprocess.DEVNULL)
        begun = time.monotonic()
        subprocess.run([*submit, "--name", "bench", *map(str, files)], check=True, stdout=subprocess.DEVNULL)
        return time.monotonic() - begun
    finally:
        for worker in workers:
            worker.terminate()
        for worker in workers:
            worker.wait(60)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="+", type=Path, help="documents, all of a kind that takes as long to read")
    parser.add_argument("--repeat", type=int, default=6, help="how often each file is read in a run")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--program", type=Path, default=ROOT / "target/release/cic-kiosk")
    options = parser.parse_args()
    files = options.files * options.repeat
    cores = sorted(os.sched_getaffinity(0))[:2]
    if len(cores) < 2:
        sys.exit("two cores are needed")
    with tempfile.TemporaryDirectory() as folder:
        port = free_port()
        config = Path(folder) / "mosquitto.conf"
        config.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\n", encoding="utf-8")
        broker = subprocess.Popen(["mosquitto", "-c", config], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            time.sleep(1)
            url, best = f"mqtt://127.0.0.1:{port}", {}
            for run in range(options.runs):
                for number in (1, 2):
                    before = os.getloadavg()[0]
                    took = seconds(options.program, url, files, cores[:number])
                    best[number] = min(took, best.get(number, took))
                    rate = len(files) / took * 60
                    print(f"run {run + 1}, {number} worker(s): {took:.1f} s, {rate:.0f} files a minute (load before {before:.1f})", flush=True)
        finally:
            broker.terminate()
            broker.wait(10)
    ratio = best[1] / best[2]
    print(f"two workers give {ratio:.2f} times one worker's throughput ({len(files)} files)")
    sys.exit(ratio < NEEDED)


if __name__ == "__main__":
    main()
