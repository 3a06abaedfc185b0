"""Writes made-up reports as files: `python -m cictrain.generate --out DIR --count N --seed S [--kind K]`.

For each report, NAME.pdf holds the degraded pages as JPEG pictures and NAME.json the truth: `kind`, `info` with every
scalar and table of the engine's answer, and `text`, for each page the texts of its lines. The same seed writes the same
reports, whatever their count. With `--typeset` the pages have text instead of pictures (`typeset`).
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from . import typeset
from .degrade import KINDS
from .document import make_document
from .types import Document


def _picture(image: np.ndarray) -> Image.Image:
    """Grey where the page has no colour: a third of the size."""
    grey = (image[..., 0] == image[..., 1]).all() and (image[..., 1] == image[..., 2]).all()
    return Image.fromarray(np.ascontiguousarray(image[..., 0]) if grey else image)


def write_pictures(document: Document, pdf: Path, quality: int) -> None:
    """The pages as JPEG pictures of this quality."""
    pictures = [_picture(page.image) for page in document.pages]
    pictures[0].save(
        pdf,
        "PDF",
        save_all=True,
        append_images=pictures[1:],
        resolution=document.pages[0].dpi,
        quality=quality,
    )


def write_truth(document: Document, path: Path) -> None:
    """What is on the pages."""
    truth = {**document.truth, "text": [[line.text for line in page.lines] for page in document.pages]}
    path.write_text(json.dumps(truth, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="cictrain.generate", description="Write made-up credit reports with their truth."
    )
    parser.add_argument("--out", type=Path, required=True, help="folder to write to; made if missing")
    parser.add_argument("--count", type=int, required=True, help="number of reports")
    parser.add_argument("--seed", type=int, default=0, help="seed of the whole set (default 0)")
    parser.add_argument("--kind", choices=KINDS, help="degrade all in one way (default: each kind in turn)")
    parser.add_argument("--typeset", action="store_true", help="print them, with text of their own (needs Chromium)")
    options = parser.parse_args(arguments)
    if options.typeset and options.kind != "digital":
        parser.error("what is typeset is not degraded: --typeset needs --kind digital")
    options.out.mkdir(parents=True, exist_ok=True)
    for number in range(options.count):
        kind = options.kind or KINDS[number % len(KINDS)]
        name = f"{kind}-{number:03d}"
        rng, pdf = np.random.default_rng([options.seed, number]), options.out / f"{name}.pdf"
        if options.typeset:
            document = typeset.make_document(rng, pdf)
        else:
            document = make_document(rng, kind)
            write_pictures(document, pdf, 95 if kind == "digital" else 90)
        write_truth(document, options.out / f"{name}.json")
        print(f"{name}: {len(document.pages)} pages", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
