"""Whole documents and single pages for training: content, look, drawing and degradation in one call.

Everything follows from the generator that is passed in: the same seed draws the same pages on the same fonts.
"""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from . import ornaments
from .compose import Composer, Style
from .corpus import chance, choice, random_text
from .degrade import KINDS, RECTIFIED, degrade
from .draw import Canvas
from .layout import Flow, paint
from .report import make_report
from .types import Document, DrawnPage

__all__ = ["make_document", "make_page", "random_text"]

cv2.setNumThreads(1)

_MM = 1 / 25.4
#: Resolutions in dpi a kind is drawn at; 200 is what most machines are set to.
_DPI = {
    "digital": (100, 150, 150, 200, 200, 200, 300),
    "scan": (150, 200, 200, 200, 200, 200, 240, 300),
    "copy": (150, 200, 200, 200, 200, 200, 240, 300),
    "fax": (100, 150, 200, 200, 200),
}


def _dpi(rng: np.random.Generator, kind: str) -> float:
    if kind == "camera":
        # The sheet is 1300 to 2400 px wide on a photo; small ones are more common.
        return float(1300 + 1100 * rng.random() ** 1.5) / 8.27
    return float(choice(rng, _DPI[kind]))


class Draft:
    """A document that is laid out and not yet drawn."""

    def __init__(self, rng: np.random.Generator, dpi: float, free: bool = False):
        self.rng = rng
        self.style = Style.random(rng, dpi)
        left, top, right, bottom = (value * _MM * dpi for value in self.style.margins)
        flow = Flow(dpi, (left, top, right, bottom))
        composer = Composer(self.style, rng)
        self.report = None if free else make_report(rng)
        flow.add_all(composer.free_page() if free else composer.report(self.report))
        self.flow = flow
        small = replace(self.style.type("regular"), px=round(float(rng.uniform(7, 9)) / 72 * dpi, 2))
        self.running = (
            ornaments.running_lines(rng, small, "BÁO CÁO CHI TIẾT QUAN HỆ TÍN DỤNG") if chance(rng, 0.7) else None
        )
        # All pages carry the same one, so it has a seed of its own.
        self.watermark = int(rng.integers(1 << 32)) if chance(rng, 0.12) else None

    def lay(self, index: int, canvas: Canvas) -> None:
        """Draws all that is printed on a page."""
        if self.watermark is not None:
            ornaments.watermark(np.random.default_rng(self.watermark), canvas, self.style.faces["bold"])
        paint(self.flow.pages[index], canvas)
        if self.running:
            ornaments.draw_running_lines(canvas, self.running, index + 1, len(self.flow.pages))

    def page(self, index: int) -> DrawnPage:
        """A page as it is on somebody's desk, with stamps and handwriting."""
        rng, dpi, bold = self.rng, self.flow.dpi, self.style.faces["bold"]
        canvas = Canvas(*self.flow.size, dpi)
        self.lay(index, canvas)
        page = canvas.page()
        if chance(rng, 0.08):
            ornaments.stamp(rng, page.image, dpi, bold)
        if chance(rng, 0.08):
            ornaments.signature(rng, page.image, dpi)
        for _ in range(int(rng.integers(1, 4)) if chance(rng, 0.1) else 0):
            ornaments.tick(rng, page.image, dpi)
        return page


def make_document(rng: np.random.Generator, kind: str | None = None, dpi: float | None = None) -> Document:
    """A report with all its pages, degraded as `kind` says (one of `KINDS`; by lot when None)."""
    kind = kind or choice(rng, KINDS)
    draft = Draft(rng, dpi or _dpi(rng, kind))
    pages = [degrade(draft.page(index), kind, rng) for index in range(len(draft.flow.pages))]
    return Document(pages, {"kind": kind, "info": draft.report.info()}, kind)


def make_page(
    rng: np.random.Generator, kind: str | None = None, upright: bool = True, dpi: float | None = None
) -> DrawnPage:
    """One degraded page of a report, or now and then of some other paper.

    Nearly half of the `camera` pages come already cut out and straightened, as a reader sees photos. With `upright`
    False the page is turned by 90, 180 or 270 degrees.
    """
    kind = kind or choice(rng, ("digital", "scan", "scan", "copy", "copy", "fax", "camera", "camera"))
    draft = Draft(rng, dpi or _dpi(rng, kind), free=chance(rng, 0.15))
    treatment = RECTIFIED if kind == "camera" and chance(rng, 0.45) else kind
    page = degrade(draft.page(int(rng.integers(len(draft.flow.pages)))), treatment, rng)
    return page if upright else turn(page, int(rng.integers(1, 4)))


def turn(page: DrawnPage, quarters: int) -> DrawnPage:
    """The page turned by quarters of a full turn, clockwise. Quads keep their order: tl is the text's own top left."""
    height, width = page.image.shape[:2]
    codes = (None, cv2.ROTATE_90_CLOCKWISE, cv2.ROTATE_180, cv2.ROTATE_90_COUNTERCLOCKWISE)
    quarters %= 4
    if quarters == 0:
        return page

    def move(points: np.ndarray) -> np.ndarray:
        x, y = points[:, 0], points[:, 1]
        moved = {1: (height - y, x), 2: (width - x, height - y), 3: (y, width - x)}[quarters]
        return np.stack(moved, 1).astype(np.float32)

    lines = [replace(line, quad=move(line.quad)) for line in page.lines]
    rules = [
        replace(rule, points=move(rule.points), horizontal=rule.horizontal == (quarters == 2)) for rule in page.rules
    ]
    return DrawnPage(cv2.rotate(page.image, codes[quarters]), page.dpi, lines, rules)
