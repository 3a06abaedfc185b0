"""Reports as a bank's system prints them: PDFs whose text is text and whose rules are rules, not pixels.

They are laid out as those of `document`, and printed by Chromium. What is stamped or written on paper is not on them.
"""

from __future__ import annotations

import base64
import io
import subprocess
import tempfile
from html import escape
from pathlib import Path

import numpy as np

from .document import Draft
from .draw import Canvas
from .types import Document

#: How fine places are that fall on whole pixels, as those of rules do.
DPI = 200.0
#: The fonts are files beside which no page lies.
CHROMIUM = ("chromium", "--headless", "--no-sandbox", "--disable-gpu", "--allow-file-access-from-files")


class _Pen:
    """Takes what `ImageDraw` is told, and writes it as SVG."""

    def __init__(self):
        self.marks: list[str] = []
        self.faces: dict[str, str] = {}

    @staticmethod
    def _colour(colour) -> str:
        return "#%02x%02x%02x" % tuple(colour) if colour else "none"

    def text(self, at, text, font, fill, anchor) -> None:
        assert anchor == "ls", "on its baseline, from its left"
        face = self.faces.setdefault(font.path, Path(font.path).stem)
        # As wide as it was laid out: a browser's letters are wider or narrower by a hair, line after line.
        self.marks.append(
            f"<text x='{at[0]:.2f}' y='{at[1]:.2f}' font-family='\"{face}\"' font-size='{font.size:.2f}' "
            f"textLength='{font.getlength(text):.2f}' fill='{self._colour(fill)}'>{escape(text)}</text>"
        )

    def rectangle(self, box, fill=None, outline=None, width=0) -> None:
        # Pixels of both corners belong to it.
        left, top, right, bottom = box[0], box[1], box[2] + 1, box[3] + 1
        inset = width / 2
        self.marks.append(
            f'<rect x="{left + inset:.2f}" y="{top + inset:.2f}" width="{right - left - width:.2f}" '
            f'height="{bottom - top - width:.2f}" fill="{self._colour(fill)}" stroke="{self._colour(outline)}" '
            f'stroke-width="{width}"/>'
        )

    def line(self, points, fill, width) -> None:
        path = " ".join(f"{x:.2f},{y:.2f}" for x, y in points)
        self.marks.append(
            f'<polyline points="{path}" fill="none" stroke="{self._colour(fill)}" stroke-width="{width}"/>'
        )


class _Page(Canvas):
    """A page that is written down; only a watermark is pixels."""

    def __init__(self, width: int, height: int, dpi: float):
        super().__init__(width, height, dpi)
        self.pen = _Pen()

    def svg(self) -> str:
        width, height = self.image.size
        ground = ""
        if np.asarray(self.image).min() < 255:
            png = io.BytesIO()
            self.image.save(png, "PNG")
            data = base64.b64encode(png.getvalue()).decode()
            ground = f'<image width="{width}" height="{height}" href="data:image/png;base64,{data}"/>'
        size = f'width="{width / self.dpi:.4f}in" height="{height / self.dpi:.4f}in" viewBox="0 0 {width} {height}"'
        return f'<svg xmlns="http://www.w3.org/2000/svg" {size}>{ground}{"".join(self.pen.marks)}</svg>'


def make_document(rng: np.random.Generator, pdf: Path) -> Document:
    """A report, printed to `pdf`, with its truth; the pictures of its pages are blank."""
    draft = Draft(rng, DPI)
    pages = [_Page(*draft.flow.size, DPI) for _ in draft.flow.pages]
    for index, page in enumerate(pages):
        draft.lay(index, page)
    _print(pages, pdf)
    return Document([page.page() for page in pages], {"kind": "digital", "info": draft.report.info()}, "digital")


def _print(pages: list[_Page], pdf: Path) -> None:
    width, height = (side / DPI for side in pages[0].image.size)
    faces = "".join(
        f'@font-face {{ font-family: "{name}"; src: url("{Path(path).as_uri()}"); }}\n'
        for path, name in {item for page in pages for item in page.pen.faces.items()}
    )
    style = (
        f"@page {{ size: {width:.4f}in {height:.4f}in; margin: 0; }}\nbody {{ margin: 0; }}\n"
        "svg { display: block; break-after: page; white-space: pre; font-variant-ligatures: none; }\n" + faces
    )
    body = "".join(page.svg() for page in pages)
    with tempfile.TemporaryDirectory() as folder:
        html = Path(folder, "report.html")
        html.write_text(f'<!doctype html><meta charset="utf-8"><style>{style}</style>{body}', encoding="utf-8")
        subprocess.run(
            [*CHROMIUM, "--no-pdf-header-footer", f"--print-to-pdf={pdf}", html.as_uri()],
            check=True,
            capture_output=True,
            timeout=120,
        )
