"""Documents to be read, and what is none."""

import io
import json
from functools import cached_property
from pathlib import Path

from PIL import Image
from pypdf import PdfReader, PdfWriter

FOLDER = Path(__file__).parents[1] / "data/reports"


class Report:
    """A sample report of a few pages, and what truly stands on it."""

    def __init__(self, name: str):
        self.path = FOLDER / f"{name}.pdf"

    @cached_property
    def truth(self) -> dict:
        return json.loads(self.path.with_suffix(".json").read_text(encoding="utf-8"))

    @cached_property
    def info(self) -> dict:
        return self.truth["info"]

    @cached_property
    def content(self) -> bytes:
        return self.path.read_bytes()

    @cached_property
    def pages(self) -> list[Image.Image]:
        """Its pages, each of which is one picture."""
        return [page.images[0].image for page in PdfReader(self.path).pages]


CAMERA, COPY, SCAN = REPORTS = [Report(name) for name in ("camera", "copy", "scan")]


def picture(image: Image.Image, kind: str = "PNG") -> bytes:
    file = io.BytesIO()
    image.save(file, kind)
    return file.getvalue()


def blank(width: int = 600, height: int = 800) -> bytes:
    """A sheet with no report on it."""
    return picture(Image.new("L", (width, height), 255))


def document(pages: int) -> bytes:
    """A PDF of so many scanned pages."""
    source, writer = PdfReader(SCAN.path), PdfWriter()
    for index in range(pages):
        writer.add_page(source.pages[index % len(source.pages)])
    return _written(writer)


def encrypted() -> bytes:
    writer = PdfWriter()
    writer.add_blank_page(595, 842)
    writer.encrypt("a password", algorithm="RC4-128")
    return _written(writer)


def _written(writer: PdfWriter) -> bytes:
    file = io.BytesIO()
    writer.write(file)
    return file.getvalue()
