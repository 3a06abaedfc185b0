"""Trains the detector on crops of stored pages, and measures it on whole pages.

Targets, in the order of the maps: text cores (the middle half of a line's full box, drawn in a little at both ends, so
that neighbours stay apart), horizontal rules, vertical rules.
"""

import itertools
from collections import Counter, defaultdict
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from torch.nn import functional as F
from torch.utils.data import IterableDataset

from . import pool
from .lines import EM_PER_BOX
from .nets import MAP_STRIDE, PAGE_MULTIPLE, Detector
from .schedule import Average, Run, half, loader, optimiser_of, worker_rng

PEAK_RATE = 2.5e-3
CROP = 512  # px, side of a training crop
BATCH = 4  # crops in one batch of the usual size
PAGE_WIDTH = 896  # px, width of an upright A4 page as the engine scales it
CORE_INSET = 0.1  # em taken off a core at each end
GROW = 0.25  # em given back at each end when a core becomes a full box
RULE_WIDTH = 3.0  # px, rules are drawn at least this wide into the target
PAGES_TO_START = 60
THRESHOLD = 0.5
SLACK = 1.15  # of a box over the mean thickness of its core: too tall reads better than too low
MATCH = 0.6  # intersection over union from which a box counts as a line's


def cores(quads: np.ndarray) -> np.ndarray:
    """The text cores [n, 4, 2] of full boxes [n, 4, 2]."""
    tl, tr, br, bl = (quads[:, corner] for corner in range(4))
    left, right = bl - tl, br - tr
    middle = np.stack([tl + left / 4, tr + right / 4, br - right / 4, bl - left / 4], 1)
    length = np.linalg.norm((tr - tl + br - bl) / 2, axis=1)
    em = np.linalg.norm((left + right) / 2, axis=1) / EM_PER_BOX
    # A narrow glyph keeps a core of 0.2 em; one that is narrower still is widened to it.
    return lengthened(middle, -np.minimum(CORE_INSET * em, (length - 0.2 * em) / 2))


def lengthened(quads: np.ndarray, by: np.ndarray) -> np.ndarray:
    """Quads [n, 4, 2] that reach `by` [n] px further at both ends."""
    along = quads[:, 1] - quads[:, 0] + quads[:, 2] - quads[:, 3]
    reach = along / np.linalg.norm(along, axis=1, keepdims=True).clip(1e-3) * by[:, None]
    return quads + np.stack([-reach, reach, reach, -reach], 1)


def _fill(canvas, quad, value=255):
    # fillPoly also paints the pixels that an edge runs through, about half a pixel on every side: draw it in by that.
    inner = lengthened(quad[None], np.array([-0.5]))
    inner = lengthened(inner[:, [1, 2, 3, 0]], np.array([-0.5]))[0]
    cv2.fillPoly(canvas, [np.round((inner - 0.5) * 16).astype(np.int32)], value, shift=4)


def targets(quads: np.ndarray, rules: list, height: int, width: int):
    """Maps [3, H / 2, W / 2] in 0..1 and the weights [H / 2, W / 2] of the text map, for a page or crop of that size."""
    maps = np.zeros((3, height, width), np.uint8)
    for quad in cores(quads):
        _fill(maps[0], quad)
    for points, _, thickness in rules:
        span = np.ptp(points, axis=0)
        channel = 1 if span[0] >= span[1] else 2
        line = np.round((points - 0.5) * 16).astype(np.int32)
        cv2.polylines(maps[channel], [line], False, 255, max(round(RULE_WIDTH), round(thickness)), cv2.LINE_8, 4)
    size = (width // MAP_STRIDE, height // MAP_STRIDE)
    small = np.stack([cv2.resize(plane, size, interpolation=cv2.INTER_AREA) for plane in maps])
    return small.astype(np.float32) / 255, _weights(quads / MAP_STRIDE, size)


def _weights(quads, size):
    """1 far from text, 2 round a core, 6 to 8 where the surroundings of lines meet: there a merge would happen.

    A line of one or two characters weighs 8: a lone digit in a cell has few pixels, and missing it loses a value.
    """
    crowd = np.zeros((size[1], size[0]), np.uint8)
    ems = np.linalg.norm(quads[:, 3] - quads[:, 0], axis=1) / EM_PER_BOX
    lone = np.linalg.norm(quads[:, 1] - quads[:, 0], axis=1) < 1.3 * ems
    for grown, step in zip(lengthened(quads, 0.35 * ems), np.where(lone, 3, 1)):
        low = np.floor(grown.min(0)).astype(int).clip(0, size)
        high = np.ceil(grown.max(0)).astype(int).clip(0, size)
        if (high <= low).any():
            continue
        patch = np.zeros((high - low)[::-1], np.uint8)
        cv2.fillPoly(patch, [np.round((grown - low) * 16).astype(np.int32)], int(step), shift=4)
        crowd[low[1] : high[1], low[0] : high[0]] += patch
    return np.array([1, 2, 6, 8], np.float32)[crowd.clip(0, 3)]


def transform(points: np.ndarray, warp: np.ndarray) -> np.ndarray:
    flat = np.asarray(points, np.float64).reshape(-1, 2)
    moved = np.c_[flat, np.ones(len(flat))] @ warp.T
    return (moved[:, :2] / moved[:, 2:]).reshape(np.shape(points)).astype(np.float32)


def sample(page: pool.StoredPage, rng: np.random.Generator):
    """A random crop of a page, as the engine might see it: (image uint8 [CROP, CROP], quads, rules)."""
    scale = PAGE_WIDTH / pool.STORED_WIDTH * rng.uniform(0.85, 1.15)
    angle = np.radians(rng.normal(0, 1.2) if rng.random() < 0.7 else rng.uniform(-5, 5))
    if rng.random() < 0.12:
        angle += np.pi / 2 * rng.integers(1, 4)
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    height, width = page.image.shape
    if len(page.quads) and rng.random() < 0.85:
        focus = page.quads[rng.integers(len(page.quads))].mean(0)
    else:
        focus = rng.uniform(0, 1, 2) * (width, height)
    # The paper's edge may come into sight, but most of the crop is page.
    focus = np.clip(focus, 0.2 * CROP, np.maximum(np.array([width, height]) - 0.2 * CROP, 0.2 * CROP))
    place = rng.uniform(0.15, 0.85, 2) * CROP
    warp = np.eye(3)
    warp[:2, :2] = turn
    warp[:2, 2] = place - turn @ focus
    if rng.random() < 0.4:  # what a rectification leaves
        warp[2, :2] = rng.normal(0, 2.5e-5, 2)
        warp /= warp[2, 0] * focus[0] + warp[2, 1] * focus[1] + 1
    half = np.array([[1, 0, -0.5], [0, 1, -0.5], [0, 0, 1]])
    back = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
    fill = cv2.BORDER_REPLICATE if rng.random() < 0.5 else cv2.BORDER_CONSTANT
    shade = int(rng.choice([255, 255, rng.integers(0, 256)]))
    image = cv2.warpPerspective(
        np.ascontiguousarray(page.image), half @ warp @ back, (CROP, CROP), flags=cv2.INTER_LINEAR, borderMode=fill, borderValue=shade
    )
    quads = transform(page.quads, warp)
    near = ((quads.max(1) > 0) & (quads.min(1) < CROP)).all(1)
    rules = [(transform(points, warp), flat, thick * scale) for points, flat, thick in page.rules]
    return _tone(image, rng), quads[near], rules


def _tone(image, rng):
    if rng.random() < 0.5:
        gamma = np.exp(rng.normal(0, 0.35))
        low, high = sorted((rng.uniform(0, 90), rng.uniform(150, 255)))
        image = (low + (high - low) * (np.arange(256) / 255) ** gamma).astype(np.uint8)[image]
    if rng.random() < 0.3:
        image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.3, 1.1))
    if rng.random() < 0.3:
        noise = rng.standard_normal(image.shape, np.float32) * np.float32(rng.uniform(1, 16))
        image = (image + noise).clip(0, 255).astype(np.uint8)
    return image


def loss_of(logits, maps, weights):
    """Weighted cross-entropy and Dice loss, of each map for itself."""
    cross = F.binary_cross_entropy_with_logits(logits, maps, reduction="none")
    # Rules cover so few pixels that theirs must weigh more.
    cross = torch.stack([cross[:, 0] * weights, cross[:, 1] * (1 + 4 * maps[:, 1]), cross[:, 2] * (1 + 4 * maps[:, 2])], 1)
    guess = torch.sigmoid(logits)
    overlap, total = (guess * maps).sum((0, 2, 3)), (guess + maps).sum((0, 2, 3))
    dice = 1 - (2 * overlap + 50) / (total + 50)
    return (3 * cross.mean((0, 2, 3)) + 0.5 * dice).sum()


class Sampler(IterableDataset):
    """Batches of crops from the pages of a pool, without end: images [N, 1, CROP, CROP], maps and weights."""

    def __init__(self, folder: Path, seed: tuple[int, ...], size: int = BATCH):
        self.folder, self.seed, self.size = folder, seed, size

    def __iter__(self):
        rng, pages = worker_rng(self.seed), {}
        for number in itertools.count():
            if number % 100 == 0:
                pages = pool.pages(self.folder, pages)
                names = list(pages)
            drawn = [sample(pages[names[rng.integers(len(names))]], rng) for _ in range(self.size)]
            truth = [targets(quads, rules, CROP, CROP) for _, quads, rules in drawn]
            images = np.stack([image for image, _, _ in drawn])[:, None]
            yield tuple(map(torch.from_numpy, (images, np.stack([m for m, _ in truth]), np.stack([w for _, w in truth]))))


def train(work: Path, minutes: float, batch: int = 1, workers: int = 0, validate_every: float = 8.0) -> Path:
    """Trains until `minutes` of training have passed over all runs in `work`, on batches `batch` times the usual size;
    gives the checkpoint's path."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    net = Detector().to(device).to(memory_format=torch.channels_last)
    peak = PEAK_RATE * batch**0.5
    optimiser = optimiser_of(net, peak)
    average = Average(net)
    run = Run(work / "ckpt" / "detector.pt", minutes, net, optimiser, average)
    folder = work / "pool" / "train"
    while pool.page_count(folder) < PAGES_TO_START:
        run.wait(10)

    def loss_on(drawn):
        images, maps, weights = (part.to(device) for part in drawn)
        with half(device):
            logits = net.logits((images.float() / 255).to(memory_format=torch.channels_last))
        return loss_of(logits.float(), maps, weights)

    def validate():
        return evaluate(finder(average.net, device), pool.pages(work / "pool" / "validation"), limit=4)

    batches = loader(Sampler(folder, (11, run.steps), batch * BATCH), workers)
    run.fit(batches, peak, loss_on, validate, validate_every)
    return run.path


def finder(net: torch.nn.Module, device):
    """The `find` of `evaluate` for a torch network."""

    def find(image):
        with torch.inference_mode(), half(device):
            return net(torch.from_numpy(image).to(device)).float().cpu().numpy()

    return find


def page_input(image: np.ndarray, scale: float = PAGE_WIDTH / pool.STORED_WIDTH) -> np.ndarray:
    """A stored page as the detector's input [1, 1, H, W]: scaled as the engine scales it, padded with white."""
    size = [max(1, round(side * scale)) for side in image.shape[1::-1]]
    scaled = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    height, width = (-(-side // PAGE_MULTIPLE) * PAGE_MULTIPLE for side in scaled.shape)
    out = np.ones((1, 1, height, width), np.float32)
    out[0, 0, : scaled.shape[0], : scaled.shape[1]] = scaled.astype(np.float32) / 255
    return out


def boxes(text_map: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Full boxes [n, 4, 2] in page px from a text map, and the map of their numbers (0: none, i: box i - 1)."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats((text_map > THRESHOLD).astype(np.uint8), connectivity=4)
    found, kept = [], np.zeros(count, np.int32)
    for number in range(1, count):
        x, y, width, height, area = stats[number]
        if area < 4:
            continue
        ys, xs = np.nonzero(labels[y : y + height, x : x + width] == number)
        found.append(_grown(np.c_[xs + x, ys + y].astype(np.float32)))
        kept[number] = len(found)
    return np.array(found, np.float32).reshape(-1, 4, 2) * MAP_STRIDE, kept[labels]


def _grown(pixels: np.ndarray) -> np.ndarray:
    """The full box of a core's pixels (map px) on a page that is nearly upright."""
    low, high = pixels.min(0), pixels.max(0)
    centre, (width, height), turn = (low + high) / 2, high - low + 1, 0.0
    if width > 2.5 * height:  # long enough to have an angle
        centre, (width, height), angle = cv2.minAreaRect(pixels)
        if width < height:
            width, height, angle = height, width, angle - 90
        width, height, turn = width + 1, height + 1, np.radians(angle)  # from pixel centres to their edges
        # Slope and curve make the bounding box of a long line too tall; its mean thickness does not grow with them.
        height = min(height, len(pixels) / width * SLACK)
        if np.cos(turn) < 0:
            turn += np.pi
    reach = np.array([np.cos(turn), np.sin(turn)]) * (width / 2 + GROW * 2 * height / EM_PER_BOX)
    rise = np.array([-np.sin(turn), np.cos(turn)]) * height
    centre = np.asarray(centre) + 0.5
    return np.array([centre - reach - rise, centre + reach - rise, centre + reach + rise, centre - reach + rise])


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    """Intersection over union of two convex quads."""
    shared = cv2.intersectConvexConvex(a.astype(np.float32), b.astype(np.float32))[0]
    return shared / max(1e-6, cv2.contourArea(a) + cv2.contourArea(b) - shared)


@dataclass
class Score:
    lines: int = 0  # true lines
    boxes: int = 0  # found boxes
    matched: int = 0  # true lines with a box of their own, IoU >= 0.6
    stray: int = 0  # boxes that touch no true core
    merged: int = 0  # true lines that share a box with another
    split: int = 0  # true lines that lie in several boxes
    guessed: int = 0  # px called a rule
    guessed_right: int = 0  # of these, px next to a true one
    ruled: int = 0  # px that are a rule
    ruled_found: int = 0  # of these, px next to one called a rule

    def add(self, other: "Score"):
        for name in vars(self):
            setattr(self, name, getattr(self, name) + getattr(other, name))

    def figures(self) -> dict:
        lines, boxes = max(1, self.lines), max(1, self.boxes)
        precision, recall = self.guessed_right / max(1, self.guessed), self.ruled_found / max(1, self.ruled)
        return {
            "found": round(self.matched / lines, 4),
            "stray": round(self.stray / boxes, 4),
            "merged": round(self.merged / lines, 4),
            "split": round(self.split / lines, 4),
            "rules_f1": round(2 * precision * recall / max(1e-6, precision + recall), 4),
            "lines": self.lines,
        }


def evaluate(find, pages: dict[str, pool.StoredPage], limit: int | None = None) -> dict[str, dict]:
    """Scores by kind and over all, of at most `limit` pages of each kind.

    `find(image [1, 1, H, W] float32)` gives maps [1, 3, H / 2, W / 2].
    """
    scores, seen = defaultdict(Score), Counter()
    for page in pages.values():
        seen[page.kind] += 1
        if limit is None or seen[page.kind] <= limit:
            score = score_page(find, page)
            scores[page.kind].add(score)
            scores["all"].add(score)
    return {name: score.figures() for name, score in sorted(scores.items())}


def score_page(find, page: pool.StoredPage) -> Score:
    scale = PAGE_WIDTH / pool.STORED_WIDTH
    image = page_input(page.image)
    maps = np.asarray(find(image))[0]
    quads = page.quads * scale
    rules = [(points * scale, flat, width * scale) for points, flat, width in page.rules]
    truth, _ = targets(quads, rules, *image.shape[2:])
    found, numbers = boxes(maps[0])
    score = Score(lines=len(quads), boxes=len(found))

    # Which boxes cover a fifth or more of which true core.
    shares = []
    for core in cores(quads) / MAP_STRIDE:
        low = np.floor(core.min(0)).astype(int).clip(0, np.array(numbers.shape[::-1]) - 1)
        high = np.maximum(np.ceil(core.max(0)).astype(int), low + 1)
        patch = numbers[low[1] : high[1], low[0] : high[0]]
        mask = np.zeros(patch.shape, np.uint8)
        cv2.fillPoly(mask, [np.round((core - low - 0.5) * 16).astype(np.int32)], 1, shift=4)
        hits = Counter(patch[mask > 0].tolist())
        shares.append([box for box, pixels in hits.items() if box and pixels >= 0.2 * mask.sum()])
    owners = Counter(box for share in shares for box in share)
    score.stray = len(found) - len(owners)
    score.split = sum(len(share) > 1 for share in shares)
    score.merged = sum(any(owners[box] > 1 for box in share) for share in shares)
    # A box is meant to have a margin at both ends, which a single digit would miss the mark for.
    margins = (GROW - CORE_INSET) * np.linalg.norm(quads[:, 3] - quads[:, 0], axis=1) / EM_PER_BOX
    for quad, share in zip(lengthened(quads, margins), shares):
        score.matched += any(owners[box] == 1 and overlap(quad, found[box - 1]) >= MATCH for box in share)

    near = np.ones((3, 3), np.uint8)
    for channel in (1, 2):
        guess, true = ((plane[channel] > THRESHOLD).astype(np.uint8) for plane in (maps, truth))
        score.guessed += int(guess.sum())
        score.guessed_right += int((guess & cv2.dilate(true, near)).sum())
        score.ruled += int(true.sum())
        score.ruled_found += int((true & cv2.dilate(guess, near)).sum())
    return score
