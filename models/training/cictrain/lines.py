"""Line crops: cut from a page as the engine cuts them, or drawn alone; then normalised and batched.

A crop is uint8 grey, 40 px high, W px wide, its text upright and its height the line's full box (1.4 em).
"""

import unicodedata

import cv2
import numpy as np

from . import document, draw
from .alphabet import encode
from .nets import LINE_HEIGHT, TIME_STRIDE

EM_PER_BOX = 1.4  # height of a full box in em
MAX_WIDTH = 1536  # px, wider lines are not trained on; the engine squeezes those beyond 2048
WIDTH_STEP = 32  # px, widths given to the recogniser are multiples of this


def grey(image: np.ndarray) -> np.ndarray:
    """uint8 RGB to uint8 grey."""
    return image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)


def crop(page: np.ndarray, quad: np.ndarray, smooth: bool = True) -> np.ndarray | None:
    """The quad (tl, tr, br, bl; px of `page`, uint8 grey) as a crop; None when it is empty, outside or too wide.

    `smooth` averages where the page is finer than the crop (as an area filter does) instead of sampling it bilinearly.
    """
    quad = np.asarray(quad, np.float32)
    width = (np.linalg.norm(quad[1] - quad[0]) + np.linalg.norm(quad[2] - quad[3])) / 2
    height = (np.linalg.norm(quad[3] - quad[0]) + np.linalg.norm(quad[2] - quad[1])) / 2
    inside = (quad > -height).all() and (quad < np.array(page.shape[1::-1]) + height).all()
    if height < 4 or width < 2 or not inside:
        return None
    columns = max(4, round(width * LINE_HEIGHT / height))
    if columns > MAX_WIDTH:
        return None
    factor = 2 if smooth and height > 1.4 * LINE_HEIGHT else 1
    size = (columns * factor, LINE_HEIGHT * factor)
    target = np.array([[0, 0], [size[0], 0], size, [0, size[1]]], np.float32)
    # warpPerspective addresses pixel centres, the project's coordinates pixel corners: hence the halves.
    warp = cv2.getPerspectiveTransform(quad - 0.5, target - 0.5)
    out = cv2.warpPerspective(page, warp, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return out if factor == 1 else cv2.resize(out, (columns, LINE_HEIGHT), interpolation=cv2.INTER_AREA)


def jitter(quad: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A full box as a detector would give it: a little off in height, place, length and angle."""
    quad = np.asarray(quad, np.float32)
    along = (quad[1] - quad[0] + quad[2] - quad[3]) / 2
    down = (quad[3] - quad[0] + quad[2] - quad[1]) / 2
    length, height = np.linalg.norm(along), np.linalg.norm(down)
    if length < 1 or height < 1:
        return quad
    along, down = along / length, down / height
    em = height / EM_PER_BOX
    top, bottom = rng.normal(0, 0.03, 2).clip(-0.08, 0.08) + rng.normal(0, 0.03)
    if rng.random() < 0.4:  # a curved or sloping line gets too tall a box, with bits of its neighbours in it
        top, bottom = top + rng.uniform(0, 0.25), bottom + rng.uniform(0, 0.25)
    left, right = rng.normal(0.12, 0.1, 2).clip(-0.08, 0.45)
    # Over the whole length the ends of a box drift apart by a few per cent of its height at most.
    drift = rng.normal(0, 0.025, 2) * min(1.0, length / (4 * height) + 0.3)
    out = quad.copy()
    out[0] += down * height * (top + drift[0]) - along * em * left
    out[3] += down * height * (bottom + drift[0]) - along * em * left
    out[1] += down * height * (top + drift[1]) + along * em * right
    out[2] += down * height * (bottom + drift[1]) + along * em * right
    if rng.random() < 0.3:  # shear: an italic look, or a box cut at a slight angle
        shift = along * em * rng.normal(0, 0.06)
        out[:2] += shift
        out[2:] -= shift
    return out.astype(np.float32)


def page_crops(page, rng: np.random.Generator):
    """(crop, text) of every readable line of a degraded page."""
    image = grey(page.image)
    for line in page.lines:
        text = unicodedata.normalize("NFC", line.text).strip()
        if not text or encode(text) is None:
            continue
        cut = crop(image, jitter(line.quad, rng), smooth=rng.random() < 0.7)
        if readable(cut, text):
            yield cut, text


def readable(cut: np.ndarray | None, text: str) -> bool:
    """Whether a crop has a step of the recogniser for every character, and a blank between equal neighbours."""
    if cut is None:
        return False
    steps = len(text) + sum(a == b for a, b in zip(text, text[1:]))
    return steps <= cut.shape[1] // TIME_STRIDE


def drawn_crop(rng: np.random.Generator):
    """(crop, text) of a line drawn alone and degraded simply; None when it came out too wide."""
    text = unicodedata.normalize("NFC", document.random_text(rng)).strip()
    if not text or encode(text) is None:
        return None
    em = float(np.exp(rng.uniform(np.log(10), np.log(44))))
    oversampled = max(1, round(30 / em))
    fonts = draw.fonts()
    image, quad = draw.draw_line(text, fonts[rng.integers(len(fonts))], round(em * oversampled), rng)
    image, quad = _beside_rules(grey(image), quad, rng)
    image = _ink(image, rng)
    if oversampled > 1:
        size = (max(2, image.shape[1] // oversampled), max(2, image.shape[0] // oversampled))
        quad = quad * (np.array(size, np.float32) / image.shape[1::-1])
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    image = _paper(image, (quad[3] - quad[0])[1] / EM_PER_BOX, rng)
    cut = crop(image, jitter(quad, rng), smooth=rng.random() < 0.7)
    return (cut, text) if readable(cut, text) else None


def _beside_rules(image, quad, rng):
    """Adds margin round a drawn line and, sometimes, the rules of its cell at the borders of its box."""
    em = (quad[3] - quad[0])[1] / EM_PER_BOX
    pad = int(0.6 * em) + 2
    image = cv2.copyMakeBorder(image, pad, pad, pad, pad, cv2.BORDER_CONSTANT, value=255)
    quad = np.asarray(quad, np.float32) + pad
    if rng.random() < 0.35:
        width = max(1, round(em * rng.uniform(0.03, 0.1)))
        shade = int(rng.integers(0, 150))
        left, top = quad[0]
        right, bottom = quad[2]
        for side in rng.permutation(4)[: rng.integers(1, 4)]:
            if side == 0:
                y = round(top + em * rng.uniform(-0.1, 0.12))
                image[max(0, y) : y + width] = shade
            elif side == 1:
                y = round(bottom - em * rng.uniform(-0.1, 0.1))
                image[y : y + width] = shade
            elif side == 2:
                x = round(left - em * rng.uniform(0.12, 0.4))
                image[:, max(0, x) : x + width] = shade
            else:
                x = round(right + em * rng.uniform(0.12, 0.4))
                image[:, x : x + width] = shade
    return image, quad


def _ink(image, rng):
    """What printing does: strokes grow or wear thin, ink breaks, contrast falls."""
    choice = rng.random()
    if choice < 0.15:
        image = cv2.erode(image, np.ones((2, 2), np.uint8))
    elif choice < 0.3:
        image = cv2.dilate(image, np.ones((2, 2), np.uint8))
    if rng.random() < 0.15:
        height, width = image.shape
        specks = cv2.resize(rng.random((height // 2 + 1, width // 2 + 1)).astype(np.float32), (width, height))
        image = np.where(specks > rng.uniform(0.75, 0.95), np.uint8(255), image)
    if rng.random() < 0.5:
        ink, paper = rng.uniform(0, 110), rng.uniform(150, 255)
        image = (ink + image.astype(np.float32) / 255 * (paper - ink)).astype(np.uint8)
    return image


def _paper(image, em, rng):
    """What capturing does: blur, uneven light, noise, a threshold, JPEG. The worst is still just readable."""
    width = image.shape[1]
    if rng.random() < 0.5:
        image = cv2.GaussianBlur(image, (0, 0), max(0.3, em * rng.uniform(0.01, 0.085)))
    if rng.random() < 0.15:  # the paper or the camera moved
        kernel = np.zeros((5, 5), np.float32)
        length = int(rng.integers(2, np.clip(em / 6, 3, 6)))
        kernel[2, :length] = 1 / length
        image = cv2.filter2D(image, -1, kernel if rng.random() < 0.5 else kernel.T)
    out = image.astype(np.float32)
    if rng.random() < 0.6:
        contrast = np.ptp(out)
        out += rng.standard_normal(out.shape, np.float32) * np.float32(rng.uniform(0.005, 0.11) * contrast)
    if rng.random() < 0.12:
        middle = rng.uniform(0.35, 0.65)
        out = np.where(out < out.min() + middle * np.ptp(out), 0, 255).astype(np.float32)
    elif rng.random() < 0.4:
        out *= np.linspace(rng.uniform(0.6, 1), rng.uniform(0.6, 1), width, dtype=np.float32)
    image = out.clip(0, 255).astype(np.uint8)
    if rng.random() < 0.4:
        _, packed = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(25, 90))])
        image = cv2.imdecode(packed, cv2.IMREAD_GRAYSCALE)
    return image


def normalise(cut: np.ndarray) -> np.ndarray:
    """uint8 crop to float32 in 0..1, the 2nd percentile of its grey at 0 and the 90th at 1 (at least 24 levels apart)."""
    ranks = np.cumsum(np.bincount(cut.reshape(-1), minlength=256))
    low, high = np.searchsorted(ranks, (0.02 * cut.size, 0.9 * cut.size))
    low = min(int(low), int(high) - 24)
    table = ((np.arange(256, dtype=np.float32) - low) / (int(high) - low)).clip(0, 1)
    return table[cut]


def augment(cut: np.ndarray, other: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Cheap changes of a stored crop, so that no two visits to it are alike. `other` is any other crop."""
    if rng.random() < 0.5:
        cut = _reframe(cut, other, rng)
    elif rng.random() < 0.4:
        columns = max(4, round(cut.shape[1] * rng.uniform(0.93, 1.07)))
        cut = cv2.resize(cut, (columns, LINE_HEIGHT), interpolation=cv2.INTER_LINEAR)
    if rng.random() < 0.4:
        gamma = np.exp(rng.normal(0, 0.3))
        cut = (255 * (np.arange(256) / 255) ** gamma).astype(np.uint8)[cut]
    if rng.random() < 0.25:
        noise = rng.standard_normal(cut.shape, np.float32) * np.float32(rng.uniform(1, 14))
        cut = (cut + noise).clip(0, 255).astype(np.uint8)
    if rng.random() < 0.15:
        cut = cv2.blur(cut, (int(rng.integers(1, 4)), int(rng.integers(1, 4))))
    return cut


def _reframe(cut, other, rng):
    """What the box of a sloping or curved line does: text smaller in it, higher or lower, rising or falling, and bits of
    the neighbouring lines above or below."""
    zoom = 1 / rng.uniform(0.95, 1.5) if rng.random() < 0.6 else rng.uniform(0.93, 1.05)
    width = max(4, round(cut.shape[1] * zoom))
    room = LINE_HEIGHT * (1 - zoom)
    top = room * rng.uniform(0, 1) + rng.normal(0, 0.8)
    slope = rng.normal(0, 2.5) * min(1.0, width / 300) / width  # px over the whole length
    place = np.float32([[zoom, 0, 0], [slope * zoom, zoom, top - slope * width / 2]])
    paper = int(np.partition(cut.reshape(-1), int(0.7 * cut.size))[int(0.7 * cut.size)])
    out = cv2.warpAffine(cut, place, (width, LINE_HEIGHT), borderMode=cv2.BORDER_CONSTANT, borderValue=paper)
    gaps = (int(top) - 1, int(room - top) - 1)
    for edge, gap in enumerate(gaps):
        if gap >= 2 and rng.random() < 0.5:
            rows = min(gap, int(rng.integers(2, 11)))
            strip = other[-rows - 3 : -3] if edge == 0 else other[6 : 6 + rows]
            length = min(width, strip.shape[1])
            band = out[:rows, :length] if edge == 0 else out[LINE_HEIGHT - rows :, :length]
            np.minimum(band, strip[:, :length], out=band)
    return out


def batch(cuts: list[np.ndarray], width: int) -> np.ndarray:
    """Crops as one float32 array [N, 1, 40, width], padded on the right with white."""
    out = np.ones((len(cuts), 1, LINE_HEIGHT, width), np.float32)
    for row, cut in zip(out, cuts):
        row[0, :, : cut.shape[1]] = normalise(cut)
    return out


def padded_width(width: int) -> int:
    return -(-width // WIDTH_STEP) * WIDTH_STEP
