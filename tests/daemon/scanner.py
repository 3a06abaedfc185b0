"""A document scanner beside the kiosk: the strict eSCL server of tests/capture, with the pages of a real report in its feeder."""

import json
import re
import subprocess
import sys
import threading
from pathlib import Path

import requests

from kiosk import PATIENCE, ROOT, until

SERVER = ROOT / "tests" / "capture" / "escl_server.py"

# Pictures as a scanner sends them, in a PDF.
JPEG = re.compile(rb"stream\r?\n(\xff\xd8.*?)\r?\nendstream", re.S)


def pages_of(report: str) -> list[bytes]:
    """The pictures that a committed report consists of."""
    return JPEG.findall((ROOT / "tests" / "data" / "reports" / f"{report}.pdf").read_bytes())


class Scanner:
    """The scanner; `plug` and `unplug` are its cable. It keeps its address."""

    def __init__(self, folder: Path, pages: list[bytes]):
        self.feeder, self.glass = folder / "feeder", folder / "glass.jpg"
        self.feeder.mkdir(parents=True)
        for number, page in enumerate(pages, 1):
            (self.feeder / f"{number:02}.jpg").write_bytes(page)
        self.glass.write_bytes(pages[0])
        self.port = 0
        self.process: subprocess.Popen | None = None
        self.plug()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.unplug()

    def plug(self):
        command = [sys.executable, SERVER, "--feeder", self.feeder, "--glass", self.glass, "--port", str(self.port)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        watchdog = threading.Timer(PATIENCE, self.process.kill)
        watchdog.start()
        self.port = int(self.process.stdout.readline())
        watchdog.cancel()

    def unplug(self):
        self.process.kill()
        self.process.wait(PATIENCE)
        self.process.stdout.close()

    @property
    def settings(self) -> dict:
        return {"enabled": True, "url": f"http://127.0.0.1:{self.port}/eSCL"}

    def order(self, **orders: object):
        """What it does next: the members of `Orders` in the server."""
        answer = requests.post(f"http://127.0.0.1:{self.port}/control", json=orders, timeout=PATIENCE)
        assert answer.status_code == 200

    def requests(self) -> list[str]:
        return requests.get(f"http://127.0.0.1:{self.port}/control", timeout=PATIENCE).json()

    def pages_sent(self) -> int:
        return sum(re.fullmatch(r"GET \S+/NextDocument 200", line) is not None for line in self.requests())


def standing(kiosk) -> dict:
    """How the scanner is, as the kiosk says."""
    result = kiosk.command("scan", "status", "--json")
    assert result.returncode == 0, result.stderr
    [standing] = [standing for standing in json.loads(result.stdout) if standing["source"] == "escl"]
    return standing


def wait_for(kiosk, state: str) -> str:
    """Until the scanner is so; the reason."""
    until(lambda: standing(kiosk)["state"] == state)
    return standing(kiosk).get("reason", "")


def feed(kiosk, scanner: Scanner, sheets: int):
    """Puts paper in when the kiosk waits for it, as a person does: what lies there before is not taken."""
    wait_for(kiosk, "ready")
    scanner.order(loaded=sheets)
