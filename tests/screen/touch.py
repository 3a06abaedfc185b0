"""A customer at the kiosk's screen, and what is noted of the browser meanwhile."""

import io
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote_plus

from PIL import Image
from playwright.sync_api import BrowserContext, ConsoleMessage, Locator, Page, Request, expect

from access import SIZES, barriers
from kiosk import PATIENCE, ROOT, until
from secrecy import forbidden

# The virtual machine of scripts/vm.sh can write to one folder alone.
IMAGES = ROOT / (".cache/vm/share" if "CIC_KIOSK_VM" in os.environ else "docs/images")
# Least height and width of what a finger has to meet, in CSS pixels.
FINGER = 44

# Everything in which a page may keep something beyond its own life.
KEPT = """async () => [
    ...Object.keys(localStorage), ...Object.keys(sessionStorage), ...document.cookie.split("; ").filter(Boolean),
    ...(await caches.keys()), ...(await indexedDB.databases()).map(it => it.name),
    ...(await navigator.serviceWorker.getRegistrations()).map(it => it.scope),
]"""

VALUES = forbidden()


def told(text: str) -> set[str]:
    """Values of the sample papers in a text."""
    return {value for value in VALUES if value in text}


class Answer(NamedTuple):
    """What a browser got."""

    url: str
    status: int
    keep: str
    bytes: int


class Screen:
    """A page of a browser, on a kiosk's screen; `desk` is what stands around it (conftest.py)."""

    def __init__(self, page: Page, desk):
        self.page, self.desk, self.address = page, desk, desk.kiosk.screen
        page.set_default_timeout(PATIENCE * 1000)
        self.asked: list[Request] = []
        self.answers: list[Answer] = []
        self.complaints: list[str] = []
        page.on("request", lambda it: self.asked.append(it))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        # What the content security policy forbids is an error on the console, too.
        page.on("console", self._complain)
        self._count_bytes()

    def _complain(self, said: ConsoleMessage):
        # A page's picture, and what a camera sees, may be gone before it was fetched, with what showed it.
        pictures = ("/kiosk/pages/", "/kiosk/preview")
        is_gone = "status of 404" in said.text and any(it in said.location["url"] for it in pictures)
        if said.type in ("error", "warning") and not is_gone:
            self.complaints.append(said.text)

    def _count_bytes(self):
        network = self.page.context.new_cdp_session(self.page)
        network.send("Network.enable")
        begun = {}

        def begin(event: dict):
            answer = event["response"]
            keep = {name.lower(): value for name, value in answer["headers"].items()}.get("cache-control", "")
            begun[event["requestId"]] = answer["url"], answer["status"], keep

        def end(event: dict):
            if answer := begun.pop(event["requestId"], None):
                self.answers.append(Answer(*answer, event["encodedDataLength"]))

        network.on("Network.responseReceived", begin)
        network.on("Network.loadingFinished", end)

    def check(self, lost: bool = False):
        """Nothing was complained of, kept, asked of others, or told in an address. `lost`: the kiosk was away once."""
        wrong = [it for it in self.complaints if not (lost and "net::ERR_" in it)]
        assert wrong == [], wrong
        assert self.page.evaluate(KEPT) == [] and self.page.context.cookies() == []
        for url in {request.url for request in self.asked}:
            assert url.startswith(self.address + "/") or url.startswith(("data:", f"blob:{self.address}/")), url
            # Which one must not be told here either.
            assert not told(unquote_plus(url)), "an address has a value of a paper in it"
        kept = [it.url for it in self.answers if it.keep != "no-store" and it.url.startswith("http")]
        assert all("/assets/" in url for url in kept), kept

    # Where it is.

    def open(self) -> "Screen":
        self.page.goto(self.address + "/kiosk")
        return self

    def at(self, step: str, patience: float = PATIENCE) -> "Screen":
        """Once this step is there."""
        expect(self.page.locator(f'main[data-step="{step}"]')).to_be_visible(timeout=patience * 1000)
        return self

    @property
    def step(self) -> str:
        return self.page.locator("main").get_attribute("data-step")

    @property
    def words(self) -> str:
        """What it says is wrong, or to be done."""
        return self.page.locator("#words").inner_text()

    @property
    def text(self) -> str:
        return self.page.locator("main").inner_text()

    def is_lost(self) -> bool:
        return self.page.locator("#lost").is_visible()

    def is_asking(self) -> bool:
        return self.page.locator("dialog#idle").is_visible()

    # Whether everybody can use it.

    def look(self, name: str = "", sizes: list[tuple[int, int]] = SIZES) -> "Screen":
        """It has no barriers in windows of these sizes, and what goes on is in sight. With REGENERATE=1 the picture of this
        name is made anew."""
        # Fading in is no fault of contrast.
        self.page.wait_for_timeout(300)
        if name and os.environ.get("REGENERATE"):
            save_picture(self.page, IMAGES / f"screen-{name}.png")
        wrong = self._out_of_sight() + barriers(self.page, FINGER, sizes)
        assert wrong == [], wrong
        return self

    def _out_of_sight(self) -> list[str]:
        """What a customer would have to look for before they can go on."""
        height = self.page.viewport_size["height"]
        found = [(it.inner_text(), it.bounding_box()) for it in self.page.locator("button.main:visible").all()]
        return [f"{words!r} is out of sight" for words, it in found if it["y"] + it["height"] > height]

    def is_in_sight(self, shown: Locator) -> bool:
        """All of it, and not behind the buttons."""
        it, buttons = shown.bounding_box(), self.page.locator("nav.actions").bounding_box()
        return it["y"] >= 0 and it["y"] + it["height"] <= buttons["y"]

    # What a customer does.

    def press(self, *names: str) -> "Screen":
        for name in names:
            self.page.locator(f"#{name}").tap()
        return self

    def agree(self, cloud: bool = False) -> "Screen":
        self.at("consent")
        if cloud:
            self.page.locator("#cloud").check()
        return self.press("agree").at("put")

    def take(self, page: int) -> "Screen":
        """That page, from the glass."""
        self.at("put")
        there = int(re.search(r"\d+", self.page.locator("#count").inner_text())[0])
        self.desk.lay(page)
        self.press("scan")
        expect(self.page.locator("#count")).to_contain_text(f" {there + 1} ")
        return self

    def scan(self, sheets: int, first: int = 0) -> "Screen":
        """So many sheets, through the feeder: when it is empty, those were all."""
        self.at("put")
        self.desk.feed(sheets, first)
        return self.press("scan").at("check")

    def send(self) -> "Screen":
        return self.at("check").press("send").at("done")

    def focused(self) -> str:
        return self.page.evaluate("document.activeElement.id || document.activeElement.className")

    def tab_to(self, name: str):
        """With the keyboard alone, to what has this id, or is of this class."""
        for _ in range(80):
            if self.focused() == name:
                return
            self.page.keyboard.press("Tab")
        raise AssertionError(f"the keyboard does not come to {name}")


def save_picture(page: Page, path: Path):
    """The window, with as few colours as nobody misses."""
    picture = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    picture.quantize(128, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE).save(path, optimize=True)


def replay(screen: Screen, request: Request) -> int:
    """Sends a form, or what a script sent, once more, as a tab would that has slept since; the answer's status."""
    headers = {name: value for name, value in request.headers.items() if name in ("content-type", "accept")}
    order = {"url": request.url, "method": request.method, "headers": headers, "body": request.post_data}
    return screen.page.evaluate(
        "async it => (await fetch(it.url, {method: it.method, headers: it.headers, body: it.body})).status", order
    )


@contextmanager
def noted_orders(screen: Screen) -> Iterator[list[Request]]:
    """What is ordered of the kiosk meanwhile."""
    begin, orders = len(screen.asked), []
    yield orders
    orders += [request for request in screen.asked[begin:] if request.method == "POST"]
    assert orders, "nothing was ordered"


def wait_forgotten(kiosk):
    """Until nothing of a visit is kept."""
    until(lambda: not kiosk.entries("open") and not kiosk.waiting())


def new_context(browser, width: int, height: int) -> BrowserContext:
    return browser.new_context(viewport={"width": width, "height": height}, has_touch=True, locale="vi-VN")
