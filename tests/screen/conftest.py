"""The screen from outside: each test has a kiosk with a scanner, its branch, and a browser."""

import io
import os
import random
import signal
from contextlib import ExitStack, contextmanager, suppress

import pytest
from PIL import Image, ImageDraw, ImageFilter, ImageFont
from playwright.sync_api import expect

from branch import make_branch
from chromium import chromium
from cloud import cloud  # noqa: F401
from kiosk import PATIENCE, until
from scanner import Scanner, pages_of, wait_for
from secrecy import forbidden, found
from touch import Screen, new_context
from workers import Workers

FONT = "/usr/share/fonts/truetype/noto/NotoSans-Regular.ttf"


@pytest.fixture(scope="session")
def logs(tmp_path_factory):
    """The folder of what all daemons said. None may tell a value of a paper, whatever was done."""
    logs = tmp_path_factory.mktemp("logs")
    yield logs
    assert any(logs.glob("*.log")) and found(forbidden(), [logs]) == set()


expect.set_options(timeout=PATIENCE * 1000)


@pytest.fixture(scope="session")
def browser():
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="session")
def good():
    """Pages of a report that was scanned well."""
    return pages_of("scan")


def as_jpeg(picture: Image.Image) -> bytes:
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=90, dpi=(150, 150))
    return file.getvalue()


@pytest.fixture(scope="session")
def blurred(good):
    """Its first page, moved while it was scanned."""
    return as_jpeg(Image.open(io.BytesIO(good[0])).filter(ImageFilter.GaussianBlur(6)))


@pytest.fixture(scope="session")
def letter():
    """A page with text that is no report."""
    words = "kính gửi quý khách hàng chúng tôi xin thông báo lịch nghỉ lễ của siêu thị trong tháng tới cảm ơn".split()
    picture = Image.new("L", (1240, 1754), 255)
    draw, font, pick = ImageDraw.Draw(picture), ImageFont.truetype(FONT, 26), random.Random(7)
    for line in range(34):
        draw.text((110, 120 + 44 * line), " ".join(pick.choices(words, k=11)), fill=20, font=font)
    return as_jpeg(picture.convert("RGB"))


class Desk:
    """A kiosk with a scanner, in its branch."""

    def __init__(self, branch, scanner, workers: Workers | None = None):
        self.branch, self.scanner, self.workers = branch, scanner, workers
        self.kiosk, self.listener, self.gate = branch.kiosk, branch.listener, branch.gate

    def start(self) -> "Desk":
        self.kiosk.start()
        assert self.kiosk.screen, "it does not say where its screen is"
        wait_for(self.kiosk, "ready")
        return self

    def feed(self, sheets: int, first: int = 0):
        """Puts paper into the feeder, from the scanner's file of that number on."""
        self.scanner.order(loaded=sheets, first=first)

    def lay(self, page: int):
        """Lays that file onto the glass."""
        self.scanner.order(loaded=0, lies=page)

    @contextmanager
    def nothing_is_read(self):
        """Whatever reads is stopped meanwhile: what is to be read waits."""
        stopped = self.workers.pids()
        assert stopped, "nothing has been read so far"
        for pid in stopped:
            os.kill(pid, signal.SIGSTOP)
        yield
        for pid in stopped:
            # One that was waited for in vain is gone.
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)

    def entries(self) -> list[dict]:
        return [*self.kiosk.entries("open"), *self.kiosk.waiting()]

    def answer(self) -> dict:
        """The only result that came to the broker."""
        [scan_id] = until(lambda: list(self.listener.results))
        return self.listener.answer(scan_id)


@pytest.fixture
def open_desk(tmp_path_factory, logs, good):
    """Makes one, at work; a page of the scanner's is taken when the customer says so. Settings are the kiosk's."""
    with ExitStack() as stack:

        def open_desk(
            pages: list[bytes] = good, credentials: dict[str, str] | None = None, apart: bool = False, **settings: dict
        ) -> Desk:
            """`apart`: it is read in processes that can be stopped."""
            # A short name: there is a socket in it.
            folder = tmp_path_factory.mktemp("desk")
            workers = None
            if apart:
                workers = stack.enter_context(Workers(folder / "worker.sock", logs / f"{folder.name}.worker.log"))
                workers.listen()
                settings["reading"] = {"worker": str(workers.socket)}
            scanner = stack.enter_context(Scanner(folder / "scanner", pages))
            screen = {"enabled": True, "listen": "127.0.0.1:0", "idle_seconds": 600, **settings.pop("screen", {})}
            escl = {**scanner.settings, "begin": "button"}
            branch = make_branch(stack, folder, logs, escl=escl, screen=screen, **settings)
            for credential in (credentials or {}).items():
                branch.kiosk.give_credential(*credential)
            return Desk(branch, scanner, workers).start()

        yield open_desk


@pytest.fixture
def open_screen(browser):
    """Opens a desk's screen in a browser that knows nothing yet; what it did is looked at in the end."""
    with ExitStack() as stack:

        def open_screen(desk: Desk, width: int = 720, height: int = 1280, lost: bool = False) -> Screen:
            context = stack.enter_context(new_context(browser, width, height))
            screen = Screen(context.new_page(), desk)
            stack.callback(screen.check, lost)
            return screen.open()

        yield open_screen


@pytest.fixture
def stack():
    """Ends what a test has begun."""
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def desk(open_desk):
    return open_desk()


@pytest.fixture
def screen(desk, open_screen):
    return open_screen(desk)
