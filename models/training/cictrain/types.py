"""The plain data a drawn page consists of.

Coordinates are pixels: x to the right, y down, origin at the top-left corner of
the top-left pixel.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np


@dataclass
class Line:
    """One visual line of text of one cell or paragraph; its characters are the alphabet's.

    `quad` is the full box, float32 [4, 2] in the order tl, tr, br, bl: from the ink
    of the first glyph to that of the last, and from 1.1 em above the baseline to
    0.3 em below it. `em` is the font size in pixels.
    """

    text: str
    quad: np.ndarray
    em: float


@dataclass
class Rule:
    """A ruled line as a polyline, float32 [n, 2], fine enough to follow a warp."""

    points: np.ndarray
    horizontal: bool
    width: float


@dataclass
class DrawnPage:
    """A page as pixels, uint8 RGB [H, W, 3], with the truth about what is on it."""

    image: np.ndarray
    dpi: float
    lines: list[Line] = field(default_factory=list)
    rules: list[Rule] = field(default_factory=list)


@dataclass
class Document:
    """The pages of one report and its truth, `{"kind": ..., "info": {...}}`."""

    pages: list[DrawnPage]
    truth: dict
    kind: str
