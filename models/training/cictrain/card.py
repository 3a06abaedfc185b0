"""The models' manifest, which the engine reads, and their card, which people read."""

import hashlib
import json
from datetime import date
from pathlib import Path

from . import confidence, nets
from .alphabet import ALPHABET
from .evaluate import PRECISIONS, model_path
from .export import INPUTS, OUTPUTS, VERSION

SHAPES = {
    "detector": ("[1, 1, H, W] float32, grey, 1 = white, H and W multiples of 32, A4 scaled to 896 px of width",
                 "[1, 3, H/2, W/2] float32 in 0..1: text cores, horizontal rules, vertical rules"),
    "recogniser": ("[N, 1, 40, W] float32, grey, 1 = white, normalised per line, W a multiple of 8",
                   "[N, W/4, C] float32 logits, class 0 the CTC blank, class i the i-th character of the alphabet"),
}


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _measured(kind: str, figures: dict) -> str:
    names = ("found", "stray", "merged", "split", "rules_f1") if kind == "detector" else ("cer", "exact")
    row = figures["accuracy"]["all"]
    return "{ " + ", ".join(f"{name} = {row[name]}" for name in names) + " }"


def manifest(models: Path, results: dict, trained: dict[str, str]) -> str:
    """manifest.toml; `results` is {kind: measure()}, `trained` a sentence for each kind."""
    parts = ["# Written by `python -m cictrain card`. The accuracy is that on generated validation pages of all kinds."]
    for kind in results:
        for precision in PRECISIONS:
            path = model_path(models, kind, precision)
            rows = {
                "name": f"cic-{kind}",
                "kind": kind,
                "version": VERSION,
                "file": path.name,
                "sha256": digest(path.read_bytes()),
                "precision": precision,
                "input": f"{INPUTS[kind]}: {SHAPES[kind][0]}",
                "output": f"{OUTPUTS[kind]}: {SHAPES[kind][1]}",
            }
            lines = ["[[model]]"] + [f"{key} = {json.dumps(value)}" for key, value in rows.items()]
            if kind == "recogniser":
                lines.append(f'alphabet = {{ characters = {len(ALPHABET)}, sha256 = "{digest(ALPHABET.encode())}" }}')
            lines.append(f"trained = {json.dumps(trained[kind])}")
            lines.append(f"measured = {_measured(kind, results[kind][precision])}")
            parts.append("\n".join(lines))
    return "\n\n".join(parts) + "\n"


def _table(head: list[str], rows: list[list]) -> str:
    lines = [head, ["---"] + ["---:"] * (len(head) - 1), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def _percent(value: float) -> str:
    return f"{100 * value:.2f} %"


def _accuracy(kind: str, result: dict) -> str:
    if kind == "detector":
        shown, names = ("found", "stray", "merged", "split", "rules_f1"), ("lines found", "stray boxes", "merged", "split", "rules F1")
    else:
        shown, names = ("cer", "exact"), ("CER", "lines exact")
    head = ["paper", "lines"] + [f"{name} {precision}" for name in names for precision in PRECISIONS]
    rows = []
    for paper in result["fp32"]["accuracy"]:
        row = [paper, result["fp32"]["accuracy"][paper]["lines"]]
        row += [_percent(result[precision]["accuracy"][paper][name]) for name in shown for precision in PRECISIONS]
        rows.append(row)
    return _table(head, rows)


def _times(kind: str, result: dict) -> str:
    unit = "a page of 896 x 1280 px" if kind == "detector" else "a line of 320 px, 32 at once"
    rows = [[precision, *result[precision]["milliseconds"].values()] for precision in PRECISIONS]
    return _table([f"ms for {unit}", *(f"{t} thread{'s' * (int(t) > 1)}" for t in result["fp32"]["milliseconds"])], rows)


def card(models: Path, results: dict, choices: dict, trained: dict[str, str]) -> str:
    """CARD.md."""
    sizes = _table(
        ["file", "bytes", "parameters", "multiplications"],
        [
            [model_path(models, kind, p).name, model_path(models, kind, p).stat().st_size, *_budget(kind)]
            for kind in results
            for p in PRECISIONS
        ],
    )
    recipes = "\n".join(
        f"- {kind}: {choice['recipe']} (" + ", ".join(f"{name} {value:.4f}" for name, value in choice["tried"].items()) + ")"
        for kind, choice in choices.items()
    )
    return CARD.format(
        version=VERSION,
        date=date.today().isoformat(),
        sizes=sizes,
        trained="\n".join(f"- {kind}: {sentence}" for kind, sentence in trained.items()),
        recipes=recipes,
        detector=_accuracy("detector", results["detector"]),
        recogniser=_accuracy("recogniser", results["recogniser"]),
        times="\n\n".join(_times(kind, results[kind]) for kind in results),
        confidence=confidence.section(models),
        characters=len(ALPHABET),
    )


def _budget(kind: str) -> tuple[str, str]:
    net, shape = (nets.Detector(), (1, 1, 1280, 896)) if kind == "detector" else (nets.Recogniser(), (1, 1, 40, 320))
    return f"{nets.parameters(net) / 1e6:.2f} M", f"{nets.macs(net, *shape) / 1e9:.2f} G"


CARD = """\
# Models of cic-kiosk, version {version}

Written on {date} by `python -m cictrain card` (see `training/README.md`); do not edit by hand.

## What they are
Two small networks that read Vietnamese credit reports (CIC's S11A and its kin) on a board without a network connection.

- **Detector**: a U-Net over the whole page. Three maps at half resolution: the cores of text lines, horizontal rules,
  vertical rules. Connected components of the first are the lines; cells of one row stay apart.
- **Recogniser**: a fully convolutional network with CTC over one line, 40 px high. {characters} characters: ASCII, all 134
  accented Vietnamese letters, en dash, middle dot, degree, three ballot boxes and a tick. Logits give a posterior for
  each character. Each step sees about 2.5 em to each side, and there is no language model: what it reads is what it saw.

Only convolutions, ReLU, additions and nearest-neighbour upsampling. fp32 and static int8 (QDQ) of each; int8 pays where
the processor has int8 dot products. In the int8 files the first convolution takes eight pixels of a row as channels, and
upsampling and shuffling pixels are said in other words: the same numbers in less time (`cictrain/arrange.py`).

{sizes}

Multiplications: a page of 896 x 1280 px, a line of 320 px.

## Data
Nothing but pages that `cictrain` draws: reports of all shapes with made-up people, set in the Vietnamese fonts that Debian
packages, rendered at 100 to 300 dpi, degraded as scanners, copiers, fax machines and cameras do; line crops are cut with
the errors of a detector; lines drawn alone from random text come first, and later make up about a third of what is trained
on. No real report, no person's data, no pretrained weights, and no paper of another origin in training, calibration or the
choice of a recipe. Two of the project's sample pages were read with early models to find faults: that boxes of sloping lines
come out too tall, which the crops now imitate.

## Training
{trained}

Static int8: weights per channel, activations calibrated on training pages and lines. Recipes tried, with their score on
validation data (detector: lines found - stray / 2 + rules F1 / 5; recogniser: lines exact - CER); the best was kept:

{recipes}

## Accuracy
On generated validation pages whose seeds are never trained on; they share the generator, so real paper will differ, and the
int8 recipe was chosen on part of them. The engine's own `cic-kiosk eval` measures whole documents of another origin.

### Detector
Lines found: a box of its own with IoU >= 0.6. Merged: shares its box with another line. Split: lies in several boxes.

{detector}

### Recogniser
Line crops with a detector's errors; `drawn` are lines drawn alone, `values` are numbers, dates and codes of all kinds.

{recogniser}

### Time
On two cores of an x86-64 server, ONNX Runtime, best of several runs.

{times}

{confidence}
## Limits
- Printed text only: handwriting, but for ticks, is neither found nor read.
- Lines within about 5 degrees of upright are read; a page on its side or head is recognised as such, then must be turned.
- Below about 9 px of em (100 dpi at 6 pt) tone marks are guesses.
- Characters outside the alphabet are read as the nearest one inside it.
- On x86 processors without VNNI, ONNX Runtime's 8-bit kernels can saturate: use fp32 there.
- Print that shines through from the back of a thin sheet is found as text; it is mirrored, and reads with low posteriors.
- Posteriors are of a network: calibrate them before they decide anything.
"""
