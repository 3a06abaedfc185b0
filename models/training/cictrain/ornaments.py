"""What stands on a page besides the report: browser's header and footer, watermark, stamp, signature, ticks by hand.

Only printed header and footer lines are text that a reader should find; all the rest is ink without truth.
"""

from __future__ import annotations

import cv2
import numpy as np
from PIL import Image, ImageDraw

from . import corpus, draw
from .corpus import chance, choice
from .layout import Type

_INKS = ((20, 20, 120), (30, 40, 160), (10, 10, 10), (60, 60, 70), (160, 20, 30))


def _multiply(image: np.ndarray, mask: np.ndarray, x: int, y: int, colour, strength: float) -> None:
    """Lays ink of a colour on the page where mask (float 0..1) says, in place; parts off the page are cut."""
    height, width = image.shape[:2]
    x0, y0, x1, y1 = max(x, 0), max(y, 0), min(x + mask.shape[1], width), min(y + mask.shape[0], height)
    if x0 >= x1 or y0 >= y1:
        return
    cover = mask[y0 - y : y1 - y, x0 - x : x1 - x, None] * strength
    tint = 1 - cover * (1 - np.asarray(colour, np.float32) / 255)
    image[y0:y1, x0:x1] = (image[y0:y1, x0:x1] * tint).astype(np.uint8)


def running_lines(rng: np.random.Generator, kind: Type, title: str) -> dict:
    """Header and footer texts of a document, each with `{page}` and `{pages}`; drawn by `draw_running_lines`."""
    day = corpus.dmy(corpus.date(rng, 2018, 2028))
    url = choice(
        rng,
        (
            "https://cic.gov.vn/",
            "https://cic.org.vn/webcenter/portal/CMSPortal",
            "http://10.{}.{}.{}:8080/cic/".format(*rng.integers(1, 255, 3)),
            "about:blank",
        ),
    )
    return {
        "top-left": choice(rng, ("", "", "", title, "S11A - CIC", day, f"{corpus.clock(rng, False)} {day}")),
        "top-right": choice(rng, ("", "", "", "", title, "{page}/{pages}", "CIC")),
        "bottom-left": choice(rng, ("", "", "", url, url, day, corpus.latin_word(rng))),
        "bottom-center": choice(rng, ("", "", "Trang {page}", "Trang {page}/{pages}", "{page}", "- {page} -")),
        "bottom-right": choice(rng, ("", "", "", "{page}/{pages}", "Trang {page}", f"Ngày in: {day}")),
        "type": kind,
        "inset": float(rng.uniform(6, 14)) / 25.4,
        "rise": float(rng.uniform(4, 7)) / 25.4,
    }


def draw_running_lines(canvas: draw.Canvas, running: dict, page: int, pages: int) -> None:
    kind, dpi = running["type"], canvas.dpi
    width, height = canvas.image.size
    for place, text in running.items():
        if place in ("type", "inset", "rise") or not text:
            continue
        text = text.format(page=page, pages=pages)
        row, column = place.split("-")
        length = draw.text_width(text, kind.face, kind.px)
        x = {
            "left": running["inset"] * dpi,
            "center": (width - length) / 2,
            "right": width - running["inset"] * dpi - length,
        }[column]
        baseline = running["rise"] * dpi + kind.px if row == "top" else height - running["rise"] * dpi
        canvas.text(x, baseline, text, kind.face, kind.px, kind.colour)


def watermark(rng: np.random.Generator, canvas: draw.Canvas, face: draw.FontPath) -> None:
    """Pale big letters under the text, slanted or level; drawn before anything else."""
    text = choice(
        rng, ("CIC", "BẢN SAO", "CIC VIETNAM", "MẬT", "TRUNG TÂM THÔNG TIN TÍN DỤNG", corpus.latin_word(rng).upper())
    )
    width, height = canvas.image.size
    px = min(width / (0.62 * len(text)), width / 5) * float(rng.uniform(0.5, 1.0))
    # Drawn small and enlarged: the edges of a watermark are soft, and turning a whole page of letters is slow.
    scale = 4
    font = draw.sized(face.path, round(px / scale, 1))
    box = font.getbbox(text)
    small = Image.new("L", (int(box[2]) + 4, int(box[3]) + 4), 0)
    ImageDraw.Draw(small).text((2, 2), text, font=font, fill=255)
    small = small.rotate(float(choice(rng, (0, 30, 45, 55, -30))), expand=True, resample=Image.BILINEAR)
    grey = int(rng.integers(215, 247))
    tint = (grey, grey, grey) if chance(rng, 0.6) else (int(rng.integers(190, 235)), int(rng.integers(200, 240)), 250)
    mask = small.resize((small.width * scale, small.height * scale), Image.BILINEAR)
    spots = (
        [(width / 2, height / 2)]
        if chance(rng, 0.7)
        else [(width * u, height * v) for u in (0.27, 0.73) for v in (0.2, 0.5, 0.8)]
    )
    for x, y in spots:
        canvas.image.paste(tint, (round(x - mask.width / 2), round(y - mask.height / 2)), mask)


def stamp(rng: np.random.Generator, image: np.ndarray, dpi: float, face: draw.FontPath) -> None:
    """A round red stamp: two rings, a star, and letters along the ring."""
    radius = float(rng.uniform(15, 20)) / 25.4 * dpi
    side = int(2 * radius + 8)
    mask = Image.new("L", (side, side), 0)
    pen, middle = ImageDraw.Draw(mask), side / 2
    for share, width in ((1.0, 0.05), (0.64, 0.025)):
        r = radius * share
        pen.ellipse([middle - r, middle - r, middle + r, middle + r], outline=255, width=max(1, round(radius * width)))
    points = []
    for tip in range(10):
        r = radius * (0.3 if tip % 2 == 0 else 0.12)
        points.append((middle + r * np.sin(np.pi * tip / 5), middle - r * np.cos(np.pi * tip / 5)))
    pen.polygon(points, fill=255)
    text = choice(rng, corpus.LENDERS)[1].upper()[:34] + " *"
    px = radius * 0.2
    font = draw.sized(face.path, round(px, 1))
    for index, letter in enumerate(text):
        angle = 2 * np.pi * index / len(text)
        glyph = Image.new("L", (int(px * 1.6), int(px * 1.6)), 0)
        ImageDraw.Draw(glyph).text((px * 0.8, px * 1.2), letter, font=font, fill=255, anchor="ms")
        glyph = glyph.rotate(-np.degrees(angle), resample=Image.BILINEAR)
        x = middle + radius * 0.81 * np.sin(angle) - px * 0.8
        y = middle - radius * 0.81 * np.cos(angle) - px * 0.8
        mask.paste(255, (round(x), round(y)), glyph)
    cover = np.asarray(mask.rotate(float(rng.uniform(-40, 40)), resample=Image.BILINEAR), np.float32) / 255
    # An ink pad covers unevenly.
    patches = cv2.resize(rng.uniform(0.35, 1.0, (9, 9)).astype(np.float32), (side, side), interpolation=cv2.INTER_CUBIC)
    colour = (int(rng.integers(190, 240)), int(rng.integers(10, 60)), int(rng.integers(20, 70)))
    x, y = int(rng.uniform(0.05, 0.75) * image.shape[1]), int(rng.uniform(0.02, 0.9) * image.shape[0])
    _multiply(image, cover * patches.clip(0, 1), x, y, colour, float(rng.uniform(0.5, 0.95)))


def _stroke(rng: np.random.Generator, image: np.ndarray, points: np.ndarray, width: float, colour) -> None:
    """A smooth pen stroke through points [n, 2] in px."""
    margin = int(width * 2) + 2
    low = np.floor(points.min(0)).astype(int) - margin
    size = np.ceil(points.max(0)).astype(int) + margin - low
    mask = np.zeros((size[1], size[0]), np.uint8)
    path = np.round((points - low) * 8).astype(np.int32)
    cv2.polylines(mask, [path], False, 255, max(1, round(width)), cv2.LINE_AA, shift=3)
    _multiply(image, mask.astype(np.float32) / 255, int(low[0]), int(low[1]), colour, float(rng.uniform(0.7, 1.0)))


def _curve(points: np.ndarray, steps: int = 14) -> np.ndarray:
    """A Catmull-Rom curve through the points."""
    padded = np.concatenate([points[:1], points, points[-1:]])
    t = np.linspace(0, 1, steps, endpoint=False)[:, None]
    pieces = []
    for a, b, c, d in zip(padded, padded[1:], padded[2:], padded[3:]):
        pieces.append(0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3))
    return np.concatenate(pieces)


def signature(rng: np.random.Generator, image: np.ndarray, dpi: float) -> None:
    """A scribble near the foot of the page, or anywhere."""
    count = int(rng.integers(6, 14))
    width, height = rng.uniform(20, 55) / 25.4 * dpi, rng.uniform(8, 20) / 25.4 * dpi
    points = np.stack(
        [np.linspace(0, width, count) + rng.normal(0, width / 8, count), rng.uniform(0, height, count)], 1
    )
    points += [rng.uniform(0.05, 0.7) * image.shape[1], rng.uniform(0.3, 0.92) * image.shape[0]]
    _stroke(rng, image, _curve(points), rng.uniform(0.3, 0.8) / 25.4 * dpi, choice(rng, _INKS))


def tick(rng: np.random.Generator, image: np.ndarray, dpi: float) -> None:
    """A tick or a loop by hand, over whatever is printed there."""
    size = rng.uniform(4, 12) / 25.4 * dpi
    shape = choice(
        rng,
        (
            np.array([[0, 0.5], [0.35, 1.0], [1.1, -0.2]]),
            np.array([[0, 0.5], [0.5, 0.1], [1.4, 0.4], [0.7, 0.9], [0, 0.6], [0.3, 0.2]]),
        ),
    )
    points = shape * size + rng.normal(0, size / 12, shape.shape)
    points += rng.uniform(0.05, 0.9, 2) * [image.shape[1], image.shape[0]]
    _stroke(rng, image, _curve(points), rng.uniform(0.3, 0.7) / 25.4 * dpi, choice(rng, _INKS))
