#!/usr/bin/env python3
"""Shows at which stage values are lost: reads documents whose truth is known, and prints Markdown.

A document is NAME.pdf with NAME.json beside it: `kind`, `info` (every scalar and table) and, where it is known, `text`, the
printed lines of each page. Each document is read twice by the program: for its answer, and for the lines it read. Values are
compared as `cic-kiosk eval` does it. What is wrong or missing belongs to the first of these stages that lost it:

- cut off: its line is not on the picture at all (the truth's text lacks it), so nothing could be read.
- page: most lines of its page were not read, or several at its beginning or end; or there was no answer.
- detector: no read line resembles its printed line; or the box cut the line off or in pieces; or the line was read right,
  but in one box with its neighbour, and the value came out wrong.
- recogniser: a read line resembles the printed one, but the value's characters in it are wrong, or there are more of them.
- section: its lines were read, but its table or its group of scalars (customer, score, VAMC, time) is wholly absent. Where the
  section's heading was lost, the value belongs to what lost that.
- table: its lines were read, but its row is missing, or what stands in its cell comes from elsewhere.
- field: its lines were read, but the wrong part of them went into the value.

An invented row belongs to what most of its cells point to: the recogniser where they are misread lines, the detector where
nothing like them is printed, otherwise the table; to the section where its whole report is one too many.

Which printed lines are a value's: those that hold its text (a list of debts: every name and amount; a wrapped value: the
pieces one after another), nearest to where most of its row stands, rows being in order. A printed line goes with the read
line of its page that equals it, or else resembles it most: at least half its characters. Lines of one to three characters
may all be wrong: they go with a left-over one of about the same place.

Needs nothing but Python; drawing documents needs what `cictrain.generate` does (.cache/python).
"""

import argparse
import collections
import json
import os
import re
import shutil
import subprocess
import sys
import unicodedata
from dataclasses import asdict, dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SEED = 950_000_000  # between validation's pages and lines drawn alone (cictrain/pool.py); training stays below 900,000,000
KINDS = ("digital", "scan", "copy", "fax", "camera")  # what cictrain.generate draws in turn
SCALARS = (
    "report_time", "cic_code", "id_card", "address", "credit_score", "credit_rank", "credit_ranking_date", "debt_sold_to_vamc",
)  # fmt: skip
TABLES = (
    "loan_details", "credit_card_info", "outstanding_loans", "bad_debt", "late_payments", "loan_guarantee", "credit_contract",
    "customers_look_up",
)  # fmt: skip
GROUPS = (SCALARS[:1], SCALARS[1:4], SCALARS[4:7], SCALARS[7:])  # scalars of one section
STAGES = ("cut off", "page", "detector", "recogniser", "section", "table", "field")
MARKS = {"Y": ("Y", "Có", "☑", "☒", "✓"), "N": ("N", "Không", "☐")}  # what stands on paper for an answer
# What a scalar that other text may equal has before it.
LABELS = {"credit_score": "điểm", "credit_rank": "hạng", "credit_ranking_date": "chấm", "debt_sold_to_vamc": "vamc"}
ALIKE = 0.5  # share of equal characters from which a read line resembles a printed one
SHORT = 3  # characters of a line that may be wholly wrong
NEAR = 0.1  # of a page's lines: how far apart such lines may be
REST = 60  # lines that the rest of a row may lie apart: over the foot of a page, the head of the next and a repeated header
SURE = 0.9  # the default of --review-below: wrong values from here on are accepted without a look
EDGE = 3  # unread lines at a page's beginning or end from which the page was cut, and not they missed
HEADING = re.compile(r"(\d+(\.\d+)*|[IVX]+)[.)]? +\D{8}")
PIECE = 3  # characters missing at a line's end from which its box, not a character, was wrong


# Values


@dataclass
class Value:
    """A value of the truth, and what the answer made of it."""

    name: str  # cic_code, bad_debt[0][2]
    field: str  # the scalar or table
    row: int | None  # none for scalars
    column: int | None
    expected: str
    parts: list  # what is printed of it; a tuple where one of several is
    found: str | None = None  # none where its row is missing
    confidence: float | None = None
    right: bool = False


def fold(text):
    """Composed, with single blanks between words and none at the ends."""
    return " ".join(unicodedata.normalize("NFC", str(text or "")).split())


def cell_text(cell):
    """A cell of a truth or an answer as one string."""
    value = cell.get("value") if isinstance(cell, dict) else cell
    if isinstance(value, list):
        return " | ".join(f"{fold(debt['debt_name'])}={fold(debt['debt'])}" for debt in value)
    return fold(value)


def cell_confidence(cell):
    score = cell.get("score") if isinstance(cell, dict) else None
    return float(min(score, default=0) if isinstance(score, list) else score or 0) if cell_text(cell) else 0.0


def cell_parts(table, column, cell):
    if isinstance(cell, list):
        return [fold(text) for debt in cell for text in (debt["debt_name"], debt["debt"])]
    if table == "late_payments" and column == 0:
        return [MARKS.get(fold(cell), fold(cell))]
    return [fold(cell)] if fold(cell) else []


def pair_rows(truth, found):
    """Truth's row -> answer's row, in order, so that most cells agree; then, so that most rows have a partner."""

    def gain(t, f):
        return 1 + 100 * sum(a == b for a, b in zip(truth[t], found[f]))

    best = [[0] * (len(found) + 1) for _ in range(len(truth) + 1)]
    for t in reversed(range(len(truth))):
        for f in reversed(range(len(found))):
            best[t][f] = max(best[t + 1][f + 1] + gain(t, f), best[t + 1][f], best[t][f + 1])
    partners, t, f = {}, 0, 0
    while t < len(truth) and f < len(found):
        if best[t][f] == best[t + 1][f + 1] + gain(t, f):
            partners[t] = f
            t, f = t + 1, f + 1
        elif best[t][f] == best[t + 1][f]:
            t += 1
        else:
            f += 1
    return partners


def compare(info, report):
    """Every value of a report's truth, and the answer's rows that are invented: [(table, cells)]."""
    values, invented = [], []
    for name in SCALARS:
        expected, found = fold(info.get(name)), fold(report.get(name))
        is_right = found == expected or (name == "debt_sold_to_vamc" and found.rstrip(".") == expected.rstrip("."))
        confidence = float(report.get(f"{name}_confidence") or 0)
        values.append(Value(name, name, None, None, expected, [expected] if expected else [], found, confidence, is_right))
    for table in TABLES:
        rows, cells = info.get(table) or [], report.get(table) or []
        truth, found = ([[cell_text(cell) for cell in row] for row in side] for side in (rows, cells))
        partners = pair_rows(truth, found)
        invented += [(table, cells[f]) for f in range(len(found)) if f not in partners.values()]
        for r, row in enumerate(truth):
            for c, expected in enumerate(row):
                value = Value(f"{table}[{r}][{c}]", table, r, c, expected, cell_parts(table, c, rows[r][c]))
                if r in partners and c < len(found[partners[r]]):
                    cell = cells[partners[r]][c]
                    value.found, value.confidence = cell_text(cell), cell_confidence(cell)
                    value.right = value.found == expected
                values.append(value)
    return values, invented


# Lines


@dataclass
class Line:
    """A printed line, and the read line that goes with it."""

    page: int
    text: str
    read: str | None = None
    how: str = "missing"  # same, alike, merged with a neighbour, cut; lost with its page


def edits(printed, read):
    """The fewest edits that make one text the other: [(printed characters, read characters)], equal ones too."""
    rows = [list(range(len(read) + 1))]
    for i, a in enumerate(printed):
        row = [i + 1]
        for j, b in enumerate(read):
            row.append(min(rows[i][j] + (a != b), rows[i][j + 1] + 1, row[j] + 1))
        rows.append(row)
    steps, i, j = [], len(printed), len(read)
    while i or j:
        if i and j and rows[i][j] == rows[i - 1][j - 1] + (printed[i - 1] != read[j - 1]):
            i, j = i - 1, j - 1
            steps.append((printed[i], read[j]))
        elif i and rows[i][j] == rows[i - 1][j] + 1:
            i -= 1
            steps.append((printed[i], ""))
        else:
            j -= 1
            steps.append(("", read[j]))
    return steps[::-1]


def alike(printed, read):
    """How much of the longer text is equal, 0 to 1."""
    longer = max(len(printed), len(read))
    common = sum((collections.Counter(printed) & collections.Counter(read)).values())
    if common < ALIKE * longer:
        return 0.0  # The edits need not be found.
    return 1 - sum(a != b for a, b in edits(printed, read)) / longer


def how_alike(printed, read):
    """alike, merged or cut, by what is too much or missing at the ends."""
    steps = edits(printed, read)
    extra = missing = 0
    for side in (steps, steps[::-1]):
        is_extra, is_missing = ([not step[which] for step in side] for which in (0, 1))
        extra = max(extra, (is_extra + [False]).index(False))
        missing = max(missing, (is_missing + [False]).index(False))
    return "cut" if missing >= PIECE else "merged" if extra >= PIECE else "alike"


def holds(text, part):
    """Whether the part stands in the text, as whole words and numbers."""
    return part in text and re.search(rf"(?<![\w,./]){re.escape(part)}(?![\w/]|[,.]\d)", text) is not None


def pair_lines(lines, read, sure=()):
    """Gives each printed line of a page its read line. `sure` lines, whose values are right, choose first among equal ones."""

    def apart(i, j):
        return abs((i + 0.5) / len(lines) - (j + 0.5) / len(read))

    def take(pairs, how):
        for *_, i, j in sorted(pairs):
            if lines[i].read is None and j in free:
                lines[i].read, lines[i].how = read[j], how or how_alike(lines[i].text, read[j])
                free.discard(j)

    free, places = set(range(len(read))), collections.defaultdict(list)
    for j, text in enumerate(read):
        places[text].append(j)
    take([(i not in sure, apart(i, j), i, j) for i, line in enumerate(lines) for j in places[line.text]], "same")
    left = [i for i, line in enumerate(lines) if line.read is None]
    scores = [(-alike(lines[i].text, read[j]), apart(i, j), i, j) for i in left for j in free]
    take([score for score in scores if -score[0] >= ALIKE], None)
    unequal = [text for text in read if text not in {line.text for line in lines}]
    for line in lines:
        longer = sorted((text for text in unequal if line.read is None and holds(text, line.text)), key=len)
        pieces = [text for text in unequal if line.read is None and len(text) >= PIECE and text in line.text]
        if longer or pieces:
            line.read = (longer + pieces)[0]
            line.how = "cut" if not longer else "merged" if len(line.read) - len(line.text) >= PIECE else "alike"
    shorts = [(apart(i, j), i, j) for i in left for j in free if max(len(lines[i].text), len(read[j])) <= SHORT]
    take([short for short in shorts if short[0] <= NEAR], "alike")


def mark_lost(lines):
    """Marks the lines of a page as lost with it where most are missing, or several at its beginning or end."""
    missing = [line.how == "missing" for line in lines]
    if 2 * sum(missing) > len(missing):
        lost = lines  # What some of them equal is there by chance.
    else:
        runs = [(side, ([line.how == "missing" for line in side] + [False]).index(False)) for side in (lines, lines[::-1])]
        lost = [line for side, run in runs if run >= EDGE for line in side[:run]]
    for line in lost:
        line.how = "lost"


def pair_values(lines, read):
    """Gives each value that stands for a printed line the read text that goes with it, wherever that is."""
    paper = Paper([read])
    texts = {*read, *(text.split(":")[-1].strip() for text in read)}
    for line in lines:
        if paper.places(line.text):
            line.read, line.how = line.text, "same"
        elif any(alike(line.text, text) >= ALIKE for text in texts):
            line.read, line.how = max(texts, key=lambda text: alike(line.text, text)), "alike"


# Where values are printed


def pieces(lines, start, part):
    """[(line, piece)] of a part that begins in this line and goes on in later ones, or nothing."""
    first = lines[start].text
    # A dash or a label may stand before it, and a colon after it.
    begun = [text for text in (first, first.lstrip("- "), first.partition(":")[2].strip()) if text and part.startswith(text)]
    if not begun:
        return []
    found, rest = [(start, begun[0])], part[len(begun[0]) :].strip()
    for index in range(start + 1, len(lines)):
        piece = lines[index].text.rstrip(":").strip()
        if rest and piece and rest.startswith(piece):
            found.append((index, piece))
            rest = rest[len(piece) :].strip()
    return [] if rest else found


class Paper:
    """The printed lines of a document, and where values stand on them."""

    def __init__(self, pages):
        self.lines = [Line(number, fold(text)) for number, page in enumerate(pages) for text in page]
        self.known = {}
        self.taken = set()

    def places(self, part):
        """Every [(line, piece)] where a part is printed, in one line first."""
        if isinstance(part, tuple):
            return sorted(place for one in part for place in self.places(one))
        if part not in self.known:
            whole = [[(i, part)] for i, line in enumerate(self.lines) if holds(line.text, part)]
            wrapped = (pieces(self.lines, i, part) for i in range(len(self.lines)) if not holds(self.lines[i].text, part))
            self.known[part] = whole + [place for place in wrapped if place]
        return self.known[part]

    def row(self, parts, anchors, start):
        """The place of each part, or none, and where to look for the next row: the first line from `start` on that has an
        anchor and most parts near it."""
        best, places, middle = 0, [None] * len(parts), None
        for anchor in anchors:
            for place in self.places(anchor):
                first = place[0][0]
                if first < start or first in self.taken or best == len(parts):
                    continue
                found = self._around(parts, first, 10 + 2 * len(parts))
                count = sum(one is not None for one in found)
                if count > max(best, len(parts) / 2):
                    best, places, middle = count, found, first
            if best:
                break
        if middle is None:
            return places, start
        places = self._around(parts, middle, REST, places)
        self.taken.update(index for place in places if place for index, _ in place)
        return places, middle + 1

    def _around(self, parts, middle, width, places=()):
        """The nearest place of each part that has none; one that is another's already only where there is no other."""
        found = list(places) or [None] * len(parts)
        mine = {index for place in found if place for index, _ in place}
        for number, part in enumerate(parts):
            near = [place for place in self.places(part) if abs(place[0][0] - middle) <= width]
            if found[number] is None and near:
                held = self.taken | mine
                found[number] = min(near, key=lambda p: (p[0][0] in held, len(p) > 1, abs(p[0][0] - middle)))
                mine.update(index for index, _ in found[number])
        return found

    def scalar(self, name, part):
        """The first place, or the first after its label."""
        places = self.places(part)
        label = LABELS.get(name)
        for place in places if label else ():
            index = place[0][0]
            if any(label in line.text.lower() for line in self.lines[max(0, index - 8) : index + 1]):
                return place
        return places[0] if places else None


def locate(values, paper):
    """Value's name -> [place or none for each of its parts]."""
    found = {}
    start = 0
    for value in values:
        if value.row is None:
            found[value.name] = [paper.scalar(value.name, part) for part in value.parts]
            if value.right or len(value.expected) > 4:  # A short text may stand elsewhere, too.
                paper.taken.update(index for place in found[value.name] if place for index, _ in place)
    for table in TABLES:
        rows = collections.defaultdict(list)
        for value in values:
            if value.field == table:
                rows[value.row].append(value)
        for row in rows.values():
            # The lender of bad debts is printed once for several rows.
            firm = row[:1] if table == "bad_debt" else row
            anchors = {part for value in firm for part in value.parts if isinstance(part, str)}
            parts = [part for value in row for part in value.parts]
            places, start = paper.row(parts, sorted(anchors, key=lambda part: (-len(part), part))[:3], start)
            for value in row:
                found[value.name], places = places[: len(value.parts)], places[len(value.parts) :]
    return found


# Stages


@dataclass
class Loss:
    """A value that is wrong or missing, or a row that is invented, with the stage that it belongs to."""

    stage: str
    name: str
    field: str
    expected: str
    found: str | None
    confidence: float | None = None
    printed: list = field(default_factory=list)
    read: list = field(default_factory=list)


def part_stage(place, paper):
    """The stage that lost a part before it could get into a section; `merged` where it may have suffered there."""
    stages = []
    for index, piece in place or ():
        line = paper.lines[index]
        if line.how == "lost":
            stages.append("page")
        elif line.how == "missing" or (line.how == "cut" and not holds(line.read, piece)):
            stages.append("detector")
        elif line.how == "alike" and (line.text == piece or piece not in line.read):
            stages.append("recogniser")
        elif line.how == "merged":
            stages.append("merged" if piece in line.read else "recogniser")
    return min(stages, key=[*STAGES, "merged"].index, default=None) if place else "cut off"


def heading_stage(places, paper):
    """The stage that lost the heading before values, or `section` where it was read or is not known."""
    first = min((index for place in places if place for index, _ in place), default=0)
    for index in range(first - 1, max(-1, first - REST), -1):
        if HEADING.match(paper.lines[index].text):
            return part_stage([(index, paper.lines[index].text)], paper) or "section"
    return "section"


def value_stage(value, stages, values, heading):
    """The stage of a wrong value; `stages` are those of its parts, `heading` that of its section's."""
    lost = [stage for stage in stages if stage in STAGES]
    if lost:
        return min(lost, key=STAGES.index)
    if value.row is None:
        group = next(group for group in GROUPS if value.name in group)
        is_absent = value.expected and not any(other.found for other in values if other.name in group)
    else:
        is_absent = not any(other.found is not None for other in values if other.field == value.field)
    if is_absent:
        return heading if heading in STAGES else "section"
    if "merged" in stages:
        return "detector"
    if value.found is None:
        return "table"
    overlaps = value.found and (value.found in value.expected or value.expected in value.found)
    if value.row is None or overlaps or (value.found and alike(value.expected, value.found) >= ALIKE):
        return "field"
    return "table"


def invented_stage(row, paper):
    votes = collections.Counter()
    for text in filter(None, map(cell_text, row)):
        for part in re.split(r" \| |=", text):
            if any(holds(line.text, part) for line in paper.lines) or part in MARKS:
                votes["table"] += 1
            elif any(line.how == "alike" and line.read and part in line.read for line in paper.lines):
                votes["recogniser"] += 1
            elif not any(alike(part, line.text) for line in paper.lines) and not paper.places(part):
                votes["detector"] += 1
            else:
                votes["table"] += 1
    return max(votes, key=lambda stage: (votes[stage], STAGES.index(stage)), default="table")


@dataclass
class Judged:
    """A document, compared with its truth."""

    name: str
    kind: str
    values: list  # of Value
    invented: list  # cells' (confidence) of invented rows, all wrong
    losses: list  # of Loss
    lines: list  # of Line; none where the truth has no text


def judge(name, truth, answer, read):
    """`read` is the lines that were read of each page."""
    infos = truth.get("infos") or [truth["info"]]
    reports = (answer.get("data") or {}).get("info") or []
    compared = [compare(info, reports[n] if n < len(reports) else {}) for n, info in enumerate(infos)]
    has_text = bool(truth.get("text"))
    # Without text, the values themselves stand for the printed lines, on one long page.
    bare = [[part for values, _ in compared for value in values for part in value.parts if isinstance(part, str)]]
    pages = truth["text"] if has_text else bare
    read = [[fold(line) for line in page] for page in (read if has_text else [sum(read, [])])]
    paper = Paper(pages)
    located = [locate(values, paper) for values, _ in compared]
    sure = {
        index
        for (values, _), places in zip(compared, located)
        for value in values
        if value.right
        for place in places[value.name]
        for index, _ in place or ()
    }
    first = 0
    for number, page in enumerate(pages):
        lines, found = paper.lines[first : first + len(page)], read[number] if number < len(read) else []
        if has_text:
            pair_lines(lines, found, {i - first for i in sure})
        else:
            pair_values(lines, found)
        if has_text:
            mark_lost(lines)
        first += len(page)

    losses, invented = [], []
    for number, ((values, rows), places) in enumerate(zip(compared, located)):
        prefix = f"info[{number}]." if number else ""
        for value in values:
            if value.right:
                continue
            # Without text, what is nowhere is a mark.
            stages = [part_stage(place, paper) for place in places[value.name] if place or has_text]
            same = [place for other in values if other.field == value.field for place in places[other.name]]
            stage = value_stage(value, stages, values, heading_stage(same, paper) if has_text else None)
            lines = [paper.lines[index] for place in places[value.name] for index, _ in place or ()]
            loss = Loss(stage, prefix + value.name, value.field, value.expected, value.found, value.confidence)
            loss.printed, loss.read = [line.text for line in lines], [line.read for line in lines]
            losses.append(loss)
        invented += [(prefix, table, row, invented_stage(row, paper)) for table, row in rows]
    for report in reports[len(infos) :]:
        invented += [("", table, row, "section") for table in TABLES for row in report.get(table) or []]
    for prefix, table, row, stage in invented:
        losses.append(Loss(stage, f"{prefix}{table}[+]", table, "(no such row)", " ; ".join(map(cell_text, row))))
    cells = [cell_confidence(cell) for _, _, row, _ in invented for cell in row if cell_text(cell)]
    every = [value for values, _ in compared for value in values]
    return Judged(name, truth["kind"], every, cells, losses, paper.lines if has_text else [])


# Reading


def fail(message):
    sys.exit(f"errors: {message}")


def load(path):
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        fail(f"{path}: {error}")


def truths(folder):
    """[(name, truth)] of a folder, those of papers that are no reports left out."""
    if not folder.is_dir():
        fail(f"{folder} is no folder of documents")
    found = []
    for path in sorted(folder.glob("*.json")):
        truth = load(path)
        if "errorCode" in truth:
            continue
        if not isinstance(truth.get("kind"), str) or not (truth.get("info") or truth.get("infos")):
            fail(f"{path}: a truth has kind and info (as cictrain.generate writes it)")
        if not path.with_suffix(".pdf").exists():
            fail(f"{path}: there is no {path.stem}.pdf beside it")
        found.append((path.stem, truth))
    return found or fail(f"{folder} holds no truth of a report (NAME.json)")


def draw(name, number, *arguments):
    """The folder of as many documents, drawn now where it is not there."""
    folder = ROOT / f".cache/errors/{name}-{number}"
    if folder.exists():
        return folder
    partial = folder.with_suffix(".partial")
    shutil.rmtree(partial, ignore_errors=True)
    training = ROOT / "models/training"
    numbers = ["--count", str(number), "--seed", str(SEED)]
    command = [sys.executable, "-m", "cictrain.generate", "--out", partial, *numbers, *arguments]
    if subprocess.run(command, cwd=training).returncode != 0:
        fail("the documents could not be drawn; run this with .cache/python/bin/python, which `make errors` sets up")
    partial.rename(folder)
    return folder


def read_all(program, folder, names, into):
    """Reads documents; leaves NAME.json, the answer, and NAME.txt, the lines, in a folder."""
    into.mkdir(parents=True, exist_ok=True)
    files = {str(folder / f"{name}.pdf"): name for name in names}

    def run(*arguments):
        try:
            command = [program, "extract", "--models", ROOT / "models", *arguments]
            return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        except OSError as error:
            fail(f"{program}: {error}; `cargo build --release` makes it")

    answers = run("--jsonl", *files)
    for line in answers.stdout:
        answer = json.loads(line)
        name = files.pop(answer["meta"]["file"])
        if answer["errorCode"] == "6":
            answers.kill()
            fail(f"{name}: {answer['meta'].get('detail')}")
        (into / f"{name}.json").write_text(line, encoding="utf-8")
        if answer["errorCode"] == "0":
            text = run("--format", "text", folder / f"{name}.pdf").communicate()[0]
        else:
            text = ""
        (into / f"{name}.txt").write_text(text, encoding="utf-8")
        print(f"{name}: read", file=sys.stderr)
    if answers.wait() not in (0, 1) or files:
        fail(f"{program} gave no answer for {', '.join(files.values()) or 'the documents'} (exit status {answers.returncode})")


def judge_folder(folder, read):
    """Every document of a folder, with what was read of it."""
    judged = []
    for name, truth in truths(folder):
        answer, lines = read / f"{name}.json", read / f"{name}.txt"
        if not answer.exists() or not lines.exists():
            fail(f"{name} was not read before: leave --given out")
        pages = [page.split("\n")[:-1] for page in lines.read_text(encoding="utf-8").split("\f")]
        judged.append(judge(name, truth, load(answer), pages))
    return judged


# Figures


def table(head, rows):
    lines = [head, ["---"] + ["---:"] * (len(head) - 1), *rows]
    return "\n".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines)


def crossed(losses, columns, column):
    """Stage x column, with totals."""
    counts = collections.Counter((loss.stage, column(loss)) for loss in losses)
    rows = [[stage, *(counts[stage, name] or "" for name in columns)] for stage in STAGES]
    rows = [[*row, sum(cell or 0 for cell in row[1:])] for row in rows]
    return [row for row in rows if row[-1]] + [["all", *(sum(row[n] or 0 for row in rows) for n in range(1, len(columns) + 2))]]


def confusions(documents):
    """(printed, read) -> how often, over all lines that were read."""
    counts = collections.Counter()
    for line in (line for document in documents for line in document.lines):
        if line.how == "alike":
            counts.update((a or "∅", b or "∅") for a, b in edits(line.text, line.read) if a != b)
    return counts


def shown(text):
    return "␣" if text == " " else text


def differing(a, b):
    """Where two texts differ, with a few characters around."""
    start = len(os.path.commonprefix([a, b]))
    end = min(len(os.path.commonprefix([a[::-1], b[::-1]])), len(a) - start, len(b) - start)
    cut = max(0, start - 8)
    middles = [f"{'…' * (cut > 0)}{text[cut : len(text) - max(0, end - 8)]}{'…' * (end > 8)}" for text in (a, b)]
    return [text if len(text) <= 60 else f"{text[:59]}…" for text in middles]


def report(folder, documents, most):
    """Markdown on the documents of a folder."""
    kinds = sorted({document.kind for document in documents})
    values = [(document.kind, value) for document in documents for value in document.values]
    lost = [(document, loss) for document in documents for loss in document.losses]
    missing = [loss for _, loss in lost if not loss.name.endswith("[+]")]
    extra = [loss for _, loss in lost if loss.name.endswith("[+]")]
    kind_of = {id(loss): document.kind for document, loss in lost}
    right = sum(value.right for _, value in values)
    parts = [
        f"## {folder}\n\n{len(documents)} documents, {len(values)} values, {100 * right / len(values):.2f} % of them right; "
        f"{len(missing)} wrong or missing, {len(extra)} rows invented."
    ]
    if lost:
        by_kind = crossed(missing, kinds, lambda loss: kind_of[id(loss)])
        shares = ["right"]
        for kind in [*kinds, None]:
            some = [value.right for k, value in values if kind in (k, None)]
            shares.append(f"{100 * sum(some) / len(some):.2f} %")
        parts.append("### Values lost, by kind\n\n" + table(["stage", *kinds, "all"], [*by_kind, shares]))
        fields = [name for name in SCALARS + TABLES if any(loss.field == name for loss in missing)]
        by_field = crossed(missing, fields, lambda loss: loss.field)
        turned = list(zip([*fields, "all"], *(row[1:] for row in by_field)))
        parts.append("### Values lost, by field\n\n" + table(["field", *(row[0] for row in by_field)], turned))
    if extra:
        by_kind = crossed(extra, kinds, lambda loss: kind_of[id(loss)])
        parts.append("### Rows invented, by kind\n\n" + table(["stage", *kinds, "all"], by_kind))
    confused = confusions(documents).most_common(most)
    if confused:
        rows = [f"`{shown(a)}→{shown(b)}` {count}" for (a, b), count in confused]
        parts.append("### Characters confused most, printed → read (∅: none)\n\n" + ", ".join(rows))
    sure = [(document, loss) for document, loss in lost if (loss.confidence or 0) >= SURE]
    if sure:
        sure = sorted(sure, key=lambda pair: -pair[1].confidence)[:most]
        rows = [[d.name, loss.name, *differing(loss.expected, loss.found), f"{loss.confidence:.3f}", loss.stage] for d, loss in sure]
        head = ["document", "value", "printed", "found", "confidence", "stage"]
        parts.append("### Wrong with most confidence\n\n" + table(head, rows))
    worst = sorted((d for d in documents if d.losses), key=lambda document: -len(document.losses))[:most]
    if worst:
        rows = []
        for document in worst:
            stages = collections.Counter(loss.stage for loss in document.losses)
            names = ", ".join(dict.fromkeys(loss.field for loss in document.losses))
            rows.append([document.name, len(document.losses), ", ".join(f"{s} {n}" for s, n in stages.most_common()), names])
        parts.append("### Documents that lost most\n\n" + table(["document", "losses", "stages", "fields"], rows))
    return "\n\n".join(parts)


def as_json(folders):
    """For machines: every loss of every document, and the confusions."""
    return {
        name: {
            "documents": [
                {"name": d.name, "kind": d.kind, "values": len(d.values), "losses": [asdict(loss) for loss in d.losses]}
                for d in documents
            ],
            "confusions": [[a, b, count] for (a, b), count in confusions(documents).most_common()],
        }
        for name, documents in folders.items()
    }


def confidences(folders):
    """What cictrain.confidence draws: [series, kind, confidence or none where nothing was given, right] of every value."""
    rows = []
    for name, documents in folders.items():
        for document in documents:
            for value in document.values:
                if value.expected or value.found:
                    rows.append([name, document.kind, value.confidence if value.found else None, value.right])
            rows += [[name, document.kind, confidence, False] for confidence in document.invented]
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="*", type=Path, help="documents with truths (default: ../shared/samples, and drawn ones)")
    parser.add_argument("--count", type=int, default=20, help="documents of each kind to draw, and to typeset (default 20)")
    parser.add_argument("--program", default=ROOT / "target/release/cic-kiosk", help="cic-kiosk")
    parser.add_argument("--given", action="store_true", help="read nothing: take what was read the last time")
    parser.add_argument("--most", type=int, default=20, help="how many confusions and documents to list (default 20)")
    parser.add_argument("--json", action="store_true", help="print every loss as JSON")
    options = parser.parse_args()
    if options.count < 1:
        parser.error("--count must be 1 or more")

    samples = ROOT / "../shared/samples"
    folders = {str(folder): folder for folder in options.folders}
    if not folders:
        folders = {"samples": samples.resolve()} if samples.is_dir() else {}
        folders["generated"] = draw("pictures", options.count * len(KINDS))
        folders["typeset"] = draw("typeset", options.count, "--kind", "digital", "--typeset")
    judged = {}
    for name, folder in folders.items():
        read = ROOT / ".cache/errors/read" / "-".join(folder.resolve().parts[-2:])
        names = [stem for stem, _ in truths(folder)]
        if not options.given:
            read_all(options.program, folder, names, read)
        judged[name] = judge_folder(folder, read)
    values = ROOT / ".cache/errors/values.json"
    if not options.folders:
        # What is typeset is sure of its letters, and would say nothing of those that are read.
        seen = {name: documents for name, documents in judged.items() if name != "typeset"}
        counts = {name: len(documents) for name, documents in seen.items()}
        values.write_text(json.dumps({"documents": counts, "values": confidences(seen)}) + "\n", encoding="utf-8")
    if options.json:
        print(json.dumps(as_json(judged), ensure_ascii=False, indent=1))
    else:
        parts = [report(name, documents, options.most) for name, documents in judged.items()]
        print("\n\n".join(["# Where values are lost", *parts]))


if __name__ == "__main__":
    main()
