#!/usr/bin/env python3
"""Measures what the screen costs, and how soon a page that was captured is shown with its boxes; prints Markdown.

The bars: at rest, below 3 % of a core and 10 MiB more than the same kiosk without a screen; from a page that is safe to
its boxes in the browser, the time of reading it and at most 200 ms.

A kiosk with an eSCL scanner (tests/capture), mosquitto, and Debian's Chromium with the customer's page. Reading is what the
result's meta says of detecting, recognising and making the report: the rest was done before the page was safe.

Needs what `scripts/setup.sh screen` installs: .cache/http/bin/python scripts/bench_screen.py
"""

import json
import os
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
os.environ.setdefault("CIC_KIOSK", str(ROOT / "target/release/cic-kiosk"))
sys.path[:0] = [str(ROOT / "tests" / part) for part in ("screen", "daemon", "http", "")]

from playwright.sync_api import sync_playwright  # noqa: E402

from broker import Listener, Mosquitto  # noqa: E402
from daemon import Daemon  # noqa: E402
from kiosk import until  # noqa: E402
from scanner import Scanner, feed, pages_of  # noqa: E402

REST = 20
VISITS = 5

# When the page first says that there is a captured page, and when its boxes are painted.
WATCH = """() => new Promise(shown => {
    let captured = 0;
    const look = () => {
        const reads = document.querySelector('.busy, main[data-step=reading]');
        if (reads && !captured) captured = performance.now();
        if (document.querySelector('svg .box')) return shown([captured, performance.now()]);
        requestAnimationFrame(look);
    };
    look();
})"""


def cost(pid: int) -> tuple[float, float]:
    """Seconds of a processor that a process has used, and the MiB that are its own."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    seconds = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    private = sum(int(line.split()[1]) for line in rollup if line.startswith("Private_"))
    return seconds, private / 1024


def at_rest(kiosk) -> tuple[float, float]:
    time.sleep(5)
    before, _ = cost(kiosk.process.pid)
    time.sleep(REST)
    after, private = cost(kiosk.process.pid)
    return 100 * (after - before) / REST, private


def main():
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        folder = Path(folder)
        broker = Mosquitto(folder / "broker")
        scanner = Scanner(folder / "scanner", pages_of("scan")[:1])
        with broker, scanner, Listener(broker.listeners_port, folder / "topics") as listener:
            address = f"mqtt://127.0.0.1:{broker.port}"
            with Daemon("without", folder / "without", folder, address, escl=scanner.settings) as kiosk:
                kiosk.start()
                without = [at_rest(kiosk)]
                for visit in range(VISITS):
                    feed(kiosk, scanner, 1)
                    until(lambda: len(listener.results) == visit + 1)
                without.append(at_rest(kiosk))
            screen = {"enabled": True, "listen": "127.0.0.1:0", "done_seconds": 1}
            with Daemon("with", folder / "with", folder, address, escl=scanner.settings, screen=screen) as kiosk:
                kiosk.start()
                browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
                page = browser.new_page(viewport={"width": 1080, "height": 1920})
                page.goto(f"{kiosk.screen}/kiosk")
                screened = [at_rest(kiosk)]
                overheads, readings = [], []
                for visit in range(VISITS):
                    page.click("#agree")
                    page.wait_for_selector("main[data-step=put]")
                    known = set(listener.results)
                    scanner.order(loaded=1)
                    page.click("#scan")
                    captured, boxes = page.evaluate(WATCH)
                    page.wait_for_selector("main[data-step=check]")
                    page.click("#send")
                    [scan] = until(lambda: set(listener.results) - known)
                    stages = json.loads(listener.results[scan][0])["meta"]["elapsed_ms"]
                    reading = sum(stages.get(name, 0) for name in ("detect", "recognise", "report"))
                    # The first one loads the models.
                    if visit > 0:
                        readings.append(reading)
                        overheads.append(boxes - captured - reading)
                    page.wait_for_selector("main[data-step=consent]")
                screened.append(at_rest(kiosk))
                browser.close()
    print("| at rest | % of a core | MiB of its own | after pages: % of a core | MiB of its own |")
    print("| --- | --- | --- | --- | --- |")
    for name, rests in (("without a screen", without), ("with one", screened)):
        print(f"| {name} |" + "".join(f" {core:.2f} | {private:.1f} |" for core, private in rests))
    print()
    print(f"From a safe page to its boxes: {max(overheads):.0f} ms at most beside the reading ({max(readings):.0f} ms at most).")


if __name__ == "__main__":
    main()
