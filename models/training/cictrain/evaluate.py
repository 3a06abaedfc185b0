"""Measures the exported models, fp32 and int8, on validation pages, and times them.

Accuracy is measured with one thread of ONNX Runtime; times are the best of several, with one thread and with two, so that
other work on the machine disturbs them little.
"""

import shutil
import time
from pathlib import Path

import numpy as np

from . import pool, quantise, train_detector, train_recogniser
from .quantise import runner

PRECISIONS = {"fp32": ".onnx", "int8": ".int8.onnx"}
THREADS = (1, 2)
REPEATS = 15
CHOICE_LIMITS = {"detector": 4, "recogniser": 250}  # pages of a kind, lines of a shard, to choose a recipe by
SPEED_LINES = 32  # lines of SPEED_WIDTH px timed together
SPEED_WIDTH = 320


def model_path(models: Path, kind: str, precision: str) -> Path:
    return models / (kind + PRECISIONS[precision])


def accuracy(kind: str, path: Path, validation: Path, limit: int | None = None) -> dict[str, dict]:
    """Figures of one model by kind of paper; `limit` pages of a kind, or lines of a shard, at most."""
    if kind == "detector":
        return train_detector.evaluate(runner(path), pool.pages(validation), limit)
    return train_recogniser.evaluate(runner(path), pool.line_shards(validation), limit)


def score(kind: str, figures: dict[str, dict]) -> float:
    """One number to choose by, higher is better."""
    overall = figures["all"]
    if kind == "detector":
        return overall["found"] - 0.5 * overall["stray"] + 0.2 * overall["rules_f1"]
    return overall["exact"] - overall["cer"]


def milliseconds(kind: str, path: Path, threads: int) -> float:
    """Best time for one page of 896 x 1280 px, or for one line of 320 px in a batch of 32."""
    shape, count = ((1, 1, 1280, 896), 1) if kind == "detector" else ((SPEED_LINES, 1, 40, SPEED_WIDTH), SPEED_LINES)
    array = np.random.default_rng(0).random(shape, np.float32)
    run = runner(path, threads)
    run(array)
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        run(array)
        times.append(time.perf_counter() - start)
    return round(1000 * min(times) / count, 2)


def choose(kind: str, models: Path, work: Path) -> dict:
    """Makes the int8 model by every recipe, keeps the best by validation, and says which it was and how all scored."""
    rng = np.random.default_rng(3)
    training, validation = work / "pool" / "train", work / "pool" / "validation"
    samples = quantise.page_samples(training, rng) if kind == "detector" else quantise.line_samples(training, rng)
    source, target = model_path(models, kind, "fp32"), model_path(models, kind, "int8")
    best, tried = None, {}
    for recipe in quantise.RECIPES:
        candidate = work / f"{kind}-{recipe.name}.onnx"
        quantise.quantise(kind, source, candidate, samples, recipe)
        tried[recipe.name] = score(kind, accuracy(kind, candidate, validation, CHOICE_LIMITS[kind]))
        if best is None or tried[recipe.name] > tried[best]:
            best = recipe.name
            shutil.copyfile(candidate, target)
        print(f"{kind} {recipe.name}: {tried[recipe.name]:.4f}", flush=True)
    return {"recipe": best, "tried": tried}


def measure(kind: str, models: Path, work: Path) -> dict:
    """Accuracy and time of both precisions of a model."""
    return {
        precision: {
            "accuracy": accuracy(kind, model_path(models, kind, precision), work / "pool" / "validation"),
            "milliseconds": {threads: milliseconds(kind, model_path(models, kind, precision), threads) for threads in THREADS},
        }
        for precision in PRECISIONS
    }
