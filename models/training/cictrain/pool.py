"""Pools on disk of generated line crops and pages, which the trainings read while they still grow.

A pool is a folder of shards. A shard is an array file and an index `*.json`, which is renamed into place last: a shard
that has its index is whole. Any number of processes may add shards, each under a seed of its own; training and
validation pages come from seeds that never meet.
"""

import json
import os
import time
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from . import document, lines
from .nets import LINE_HEIGHT
from .types import DrawnPage

KINDS = ("digital", "scan", "copy", "fax", "camera")
# Digital pages teach little that the others do not, and the kiosk's own camera sees the worst ones.
KIND_SHARES = (0.07, 0.26, 0.29, 0.08, 0.30)
STORED_WIDTH = 1040  # px, width of a stored upright A4 page; the detector's training scales down from it
A4 = (210.0, 297.0)
# To tune a recogniser on: what most reports are, and enough of the rest to forget nothing.
TUNING_SHARES = (0.20, 0.35, 0.22, 0.05, 0.18)
VALIDATION_SEEDS = 900_000_000  # seeds from here on are for validation and calibration, never for training
LINES_PER_SHARD = 2048


@dataclass
class LineShard:
    pixels: np.ndarray  # uint8, the crops one after another, row by row
    offsets: list[int]
    widths: list[int]
    texts: list[str]
    kinds: list[str]

    def crop(self, number: int) -> np.ndarray:
        start, width = self.offsets[number], self.widths[number]
        return self.pixels[start : start + LINE_HEIGHT * width].reshape(LINE_HEIGHT, width)


def _publish(folder: Path, name: str, array: np.ndarray, index: dict):
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / f"{name}.npy", array)
    partial = folder / f"{name}.partial"
    partial.write_text(json.dumps(index, ensure_ascii=False))
    os.replace(partial, folder / f"{name}.json")


class LineWriter:
    """Collects (crop, text, kind) and publishes a shard whenever enough have come together."""

    def __init__(self, folder: Path, name: str, size: int = LINES_PER_SHARD):
        self.folder, self.name, self.size = Path(folder), name, size
        self.shards, self.rows = 0, []

    def add(self, cut, text, kind):
        self.rows.append((cut, text, kind))
        if len(self.rows) >= self.size:
            self.flush()

    def flush(self):
        if not self.rows:
            return
        widths = [cut.shape[1] for cut, _, _ in self.rows]
        index = {
            "widths": widths,
            "texts": [text for _, text, _ in self.rows],
            "kinds": [kind for _, _, kind in self.rows],
        }
        pixels = np.concatenate([cut.reshape(-1) for cut, _, _ in self.rows])
        _publish(self.folder, f"lines-{self.name}-{self.shards:04}", pixels, index)
        self.shards, self.rows = self.shards + 1, []


def line_shards(folder: Path, known: dict[str, LineShard] | None = None) -> dict[str, LineShard]:
    """All whole shards of a folder by name; those in `known` are not read again."""
    shards = dict(known or {})
    for path in sorted(Path(folder).glob("lines-*.json")):
        if path.stem not in shards:
            index = json.loads(path.read_text())
            offsets = np.concatenate(([0], np.cumsum(index["widths"])[:-1])) * LINE_HEIGHT
            pixels = np.load(path.with_suffix(".npy"), mmap_mode="r")
            shards[path.stem] = LineShard(pixels, offsets.tolist(), **index)
    return shards


def write_losses(folder: Path, name: str, losses: np.ndarray):
    """Leaves beside the shard `name` what its lines cost a recogniser: nats of CTC loss, one float32 for each line."""
    partial = Path(folder) / f"{name}.losses.partial"
    with partial.open("wb") as file:
        np.save(file, np.asarray(losses, np.float32))
    os.replace(partial, Path(folder) / f"{name}.losses")


def losses(folder: Path, name: str) -> np.ndarray | None:
    """What `write_losses` left of a shard; None while its lines have not been read."""
    path = Path(folder) / f"{name}.losses"
    return np.load(path) if path.exists() else None


def shard_count(folder: Path) -> int:
    """Whole shards of lines of a folder."""
    return sum(1 for _ in Path(folder).glob("lines-*.json"))


def line_count(folder: Path) -> int:
    """Lines of all whole shards of a folder."""
    return sum(len(json.loads(path.read_text())["texts"]) for path in Path(folder).glob("lines-*.json"))


def page_count(folder: Path) -> int:
    """Whole stored pages of a folder."""
    return sum(1 for _ in Path(folder).glob("page-*.json"))


@dataclass
class StoredPage:
    """A page for the detector: grey pixels at about STORED_WIDTH, and its truth in their coordinates."""

    image: np.ndarray
    kind: str
    quads: np.ndarray  # [n, 4, 2], full boxes
    rules: list  # [(points [m, 2], horizontal, width)]


def store_page(folder: Path, name: str, page: DrawnPage, kind: str):
    image = lines.grey(page.image)
    # The scale of the paper, not of the frame: a photo keeps its margin of table.
    scale = STORED_WIDTH / (A4[0] / 25.4 * page.dpi)
    size = [max(32, round(side * scale)) for side in image.shape[1::-1]]
    scaled = cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    factor = np.array(size) / image.shape[1::-1]
    index = {
        "kind": kind,
        "quads": [(line.quad * factor).round(2).tolist() for line in page.lines],
        "rules": [((r.points * factor).round(2).tolist(), bool(r.horizontal), float(r.width * scale)) for r in page.rules],
    }
    _publish(folder, f"page-{name}", scaled, index)


def pages(folder: Path, known: dict[str, StoredPage] | None = None) -> dict[str, StoredPage]:
    """All whole stored pages of a folder by name; those in `known` are not read again."""
    found = dict(known or {})
    for path in sorted(Path(folder).glob("page-*.json")):
        if path.stem not in found:
            index = json.loads(path.read_text())
            rules = [(np.array(points, np.float32), flat, width) for points, flat, width in index["rules"]]
            quads = np.array(index["quads"], np.float32).reshape(-1, 4, 2)
            image = np.load(path.with_suffix(".npy"), mmap_mode="r")
            found[path.stem] = StoredPage(image, index["kind"], quads, rules)
    return found


def fill_lines(folder: Path, count: int, seed: int):
    """Adds shards with `count` lines drawn alone."""
    rng = np.random.default_rng(seed)
    writer = LineWriter(folder, f"drawn-{seed}")
    done = 0
    while done < count:
        drawn = lines.drawn_crop(rng)
        if drawn:
            writer.add(*drawn, "drawn")
            done += 1
    writer.flush()


def fill_pages(folder: Path, count: int, seed: int, shares=KIND_SHARES, drawn_share: float = 0.25, shard: int = LINES_PER_SHARD):
    """Adds `count` degraded pages, each as a page for the detector and as line crops, and lines drawn alone between.
    `shares` are those of `KINDS`."""
    start = time.monotonic()
    writer = LineWriter(folder, f"pages-{seed}", shard)
    for number in range(count):
        rng = np.random.default_rng(seed + number)
        kind = str(rng.choice(KINDS, p=shares))
        page = document.make_page(rng, kind)
        store_page(folder, str(seed + number), page, kind)
        crops = list(lines.page_crops(page, rng))
        for cut, text in crops:
            writer.add(cut, text, kind)
        for _ in range(round(len(crops) * drawn_share / (1 - drawn_share))):
            drawn = lines.drawn_crop(rng)
            if drawn:
                writer.add(*drawn, "drawn")
        if number % 10 == 9:
            pace = (time.monotonic() - start) / (number + 1)
            print(f"{number + 1} of {count} pages, {pace:.2f} s each", flush=True)
    writer.flush()


def fill_validation(folder: Path, per_kind: int, drawn: int):
    """The validation pool: as many pages of each kind, and lines drawn alone. Does nothing when it is there."""
    if (Path(folder) / "done").exists():
        return
    for which, kind in enumerate(KINDS):
        writer = LineWriter(folder, f"pages-{kind}", 1 << 30)
        for number in range(per_kind):
            seed = VALIDATION_SEEDS + 100_000 * which + number
            rng = np.random.default_rng(seed)
            page = document.make_page(rng, kind)
            store_page(folder, str(seed), page, kind)
            for cut, text in lines.page_crops(page, rng):
                writer.add(cut, text, kind)
        writer.flush()
    fill_lines(folder, drawn, VALIDATION_SEEDS + 90_000_000)
    (Path(folder) / "done").touch()
