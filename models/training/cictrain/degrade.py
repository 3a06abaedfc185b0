"""Does to a clean page what scanners, copiers, fax machines and cameras do.

All geometry of a page is one map from the sheet to the picture, applied to the pixels once and to quads and rules
exactly. Lines that leave the picture are dropped from the truth.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import cv2
import numpy as np

from .corpus import chance, choice
from .draw import ASCENT, DESCENT
from .types import DrawnPage

KINDS = ("digital", "scan", "copy", "fax", "camera")
#: A photo whose sheet was already found, cut out and straightened: what a reader sees of most photos.
RECTIFIED = "rectified"

_GRID = 16  # px between the points at which a warp is computed; between them it is interpolated


def degrade(page: DrawnPage, kind: str, rng: np.random.Generator) -> DrawnPage:
    """The page after one of `KINDS` of treatment, or `RECTIFIED`; the argument stays as it is."""
    return _TREATMENTS[kind](page, rng)


# Geometry


class Curl:
    """A smooth small displacement of a sheet, as paper that does not lie flat shows it; no displacement when amount is 0."""

    def __init__(self, rng: np.random.Generator, width: float, height: float, amount: float):
        self.size = max(width, height)
        self.waves = []
        for _ in range(3 if amount else 0):
            # A wave length of more than half the sheet; the displacement is mostly up and down along x, as in a bent sheet.
            angle = rng.normal(0, 0.35)
            wave = 2 * np.pi * np.array([np.cos(angle), np.sin(angle)]) * rng.uniform(0.3, 1.3)
            shift = np.array([rng.normal(0, 0.3), rng.normal(0, 1.0)]) * amount * self.size / 3
            self.waves.append((wave, rng.uniform(0, 2 * np.pi), shift))

    def __call__(self, points: np.ndarray) -> np.ndarray:
        """Displacement in px at points [..., 2] in px."""
        out = np.zeros_like(points)
        for wave, phase, shift in self.waves:
            out += np.sin(points @ (wave / self.size) + phase)[..., None] * shift
        return out


class Warp:
    """From sheet to picture: first the curl, then a homography."""

    def __init__(self, matrix: np.ndarray, curl: Curl | None = None):
        self.matrix = np.asarray(matrix, np.float64)
        self.curl = curl

    @staticmethod
    def _project(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
        homogeneous = points @ matrix[:, :2].T + matrix[:, 2]
        return homogeneous[..., :2] / homogeneous[..., 2:]

    def forward(self, points: np.ndarray) -> np.ndarray:
        points = np.asarray(points, np.float64)
        if self.curl is not None:
            points = points + self.curl(points)
        return self._project(self.matrix, points).astype(np.float32)

    def backward(self, points: np.ndarray) -> np.ndarray:
        target = self._project(np.linalg.inv(self.matrix), np.asarray(points, np.float64))
        if self.curl is None:
            return target
        found = target
        # The displacement changes slowly, so that a few rounds of substitution solve it to a hundredth of a pixel.
        for _ in range(5):
            found = target - self.curl(found)
        return found

    def image(self, image: np.ndarray, size: tuple[int, int], background) -> np.ndarray:
        """The warped image of `size` (width, height). `background` is a colour, or an image to lay the sheet on."""
        laid = not np.isscalar(background)
        target = background.copy() if laid else None
        options = {
            "borderMode": cv2.BORDER_TRANSPARENT if laid else cv2.BORDER_CONSTANT,
            "borderValue": 0 if laid else (background,) * 3,
        }
        if self.curl is None:
            # OpenCV addresses pixel centres, points here address pixel corners.
            half = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
            matrix = np.linalg.inv(half) @ self.matrix @ half
            return cv2.warpPerspective(image, matrix, size, dst=target, flags=cv2.INTER_LINEAR, **options)
        columns, rows = -(-size[0] // _GRID) + 2, -(-size[1] // _GRID) + 2
        x, y = (np.arange(columns) - 0.5) * _GRID, (np.arange(rows) - 0.5) * _GRID
        grid = self.backward(np.stack(np.meshgrid(x, y), -1)).astype(np.float32) - 0.5
        full = cv2.resize(grid, (columns * _GRID, rows * _GRID), interpolation=cv2.INTER_LINEAR)
        full = full[_GRID : _GRID + size[1], _GRID : _GRID + size[0]]
        return cv2.remap(image, full, None, cv2.INTER_LINEAR, dst=target, **options)

    def page(self, page: DrawnPage, image: np.ndarray, size: tuple[int, int], background) -> DrawnPage:
        """The warped page; `image` stands in for the page's own pixels."""
        picture = self.image(image, size, background)
        width, height = size
        lines, rules = [], []
        if page.lines:
            moved = self.forward(np.concatenate([line.quad for line in page.lines])).reshape(-1, 4, 2)
            for line, quad in zip(page.lines, moved):
                # The outer quarters of a box are empty or accents; what is beyond is cut text.
                core = quad[[0, 1, 2, 3]] * 0.75 + quad[[3, 2, 1, 0]] * 0.25
                if (core >= 0).all() and (core <= (width, height)).all():
                    tall = (np.linalg.norm(quad[3] - quad[0]) + np.linalg.norm(quad[2] - quad[1])) / 2
                    lines.append(replace(line, quad=quad, em=float(tall / (ASCENT + DESCENT))))
        for rule in page.rules:
            points = self.forward(rule.points)
            inside = ((points >= 0) & (points <= (width, height))).all(1)
            if inside.sum() >= 2:
                start, end = np.flatnonzero(inside)[[0, -1]]
                rules.append(replace(rule, points=points[start : end + 1]))
        scale = np.sqrt(abs(np.linalg.det(self.matrix[:2, :2])))
        return DrawnPage(picture, page.dpi * float(scale), lines, rules)


def _skew(rng: np.random.Generator) -> float:
    """Degrees off straight: mostly a little, up to 3, now and then up to 5."""
    if chance(rng, 0.25):
        return float(rng.normal(0, 0.15))
    return float(rng.uniform(-5, 5)) if chance(rng, 0.12) else float(np.clip(rng.normal(0, 1.1), -3, 3))


def _lay(page: DrawnPage, rng: np.random.Generator, turn: float, shift: float = 0.012, zoom: float = 0.03) -> Warp:
    """A sheet laid on glass: turned about its middle by `turn` degrees, shifted, a little larger or smaller."""
    height, width = page.image.shape[:2]
    angle = np.radians(turn)
    scale = float(rng.uniform(1 - zoom, 1 + zoom / 3))
    a, b = scale * np.cos(angle), scale * np.sin(angle)
    dx, dy = rng.uniform(-shift, shift, 2) * width
    cx, cy = width / 2, height / 2
    matrix = [[a, -b, cx - a * cx + b * cy + dx], [b, a, cy - b * cx - a * cy + dy], [0, 0, 1]]
    return Warp(matrix, Curl(rng, width, height, float(rng.uniform(0.0005, 0.003))) if chance(rng, 0.15) else None)


# Pixels


@lru_cache(maxsize=1)
def _noise_bank() -> np.ndarray:
    """Gaussian noise around 128, one standard deviation being 32: drawn once, as drawing it for each page is slow."""
    return np.clip(np.random.default_rng(1).normal(128, 32, (1024, 1024, 3)), 0, 255).astype(np.uint8)


def _noise(image: np.ndarray, sigma: float, rng: np.random.Generator, grain: int = 1) -> np.ndarray:
    """Adds noise of a standard deviation of `sigma` grey levels, in grains of `grain` px."""
    height, width = image.shape[:2]
    bank = _noise_bank() if image.ndim == 3 else _noise_bank()[:, :, int(rng.integers(3))]
    bank = np.roll(bank, rng.integers(0, 1024, 2), (0, 1))
    if chance(rng, 0.5):
        bank = bank[::-1]
    if grain > 1:
        bank = cv2.resize(np.ascontiguousarray(bank), None, fx=grain, fy=grain, interpolation=cv2.INTER_LINEAR)
        sigma *= 1.5  # interpolation evens out
    rows, columns = -(-height // bank.shape[0]), -(-width // bank.shape[1])
    field = cv2.repeat(np.ascontiguousarray(bank), rows, columns)[:height, :width]
    share = sigma / 32
    return cv2.addWeighted(image, 1.0, field, share, -128 * share)


def _smooth_field(
    rng: np.random.Generator, shape: tuple[int, int], low: float, high: float, cells: int = 3
) -> np.ndarray:
    """A smooth random field, float32, between about low and high."""
    seed = rng.uniform(low, high, (cells + 1, cells)).astype(np.float32)
    return cv2.resize(seed, (shape[1], shape[0]), interpolation=cv2.INTER_CUBIC)


def _shade(image: np.ndarray, light: np.ndarray) -> np.ndarray:
    """Multiplies by a light field given at low resolution, float32 [h, w] or [h, w, 3], 1 = as it is."""
    height, width = image.shape[:2]
    small = np.clip(light * 200, 0, 255).astype(np.uint8)
    full = cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)
    if image.ndim == 3 and full.ndim == 2:
        full = cv2.merge((full, full, full))
    return cv2.multiply(image, full, scale=1 / 200)


def _curve(image: np.ndarray, black: float, white: float, gamma: float = 1.0) -> np.ndarray:
    """Maps ink to `black` and paper to `white`."""
    ramp = (np.arange(256) / 255) ** gamma
    return cv2.LUT(image, np.clip(black + (white - black) * ramp, 0, 255).astype(np.uint8))


def _contrast(image: np.ndarray, middle: float, steepness: float) -> np.ndarray:
    """The S-curve of a copier; a steep one is nearly a threshold at `middle`."""
    levels = 1 / (1 + np.exp(-(np.arange(256) - middle) / 255 * steepness))
    levels = (levels - levels[0]) / (levels[-1] - levels[0])
    return cv2.LUT(image, (levels * 255).astype(np.uint8))


def _jpeg(image: np.ndarray, quality: int) -> np.ndarray:
    flags = [cv2.IMWRITE_JPEG_QUALITY, int(quality)]
    coded = cv2.imencode(".jpg", image, flags)[1]
    return cv2.imdecode(coded, cv2.IMREAD_COLOR if image.ndim == 3 else cv2.IMREAD_GRAYSCALE)


def _specks(image: np.ndarray, count: int, rng: np.random.Generator, dark: bool, largest: int = 3) -> None:
    """Dots of dust or toner (or holes in the ink), in place."""
    height, width = image.shape[:2]
    x, y = rng.integers(0, width, count), rng.integers(0, height, count)
    levels = rng.integers(0, 120, count) if dark else rng.integers(190, 256, count)
    sizes = rng.integers(1, largest + 1, count)
    for dy in range(largest):
        for dx in range(largest):
            hit = (sizes > max(dx, dy)) & (x + dx < width) & (y + dy < height)
            values = levels[hit] if image.ndim == 2 else levels[hit, None]
            image[y[hit] + dy, x[hit] + dx] = values


def _strokes(image: np.ndarray, amount: float) -> np.ndarray:
    """Thickens dark strokes (amount > 0) or thins them (< 0), by up to about one pixel at 1."""
    kernel = np.ones((2, 2), np.uint8)
    other = cv2.erode(image, kernel) if amount > 0 else cv2.dilate(image, kernel)
    return cv2.addWeighted(image, 1 - abs(amount), other, abs(amount), 0)


def _broken(image: np.ndarray, rng: np.random.Generator, strength: float) -> np.ndarray:
    """Print that did not take everywhere: ink gets paler in fine grains and in patches."""
    height, width = image.shape[:2]
    fine = _noise(np.full((height, width), 128, np.uint8), 40, rng, grain=2)
    patches = _smooth_field(rng, (height // 8 + 1, width // 8 + 1), 0.0, 1.0, 5).clip(0, 1)
    patches = cv2.resize((patches * 255).astype(np.uint8), (width, height))
    lost = cv2.multiply(cv2.subtract(fine, int(200 - 90 * strength)), patches, scale=3 / 255)
    return cv2.max(image, lost) if image.ndim == 2 else cv2.max(image, cv2.merge((lost, lost, lost)))


def _bleed(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The back of the sheet shines through: mirrored, blurred, pale."""
    back = cv2.flip(image, 1)
    back = np.roll(back, rng.integers(-60, 60, 2), (0, 1))
    small = cv2.resize(back, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    back = cv2.resize(small, (image.shape[1], image.shape[0]))
    pale = _curve(back, float(rng.uniform(190, 240)), 255)
    return cv2.min(image, pale)


def _blur(image: np.ndarray, sigma: float) -> np.ndarray:
    return cv2.GaussianBlur(image, (0, 0), sigma) if sigma > 0.15 else image


def _grey(image: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)


def _rgb(image: np.ndarray) -> np.ndarray:
    return image if image.ndim == 3 else cv2.cvtColor(image, cv2.COLOR_GRAY2RGB)


def _unit(page: DrawnPage) -> float:
    """How many pixels a pixel at 200 dpi measures."""
    return page.dpi / 200


# Kinds


def _digital(page: DrawnPage, rng: np.random.Generator) -> DrawnPage:
    """A rendered PDF or a screen shot: as drawn, at most a little soft."""
    image = page.image
    if chance(rng, 0.3):
        image = _blur(image, float(rng.uniform(0.2, 0.6)) * _unit(page))
    if chance(rng, 0.3):
        image = _jpeg(image, int(rng.integers(60, 98)))
    return replace(page, image=image)


def _scan(page: DrawnPage, rng: np.random.Generator) -> DrawnPage:
    """A flatbed or feed scanner, grey or in colour."""
    image = page.image if chance(rng, 0.35) else _grey(page.image)
    if chance(rng, 0.15):
        image = _strokes(image, float(rng.uniform(-0.7, 0.7)) * min(1.0, _unit(page)))
    if chance(rng, 0.12):
        image = _broken(image, rng, float(rng.uniform(0.2, 0.8)))
    if chance(rng, 0.12):
        image = _bleed(image, rng)
    lid = int(choice(rng, (255, 250, 240, 200, 60)))
    height, width = page.image.shape[:2]
    out = _lay(page, rng, _skew(rng)).page(page, image, (width, height), lid)
    image = _blur(out.image, float(rng.uniform(0, 0.9)) * _unit(page))
    weak = chance(rng, 0.25)
    image = _curve(
        image,
        float(rng.uniform(20, 110) if weak else rng.uniform(0, 50)),
        float(rng.uniform(190, 235) if weak else rng.uniform(225, 258)),
        float(rng.uniform(0.8, 1.4)),
    )
    if chance(rng, 0.35):
        image = _shade(image, _smooth_field(rng, (48, 36), 0.88, 1.03))
    if image.ndim == 3 and chance(rng, 0.5):
        image = cv2.multiply(image, tuple(rng.uniform(0.92, 1.0, 3)) + (1.0,))
    if chance(rng, 0.5):
        _specks(image, int(rng.integers(5, 250)), rng, dark=True)
    image = _noise(image, float(rng.uniform(0.5, 9)), rng, grain=2 if chance(rng, 0.3) else 1)
    if chance(rng, 0.85):
        image = _jpeg(image, int(rng.integers(40, 95)))
    return replace(out, image=_rgb(image))


def _copy(page: DrawnPage, rng: np.random.Generator) -> DrawnPage:
    """A photocopy, sometimes a copy of a copy, scanned again."""
    unit = _unit(page)
    image = _grey(page.image)
    if chance(rng, 0.6):
        image = _strokes(image, float(rng.uniform(-0.9, 0.9)) * min(1.0, unit))
    if chance(rng, 0.4):
        image = _broken(image, rng, float(rng.uniform(0.1, 0.75)))
    if chance(rng, 0.1):
        image = _bleed(image, rng)
    lid = int(choice(rng, (255, 255, 235, 0, 30)))
    height, width = page.image.shape[:2]
    out = _lay(page, rng, _skew(rng), shift=0.02, zoom=0.05).page(page, image, (width, height), lid)
    image = out.image
    for _ in range(2 if chance(rng, 0.3) else 1):
        image = _blur(image, float(rng.uniform(0.3, 1.1)) * unit)
        image = _noise(image, float(rng.uniform(3, 16)), rng, grain=choice(rng, (1, 1, 2)))
        image = _contrast(image, float(rng.uniform(110, 190)), float(choice(rng, (6, 9, 14, 25))))
    _specks(image, int(10 ** rng.uniform(1.3, 3.4)), rng, dark=True)
    if chance(rng, 0.3):
        _specks(image, int(10 ** rng.uniform(2.5, 4.3)), rng, dark=False, largest=2)
    if chance(rng, 0.3):
        _streaks(image, rng)
    if chance(rng, 0.3):
        _edges(image, rng)
    black = float(rng.uniform(0, 110) if chance(rng, 0.3) else rng.uniform(0, 50))
    image = _curve(image, black, float(rng.uniform(220, 256)))
    if chance(rng, 0.3):
        image = _shade(image, _smooth_field(rng, (48, 36), 0.82, 1.05))
    image = _blur(image, float(rng.uniform(0, 0.7)) * unit)
    image = _noise(image, float(rng.uniform(0, 5)), rng)
    if chance(rng, 0.8):
        image = _jpeg(image, int(rng.integers(40, 92)))
    return replace(out, image=_rgb(image))


def _streaks(image: np.ndarray, rng: np.random.Generator) -> None:
    """Lines that dirt or a worn drum leaves along the paper's way, dark or bright, in place."""
    height, width = image.shape[:2]
    for _ in range(int(rng.integers(1, 6))):
        x, wide = int(rng.integers(0, width - 4)), int(rng.integers(1, 4))
        y0, y1 = sorted(rng.integers(0, height, 2)) if chance(rng, 0.4) else (0, height)
        strip = image[y0:y1, x : x + wide]
        shade = int(rng.integers(20, 150))
        strip[:] = cv2.subtract(strip, shade) if chance(rng, 0.6) else cv2.add(strip, shade)


def _edges(image: np.ndarray, rng: np.random.Generator) -> None:
    """Black margins where the lid stood open, in place."""
    width = image.shape[1]
    for side in range(4):
        if chance(rng, 0.4):
            deep = int(rng.uniform(0.004, 0.022) * width)
            part = (image[:deep], image[-deep:], image[:, :deep], image[:, -deep:])[side]
            part[:] = cv2.subtract(part, int(rng.integers(120, 255)))


def _fax(page: DrawnPage, rng: np.random.Generator) -> DrawnPage:
    """One bit per pixel at 100 to 200 dpi, sometimes with half the rows."""
    unit = _unit(page)
    height, width = page.image.shape[:2]
    image = _grey(page.image)
    out = _lay(page, rng, _skew(rng)).page(page, image, (width, height), 255)
    image = _blur(out.image, float(rng.uniform(0.2, 0.7)) * unit)
    if page.dpi > 150 and chance(rng, 0.25):
        half = cv2.resize(image, (width, height // 2), interpolation=cv2.INTER_AREA)
        image = cv2.resize(
            _noise(half, float(rng.uniform(2, 14)), rng), (width, height), interpolation=cv2.INTER_NEAREST
        )
    else:
        image = _noise(image, float(rng.uniform(2, 22)), rng)
    image = cv2.threshold(image, float(rng.uniform(130, 195)), 255, cv2.THRESH_BINARY)[1]
    _specks(image, int(10 ** rng.uniform(0.5, 3)), rng, dark=True, largest=2)
    if chance(rng, 0.15):  # rows lost on the line
        for row in rng.integers(0, height, int(rng.integers(1, 4))):
            image[row : row + 2] = 255
    if chance(rng, 0.3):
        image = _blur(image, float(rng.uniform(0.3, 0.7)))
    return replace(out, image=_rgb(image))


# Camera


def _view(rng: np.random.Generator, width: float, height: float, tilt: float, roll: float) -> np.ndarray:
    """The four corners of a sheet (tl, tr, br, bl) as a pinhole camera sees it from up to `tilt` degrees aside."""
    yaw, pitch = np.radians(rng.uniform(-tilt, tilt, 2) / np.sqrt(2))
    roll = np.radians(rng.uniform(-roll, roll))
    distance = float(rng.uniform(1.3, 2.4)) * height
    x, y = np.array([-1, 1, 1, -1]) * width / 2, np.array([-1, -1, 1, 1]) * height / 2
    cy, sy, cp, sp = np.cos(yaw), np.sin(yaw), np.cos(pitch), np.sin(pitch)
    px, depth = x * cy, x * sy
    py, depth = y * cp - depth * sp, y * sp + depth * cp
    scale = distance / (distance + depth)
    px, py = px * scale, py * scale
    return np.stack([px * np.cos(roll) - py * np.sin(roll), px * np.sin(roll) + py * np.cos(roll)], 1)


def _table_top(rng: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
    """What the sheet lies on: dark, grey, pale or wooden."""
    width, height = size
    rows, columns = height // 8 + 1, width // 8 + 1
    kind = choice(rng, ("dark", "dark", "grey", "wood", "wood", "pale", "cloth"))
    base = {
        "dark": rng.uniform(10, 60) * np.ones(3),
        "grey": rng.uniform(70, 150) * np.ones(3),
        "pale": rng.uniform(150, 200) + rng.uniform(-12, 12, 3),
        "wood": np.array([rng.uniform(90, 170), rng.uniform(60, 110), rng.uniform(35, 75)]),
        "cloth": rng.uniform(20, 150, 3),
    }[kind]
    if kind == "wood":
        along = cv2.resize(
            rng.normal(0, 1, (rows // 2 + 2, 4)).astype(np.float32), (columns, rows), interpolation=cv2.INTER_CUBIC
        )
        texture = 1 + 0.1 * along + 0.04 * rng.normal(0, 1, (rows, columns)).astype(np.float32)
    else:
        texture = _smooth_field(rng, (rows, columns), 0.8, 1.2) + 0.05 * rng.normal(0, 1, (rows, columns)).astype(
            np.float32
        )
    small = np.clip(texture[..., None] * base, 0, 255).astype(np.uint8)
    if kind == "wood" and chance(rng, 0.5):
        small = cv2.resize(cv2.rotate(small, cv2.ROTATE_90_CLOCKWISE), (columns, rows))
    return cv2.resize(small, size, interpolation=cv2.INTER_LINEAR)


def _light(rng: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
    """Uneven light with shadows and a colour cast, at one eighth of the resolution, float32 [h, w, 3]."""
    width, height = size[0] // 8 + 1, size[1] // 8 + 1
    angle = rng.uniform(0, 2 * np.pi)
    x, y = np.linspace(-0.5, 0.5, width), np.linspace(-0.5, 0.5, height)[:, None]
    light = 1 + rng.uniform(0, 0.45) * (x * np.cos(angle) + y * np.sin(angle))
    light = (light * _smooth_field(rng, (height, width), 0.9, 1.08)).astype(np.float32)
    for _ in range(choice(rng, (0, 0, 1, 1, 2))):
        light *= _shadow(rng, width, height)
    light *= float(rng.uniform(0.62, 1.02)) / np.percentile(light, 80)
    warmth = rng.normal(0, 0.06)
    cast = np.array([1 + warmth, 1 + rng.normal(0, 0.015), 1 - warmth], np.float32)
    return light[..., None] * cast


def _shadow(rng: np.random.Generator, width: int, height: int) -> np.ndarray:
    """The shadow of a hand, a head or a shelf: an ellipse or half plane with a soft or hard edge."""
    mask = np.ones((height, width), np.float32)
    depth = float(rng.uniform(0.45, 0.9))
    if chance(rng, 0.5):
        centre = (int(rng.uniform(0, width)), int(rng.uniform(0, height)))
        axes = (int(rng.uniform(0.1, 0.5) * width), int(rng.uniform(0.1, 0.5) * height))
        cv2.ellipse(mask, centre, axes, float(rng.uniform(0, 180)), 0, 360, depth, -1)
    else:
        angle, far = rng.uniform(0, 2 * np.pi), 2.0 * (width + height)
        middle = np.array([rng.uniform(0.1, 0.9) * width, rng.uniform(0.1, 0.9) * height])
        along, across = np.array([np.cos(angle), np.sin(angle)]) * far, np.array([-np.sin(angle), np.cos(angle)]) * far
        corners = np.array([middle - along, middle + along, middle + along + across, middle - along + across])
        cv2.fillConvexPoly(mask, corners.astype(np.int32), depth)
    soft = float(10 ** rng.uniform(-0.2, 1.3)) * width / 200
    return cv2.GaussianBlur(mask, (0, 0), soft)


def _motion(image: np.ndarray, length: float, rng: np.random.Generator) -> np.ndarray:
    """A shake of `length` px in some direction."""
    size = max(3, int(length) // 2 * 2 + 3)
    kernel = np.zeros((size, size), np.float32)
    angle, middle = rng.uniform(0, np.pi), size / 2
    step = np.array([np.cos(angle), np.sin(angle)]) * length / 2
    start, end = (np.array([middle, middle]) - 0.5 - step) * 16, (np.array([middle, middle]) - 0.5 + step) * 16
    cv2.line(kernel, tuple(np.round(start).astype(int)), tuple(np.round(end).astype(int)), 1.0, 1, cv2.LINE_AA, 4)
    return cv2.filter2D(image, -1, kernel / kernel.sum())


def _camera(page: DrawnPage, rng: np.random.Generator) -> DrawnPage:
    """A photo of the sheet on a table."""
    return _photo(page, rng, cut_out=False)


def _rectified(page: DrawnPage, rng: np.random.Generator) -> DrawnPage:
    """A photo cut to the sheet, with the distortion that straightening leaves."""
    return _photo(page, rng, cut_out=True)


def _photo(page: DrawnPage, rng: np.random.Generator, cut_out: bool) -> DrawnPage:
    image, unit = page.image, _unit(page)
    height, width = image.shape[:2]
    if chance(rng, 0.1):
        image = _bleed(image, rng)
    if chance(rng, 0.5):  # the printer's black and the paper's white
        image = _curve(image, float(rng.uniform(0, 50)), float(rng.uniform(225, 256)))
    curl = (
        Curl(rng, width, height, float(10 ** rng.uniform(-3.3, -1.9)) * (0.8 if cut_out else 1.0))
        if chance(rng, 0.6)
        else None
    )
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float32)
    if cut_out:
        slip = 0.008 * width
        target = corners + rng.normal(0, slip, (4, 2)).clip(-2 * slip, 2 * slip)
        size = (width, height)
    else:
        target = _view(rng, width, height, 25, 12 if chance(rng, 0.85) else 40)
        low, high = target.min(0), target.max(0)
        # As wide as the sheet was drawn, so that the text keeps the resolution it was asked for.
        side = (np.linalg.norm(target[1] - target[0]) + np.linalg.norm(target[2] - target[3])) / 2
        margin = rng.uniform(0.02, 0.12, 4) * width
        scale = width / side
        size = (
            int((high[0] - low[0]) * scale + margin[0] + margin[2]),
            int((high[1] - low[1]) * scale + margin[1] + margin[3]),
        )
        target = (target - low) * scale + margin[:2]
    warp = Warp(cv2.getPerspectiveTransform(corners, target.astype(np.float32)), curl)
    out = warp.page(page, image, size, _table_top(rng, size))
    image = out.image
    if cut_out and chance(rng, 0.5):  # the sheet was smaller on the photo
        factor = float(rng.uniform(0.65, 1.0))
        image = cv2.resize(
            cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA),
            size,
            interpolation=cv2.INTER_LINEAR,
        )
    image = _blur(image, float(rng.uniform(0.2, 1.3)) * unit)
    if chance(rng, 0.12):
        image = _motion(image, float(rng.uniform(1, 4)) * unit, rng)
    image = _shade(image, _light(rng, size))
    if chance(rng, 0.4):
        image = _curve(image, float(rng.uniform(0, 40)), 255, float(rng.uniform(0.7, 1.4)))
    image = _noise(image, float(rng.uniform(0.5, 9)), rng, grain=2 if chance(rng, 0.3) else 1)
    if chance(rng, 0.15):  # the telephone's sharpening
        image = cv2.addWeighted(image, 1.8, _blur(image, 1.2 * unit), -0.8, 0)
    if chance(rng, 0.8):
        image = _jpeg(image, int(rng.integers(45, 95)))
    return replace(out, image=image)


_TREATMENTS = {"digital": _digital, "scan": _scan, "copy": _copy, "fax": _fax, "camera": _camera, RECTIFIED: _rectified}
