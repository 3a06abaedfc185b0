#!/usr/bin/env python3
"""Measures whether reading overlaps scanning: eight pages come from a document scanner, and their result is published.

The scanner is the strict eSCL server of the tests; the pages are scans of a committed report. Two times are compared:

- how long after the scanner has sent its last page the result is published, and
- how long such a page takes to be read, as the answer says when it is handed in by itself (`meta.elapsed_ms`).

The bar is 1.5 page readings. Nothing here fails: machines are noisy.

Needs the tests' Python: .cache/http/bin/python scripts/bench_capture.py
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGES = 8
MOST = 1.5


def is_ready(kiosk):
    """Whether it waits for paper, and has seen the feeder without it."""
    [scanner] = [it for it in json.loads(kiosk.command("scan", "status", "--json").stdout) if it["source"] == "escl"]
    return scanner["state"] == "ready" and time.sleep(2) is None


def measure(options, folder):
    from broker import Listener, Mosquitto
    from daemon import Daemon
    from kiosk import until
    from scanner import Scanner, pages_of

    pages = (pages_of("scan") * PAGES)[:PAGES]
    readings, delays = [], []
    with (
        Scanner(folder / "scanner", pages) as scanner,
        Mosquitto(folder / "broker") as broker,
        Listener(broker.listeners_port, folder / "topics") as listener,
        Daemon("bench", folder / "kiosk", folder, f"mqtt://127.0.0.1:{broker.port}", escl=scanner.settings) as kiosk,
    ):
        kiosk.start(log_level="info")

        def scan(count):
            """Seconds from the last page's sending to the result's coming."""
            until(lambda: is_ready(kiosk))
            results, sent = set(listener.results), scanner.pages_sent()
            scanner.order(loaded=count, page_seconds=options.page_seconds)
            until(lambda: scanner.pages_sent() == sent + count, 600)
            last = time.monotonic()
            until(lambda: set(listener.results) - results, 600)
            return time.monotonic() - last

        def read():
            """Seconds that a page by itself is read for."""
            [submitted] = json.loads(kiosk.command("submit", "--json", scanner.glass).stdout)
            return sum(listener.answer(submitted["scan_id"])["meta"]["elapsed_ms"].values()) / 1000

        read()  # loads the models
        for _ in range(options.rounds):
            readings.append(read())
            delays.append(scan(PAGES))
        kiosk.stop()
    one, eight = statistics.median(readings), statistics.median(delays)
    print(f"{os.cpu_count()} cores, a page every {options.page_seconds} s, median of {options.rounds}:")
    print(f"result after the last of {PAGES} pages: {eight:.2f} s; reading a page: {one:.2f} s")
    print(f"{eight / one:.2f} page readings, {'within' if eight / one <= MOST else 'NOT WITHIN'} the bar of {MOST}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--program", default=str(ROOT / "target/release/cic-kiosk"), help="cic-kiosk")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--page-seconds", type=float, default=2.0, help="that the scanner takes for a page")
    options = parser.parse_args()
    os.environ["CIC_KIOSK"] = options.program
    sys.path[:0] = [str(ROOT / "tests/daemon"), str(ROOT / "tests/http")]
    with tempfile.TemporaryDirectory() as folder:
        measure(options, Path(folder))


if __name__ == "__main__":
    main()
