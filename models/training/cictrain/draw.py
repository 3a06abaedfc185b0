"""Puts text and rules on paper with FreeType, and knows exactly where the ink went.

`fonts()` lists the installed font files that hold every Vietnamese letter; `draw_line` draws one line by itself;
`Canvas` draws a page and collects its lines and rules.
"""

from __future__ import annotations

import os
import re
import struct
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from fontTools.ttLib import TTFont, TTLibError
from PIL import Image, ImageDraw, ImageFont

from .alphabet import ALPHABET, MARKS, NBSP
from .types import DrawnPage, Line, Rule

FONT_ROOTS = ("/usr/share/fonts", "/usr/local/share/fonts", os.path.expanduser("~/.local/share/fonts"))

#: The full box reaches this far above and below the baseline, in em.
ASCENT, DESCENT = 1.1, 0.3
#: Rules are polylines with a point about every 40 px at 200 dpi, so that they follow a curled page.
RULE_STEP = 40 / 200

# Faces that no report is printed in: outlines, small capitals, decorations, and scripts of other peoples whose Latin
# letters only repeat those of the family's main face.
_UNUSABLE = re.compile(
    r"Initials|Outline|SmallCaps|-SC|Keyboard|Drawing|Symbol|Emoji|Math|Thin|Hairline|Black|ExtraLight|UltraLight|Chancery|"
    r"Display|Heavy|Shadow|Unicase|NotoSans(?!-|Mono|Display)\w|NotoSerif(?!-|Display)\w|NotoRashi|NotoNaskh|NotoKufi|ExtraBold",
)
_SERIF = re.compile(
    r"Serif|Times|Tinos|Caladea|Garamond|Libertine|Charis|Doulos|Gentium|Vollkorn|Slab|Roman|C059|P052|Bookman|Schola|Termes|"
    r"Pagella|Bonum|Nimbus(?!Sans|Mono)",
)
_MONO = re.compile(r"Mono|Cousine|Hack|Cursor", re.IGNORECASE)


@dataclass(frozen=True)
class FontPath:
    """One font file, and how it stands among its family."""

    path: str
    family: str
    style: str  # regular, bold, italic or bolditalic
    serif: bool
    mono: bool
    missing: frozenset  # characters of a report that it lacks; none of them a letter or a digit


def _has_ink(path: str, character: str) -> bool:
    """Some faces map a mark to an empty glyph; their letters can be trusted, and a blank has none."""
    return character.isascii() or character.isalnum() or character.isspace() or sized(path, 12.0).getmask(character).getbbox() is not None


def _face(path: str) -> FontPath | None:
    name = Path(path).stem
    if _UNUSABLE.search(name):
        return None
    try:
        font = TTFont(path, lazy=True)
        cmap = font.getBestCmap() or {}
        names = font["name"]
        family = names.getDebugName(16) or names.getDebugName(1) or name
        subfamily = names.getDebugName(17) or names.getDebugName(2) or ""
        variable = "fvar" in font
    except (TTLibError, OSError, KeyError, AssertionError, struct.error):  # a broken file among the system's fonts
        return None
    missing = frozenset(c for c in (*ALPHABET, NBSP) if ord(c) not in cmap or not _has_ink(path, c))
    # A variable font's default instance shows one weight only; its static neighbours serve better.
    if variable or any(c.isalnum() for c in missing):
        return None
    tags = (name + " " + subfamily).lower()
    if re.search(r"light|medium|semi|demi|condensed|narrow|compressed", tags):
        family += " " + re.sub(r"(?i)\s*(italic|oblique|bold(?!i))\s*", "", subfamily)
    bold = bool(re.search(r"bold|-bd|heavy", tags))
    italic = bool(re.search(r"ital|obli|slant", tags))
    style = ("bold" if bold else "") + ("italic" if italic else "") or "regular"
    return FontPath(path, family.strip(), style, bool(_SERIF.search(name)), bool(_MONO.search(name)), missing)


@lru_cache(maxsize=1)
def fonts() -> list[FontPath]:
    """Every usable installed font file, in a fixed order."""
    found: dict[tuple[str, str], FontPath] = {}
    for root in FONT_ROOTS:
        for path in sorted(Path(root).rglob("*")):
            if path.suffix.lower() in (".ttf", ".otf"):
                face = _face(str(path))
                if face is not None:
                    found.setdefault((face.family, face.style), face)
    if not found:
        raise RuntimeError("no installed font has all Vietnamese letters; install the packages of fonts.txt")
    return [found[key] for key in sorted(found)]


@lru_cache(maxsize=1)
def families() -> dict[str, dict[str, FontPath]]:
    """Families that have at least a regular and a bold face: what a report is set in."""
    grouped: dict[str, dict[str, FontPath]] = {}
    for face in fonts():
        grouped.setdefault(face.family, {})[face.style] = face
    return {family: faces for family, faces in grouped.items() if {"regular", "bold"} <= faces.keys()}


@lru_cache(maxsize=1)
def _mark_font() -> FontPath:
    """The face that draws boxes and ticks where a text face lacks them."""
    complete = [face for face in fonts() if not face.missing]
    plain = [face for face in complete if face.style == "regular"]
    dejavu = [face for face in plain if "DejaVu Sans" in face.family and not face.mono]
    return (dejavu or plain or complete or fonts())[0]


# One size of one face is a few hundred KiB inside FreeType, and a page has a dozen of them.
@lru_cache(maxsize=96)
def sized(path: str, px: float) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(path, px, layout_engine=ImageFont.Layout.BASIC)


def _runs(text: str, face: FontPath) -> list[tuple[str, str]]:
    """The text cut where the face lacks a character: (piece, font file)."""
    if not face.missing or not face.missing.intersection(text):
        return [(text, face.path)]
    runs: list[tuple[str, str]] = []
    for character in text:
        path = _mark_font().path if character in face.missing else face.path
        if runs and runs[-1][1] == path:
            runs[-1] = (runs[-1][0] + character, path)
        else:
            runs.append((character, path))
    return runs


@lru_cache(maxsize=200_000)
def _length(path: str, px: float, text: str) -> float:
    return sized(path, px).getlength(text)


def text_width(text: str, face: FontPath, px: float) -> float:
    """The advance width in pixels."""
    return sum(_length(path, px, piece) for piece, path in _runs(text, face))


@lru_cache(maxsize=50_000)
def _side_inks(path: str, px: float, letter: str) -> tuple[float, float]:
    """Left and right edge of a letter's ink from its origin. (Pillow's own boxes take in the bearings.)"""
    mask, offset = sized(path, px).getmask2(letter, mode="L", anchor="ls")
    ink = mask.getbbox()
    if ink is None:
        return 0.0, _length(path, px, letter)
    return ink[0] + offset[0], ink[2] + offset[0]


def _ink(text: str, face: FontPath, px: float, x: float) -> tuple[float, float]:
    """Left and right edge of the ink when the text's origin lies at x."""
    runs = _runs(text, face)
    (first, first_path), (last, last_path) = runs[0], runs[-1]
    left = x + _side_inks(first_path, px, first[0])[0]
    end = x + sum(_length(path, px, piece) for piece, path in runs)
    return left, end - _length(last_path, px, last[-1]) + _side_inks(last_path, px, last[-1])[1]


def box(left: float, right: float, baseline: float, px: float) -> np.ndarray:
    """The full box as a quad."""
    top, bottom = baseline - ASCENT * px, baseline + DESCENT * px
    return np.array([[left, top], [right, top], [right, bottom], [left, bottom]], np.float32)


def _put(pen: ImageDraw.ImageDraw, x: float, y: float, text: str, face: FontPath, px: float, colour) -> None:
    for piece, path in _runs(text, face):
        pen.text((x, y), piece, font=sized(path, px), fill=colour, anchor="ls")
        x += _length(path, px, piece)


def draw_line(text: str, font_path: FontPath, px: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """One line in near-black on near-white, uint8 [h, w], cut to its full box plus a small margin; and the box in it."""
    margin = int(np.ceil(0.2 * px)) + 1
    x, baseline = margin + float(rng.random()), margin + ASCENT * px
    left, right = _ink(text, font_path, px, x)
    x += margin - left if left < margin else 0
    left, right = _ink(text, font_path, px, x)
    size = (int(np.ceil(right)) + margin, int(np.ceil(baseline + DESCENT * px)) + margin)
    paper, ink = (
        int(rng.integers(235, 256)),
        int(rng.integers(0, 90)) if rng.random() < 0.3 else int(rng.integers(0, 30)),
    )
    image = Image.new("L", size, paper)
    _put(ImageDraw.Draw(image), x, baseline, text, font_path, px, ink)
    return np.asarray(image).copy(), box(left, right, baseline, px)


class Canvas:
    """A blank page that remembers the lines and rules drawn on it."""

    def __init__(self, width: int, height: int, dpi: float, paper=(255, 255, 255)):
        self.image = Image.new("RGB", (width, height), paper)
        self.pen = ImageDraw.Draw(self.image)
        self.dpi = dpi
        self.lines: list[Line] = []
        self.rules: list[Rule] = []

    def text(self, x: float, baseline: float, text: str, face: FontPath, px: float, colour=(0, 0, 0)) -> None:
        self.pieces(x, baseline, [(text, face, colour)], px)

    def pieces(self, x: float, baseline: float, pieces: list, px: float) -> None:
        """One line of several pieces (text, face, colour), set one after the other."""
        spans = []
        for text, face, colour in pieces:
            _put(self.pen, x, baseline, text, face, px, colour)
            spans.append((x, text, face))
            x += text_width(text, face, px)
        content = "".join(text for text, _, _ in pieces)
        shown = [span for span in spans if span[1].strip()]
        if not shown:
            return
        first, last = shown[0], shown[-1]
        lead = len(first[1]) - len(first[1].lstrip())
        start = first[0] + (text_width(first[1][:lead], first[2], px) if lead else 0)
        left = _ink(first[1].lstrip(), first[2], px, start)[0]
        right = _ink(last[1].rstrip(), last[2], px, last[0])[1]
        self.lines.append(Line(content.strip(), box(left, right, baseline, px), px))

    def checkbox(self, x: float, baseline: float, mark: str, px: float) -> None:
        """A square drawn with strokes, not a glyph; ticked or crossed as `mark` (☐, ☑ or ☒) says."""
        size, pen = 0.78 * px, max(1, round(px / 14))
        left, top = x, baseline - 0.76 * px
        self.pen.rectangle([left, top, left + size, top + size], outline=(0, 0, 0), width=pen)

        def at(u: float, v: float) -> tuple[float, float]:
            return left + u * size, top + v * size

        if mark == MARKS[1]:
            self.pen.line([at(0.15, 0.5), at(0.42, 0.82), at(0.88, 0.12)], fill=(0, 0, 0), width=pen + 1)
        elif mark == MARKS[2]:
            self.pen.line([at(0.15, 0.15), at(0.85, 0.85)], fill=(0, 0, 0), width=pen + 1)
            self.pen.line([at(0.85, 0.15), at(0.15, 0.85)], fill=(0, 0, 0), width=pen + 1)
        self.lines.append(Line(mark, box(left, left + size, baseline, px), px))

    def fill(self, x0: float, y0: float, x1: float, y1: float, colour) -> None:
        self.pen.rectangle([x0, y0, x1, y1], fill=colour)

    def rule(self, x0: float, y0: float, x1: float, y1: float, width: float, colour=(0, 0, 0)) -> None:
        """A horizontal or vertical rule. Below one pixel it gets paler instead of thinner, as a renderer does it."""
        horizontal = abs(x1 - x0) >= abs(y1 - y0)
        whole = max(1, round(width))
        strength = min(1.0, max(0.35, width))
        ink = tuple(round(255 - (255 - c) * strength) for c in colour)
        if horizontal:
            y = round(y0 - whole / 2)
            self.pen.rectangle([round(x0), y, round(x1), y + whole - 1], fill=ink)
        else:
            x = round(x0 - whole / 2)
            self.pen.rectangle([x, round(y0), x + whole - 1, round(y1)], fill=ink)
        length = max(abs(x1 - x0), abs(y1 - y0))
        count = max(2, int(np.ceil(length / (RULE_STEP * self.dpi))) + 1)
        points = np.linspace((x0, y0), (x1, y1), count).astype(np.float32)
        self.rules.append(Rule(points, horizontal, max(width, 1.0)))

    def page(self) -> DrawnPage:
        return DrawnPage(np.asarray(self.image).copy(), self.dpi, self.lines, self.rules)
