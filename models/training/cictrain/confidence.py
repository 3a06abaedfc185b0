"""Draws what the engine's confidence is worth: `python -m cictrain.confidence [VALUES] [--models DIR]`.

VALUES is what `make errors` leaves: for every value of every document its confidence and whether it was right. Two figures
and `confidence.json`, the figures' and the card's numbers, go to `figures/` in the models' folder, and the card's section on
confidence is brought up to date.

A value that is on the paper and was not given has no confidence: it is never accepted, and counts in the coverage. Cells of
invented rows count as wrong.
"""

import argparse
import hashlib
import json
import math
import re
import sys
from collections import defaultdict
from datetime import date
from pathlib import Path
from xml.sax.saxutils import escape

REVIEW_BELOW = 0.9  # the engine's default: values of a lower confidence are for a person (src/config)
LOW, HIGH = 0.5, 0.99  # what the card's table splits at
BINS = 10
SERIES = {"generated": "generated reports", "samples": "samples"}
FIGURES = "figures"

# Numbers


def bins(values: list) -> list[tuple[float, int, int]]:
    """(mean confidence, values, right ones) of each tenth of confidence that has any, of [(confidence, right)]."""
    found = defaultdict(list)
    for confidence, right in values:
        found[min(int(confidence * BINS), BINS - 1)].append((confidence, right))
    return [
        (sum(c for c, _ in some) / len(some), len(some), sum(r for _, r in some)) for _, some in sorted(found.items())
    ]


def interval(right: int, count: int, z: float = 1.96) -> tuple[float, float]:
    """Wilson's interval of a share: where it lies in 95 of 100 such samples."""
    share, spread = right / count, z * z / count
    middle = (share + spread / 2) / (1 + spread)
    half = z / (1 + spread) * math.sqrt(share * (1 - share) / count + spread / count / 4)
    return max(0.0, middle - half), min(1.0, middle + half)


def coverage(values: list, total: int) -> list[tuple[float, float, float]]:
    """(lowest confidence, share of `total` accepted, share wrong of the accepted), the surest of [(confidence, right)] first."""
    curve, wrong = [], 0
    ordered = sorted(values, reverse=True)
    for number, (confidence, right) in enumerate(ordered, 1):
        wrong += not right
        if number == len(ordered) or ordered[number][0] < confidence:  # Equal ones are accepted together.
            curve.append((confidence, number / total, wrong / number))
    return curve


def summary(rows: list) -> dict:
    """The card's numbers, of [series, kind, confidence or None, right]."""
    found = {}
    for series in dict.fromkeys(row[0] for row in rows):
        mine = [row[1:] for row in rows if row[0] == series]
        given = [(confidence, right) for _, confidence, right in mine if confidence is not None]
        kinds = {}
        for kind in [*sorted({kind for kind, _, _ in mine}), "all"]:
            some = [row for row in mine if kind in (row[0], "all")]
            accepted = [right for _, confidence, right in some if confidence is not None and confidence >= REVIEW_BELOW]
            kinds[kind] = {"values": len(some), "accepted": len(accepted), "wrong": accepted.count(False)}
        low, high = ([r for c, r in given if c < LOW], [r for c, r in given if c > HIGH])
        found[series] = {
            "low": {"values": len(low), "right": sum(low)},
            "high": {"values": len(high), "right": sum(high)},
            "kinds": kinds,
        }
    return found


# Drawing


STYLE = """
  svg { color-scheme: light dark; --paper: #ffffff; --ink: #1f2328; --faint: #d0d7de; --soft: #59636e; --a: #0969da; --b: #bc4c00 }
  @media (prefers-color-scheme: dark) {
    svg { --paper: #0d1117; --ink: #f0f6fc; --faint: #3d444d; --soft: #9198a1; --a: #58a6ff; --b: #f0883e }
  }
  .paper { fill: var(--paper) }
  text { fill: var(--ink); font: 13px system-ui, sans-serif }
  .title { font-weight: bold }
  .soft { fill: var(--soft); font-size: 11px }
  .grid { stroke: var(--faint) }
  .aim { stroke: var(--soft); stroke-dasharray: 5 4 }
  .line { fill: none; stroke-width: 2 }
  .line.a, .bar.a { stroke: var(--a) }
  .line.b, .bar.b { stroke: var(--b) }
  .dot.a, text.a { fill: var(--a) }
  .dot.b, text.b { fill: var(--b) }
  .mark { fill: var(--paper); stroke-width: 2.5 }
  .mark.a { stroke: var(--a) }
  .mark.b { stroke: var(--b) }
"""
WIDTH, LEFT, TOP, ACROSS, DOWN = 640, 70, 60, 540, 320  # px; the last four are the field that is plotted on


def element(tag: str, text: str | None = None, **attributes) -> str:
    """An SVG element; `stroke_width` stands for `stroke-width`, `kind` for `class`, numbers are rounded to a tenth."""
    names = {"kind": "class"}
    shown = "".join(
        f' {names.get(name, name.replace("_", "-"))}="{round(value, 1) if isinstance(value, float) else value}"'
        for name, value in attributes.items()
    )
    return f"<{tag}{shown}/>" if text is None else f"<{tag}{shown}>{escape(text)}</{tag}>"


def px(x: float, y: float) -> tuple[float, float]:
    """Pixels of a place on the field, 0..1 from its lower left corner."""
    return LEFT + x * ACROSS, TOP + (1 - y) * DOWN


def line(points: list, kind: str) -> str:
    return element("polyline", points=" ".join(f"{x:.1f},{y:.1f}" for x, y in (px(*point) for point in points)), kind=kind)


def rule(start: tuple, end: tuple, kind: str) -> str:
    (x1, y1), (x2, y2) = px(*start), px(*end)
    return element("line", x1=x1, y1=y1, x2=x2, y2=y2, kind=kind)


def dot(x: float, y: float, kind: str, radius: float = 4.0) -> str:
    cx, cy = px(x, y)
    return element("circle", cx=cx, cy=cy, r=radius, kind=kind)


def label(x: float, y: float, text: str, dx: float = 0.0, dy: float = 0.0, anchor: str = "middle", kind: str = "") -> str:
    left, top = px(x, y)
    return element("text", text, x=left + dx, y=top + dy, text_anchor=anchor, kind=kind)


def figure(title: str, across: str, down: str, xs: list, ys: list, series: list, body: list, height: int) -> str:
    """An SVG: axes whose ticks are [(place, label)], a legend of `series`, and what is plotted."""
    grid = [rule((x, 0), (x, 1), "grid") + label(x, 0, text, dy=18.0) for x, text in xs]
    grid += [rule((0, y), (1, y), "grid") + label(0, y, text, dx=-8.0, dy=4.0, anchor="end") for y, text in ys]
    legend = []
    for number, name in enumerate(series):
        x, kind = LEFT + 12.0 + 120 * number, "ab"[number]
        legend += [element("circle", cx=x, cy=TOP - 14.0, r=4.0, kind=f"dot {kind}"), element("text", name, x=x + 9, y=TOP - 10.0)]
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" role="img">',
        element("title", title),
        f"<style>{STYLE}</style>",
        element("rect", width=WIDTH, height=height, kind="paper"),
        element("text", title, x=LEFT, y=24, kind="title"),
        *legend,
        *grid,
        label(0.5, 0, across, dy=40.0),
        element("text", down, x=0, y=0, text_anchor="middle", transform=f"translate(18 {TOP + DOWN / 2:.0f}) rotate(-90)"),
        *body,
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def reliability(given: dict[str, list]) -> str:
    """Share right against confidence, with counts below."""
    tenths = [(n / 10, f"{n / 10:g}") for n in range(11)]
    body = [rule((0, 0), (1, 1), "aim")]
    for number, (name, values) in enumerate(given.items()):
        kind, below = "ab"[number], 62.0 + 16 * number
        body.append(label(0, 0, name[:9], dx=-8.0, dy=below, anchor="end", kind=f"soft {kind}"))
        points = bins(values)
        body.append(line([(mean, right / count) for mean, count, right in points], f"line {kind}"))
        for mean, count, right in points:
            low, high = interval(right, count)
            body += [rule((mean, low), (mean, high), f"bar {kind}"), dot(mean, right / count, f"dot {kind}")]
            tenth = (min(int(mean * BINS), BINS - 1) + 0.5) / BINS
            body.append(label(tenth, 0, f"{count:,}", dy=below, kind="soft"))
    return figure(
        "Share of values that are right, by confidence",
        "confidence, and below it how many values have it",
        "share right",
        tenths,
        [(n / 5, f"{20 * n} %") for n in range(6)],
        list(given),
        body,
        TOP + DOWN + 50 + 16 * len(given) + 10,
    )


FLOOR, CEILING = -4.0, -0.7  # powers of ten that the risk's axis spans; its lowest line stands for none at all


def risk_place(risk: float) -> float:
    return max(0.0, min(1.0, (math.log10(risk) - FLOOR) / (CEILING - FLOOR))) if risk else 0.0


def thin(curve: list, step: float = 0.004) -> list:
    """A curve without points that nobody could tell apart."""
    kept = curve[:1]
    for point in curve:
        if point[1] - kept[-1][1] >= step or point is curve[-1]:
            kept.append(point)
    return kept


def risk(given: dict[str, list], totals: dict[str, int]) -> str:
    """Share wrong among the accepted against the share that is accepted."""
    body = []
    for number, (name, values) in enumerate(given.items()):
        kind = "ab"[number]
        curve = coverage(values, totals[name])
        body.append(line([(share, risk_place(wrong)) for _, share, wrong in thin(curve)], f"line {kind}"))
        accepted = [point for point in curve if point[0] >= REVIEW_BELOW]
        if accepted:
            _, share, wrong = accepted[-1]
            text = f"from {REVIEW_BELOW:g}: {100 * share:.1f} % accepted, {100 * wrong:.2f} % wrong"
            body.append(dot(share, risk_place(wrong), f"mark {kind}", 5.0))
            body.append(label(share, risk_place(wrong), text, dx=-12.0, dy=-10.0, anchor="end", kind=kind))
    return figure(
        "Share of accepted values that are wrong, the surest accepted first",
        "share of all values that is accepted",
        "share wrong of them",
        [(n / 5, f"{20 * n} %") for n in range(6)],
        [(0.0, "none"), *((risk_place(10.0**n), f"{100 * 10.0**n:g} %") for n in (-3, -2, -1))],
        list(given),
        body,
        TOP + DOWN + 56,
    )


# The card


def digest(models: Path) -> str:
    """Which models the numbers are of."""
    return hashlib.sha256((models / "manifest.toml").read_bytes()).hexdigest()


def section(models: Path) -> str:
    """The card's section, out of `figures/confidence.json`."""
    path = models / FIGURES / "confidence.json"
    measured = json.loads(path.read_text(encoding="utf-8")) if path.exists() else None
    if not measured or measured["manifest"] != digest(models):
        return NOT_MEASURED
    split, kinds = [], []
    for name, numbers in measured["series"].items():
        low, high = numbers["low"], numbers["high"]
        split.append([name, *(cell for side in (low, high) for cell in (side["values"], _share(side["right"], side["values"])))])
        for kind, row in numbers["kinds"].items():
            accepted, wrong = row["accepted"], row["wrong"]
            kinds.append([f"{name}, {kind}", row["values"], _share(accepted, row["values"]), wrong, _share(wrong, accepted)])
    documents = " and ".join(f"{count} {SERIES[name]}" for name, count in measured["documents"].items())
    return SECTION.format(
        date=measured["date"],
        documents=documents,
        split=_table(["papers", f"values below {LOW:g}", "right", f"values above {HIGH:g}", "right"], split),
        kinds=_table(["papers", "values", "accepted", "wrong", "share wrong"], kinds),
        threshold=f"{REVIEW_BELOW:g}",
    )


def refreshed(card: str, models: Path) -> str:
    """The card with its section on confidence as it is now; before the limits where there was none."""
    card = re.sub(r"^## Confidence\n.*?(?=^## )", "", card, flags=re.M | re.S)
    return card.replace("## Limits\n", f"{section(models)}\n## Limits\n", 1)


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.2f} %" if whole else "-"


def _table(head: list[str], rows: list[list]) -> str:
    lines = [head, ["---"] + ["---:"] * (len(head) - 1), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in cells) + " |" for cells in lines)


NOT_MEASURED = """\
## Confidence
Not measured since these models were made: `make errors`, then `python -m cictrain.confidence`.
"""

SECTION = """\
## Confidence
What the confidence is worth that the engine gives with every value, measured by `make errors` on {date}, on
{documents}. Generated reports share the generator with training, but no seed, and are harder
than most paper; samples are by another hand.

![Share of values that are right, by confidence](figures/reliability.svg)

So many of the values given with a confidence were right, with 95 % intervals: on the dashed line it is what it says, above
it is too modest, below too sure.

![Share of accepted values that are wrong, the surest accepted first](figures/coverage.svg)

So many were wrong of the values that are accepted without a look, the surest first. The rings are at {threshold}, below which a
value is named for review.

{split}

At the default threshold of {threshold}; values that were not found at all count as not accepted, invented ones as wrong:

{kinds}
"""


def main(arguments: list[str] | None = None) -> int:
    root = Path(__file__).resolve().parents[3]
    parser = argparse.ArgumentParser(prog="cictrain.confidence", description=__doc__.splitlines()[0])
    parser.add_argument("values", nargs="?", type=Path, default=root / ".cache/errors/values.json", help="what make errors left")
    parser.add_argument("--models", type=Path, default=root / "models", help="folder of the models and their card")
    options = parser.parse_args(arguments)
    try:
        measured = json.loads(options.values.read_text(encoding="utf-8"))
        rows, documents = measured["values"], measured["documents"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        return f"{options.values}: {error!r}; `make errors` writes it"
    series = [name for name in SERIES if name in documents]
    rows = [row for row in rows if row[0] in series]
    if not rows:
        return f"{options.values}: no values of {' or '.join(SERIES)}"
    given = {name: [(c, r) for s, _, c, r in rows if s == name and c is not None] for name in series}
    totals = {name: sum(row[0] == name for row in rows) for name in series}
    numbers = summary(rows)
    folder = options.models / FIGURES
    folder.mkdir(exist_ok=True)
    stored = {
        "date": date.today().isoformat(),
        "manifest": digest(options.models),
        "documents": {name: documents[name] for name in series},
        "series": {name: numbers[name] for name in series},
    }
    (folder / "confidence.json").write_text(json.dumps(stored, indent=1) + "\n", encoding="utf-8")
    (folder / "reliability.svg").write_text(reliability(given), encoding="utf-8")
    (folder / "coverage.svg").write_text(risk(given, totals), encoding="utf-8")
    card = options.models / "CARD.md"
    card.write_text(refreshed(card.read_text(encoding="utf-8"), options.models), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
