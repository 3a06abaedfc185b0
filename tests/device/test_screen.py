"""The customer's screen and the technician's with a camera: what lies before it, a real browser shows.

Everything happens at one kiosk, in this order; a customer's visit is a test's own.
"""

import io
import json
import os
import signal
import time
from contextlib import ExitStack
from types import SimpleNamespace

import pytest
from PIL import Image, ImageChops, ImageDraw, ImageFilter
from playwright.sync_api import Locator, expect

from admin import Technician, admit
from branch import make_branch
from chromium import chromium
from kiosk import PATIENCE, ROOT, until
from scanner import pages_of
from secrecy import forbidden, found
from touch import IMAGES, Screen, new_context, save_picture, told
from vivid import Vivid

# Pixels of the camera. A page of 150 dpi lies in it with a hand's breadth of table around.
SIZE = (1600, 1920)

# The machine is emulated: fewer looks, and more time for everything.
CAMERA = {"enabled": True, "device": "platform-vivid.0-video-index0", "looks_per_second": 1, "timeout_seconds": 60}

# What stands on the first page.
FIELDS = ("report_time", "cic_code", "id_card", "address", "credit_score", "credit_rank", "credit_ranking_date")

# When a page is safe, and when its boxes are painted; the page's clock is the tests'.
WATCH = """() => {
    const at = (window.at = {});
    const look = () => {
        if (document.querySelector('.busy')) at.safe ??= Date.now();
        if (!document.querySelector('svg .box') || at.boxes) return;
        at.boxes = 0;
        requestAnimationFrame(() => requestAnimationFrame(() => { at.boxes = Date.now(); }));
    };
    new MutationObserver(look).observe(document, {subtree: true, childList: true, characterData: true});
}"""


expect.set_options(timeout=PATIENCE * 1000)


def table() -> Image.Image:
    return Image.effect_noise(SIZE, 12).point(lambda level: level // 3 + 20)


def paper(number: int = 0, size: float = 1.0, lower: int = 0) -> Image.Image:
    """A page of a committed report, lying on the table a little askew."""
    page = Image.open(io.BytesIO(pages_of("scan")[number])).convert("L")
    # A scanner's white is more than a camera ever sees.
    page = page.resize([round(side * size) for side in page.size]).point(lambda level: level * 0.85)
    shape = Image.new("L", page.size, 255)
    page, shape = (it.rotate(0.7, Image.Resampling.BICUBIC, expand=True) for it in (page, shape))
    scene = table()
    left, top = ((whole - part) // 2 for whole, part in zip(SIZE, page.size))
    scene.paste(page, (left, top + lower), shape)
    return scene


def reflection() -> Image.Image:
    """Of a lamp, in the paper."""
    light = Image.new("L", SIZE)
    ImageDraw.Draw(light).ellipse((850, 900, 1150, 1150), fill=255)
    return ImageChops.add(paper(), light.filter(ImageFilter.GaussianBlur(20)))


def hand() -> Image.Image:
    """Over the paper's edge."""
    scene = paper()
    ImageDraw.Draw(scene).ellipse((1150, 700, 1650, 1000), fill=110)
    return scene


# What lies before the camera, and the words for it.
WRONG = {
    "dark": (lambda: paper().point(lambda level: level // 5), "quá tối"),
    "blurred": (lambda: paper().filter(ImageFilter.GaussianBlur(6)), "bị mờ"),
    "cut off": (lambda: paper(lower=500), "Thiếu một góc"),
    "covered": (hand, "Có vật che"),
    "glare": (reflection, "bị chói"),
}


class Desk:
    """A kiosk with a camera in its branch, and who stands before it."""

    def __init__(self, stack: ExitStack, folder):
        self.camera = stack.enter_context(Vivid(*SIZE, "NV12", 5))
        self.see(table())
        logs = folder / "logs"
        logs.mkdir()
        settings = {
            "camera": CAMERA,
            "screen": {"enabled": True, "listen": "127.0.0.1:0", "idle_seconds": 3600, "admins": ["an"]},
            "http": {"reading_seconds": 3600},
            # What an emulated processor is fastest with.
            "reading": {"precision": "int8"},
        }
        self.branch = make_branch(stack, folder, logs, **settings)
        self.kiosk, self.listener = self.branch.kiosk, self.branch.listener
        [self.key] = admit(self.kiosk, "an")
        self.kiosk.start(log_level="info")
        stack.callback(self.check, logs)
        self.browser = stack.enter_context(chromium())
        context = stack.enter_context(new_context(self.browser, 720, 1280))
        self.screen = Screen(context.new_page(), SimpleNamespace(kiosk=self.kiosk)).open()
        stack.callback(self.screen.check)

    @staticmethod
    def check(logs):
        assert any(logs.glob("*.log")) and found(forbidden(), [logs]) == set()

    def see(self, scene: Image.Image):
        """It lies there from now on."""
        self.camera.show(scene.convert("RGB"))

    @property
    def words(self) -> Locator:
        return self.screen.page.locator("#words")

    @property
    def live(self) -> Locator:
        return self.screen.page.locator("#live")


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    with ExitStack() as stack:
        yield Desk(stack, tmp_path_factory.mktemp("desk"))


@pytest.fixture
def visit(desk):
    """A customer has agreed, before an empty table; in the end, everything is forgotten."""
    desk.see(table())
    desk.screen.agree()
    yield desk.screen
    if desk.screen.step != "consent":
        desk.screen.press("cancel").at("consent")


# What an element shows of a picture that was fetched, in this many columns and rows.
SEEN = (10, 12)
LOOK = """(it, [width, height]) => {
    const context = new OffscreenCanvas(width, height).getContext('2d');
    context.imageSmoothingQuality = 'high';
    context.drawImage(it, 0, 0, width, height);
    return Array.from(context.getImageData(0, 0, width, height).data);
}"""


def shows(picture: Locator, scene: Image.Image) -> bool:
    """Whether it is that scene, as small and grey as it may be."""
    if not picture.is_visible():
        return False
    seen = Image.frombytes("RGBA", SEEN, bytes(picture.evaluate(LOOK, SEEN))).convert("L")
    difference = ImageChops.difference(seen, scene.resize(SEEN, Image.Resampling.BOX))
    # A pixel of the paper's edge may belong to either.
    return sum(difference.tobytes()) / (SEEN[0] * SEEN[1]) < 16


def corners(outline: Locator) -> list[tuple[float, float]]:
    """Of the polygon, as shares of the picture."""
    points = outline.get_attribute("points").split()
    box = outline.evaluate("it => it.ownerSVGElement.viewBox.baseVal.width")
    return [tuple(float(value) / box for value in point.split(",")) for point in points]


def check_outline(outline: Locator):
    """It is around a page that lies in the middle, almost straight."""
    expect(outline).not_to_have_attribute("points", "")
    margin = [(whole - part) / 2 / whole for whole, part in zip(SIZE, Image.open(io.BytesIO(pages_of("scan")[0])).size)]
    for corner in corners(outline):
        for share, edge in zip(corner, margin):
            assert min(abs(share - edge), abs(share - 1 + edge)) < 0.03, corner


def test_customer_sees_the_empty_table_and_is_asked_for_paper(desk, visit):
    expect(desk.words).to_contain_text("Chưa có giấy")
    until(lambda: shows(desk.live, table()))
    assert visit.page.locator("#outline polygon").get_attribute("points") == ""


@pytest.mark.parametrize("fault", WRONG)
def test_what_is_wrong_with_the_paper_is_told_in_words_and_it_is_not_taken(fault, desk, visit):
    scene, words = WRONG[fault]
    desk.see(scene())
    expect(desk.words).to_contain_text(words)
    expect(visit.page.locator("#count")).to_contain_text(" 0 ")
    if fault == "glare":
        check_outline(visit.page.locator("#outline polygon"))
        until(lambda: shows(desk.live, scene()))
        assert visit.is_in_sight(visit.page.locator("#count"))
        if os.environ.get("REGENERATE"):
            save_picture(visit.page, IMAGES / "screen-place-camera.png")


def test_page_that_lies_too_far_away_is_asked_for_again(desk, visit):
    desk.see(paper(size=0.55))
    expect(visit.page.locator("main .wrong")).to_be_visible()
    expect(desk.words).to_contain_text("quá nhỏ")


def test_page_that_lies_still_is_taken_read_checked_and_sent(desk, visit, capsys):
    page = visit.page
    expect(desk.words).to_contain_text("Chưa có giấy")
    page.evaluate(WATCH)
    desk.see(paper())
    still = 1000 * time.time()
    expect(page.locator("svg .box").first).to_be_visible()
    at = until(lambda: (it := page.evaluate("window.at")).get("boxes") and it)
    assert not desk.listener.results
    for shown in (desk.live, page.locator(".sheet svg"), page.locator("#count")):
        # The camera's picture comes with the next look.
        expect(shown).to_be_visible()
        assert visit.is_in_sight(shown)
    visit.press("all").at("check")
    assert told(visit.text), "the customer does not see what was read"
    visit.send()
    assert not told(page.content())
    [scan_id] = until(lambda: list(desk.listener.results))
    answer = desk.listener.answer(scan_id)
    assert (answer["meta"]["pages"], answer["meta"]["captured_by"]) == (1, "camera")
    truth = json.loads((ROOT / "tests/data/reports/scan.json").read_text(encoding="utf-8"))["info"]
    [report] = answer["data"]["info"]
    assert {field: report[field] for field in FIELDS} == {field: truth[field] for field in FIELDS}
    stages = answer["meta"]["elapsed_ms"]
    reading = sum(stages.get(stage, 0) for stage in ("detect", "recognise", "report"))
    with capsys.disabled():
        print(f"\nms, emulated: {at['safe'] - still:.0f} until a page that was laid down is safe,")
        print(f"{at['boxes'] - at['safe']} until its boxes are shown, {reading} of them reading; {stages}")


def test_camera_that_is_unplugged_is_told_of_and_used_again(desk, visit):
    until(lambda: desk.live.is_visible())
    desk.camera.unplug()
    expect(desk.words).to_contain_text("Máy ảnh chưa sẵn sàng")
    # What it saw last is not shown for what there is.
    expect(desk.live).to_be_hidden()
    # It is a camera once it is plugged in, and not step by step.
    desk.kiosk.process.send_signal(signal.SIGSTOP)
    desk.camera.plug()
    desk.kiosk.process.send_signal(signal.SIGCONT)
    expect(desk.words).to_contain_text("Chưa có giấy")
    expect(desk.live).to_be_visible()
    desk.see(paper(1))
    expect(visit.page.locator("#count")).to_contain_text(" 1 ")


def test_technician_sees_what_helps_with_focus_and_exposure(desk):
    with new_context(desk.browser, 1280, 900) as context:
        technician = Technician(context.new_page(), desk.kiosk.screen, desk.key)
        technician.log_in().go("Camera")
        picture, figures = technician.page.locator("#picture"), technician.page.locator("#live")
        desk.see(paper())
        for name in ("Sharpness", "Brightness of the paper", "Contrast", "Glare", "Evenness", "Resolution", "Skew"):
            expect(figures).to_contain_text(name)
        expect(figures).to_contain_text("The page lies as it must")
        expect(figures).not_to_contain_text("not enough")
        until(lambda: shows(picture, paper()))
        check_outline(technician.page.locator("#outline polygon"))
        if os.environ.get("REGENERATE"):
            save_picture(technician.page, IMAGES / "admin-camera.png")
        for fault, figure in {"blurred": "Sharpness", "dark": "Brightness of the paper", "glare": "Glare"}.items():
            desk.see(WRONG[fault][0]())
            row = figures.get_by_role("row").filter(has_text=figure)
            expect(row).to_contain_text("not enough")
        # Nothing is taken for that, and a customer's paper is not a technician's to see.
        assert not desk.kiosk.entries("open")
        desk.screen.agree()
        expect(figures).to_contain_text("A customer is there")
        expect(picture).to_be_hidden()
        desk.screen.press("cancel").at("consent")
        technician.check()
