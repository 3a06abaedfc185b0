"""Debian's Chromium, without what it would do on the network or the graphics card by itself."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, sync_playwright

from kiosk import PATIENCE

PROGRAM = shutil.which("chromium")

SWITCHES = [
    "--no-sandbox",
    "--headless",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@contextmanager
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=PROGRAM, args=SWITCHES, timeout=PATIENCE * 1000)
        yield browser
        browser.close()
