"""The program itself with a real camera and real GPIO lines: papers lie down, are taken, are pulled away."""

import json
import os
import re
import secrets
import subprocess
import time
from pathlib import Path

import pytest
from PIL import Image

from gpio import Chip
from vivid import Vivid

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = ROOT / "target" / "debug" / "cic-kiosk"

# A machine that is emulated is slow.
PATIENCE = 600

JPEG = re.compile(rb"stream\r?\n(\xff\xd8.*?)\r?\nendstream", re.S)


def table() -> Image.Image:
    return Image.effect_noise((1920, 1080), 12).point(lambda level: level // 3 + 20).convert("RGB")


@pytest.fixture(scope="module")
def papers(tmp_path_factory) -> list[Image.Image]:
    """Pages of a committed report, each lying on the table a little askew."""
    papers = []
    folder = tmp_path_factory.mktemp("papers")
    for number, picture in enumerate(JPEG.findall((ROOT / "tests/data/reports/scan.pdf").read_bytes())):
        file = folder / f"{number}.jpg"
        file.write_bytes(picture)
        page = Image.open(file).convert("RGB").resize((720, 1018), Image.Resampling.LANCZOS).convert("RGBA")
        page = page.rotate(1 - number, Image.Resampling.BICUBIC, expand=True)
        paper = table()
        paper.paste(page, ((1920 - page.width) // 2, (1080 - page.height) // 2), page)
        papers.append(paper)
    return papers


@pytest.fixture
def camera():
    # An emulated machine has its hands full with more.
    with Vivid(1920, 1080, "GREY") as camera:
        camera.show(table())
        yield camera


@pytest.fixture
def chip():
    with Chip("panel", "lamp", "button", "light") as chip:
        yield chip


@pytest.fixture
def config(tmp_path) -> Path:
    (tmp_path / "credentials").mkdir(mode=0o700)
    (tmp_path / "credentials" / "outbox-key").write_text(secrets.token_hex(32))
    # The papers fill half of a picture of two megapixels: 87 dpi.
    settings = {
        "kiosk": {"branch": "hn-01", "id": "kiosk-1", "state": f"{tmp_path}/state", "socket": f"{tmp_path}/socket"},
        "reading": {"models": str(ROOT / "models"), "onnxruntime": os.environ.get("ORT_DYLIB_PATH", "none")},
        "http": {"enabled": False},
        "mqtt": {"broker": "mqtt://127.0.0.1:1"},
        "camera": {"enabled": True, "device": "platform-vivid.0-video-index0", "timeout_seconds": 60, "looks_per_second": 2},
        "quality": {"min_dpi": 70.0},
        "capture": {"idle_seconds": 3600},
    }
    settings["kiosk"]["credentials"] = f"{tmp_path}/credentials"
    sections = (
        f"[{name}]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in values.items())
        for name, values in settings.items()
    )
    panel = '[panel]\nchip = "panel"\n' + "".join(f'{line} = {{ line = "{line}" }}\n' for line in ("lamp", "button", "light"))
    file = tmp_path / "kiosk.toml"
    file.write_text("\n".join(sections) + panel)
    return file


class Kiosk:
    """The service."""

    def __init__(self, config: Path):
        self.config = config
        self.process = subprocess.Popen(
            [PROGRAM, "run", "--config", config], stdout=subprocess.PIPE, text=True, env={**os.environ, "RUST_LOG": "info"}
        )
        assert self.process.stdout.readline().startswith("ready")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()

    def standing(self) -> dict:
        command = [PROGRAM, "scan", "status", "--json", "--config", self.config]
        [standing] = json.loads(subprocess.run(command, check=True, capture_output=True, timeout=PATIENCE).stdout)
        return standing

    def pages(self) -> int:
        return self.standing().get("scan", {}).get("pages", 0)


def until(condition):
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.2)


def test_each_paper_is_taken_once_and_by_itself(camera, papers, config, tmp_path):
    out = tmp_path / "pages"
    command = [PROGRAM, "capture", "--source", "camera", "--out", out, "--pages", "2", "--json", "--config", config]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as program:
        for number, paper in enumerate(papers[:2], 1):
            camera.show(paper)
            page = json.loads(program.stdout.readline())
            assert page["file"] == f"{out}/page-{number:03}.png" and page["findings"] == []
            assert abs(page["quality"]["skew"]) < 3
            camera.show(table())
        assert program.wait(PATIENCE) == 0
    with Image.open(out / "page-001.png") as taken:
        assert taken.size == camera.size
        assert taken.tobytes() == papers[0].convert("L").tobytes()


def test_panel_follows_a_scan_and_its_button_ends_it(camera, chip, papers, config):
    with Kiosk(config) as kiosk:
        until(lambda: kiosk.standing()["state"] == "ready")
        assert not chip.level("lamp")
        camera.show(papers[0])
        until(lambda: kiosk.pages() == 1)
        until(lambda: chip.level("lamp"))
        chip.press("button")
        until(lambda: "scan" not in kiosk.standing())
        chip.release("button")
        camera.show(table())
        until(lambda: not chip.level("lamp"))


def test_camera_that_is_unplugged_is_told_of_and_used_again_when_it_is_back(camera, papers, config):
    with Kiosk(config) as kiosk:
        until(lambda: kiosk.standing()["state"] == "ready")
        camera.unplug()
        until(lambda: kiosk.standing()["state"] == "absent")
        assert kiosk.standing()["reason"]
        camera.plug()
        until(lambda: kiosk.standing()["state"] == "ready")
        camera.show(papers[0])
        until(lambda: kiosk.pages() == 1)


def test_camera_that_sends_nothing_is_told_of_and_recovers(camera, config):
    config.write_text(config.read_text().replace("timeout_seconds = 60", "timeout_seconds = 10"))
    with Kiosk(config) as kiosk:
        until(lambda: kiosk.standing()["state"] == "ready")
        camera.drop(100)
        until(lambda: kiosk.standing()["state"] == "failing")
        camera.drop(0)
        until(lambda: kiosk.standing()["state"] == "ready")
