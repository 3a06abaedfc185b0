"""Trains the recogniser with CTC on a pool of line crops that may still be growing.

The schedule follows time, not steps: a run asked for 90 minutes warms up, anneals and ends after 90 minutes of training
on any machine, however often it was stopped and resumed in between. The weights that are kept are a moving average.
Lines are drawn and augmented in `workers` processes beside the training's, or in its own where there are none.
"""

from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F
from torch.utils.data import IterableDataset

from . import lines, pool
from .alphabet import MARKS, decode, encode
from .nets import TIME_STRIDE, Recogniser
from .schedule import Average, Run, loader, optimiser_of, worker_rng

PEAK_RATE = 2.5e-3
PIXELS_PER_BATCH = 12_288  # px of width in one batch of the usual size, padding included
DRAW = 6_144  # lines drawn from the pool at a time, then sorted by width into batches
DRAWN_SHARE = 0.3  # of the lines drawn alone among all; they are harder and more varied than a page's
PAGE_LINES_ENOUGH = 30_000  # lines cut from pages, below which their share is smaller in proportion
LINES_TO_START = 10_000  # lines the pool must hold before training begins
VALUE = set("0123456789.,/-:() ")


def is_value(text: str) -> bool:
    """Amounts, dates, codes and numbers: digits with the punctuation that goes with them."""
    return any(c.isdigit() for c in text) and set(text) <= VALUE


def emphasis(text: str) -> float:
    """How much more often than its share a text is trained on: what is rare on paper, or a value's worth in few pixels."""
    if set(text) <= set(MARKS):
        return 10.0
    return 1.5 if is_value(text) or len(text) < 4 or text.isupper() else 1.0


class Sampler(IterableDataset):
    """Draws lines from a pool without end, those of pages and those drawn alone in fixed shares.

    A text that occurs often counts for less each time; values and short lines count for more.
    """

    def __init__(self, folder: Path, seed: tuple[int, ...], pixels: int = PIXELS_PER_BATCH):
        self.folder, self.seed, self.pixels, self.shards = folder, seed, pixels, {}

    def __iter__(self):
        self.rng = worker_rng(self.seed)
        while True:
            self.refresh()
            yield from self.batches()

    def refresh(self):
        """Takes over what the pool has grown by, once that is worth the counting."""
        if self.shards and pool.shard_count(self.folder) < 1.1 * len(self.shards):
            return
        self.shards = pool.line_shards(self.folder, self.shards)
        self.where = [(shard, n) for shard in self.shards.values() for n in range(len(shard.texts))]
        texts = [shard.texts[n] for shard, n in self.where]
        often = Counter(texts)
        weights = np.array([often[text] ** -0.3 for text in texts])
        weights *= [emphasis(text) for text in texts]
        drawn = np.array([shard.kinds[n] == "drawn" for shard, n in self.where])
        if 0 < drawn.sum() < len(drawn):
            share = max(DRAWN_SHARE, 1 - (~drawn).sum() / PAGE_LINES_ENOUGH)
            weights[drawn] *= share / weights[drawn].sum()
            weights[~drawn] *= (1 - share) / weights[~drawn].sum()
        self.weights = weights / weights.sum()

    def batches(self):
        """One draw as (images [N, 1, 40, W], labels, label lengths), narrow and wide batches mixed."""
        chosen = self.rng.choice(len(self.where), DRAW, p=self.weights)
        rows = []
        for index, next_index in zip(chosen, np.roll(chosen, 1)):
            shard, number = self.where[index]
            other, which = self.where[next_index]
            cut = lines.augment(shard.crop(number), other.crop(which), self.rng)
            if lines.readable(cut, shard.texts[number]) and cut.shape[1] <= lines.MAX_WIDTH:
                rows.append((cut, encode(shard.texts[number])))
        rows.sort(key=lambda row: row[0].shape[1] + self.rng.uniform(0, 24))
        groups, group, width = [], [], 0
        for row in rows:
            wider = max(width, lines.padded_width(row[0].shape[1]))
            if group and wider * (len(group) + 1) > self.pixels:
                groups.append((group, width))
                group, wider = [], lines.padded_width(row[0].shape[1])
            group.append(row)
            width = wider
        groups.append((group, width))
        for which in self.rng.permutation(len(groups)):
            group, width = groups[which]
            # The engine pads to wide steps: let the network see much white after the text, too.
            if self.rng.random() < 0.2:
                width = min(lines.MAX_WIDTH, width + lines.WIDTH_STEP * int(self.rng.integers(1, 5)))
            images = lines.batch([cut for cut, _ in group], width)
            labels = np.concatenate([label for _, label in group])
            yield torch.from_numpy(images), torch.from_numpy(labels), torch.tensor([len(label) for _, label in group])


def loss_of(net, images, labels, lengths, device):
    """Mean CTC loss per character."""
    images = images.to(device).to(memory_format=torch.channels_last)
    with torch.autocast(device.type, torch.bfloat16):
        logits = net(images)
    steps = torch.full((len(images),), logits.shape[1])
    logs = logits.float().log_softmax(-1).transpose(0, 1)
    total = F.ctc_loss(logs, labels.to(device), steps, lengths, reduction="sum", zero_infinity=True)
    return total / lengths.sum()


def distance(a: str, b: str) -> int:
    """Levenshtein distance in characters."""
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        previous, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            previous, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, previous + (x != y))
    return row[-1]


class Score:
    """Character error rate and share of lines read exactly."""

    def __init__(self):
        self.errors = self.characters = self.exact = self.lines = 0

    def add(self, truth: str, read: str):
        self.errors += distance(truth, read) if truth != read else 0
        self.characters += len(truth)
        self.exact += truth == read
        self.lines += 1

    def figures(self) -> dict:
        return {
            "cer": round(self.errors / max(1, self.characters), 5),
            "exact": round(self.exact / max(1, self.lines), 4),
            "lines": self.lines,
        }


def evaluate(read, shards, limit: int | None = None) -> dict[str, dict]:
    """Scores by kind, over all and over values. `read(images [N, 1, 40, W] float32)` gives logits [N, W / 4, CLASSES]."""
    rows = []
    for shard in shards.values():
        count = len(shard.texts)
        picked = range(count) if limit is None or count <= limit else np.linspace(0, count - 1, limit).astype(int)
        rows += [(shard.crop(n), shard.texts[n], shard.kinds[n]) for n in picked]
    rows.sort(key=lambda row: row[0].shape[1])
    scores = defaultdict(Score)
    for start in range(0, len(rows), 32):
        group = rows[start : start + 32]
        width = lines.padded_width(max(cut.shape[1] for cut, _, _ in group))
        best = np.asarray(read(lines.batch([cut for cut, _, _ in group], width))).argmax(-1)
        for (_, truth, kind), codes in zip(group, best):
            text = " ".join(decode(codes).split())
            for name in ("all", kind) + (("values",) if is_value(truth) else ()):
                scores[name].add(truth, text)
    return {name: score.figures() for name, score in sorted(scores.items())}


def reader(net: torch.nn.Module, device):
    """The `read` of `evaluate` for a torch network."""

    def read(images):
        with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16):
            return net(torch.from_numpy(images).to(device)).float().cpu().numpy()

    return read


def train(work: Path, minutes: float, batch: int = 1, workers: int = 0, validate_every: float = 8.0) -> Path:
    """Trains until `minutes` of training have passed over all runs in `work`, on batches `batch` times the usual size;
    gives the checkpoint's path."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    net = Recogniser().to(device).to(memory_format=torch.channels_last)
    peak = PEAK_RATE * batch**0.5
    optimiser = optimiser_of(net, peak)
    average = Average(net)
    run = Run(work / "ckpt" / "recogniser.pt", minutes, net, optimiser, average)
    folder = work / "pool" / "train"
    while pool.line_count(folder) < LINES_TO_START:
        run.wait(5)

    def validate():
        return evaluate(reader(average.net, device), pool.line_shards(work / "pool" / "validation"), limit=150)

    batches = loader(Sampler(folder, (7, run.steps), batch * PIXELS_PER_BATCH), workers)
    run.fit(batches, peak, lambda drawn: loss_of(net, *drawn, device), validate, validate_every)
    return run.path
