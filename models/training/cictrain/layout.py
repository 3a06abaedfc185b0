"""Sets tables and paragraphs on A4 pages, as a browser prints them.

Everything is a table: a paragraph is one with a single cell and no rules. Rows are placed from the top; a page ends
between two rows, also in the middle of a table or of spanning cells. Lengths are pixels of the page that is drawn.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from .alphabet import MARKS
from .draw import Canvas, FontPath, text_width

A4 = (210 / 25.4, 297 / 25.4)  # inches

Colour = tuple[int, int, int]
BLACK: Colour = (0, 0, 0)


@dataclass(frozen=True)
class Type:
    """How a piece of text is set. `px` is the font size."""

    face: FontPath
    px: float
    colour: Colour = BLACK
    leading: float = 1.25  # line height in em
    drawn_marks: bool = False  # boxes as strokes instead of glyphs


@dataclass
class Cell:
    """Paragraphs of runs (text, type), wrapped to the cell's width. `rows` and `columns` are how far it spans."""

    paragraphs: list[list[tuple[str, Type]]]
    rows: int = 1
    columns: int = 1
    align: str = "left"
    vertical: str = "top"
    fill: Colour | None = None
    keep_together: bool = False  # never wrapped: the column must be as wide as the text


@dataclass
class Ruling:
    """Which rules a table has: `grid`, `horizontal` (between rows), `box` (around it) or `none`."""

    kind: str = "none"
    width: float = 1.0
    colour: Colour = BLACK


@dataclass
class Table:
    """Rows of cells; a cell stands at the first column that no cell above spans into."""

    rows: list[list[Cell]]
    weights: list[float]
    ruling: Ruling = field(default_factory=Ruling)
    pad: tuple[float, float] = (0.0, 0.0)  # sideways, up and down
    header: int = 0  # rows at the top that can be printed again on the next page
    repeat_header: bool = False
    indent: float = 0.0
    width: float = 1.0  # share of the text's width
    before: float = 0.0  # space above and below
    after: float = 0.0
    keep_with_next: bool = False
    split_spans: bool = True  # whether a page may end between rows that a cell spans


@dataclass
class _Placed:
    cell: Cell
    row: int
    column: int
    lines: list[list[tuple[str, Type]]] = field(default_factory=list)

    @property
    def last(self) -> int:
        return self.row + self.cell.rows

    @property
    def height(self) -> float:
        return sum(_leading(line) for line in self.lines)


def _leading(line: list[tuple[str, Type]]) -> float:
    return max(kind.px * kind.leading for _, kind in line)


def _words(runs: list[tuple[str, Type]]) -> list[list[tuple[str, Type]]]:
    """Runs cut at blanks into words; a word can hold pieces of several types."""
    words: list[list[tuple[str, Type]]] = []
    glued = False
    for text, kind in runs:
        for index, piece in enumerate(text.split(" ")):
            if index:
                glued = False
            if not piece:
                continue
            if glued:
                words[-1].append((piece, kind))
            else:
                words.append([(piece, kind)])
            glued = True
    return words


def _width(word: list[tuple[str, Type]]) -> float:
    return sum(text_width(text, kind.face, kind.px) for text, kind in word)


def _halves(word: list[tuple[str, Type]], room: float) -> list[list[tuple[str, Type]]]:
    """A word too long for its cell, cut between letters."""
    parts, current, used = [], [], 0.0
    for text, kind in word:
        for letter in text:
            advance = text_width(letter, kind.face, kind.px)
            if current and used + advance > room:
                parts.append(current)
                current, used = [], 0.0
            current.append((letter, kind))
            used += advance
    return [*parts, current]


def _merge(pieces: list[tuple[str, Type]]) -> list[tuple[str, Type]]:
    merged: list[tuple[str, Type]] = []
    for text, kind in pieces:
        if merged and merged[-1][1] is kind:
            merged[-1] = (merged[-1][0] + text, kind)
        else:
            merged.append((text, kind))
    return merged


def wrap(runs: list[tuple[str, Type]], room: float) -> list[list[tuple[str, Type]]]:
    """Greedy lines that fit into `room` px."""
    lines: list[list[tuple[str, Type]]] = []
    current: list[tuple[str, Type]] = []
    used = 0.0
    pending = _words(runs)
    pending.reverse()
    while pending:
        word = pending.pop()
        width = _width(word)
        if width > room and not current and sum(len(text) for text, _ in word) > 1:
            halves = _halves(word, room)
            if len(halves) > 1:
                lines.extend(_merge(half) for half in halves[:-1])
                pending.append(halves[-1])
                continue
        kind = word[0][1]
        blank = text_width(" ", kind.face, kind.px) if current else 0.0
        if current and used + blank + width > room:
            lines.append(_merge(current))
            current, used = list(word), width
        else:
            current += ([(" ", current[-1][1])] if current else []) + word
            used += blank + width
    if current:
        lines.append(_merge(current))
    return lines


def _place(table: Table) -> list[_Placed]:
    """Gives every cell its row and column."""
    taken: set[tuple[int, int]] = set()
    placed = []
    for row, cells in enumerate(table.rows):
        column = 0
        for cell in cells:
            while (row, column) in taken:
                column += 1
            placed.append(_Placed(cell, row, column))
            taken.update((row + r, column + c) for r in range(cell.rows) for c in range(cell.columns))
            column += cell.columns
    return placed


def _columns(table: Table, placed: list[_Placed], width: float) -> list[float]:
    """Column edges: shares by weight, but none narrower than its longest word as long as the others can give."""
    count = len(table.weights)
    least = [0.0] * count
    side = 2 * table.pad[0] + 2 * table.ruling.width
    for item in placed:
        if item.cell.columns > 1:
            continue
        for runs in item.cell.paragraphs:
            if item.cell.keep_together:
                need = _width(runs)
            else:
                need = max((_width(word) for word in _words(runs)), default=0.0)
            least[item.column] = max(least[item.column], need + side + 1)
    total = sum(table.weights)
    widths = [width * weight / total for weight in table.weights]
    if sum(least) <= width:
        for _ in range(count):
            short = [c for c in range(count) if widths[c] < least[c] - 0.01]
            if not short:
                break
            for c in short:
                widths[c] = least[c]
            free = [c for c in range(count) if widths[c] > least[c] + 0.01]
            excess = sum(widths) - width
            spare = sum(widths[c] - least[c] for c in free)
            for c in free:
                widths[c] -= excess * (widths[c] - least[c]) / spare
    edges = [0.0]
    for value in widths:
        edges.append(edges[-1] + value)
    return edges


class Flow:
    """Places tables one below the other; `pages[i]` is a list of actions that draw page i on a canvas."""

    def __init__(self, dpi: float, margins: tuple[float, float, float, float]):
        """Margins left, top, right, bottom in px."""
        self.dpi = dpi
        self.size = (round(A4[0] * dpi), round(A4[1] * dpi))
        self.left, self.top, right, bottom = margins
        self.width = self.size[0] - self.left - right
        self.bottom = self.size[1] - bottom
        self.pages: list[list] = [[]]
        self.y = self.top

    def new_page(self) -> None:
        self.pages.append([])
        self.y = self.top

    def add_all(self, tables: list[Table]) -> None:
        for table, following in zip(tables, [*tables[1:], None]):
            self.add(table, following)

    def add(self, table: Table, following: Table | None = None) -> None:
        placed = _place(table)
        left = self.left + table.indent
        edges = [left + edge for edge in _columns(table, placed, (self.width - table.indent) * table.width)]
        heights = self._heights(table, placed, edges)
        self.y += table.before
        if table.keep_with_next and following is not None:
            needed = sum(heights) + following.before + self._first_rows(following)
            if self.y + needed > self.bottom and self.y > self.top:
                self.new_page()
        self._segments(table, placed, edges, heights)
        self.y += table.after

    def _first_rows(self, table: Table) -> float:
        line = (
            table.rows[0][0].paragraphs[0][0][1]
            if table.rows[0][0].paragraphs and table.rows[0][0].paragraphs[0]
            else None
        )
        return (2 + table.header) * (line.px * line.leading + 2 * table.pad[1]) if line else 0.0

    def _heights(self, table: Table, placed: list[_Placed], edges: list[float]) -> list[float]:
        heights = [0.0] * len(table.rows)
        pad_x, pad_y = table.pad
        for item in placed:
            room = edges[item.column + item.cell.columns] - edges[item.column] - 2 * pad_x
            item.lines = [line for runs in item.cell.paragraphs for line in wrap(runs, room)]
            if item.cell.rows == 1:
                heights[item.row] = max(heights[item.row], item.height + 2 * pad_y)
        for item in placed:
            if item.cell.rows > 1:
                short = item.height + 2 * pad_y - sum(heights[item.row : item.last])
                if short > 0:
                    heights[item.last - 1] += short
        floor = min((h for h in heights if h > 0), default=0.0)
        return [h or floor for h in heights]

    def _breakable(self, table: Table, placed: list[_Placed], heights: list[float], first: int, row: int) -> bool:
        """Whether a page that began with row `first` may end before `row`."""
        for item in placed:
            if item.row < row < item.last:
                start = max(item.row, first)
                part = sum(heights[start:row])
                if not table.split_spans or item.height + 2 * table.pad[1] > part + 0.5:
                    return False
        return row > table.header or first > 0

    def _segments(self, table: Table, placed: list[_Placed], edges: list[float], heights: list[float]) -> None:
        """Cuts the table into what fits on each page."""
        count, first = len(heights), 0
        drawn: set[int] = set()
        while first < count:
            repeated = list(range(table.header)) if first > 0 and table.repeat_header else []
            room = self.bottom - self.y - sum(heights[r] for r in repeated)
            last = first
            while last < count and heights[last] <= room + 0.01:
                room -= heights[last]
                last += 1
            stop = last
            if last < count:
                while stop > first and not self._breakable(table, placed, heights, first, stop):
                    stop -= 1
            if stop == first:
                if self.y > self.top + 1:
                    self.new_page()
                    continue
                # Not even an empty page can hold it: let it end where it will.
                stop = max(last, first + 1)
            if repeated:
                self._draw(table, placed, edges, heights, 0, table.header, set())
            self._draw(table, placed, edges, heights, first, stop, drawn)
            first = stop
            if first < count:
                self.new_page()

    def _draw(self, table, placed, edges, heights, first: int, stop: int, drawn: set[int]) -> None:
        """Rows first to stop at the current height; the text of a spanning cell goes into its first part."""
        actions = self.pages[-1]
        tops = {first: self.y}
        for row in range(first, stop):
            tops[row + 1] = tops[row] + heights[row]
        rules: dict[tuple[str, float], list[tuple[float, float]]] = {}
        for item in placed:
            if item.last <= first or item.row >= stop:
                continue
            x0, x1 = edges[item.column], edges[item.column + item.cell.columns]
            y0, y1 = tops[max(item.row, first)], tops[min(item.last, stop)]
            if item.cell.fill is not None:
                actions.append(("fill", x0, y0, x1, y1, item.cell.fill))
            kind = table.ruling.kind
            if kind in ("grid", "horizontal"):
                rules.setdefault(("h", round(y0, 2)), []).append((x0, x1))
                rules.setdefault(("h", round(y1, 2)), []).append((x0, x1))
            if kind == "grid":
                rules.setdefault(("v", round(x0, 2)), []).append((y0, y1))
                rules.setdefault(("v", round(x1, 2)), []).append((y0, y1))
            if id(item) not in drawn:
                drawn.add(id(item))
                self._text(actions, item, x0 + table.pad[0], x1 - table.pad[0], y0 + table.pad[1], y1 - table.pad[1])
        if table.ruling.kind == "box":
            x0, x1, y0, y1 = edges[0], edges[-1], tops[first], tops[stop]
            for key, span in (
                (("h", y0), (x0, x1)),
                (("h", y1), (x0, x1)),
                (("v", x0), (y0, y1)),
                (("v", x1), (y0, y1)),
            ):
                rules.setdefault(key, []).append(span)
        width, colour = table.ruling.width, table.ruling.colour
        for (axis, at), spans in rules.items():
            for start, end in _union(spans):
                line = (start - width / 2, at, end + width / 2, at) if axis == "h" else (at, start, at, end)
                actions.append(("rule", *line, width, colour))
        self.y = tops[stop]

    @staticmethod
    def _text(actions: list, item: _Placed, x0: float, x1: float, y0: float, y1: float) -> None:
        slack = max(0.0, y1 - y0 - item.height)
        y = y0 + {"top": 0.0, "middle": slack / 2, "bottom": slack}[item.cell.vertical]
        for line in item.lines:
            leading, px = _leading(line), max(kind.px for _, kind in line)
            x = x0 + (x1 - x0 - _width(line)) * {"left": 0.0, "center": 0.5, "right": 1.0}[item.cell.align]
            baseline = y + leading / 2 + 0.33 * px
            actions.append(("text", x, baseline, line, px))
            y += leading


def _union(spans: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Touching pieces of one rule joined."""
    joined: list[tuple[float, float]] = []
    for start, end in sorted(spans):
        if joined and start <= joined[-1][1] + 1:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    return joined


def paint(actions: list, canvas: Canvas) -> None:
    """Draws one page: fills, then rules, then text."""
    for name, *rest in sorted(actions, key=lambda action: ("fill", "rule", "text").index(action[0])):
        if name == "fill":
            canvas.fill(*rest)
        elif name == "rule":
            canvas.rule(*rest)
        else:
            x, baseline, line, px = rest
            content = "".join(text for text, _ in line)
            if content in MARKS[:3] and line[0][1].drawn_marks:
                canvas.checkbox(x, baseline, content, px)
            else:
                canvas.pieces(x, baseline, [(text, kind.face, kind.colour) for text, kind in line], px)
