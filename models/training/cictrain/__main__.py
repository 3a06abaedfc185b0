"""`python -m cictrain STEP --work DIR --out DIR`: from nothing to the models, their manifest and their card.

Every step leaves its result on disk and can be run again: a pool that is large enough is not filled further, a training
resumes at its checkpoint, and a finished one does nothing.
"""

import argparse
import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path


KINDS = "detector", "recogniser"


def main() -> int:
    steps = {
        "pages": pages,
        "validation": validation,
        "recogniser": recogniser,
        "detector": detector,
        "tuning-pages": tuning_pages,
        "mine": mine,
        "tune": tune,
        "export": export,
        "quantise": quantise,
        "evaluate": evaluate,
        "card": card,
        "all": everything,
    }
    parser = argparse.ArgumentParser(prog="cictrain", description=__doc__.splitlines()[0])
    parser.add_argument("step", choices=steps)
    parser.add_argument("--work", type=Path, required=True, help="folder of pools, checkpoints and measurements")
    parser.add_argument("--out", type=Path, default=Path(__file__).parents[2], help="folder of the models")
    parser.add_argument("--minutes", type=float, help="training time (recogniser: 90, detector: 50, tune: 60)")
    parser.add_argument("--pages", type=int, default=1500, help="pages of the pool")
    parser.add_argument("--drawn", type=int, default=60_000, help="lines drawn alone, for the start of the training pool")
    parser.add_argument("--seed", type=int, default=1_000_000, help="first seed of the pages")
    parser.add_argument("--validation-pages", type=int, default=12, help="validation pages of each kind")
    parser.add_argument("--threads", type=int, default=1, help="threads of this process")
    parser.add_argument("--workers", type=int, default=0, help="processes that draw batches for a training (0: its own)")
    parser.add_argument("--batch", type=int, default=1, help="how many times larger than usual a batch is; a GPU bears 4")
    options = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = str(options.threads)  # before torch is loaded
    import cv2
    import torch

    cv2.setNumThreads(options.threads)
    torch.set_num_threads(options.threads)
    steps[options.step](options)
    return 0


def pages(options):
    """Draws the training pool: lines alone first, because those are quick and a training can start with them."""
    from . import pool

    folder = options.work / "pool" / "train"
    drawn = sum(len(shard.texts) for shard in pool.line_shards(folder).values() if set(shard.kinds) == {"drawn"})
    if drawn < options.drawn:
        pool.fill_lines(folder, options.drawn - drawn, options.seed - 1 - drawn)
    done = pool.page_count(folder)
    if done < options.pages:
        pool.fill_pages(folder, options.pages - done, options.seed + done)


def validation(options):
    from . import pool

    pool.fill_validation(options.work / "pool" / "validation", options.validation_pages, drawn=1000)


def recogniser(options):
    from . import train_recogniser

    path = train_recogniser.train(options.work, options.minutes or 90, options.batch, options.workers)
    note(options, path, "From random weights", "{lines} lines, cut from {pages} generated pages or drawn alone", "train")


def detector(options):
    from . import train_detector

    path = train_detector.train(options.work, options.minutes or 50, options.batch, options.workers)
    note(options, path, "From random weights", "{pages} generated pages", "train")


def tuning_pages(options):
    """Draws the pool that a finished recogniser is tuned on."""
    from . import pool

    folder = options.work / "pool" / "tuning"
    done = pool.page_count(folder)
    if done < options.pages:
        pool.fill_pages(folder, options.pages - done, options.seed + done, pool.TUNING_SHARES)


def mine(options):
    """Has the recogniser, as it was before tuning, read what the pool for tuning has grown by."""
    from . import train_recogniser

    train_recogniser.mine(network(options, "recogniser", base(options)), options.work / "pool" / "tuning")


def tune(options):
    from . import train_recogniser

    before, net = history(options, "recogniser", base(options)), network(options, "recogniser", base(options))
    path = train_recogniser.tune(net, options.work, options.minutes or 60, options.batch, options.workers)
    data = "{lines} more lines, cut from {pages} pages or drawn alone, the hard ones more often"
    note(options, path, f"{before} Then tuned", data, "tuning")


def base(options) -> Path:
    """The checkpoint of the recogniser that is tuned."""
    return options.work / "ckpt" / "recogniser.pt"


def checkpoint(options, kind: str) -> Path:
    """A model's, tuned if it has been."""
    tuned = options.work / "ckpt" / f"{kind}-tuned.pt"
    return tuned if tuned.exists() else tuned.with_stem(kind)


def network(options, kind: str, path: Path):
    """The averaged weights of a checkpoint, or where it is gone those of the model in `--out`."""
    from . import evaluate, export

    if path.exists():
        return export.network(kind, path)
    return export.exported(kind, evaluate.model_path(options.out, kind, "fp32"))


def export(options):
    from . import evaluate, export

    for kind in KINDS:
        path = evaluate.model_path(options.out, kind, "fp32")
        export.export(kind, network(options, kind, checkpoint(options, kind)), path)
        print(path.name, path.stat().st_size, "bytes")


def quantise(options):
    from . import evaluate

    for kind in KINDS:
        choice = evaluate.choose(kind, options.out, options.work)
        (options.work / f"{kind}-choice.json").write_text(json.dumps(choice))


def evaluate(options):
    from . import evaluate

    for kind in KINDS:
        result = evaluate.measure(kind, options.out, options.work)
        (options.work / f"{kind}-result.json").write_text(json.dumps(result, indent=1))
        for precision, figures in result.items():
            print(kind, precision, figures["milliseconds"], "ms by threads")
            for paper, row in figures["accuracy"].items():
                print("   ", paper, row)


def card(options):
    from . import card

    results = {kind: json.loads((options.work / f"{kind}-result.json").read_text()) for kind in KINDS}
    choices = {kind: json.loads((options.work / f"{kind}-choice.json").read_text()) for kind in KINDS}
    trained = {kind: history(options, kind, checkpoint(options, kind)) for kind in KINDS}
    (options.out / "manifest.toml").write_text(card.manifest(options.out, results, trained))
    (options.out / "CARD.md").write_text(card.card(options.out, results, choices, trained))


def note(options, path: Path, how: str, data: str, pool_name: str):
    """Writes beside a checkpoint how it was trained: it may be exported where its pool is not."""
    import torch

    from . import pool

    state = torch.load(path, map_location="cpu", weights_only=True)
    folder = options.work / "pool" / pool_name
    data = data.format(lines=pool.line_count(folder), pages=pool.page_count(folder))
    batches = f" in batches of {options.batch} times the usual size" if options.batch > 1 else ""
    path.with_suffix(".txt").write_text(
        f"{how} with AdamW{batches} on one cycle of the rate, {state['steps']} steps in {state['elapsed'] / 60:.0f} minutes, "
        f"on {data}; the weights are a moving average.\n"
    )


def history(options, kind: str, path: Path) -> str:
    """How a checkpoint was trained, as `note` left it, or where it is gone how the model in `--out` was."""
    if path.exists():
        return path.with_suffix(".txt").read_text().strip()
    models = tomllib.loads((options.out / "manifest.toml").read_text())["model"]
    return next(model["trained"] for model in models if model["kind"] == kind)


def everything(options):
    """All steps; the trainings run beside the drawing of pages, each in a process of its own."""
    arguments = [argument for argument in sys.argv[1:] if argument != "all"]
    background = [
        subprocess.Popen([sys.executable, "-m", "cictrain", step, *arguments]) for step in ("pages", "recogniser", "detector")
    ]
    try:
        validation(options)
        for process in background:
            if process.wait() != 0:
                raise SystemExit(f"the step {process.args[3]} failed")
    finally:
        for process in background:
            process.terminate()
    for step in (export, quantise, evaluate, card):
        step(options)


if __name__ == "__main__":
    sys.exit(main())
