"""Trains the recogniser with CTC on a pool of line crops that may still be growing.

The schedule follows time, not steps: a run asked for 90 minutes warms up, anneals and ends after 90 minutes of training
on any machine, however often it was stopped and resumed in between. The weights that are kept are a moving average.
A finished recogniser can be tuned: `mine` has it read the lines of another pool, and `tune` trains it further on them,
those it doubts above all. Lines are drawn and augmented in `workers` processes beside the training's, or in its own
where there are none.
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
from .schedule import Average, Run, half, loader, optimiser_of, worker_rng

PEAK_RATE = 2.5e-3
TUNING_RATE = 3e-4  # peak for a network that can read already: high enough to move, too low to forget
PIXELS_PER_BATCH = 12_288  # px of width in one batch of the usual size, padding included
DRAW = 6_144  # lines drawn from the pool at a time, then sorted by width into batches
DRAWN_SHARE = 0.3  # of the lines drawn alone among all; they are harder and more varied than a page's
PAGE_LINES_ENOUGH = 30_000  # lines cut from pages, below which their share is smaller in proportion
LINES_TO_START = 10_000  # lines the pool must hold before training begins
DOUBTED = 4.0  # how much more often than a line that it is sure of a tuned network sees one that it cannot read
# Nats of loss, at first and for each character, beyond which paper does not show what the truth says.
UNREADABLE = (6.0, 0.7)
VALUE = set("0123456789.,/-:() ")


def is_value(text: str) -> bool:
    """Amounts, dates, codes and numbers: digits with the punctuation that goes with them."""
    return any(c.isdigit() for c in text) and set(text) <= VALUE


def emphasis(text: str) -> float:
    """How much more often than its share a text is trained on: what is rare on paper, or a value's worth in few pixels."""
    if set(text) <= set(MARKS):
        return 10.0
    return 1.5 if is_value(text) or len(text) < 4 or text.isupper() else 1.0


def hardness(losses: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """How much more often than its share a line is trained on that cost a network `losses` nats for `lengths`
    characters: up to `DOUBTED` times as the posterior of its truth falls to 0, and never if nobody could read it."""
    first, each = UNREADABLE
    return np.where(losses > first + each * lengths, 0.0, 1 + (DOUBTED - 1) * -np.expm1(-losses))


class Sampler(IterableDataset):
    """Draws lines from a pool without end, those of pages and those drawn alone in fixed shares.

    A text that occurs often counts for less each time; values and short lines count for more, and so do lines of which
    `mine` found that they are hard.
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
        weights *= np.concatenate([self.hardness(name) for name in self.shards])
        drawn = np.array([shard.kinds[n] == "drawn" for shard, n in self.where])
        if 0 < drawn.sum() < len(drawn):
            share = max(DRAWN_SHARE, 1 - (~drawn).sum() / PAGE_LINES_ENOUGH)
            weights[drawn] *= share / weights[drawn].sum()
            weights[~drawn] *= (1 - share) / weights[~drawn].sum()
        self.weights = weights / weights.sum()

    def hardness(self, name: str) -> np.ndarray:
        """That of a shard's lines, all alike as long as nobody has mined them."""
        texts, losses = self.shards[name].texts, pool.losses(self.folder, name)
        return np.ones(len(texts)) if losses is None else hardness(losses, np.array([len(text) for text in texts]))

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


def losses_of(net, images, labels, lengths, device):
    """CTC loss of each line."""
    images = images.to(device).to(memory_format=torch.channels_last)
    with half(device):
        logits = net(images)
    steps = torch.full((len(images),), logits.shape[1])
    logs = logits.float().log_softmax(-1).transpose(0, 1)
    return F.ctc_loss(logs, labels.to(device), steps, lengths, reduction="none", zero_infinity=True)


def loss_of(net, images, labels, lengths, device):
    """Mean CTC loss per character."""
    return losses_of(net, images, labels, lengths, device).sum() / lengths.sum()


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
        with torch.inference_mode(), half(device):
            return net(torch.from_numpy(images).to(device)).float().cpu().numpy()

    return read


def mine(net: Recogniser, folder: Path):
    """Has a trained network read the lines of a pool that nobody has mined yet, and leaves what they cost it."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    net = net.to(device).to(memory_format=torch.channels_last)
    for name, shard in pool.line_shards(folder).items():
        if pool.losses(folder, name) is None:
            losses = shard_losses(net, shard, device)
            pool.write_losses(folder, name, losses)
            print(f"{name}: {np.mean(losses > np.log(2)):.1%} of {len(losses)} lines doubted", flush=True)


@torch.inference_mode()
def shard_losses(net, shard: pool.LineShard, device) -> np.ndarray:
    """CTC loss of each line as it is stored, in the shard's order."""
    losses = np.zeros(len(shard.texts), np.float32)
    order = np.argsort(shard.widths)
    for start in range(0, len(order), 32):
        chosen = order[start : start + 32]
        labels = [encode(shard.texts[n]) for n in chosen]
        images = lines.batch([shard.crop(n) for n in chosen], lines.padded_width(shard.widths[chosen[-1]]))
        lengths = torch.tensor([len(label) for label in labels])
        labels = torch.from_numpy(np.concatenate(labels))
        losses[chosen] = losses_of(net, torch.from_numpy(images), labels, lengths, device).cpu().numpy()
    return losses


def train(work: Path, minutes: float, batch: int = 1, workers: int = 0) -> Path:
    """Trains from random weights until `minutes` of training have passed over all runs in `work`, on batches `batch` times
    the usual size; gives the checkpoint's path."""
    return _fit(Recogniser(), work, "recogniser", "train", minutes, PEAK_RATE * batch**0.5, batch, workers)


def tune(net: Recogniser, work: Path, minutes: float, batch: int = 1, workers: int = 0) -> Path:
    """Trains a finished network further, on the pool for tuning; gives its own checkpoint's path."""
    return _fit(net, work, "recogniser-tuned", "tuning", minutes, TUNING_RATE * batch**0.5, batch, workers)


def _fit(net, work, name, pool_name, minutes, peak, batch, workers, validate_every=8.0) -> Path:
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    net = net.to(device).to(memory_format=torch.channels_last)
    optimiser = optimiser_of(net, peak)
    average = Average(net)
    run = Run(work / "ckpt" / f"{name}.pt", minutes, net, optimiser, average)
    folder = work / "pool" / pool_name
    while pool.line_count(folder) < LINES_TO_START:
        run.wait(5)

    def validate():
        return evaluate(reader(average.net, device), pool.line_shards(work / "pool" / "validation"), limit=150)

    batches = loader(Sampler(folder, (7, run.steps), batch * PIXELS_PER_BATCH), workers)
    run.fit(batches, peak, lambda drawn: loss_of(net, *drawn, device), validate, validate_every)
    return run.path
