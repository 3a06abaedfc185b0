"""Turns a report into tables and paragraphs in one of the many looks that such a paper has.

`Style` draws the look by lot; `Composer` sets a whole report in it; `free_page` sets text that is no report.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from . import corpus, draw
from .alphabet import NBSP
from .corpus import chance, choice
from .layout import BLACK, Cell, Colour, Ruling, Table, Type
from .report import RANKS, Loan, Report

PT = 1 / 72  # inch
CSS = 1 / 96  # inch, a browser's pixel

# What offices print in comes up far more often than what else is installed.
_COMMON = (
    "Liberation Sans", "Arimo", "Liberation Serif", "Tinos", "DejaVu Sans", "DejaVu Serif", "Roboto", "Noto Sans", "Noto Serif", "Open Sans",
    "Carlito", "FreeSans", "FreeSerif", "Inter", "Lato",
)  # fmt: skip
_HEADING_COLOURS = (
    (31, 56, 100),
    (0, 0, 128),
    (0, 84, 166),
    (192, 0, 0),
    (0, 102, 51),
    (128, 0, 0),
    (68, 68, 68),
    (0, 112, 192),
)
_HEADER_FILLS = (
    None,
    None,
    (240, 240, 240),
    (217, 217, 217),
    (222, 234, 246),
    (226, 239, 218),
    (242, 242, 242),
    (200, 220, 240),
    (191, 191, 191),
)


@lru_cache(maxsize=1)
def _families() -> tuple[list[str], list[str]]:
    every = draw.families()
    return [name for name in _COMMON if name in every], [name for name in every if not every[name]["regular"].mono]


@dataclass
class Style:
    """The look of one document."""

    dpi: float
    faces: dict[str, draw.FontPath]
    size: float  # pt
    leading: float
    heading: Colour
    subheading: Colour
    heading_scale: float
    subheading_italic: bool
    title_scale: float
    header_fill: Colour | None
    header_bold: bool
    rule_width: float  # CSS px
    rule_colour: Colour
    tables: str  # ruling of tables
    pairs: str  # ruling of label/value blocks
    pad: tuple[float, float]  # pt
    vertical: str
    amounts: str  # alignment
    colon: str
    bold_labels: bool
    repeat_header: bool
    numbering: str
    keep_headings: bool
    label_share: float
    gap: float  # pt around headings
    margins: tuple[float, float, float, float]  # mm
    split_spans: bool
    drawn_marks: bool

    @property
    def px(self) -> float:
        return self.size * PT * self.dpi

    def type(self, style: str = "regular", scale: float = 1.0, colour: Colour = BLACK) -> Type:
        face = self.faces.get(style) or self.faces["bold" if "bold" in style else "regular"]
        return Type(face, round(self.px * scale, 2), colour, self.leading, self.drawn_marks)

    @staticmethod
    def random(rng: np.random.Generator, dpi: float) -> Style:
        common, every = _families()
        family = choice(rng, common) if common and chance(rng, 0.75) else choice(rng, every)
        coloured = chance(rng, 0.4)
        heading = choice(rng, _HEADING_COLOURS) if coloured else BLACK
        tables = choice(rng, ("grid",) * 7 + ("horizontal", "none", "box"))
        return Style(
            dpi=dpi,
            faces=draw.families()[family],
            size=float(choice(rng, (8, 8.5, 9, 9, 9.5, 10, 10, 10.5, 11, 11, 12))),
            leading=float(rng.uniform(1.15, 1.45)),
            heading=heading,
            subheading=heading if chance(rng, 0.4) else BLACK,
            heading_scale=float(rng.uniform(1.0, 1.25)),
            subheading_italic=chance(rng, 0.12),
            title_scale=float(rng.uniform(1.2, 1.7)),
            header_fill=choice(rng, _HEADER_FILLS),
            header_bold=chance(rng, 0.85),
            rule_width=float(rng.uniform(0.4, 1.3)),
            rule_colour=(0, 0, 0) if chance(rng, 0.75) else (int(rng.integers(40, 170)),) * 3,
            tables=tables,
            pairs=choice(rng, ("none", "none", "none", "grid", "grid", "horizontal", "box")),
            pad=(float(rng.uniform(1.5, 5)), float(rng.uniform(0.4, 3.2))),
            vertical=choice(rng, ("top", "middle", "middle")),
            amounts=choice(rng, ("right", "right", "right", "center", "center", "left")),
            colon=choice(rng, (":", ":", "", " :")),
            bold_labels=chance(rng, 0.25),
            repeat_header=chance(rng, 0.5),
            numbering=choice(rng, ("dot", "blank", "mixed", "roman", "none")),
            keep_headings=chance(rng, 0.5),
            label_share=float(rng.uniform(0.22, 0.48)),
            gap=float(rng.uniform(2, 9)),
            margins=tuple(float(rng.uniform(*span)) for span in ((8, 25), (8, 22), (8, 22), (8, 25))),
            split_spans=chance(rng, 0.7),
            drawn_marks=chance(rng, 0.5),
        )


class Composer:
    """Collects the blocks of one document in one style."""

    def __init__(self, style: Style, rng: np.random.Generator):
        self.style, self.rng = style, rng
        self.blocks: list[Table] = []
        self.text = style.type()
        self.bold = style.type("bold")
        self.italic = style.type("italic", 0.9)

    # Lengths

    def pt(self, value: float) -> float:
        return value * PT * self.style.dpi

    def ruling(self, kind: str) -> Ruling:
        return Ruling(kind, self.style.rule_width * CSS * self.style.dpi, self.style.rule_colour)

    # Parts

    def cell(self, content, kind: Type | None = None, **options) -> Cell:
        """A cell from a string or a list of strings, one paragraph each."""
        paragraphs = [content] if isinstance(content, str) else content
        return Cell(
            [[(text, kind or self.text)] if text else [] for text in paragraphs],
            vertical=options.pop("vertical", self.style.vertical),
            **options,
        )

    def paragraph(
        self,
        runs,
        align: str = "left",
        before: float = 0.0,
        after: float = 0.0,
        keep: bool = False,
        indent: float = 0.0,
    ) -> None:
        runs = [(runs, self.text)] if isinstance(runs, str) else runs
        self.blocks.append(
            Table(
                [[Cell([runs], align=align)]],
                [1.0],
                before=self.pt(before),
                after=self.pt(after),
                keep_with_next=keep,
                indent=self.pt(indent),
            )
        )

    def heading(self, number: tuple[int, int], text: str) -> None:
        """A heading of level one (second number 0) or two; its number is written as the style has it."""
        style, rng = self.style, self.rng
        one, two = number
        top = two == 0
        form = style.numbering if style.numbering != "mixed" else choice(rng, ("dot", "blank", "double"))
        if form == "none":
            mark = ""
        elif form == "roman" and top:
            mark = ("I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX")[min(one, 9) - 1] + ". "
        elif top:
            mark = f"{one}. "
        else:
            mark = f"{one}.{two}" + {"blank": " ", "double": "  "}.get(form, ". ")
        kind = (
            style.type("bold", style.heading_scale, style.heading)
            if top
            else style.type(
                "bolditalic" if style.subheading_italic else "bold",
                max(1.0, style.heading_scale - 0.1),
                style.subheading,
            )
        )
        self.paragraph([(mark + text, kind)], before=style.gap, after=style.gap / 3, keep=style.keep_headings)

    def pairs(self, rows: list[tuple[str, str]], ruling: str | None = None, share: float | None = None) -> None:
        """A block of labels and values side by side."""
        style = self.style
        kind = self.bold if style.bold_labels else self.text
        ruling = ruling or style.pairs
        colon = style.colon
        cells = [
            [
                self.cell(
                    label + (colon if not label.endswith(":") else ""),
                    kind,
                    vertical="top" if ruling == "none" else style.vertical,
                ),
                self.cell(value),
            ]
            for label, value in rows
        ]
        share = share or style.label_share
        pad = (self.pt(style.pad[0]), self.pt(style.pad[1] if ruling != "none" else style.pad[1] / 3))
        self.blocks.append(Table(cells, [share, 1 - share], self.ruling(ruling), pad, after=self.pt(style.gap / 2)))

    def sentence(self, *options: str) -> None:
        kind = self.italic if chance(self.rng, 0.2) else self.text
        self.paragraph([(choice(self.rng, options), kind)], after=self.style.gap / 2)

    def table(
        self,
        header: list[str] | list[list[Cell]],
        rows: list[list[Cell]],
        weights: list[float],
        footer: list[list[Cell]] = (),
    ) -> None:
        style = self.style
        if header and isinstance(header[0], str):
            header = [self.header_row(header)]
        self.blocks.append(
            Table(
                [*header, *rows, *footer],
                weights,
                self.ruling(style.tables),
                (self.pt(style.pad[0]), self.pt(style.pad[1])),
                header=len(header),
                repeat_header=style.repeat_header,
                after=self.pt(style.gap / 2),
                split_spans=style.split_spans,
            )
        )

    def header_row(self, titles: list[str]) -> list[Cell]:
        return [self.header_cell(title) for title in titles]

    def header_cell(self, title: str, **options) -> Cell:
        kind = self.bold if self.style.header_bold else self.text
        return self.cell(
            title, kind, align=options.pop("align", "center"), fill=self.style.header_fill, vertical="middle", **options
        )

    def amount(self, value, **options) -> Cell:
        return self.cell(value, align=self.style.amounts, **options)

    def centre(self, value, **options) -> Cell:
        return self.cell(value, align="center", **options)

    def unit(self) -> None:
        """The unit line above a table."""
        if chance(self.rng, 0.5):
            text = choice(
                self.rng,
                ("Đơn vị: Triệu VND", "Đơn vị tính: triệu đồng", "Đơn vị: Triệu VND, USD", "(Đơn vị: triệu đồng)"),
            )
            self.paragraph([(text, self.italic)], align=choice(self.rng, ("right", "right", "left")))

    # The report

    def report(self, report: Report) -> list[Table]:
        self._head(report)
        score_first = chance(self.rng, 0.5)
        section = 1
        self._customer(report, section)
        if report.score and score_first:
            if chance(self.rng, 0.7):
                section += 1
            self._score(report, section)
        section += 1
        self.heading(
            (section, 0),
            choice(
                self.rng, ("THÔNG TIN VỀ QUAN HỆ TÍN DỤNG", "THÔNG TIN QUAN HỆ TÍN DỤNG", "THÔNG TIN TÍN DỤNG HIỆN TẠI")
            ),
        )
        two = 0
        for name, part in (
            ("", self._loans), ("cards", self._cards), ("vamc", self._vamc), ("", self._months), ("", self._bad), ("late", self._late),
            ("attention", self._attention),
        ):  # fmt: skip
            if name not in report.absent:
                two += 1
                part(report, (section, two))
        if chance(self.rng, 0.6):
            section, two = section + 1, 0
            title = choice(
                self.rng,
                (
                    "THÔNG TIN KHÁC VỀ QUAN HỆ TÍN DỤNG",
                    "THÔNG TIN VỀ TÀI SẢN VÀ HỢP ĐỒNG",
                    "THÔNG TIN KHÁC VỀ KHÁCH HÀNG VAY",
                ),
            )
            self.heading((section, 0), title)
        for name, part in (("guarantee", self._guarantee), ("contracts", self._contracts)):
            if name not in report.absent:
                two += 1
                part(report, (section, two))
        if chance(self.rng, 0.5):
            section, two = section + 1, -1
        self._look_ups(report, (section, two + 1))
        if report.score and not score_first:
            self._score(report, section + 1)
        self._end()
        return self.blocks

    def _head(self, report: Report) -> None:
        rng, style = self.rng, self.style
        issuer = [("NGÂN HÀNG NHÀ NƯỚC VIỆT NAM", self.text)] if chance(rng, 0.6) else []
        name = ("TRUNG TÂM THÔNG TIN TÍN DỤNG", "QUỐC GIA VIỆT NAM")
        issuer += [(line, self.bold) for line in (name if chance(rng, 0.7) else [" ".join(name)])]
        align = choice(rng, ("center", "center", "left"))
        left = Cell([[run] for run in issuer], align=align)
        if chance(rng, 0.4):
            italic = self.style.type("italic") if chance(rng, 0.3) else self.text
            motto = [
                [("CỘNG HÒA XÃ HỘI CHỦ NGHĨA VIỆT NAM", self.bold)],
                [("Độc lập - Tự do - Hạnh phúc", choice(rng, (self.bold, italic)))],
            ]
            self.blocks.append(Table([[left, Cell(motto, align="center")]], [0.45, 0.55], after=self.pt(style.gap)))
        else:
            self.blocks.append(
                Table([[left]], [1.0], width=float(choice(rng, (0.5, 0.6, 1.0))), after=self.pt(style.gap))
            )
        title = style.type("bold", style.title_scale, style.heading)
        form = choice(
            rng,
            (
                "{}",
                "{} KHÁCH HÀNG VAY THỂ NHÂN",
                "{} (mã phiếu S11A)",
                "{}|KHÁCH HÀNG VAY THỂ NHÂN",
                "{}|(mã phiếu S11A)",
                "{} CỦA KHÁCH HÀNG VAY THỂ NHÂN (mã phiếu S11A)",
            ),
        )
        for line in form.format("BÁO CÁO CHI TIẾT QUAN HỆ TÍN DỤNG").split("|"):
            self.paragraph([(line, title)], align="center")
        if chance(rng, 0.85):
            self.paragraph(
                [(f"Số: {report.title_number}", choice(rng, (self.text, self.italic, self.bold)))],
                align="center",
                after=style.gap,
            )
        self.pairs(report.enquiry, choice(rng, ("none", "none", "none", style.pairs)))

    def _customer(self, report: Report, number: int) -> None:
        rng = self.rng
        self.heading(
            (number, 0),
            choice(rng, ("THÔNG TIN CHUNG VỀ KHÁCH HÀNG", "THÔNG TIN CHUNG VỀ KHÁCH HÀNG", "Thông tin định danh")),
        )
        if chance(rng, 0.4):
            self.heading((number, 1), "Thông tin nhận dạng")
        identity = choice(
            rng,
            (
                "Số chứng minh nhân dân",
                "Số CMND/Hộ chiếu",
                "Số CCCD/CMND",
                "CCCD",
                "Căn cước công dân",
                "Số định danh",
                "Số CMND/CCCD/Hộ chiếu",
            ),
        )
        rows = [
            (choice(rng, ("Tên khách hàng", "Tên khách hàng", "Họ và tên")), report.name),
            (choice(rng, ("Mã số CIC", "Mã CIC")), report.cic_code),
            ("Địa chỉ", report.address),
            (identity, report.id_card),
        ]
        if chance(rng, 0.7):
            rows.append(("Giấy tờ khác", report.other_papers))
        if report.phone:
            rows.append(("Điện thoại", report.phone))
        if chance(rng, 0.25):
            rest = rows[1:]
            rows = rows[:1] + [rest[i] for i in rng.permutation(len(rest))]
        self.pairs(rows)

    def _score(self, report: Report, number: int) -> None:
        rng = self.rng
        self.heading((number, 0), "THÔNG TIN ĐIỂM TÍN DỤNG")
        score, rank, day, better = report.score
        titles = ["Điểm tín dụng", choice(rng, ("Hạng", "Hạng tín dụng")), "Ngày chấm điểm", "Xếp hạng khách hàng"]
        values = [score, rank, day, better]
        if chance(rng, 0.2):
            titles, values = titles[:3], values[:3]
        if chance(rng, 0.3):
            self.table(titles, [[self.centre(value) for value in values]], [1.0, 0.8, 1.0, 1.6][: len(values)])
        else:
            self.pairs(list(zip(titles, values)))
        if chance(rng, 0.15):
            self._legend()

    def _legend(self) -> None:
        """All ten ranks, which a reader must not take for the customer's."""
        rows = [
            [
                self.centre(f"{rank:02d}"),
                self.centre(f"{low} - {high}"),
                self.cell(corpus.words(self.rng, 2, 6).capitalize()),
            ]
            for rank, (low, high) in enumerate(RANKS, 1)
        ]
        self.table(["Hạng", "Điểm", "Ý nghĩa"], rows, [0.6, 1.0, 3.0])

    # Sections with tables

    def _loans(self, report: Report, number: tuple[int, int]) -> None:
        rng = self.rng
        text = choice(
            rng,
            (
                "Chi tiết về nợ vay (không bao gồm nợ thẻ tín dụng)",
                "Chi tiết về nợ vay (không bao gồm nợ thẻ tín dụng)",
                "Tình trạng dư nợ tín dụng hiện tại",
            ),
        )
        self.heading(number, text)
        if not report.loans:
            self.sentence(
                "Khách hàng không có dư nợ vay.",
                "Không có thông tin về dư nợ vay.",
                "Không có",
                "Khách hàng hiện không quan hệ tín dụng tại các TCTD.",
            )
            return
        self.unit()
        choice(
            rng,
            (self._loans_spanned, self._loans_spanned, self._loans_stacked, self._loans_stacked, self._loans_blocks),
        )(report)

    def _debt_names(self, loan: Loan, colon: str, indent: str) -> list[str]:
        return [(f"{indent}- {debt.name}" if debt.group else debt.name) + colon for debt in loan.debts]

    def _loan_columns(self, report: Report) -> tuple[bool, bool]:
        """Whether there is a column for dollars, and one for the date of report."""
        dollars = any(debt.usd != "0" for loan in report.loans for debt in loan.debts) or chance(self.rng, 0.15)
        return dollars, chance(self.rng, 0.3)

    def _loan_header(self, dollars: bool, dated: bool) -> tuple[list[list[Cell]], list[float]]:
        rng = self.rng
        head = ["STT", "Mã TCTD", choice(rng, ("Tên TCTD", "Tên tổ chức tín dụng", "Tên TCTD/Chi nhánh TCTD"))]
        weights = [0.4, 0.9, 2.6]
        if dated:
            head.append("Ngày báo cáo gần nhất")
            weights.append(1.0)
        kind, money, total = (
            choice(rng, ("Loại dư nợ", "Chỉ tiêu", "Dư nợ")),
            choice(rng, ("Số tiền", "VND", "Số tiền VND")),
            choice(rng, ("Tổng cộng VND", "Tổng cộng", "Tổng dư nợ VND")),
        )
        if dollars and chance(rng, 0.5):
            top = [self.header_cell(title, rows=2) for title in [*head, kind]]
            top += [self.header_cell("Số tiền", columns=2), self.header_cell(total, rows=2)]
            header = [top, self.header_row(["VND", "USD"])]
        else:
            header = [self.header_row([*head, kind, money, *(["USD"] if dollars else []), total])]
        return header, weights + [2.0, 0.9] + ([0.7] if dollars else []) + [1.0]

    def _total_row(self, report: Report, span: int, trailing: int) -> list[list[Cell]]:
        if not report.grand_total:
            return []
        label = choice(self.rng, ("Tổng cộng", "Tổng cộng các TCTD", "Tổng dư nợ"))
        row = [self.cell(label, self.bold, columns=span, align=choice(self.rng, ("left", "center", "right")))]
        row += [self.cell("")] * trailing
        return [[*row, self.amount(report.grand_total)]]

    def _loans_spanned(self, report: Report) -> None:
        """One grid row for each debt line; number, code, name and total span them."""
        dollars, dated = self._loan_columns(report)
        header, weights = self._loan_header(dollars, dated)
        colon, indent = choice(self.rng, ("", "", ":")), choice(self.rng, ("", "", NBSP * 2))
        rows = []
        for loan in report.loans:
            count = len(loan.debts)
            names = self._debt_names(loan, colon, indent)
            for index, (debt, name) in enumerate(zip(loan.debts, names)):
                row = []
                if index == 0:
                    row = [
                        self.centre(loan.number, rows=count),
                        self.centre(loan.code, rows=count),
                        self.cell(loan.name, rows=count),
                    ]
                    row += [self.centre(loan.reported, rows=count)] if dated else []
                row += [self.cell(name), self.amount(debt.amount)] + ([self.amount(debt.usd)] if dollars else [])
                if index == 0:
                    row.append(self.amount(loan.total, rows=count))
                rows.append(row)
        self.table(header, rows, weights, self._total_row(report, 4 + dated, 1 + dollars))

    def _loans_stacked(self, report: Report) -> None:
        """One row for each lender; its debt lines are stacked in one cell, their amounts in the next."""
        dollars, dated = self._loan_columns(report)
        header, weights = self._loan_header(dollars, dated)
        colon, indent = choice(self.rng, ("", "", ":")), choice(self.rng, ("", "", NBSP * 3))
        # All cells of such a row begin at the same height, or the stacked lines would not face their amounts.
        vertical = choice(self.rng, ("top", "top", "middle"))
        rows = []
        for loan in report.loans:
            row = [
                self.centre(loan.number, vertical=vertical),
                self.centre(loan.code, vertical=vertical),
                self.cell(loan.name, vertical=vertical),
            ]
            row += [self.centre(loan.reported, vertical=vertical)] if dated else []
            names = [[(name, self.text)] for name in self._debt_names(loan, colon, indent)]
            # A wrapped name would part from its amount: the column grows instead.
            row.append(Cell(names, vertical="top", keep_together=True))
            row.append(self.amount([debt.amount for debt in loan.debts], vertical="top"))
            if dollars:
                row.append(self.amount([debt.usd for debt in loan.debts], vertical="top"))
            row.append(self.amount(loan.total, vertical=vertical))
            rows.append(row)
        self.table(header, rows, weights, self._total_row(report, 4 + dated, 1 + dollars))

    def _loans_blocks(self, report: Report) -> None:
        """A block for each lender, without spans: its name over its lines."""
        rng, style = self.rng, self.style
        form = choice(
            rng,
            (
                "{n}. {name}",
                "{n}. {name} ({code})",
                "{n}. {code} - {name}",
                "{n}. {name}|Mã TCTD: {code}",
                "{n}. {name}|{code}",
            ),
        )
        colon = choice(rng, ("", ":"))
        ruling = choice(rng, (style.tables, "none"))
        dated, dollars = chance(rng, 0.5), any(debt.usd != "0" for loan in report.loans for debt in loan.debts)
        for loan in report.loans:
            if "{code}" not in form:
                loan.code = ""
            for line in form.format(n=loan.number, name=loan.name, code=loan.code).split("|"):
                self.paragraph([(line, self.bold)], before=style.gap / 2, keep=style.keep_headings)
            if dated:
                self.paragraph(f"Ngày báo cáo gần nhất: {loan.reported}")
            names = self._debt_names(loan, colon, "")
            rows = [
                [self.cell(name), self.amount(debt.amount), *([self.amount(debt.usd)] if dollars else [])]
                for name, debt in zip(names, loan.debts)
            ]
            rows.append(
                [
                    self.cell("Tổng cộng" + colon, self.bold),
                    self.amount(loan.total),
                    *([self.cell("")] if dollars else []),
                ]
            )
            head = (
                [self.header_row(["Chỉ tiêu", "VND", *(["USD"] if dollars else [])])]
                if dollars or chance(rng, 0.3)
                else []
            )
            pad = (self.pt(style.pad[0]), self.pt(style.pad[1]))
            weights = [3.0, 1.2, 0.9][: 2 + dollars]
            self.blocks.append(
                Table([*head, *rows], weights, self.ruling(ruling), pad, header=len(head), after=self.pt(style.gap / 2))
            )
        if report.grand_total:
            pad = (self.pt(style.pad[0]), self.pt(style.pad[1]))
            row = [self.cell("Tổng cộng các TCTD" + colon, self.bold), self.amount(report.grand_total)]
            self.blocks.append(Table([row], [3.0, 1.2 + 0.9 * dollars], self.ruling(ruling), pad))

    def _cards(self, report: Report, number: tuple[int, int]) -> None:
        self.heading(number, "Thông tin Thẻ tín dụng và dư nợ thẻ tín dụng")
        if not report.cards:
            self.sentence(
                "Khách hàng không có thẻ tín dụng.", "Không có thông tin về thẻ tín dụng.", "Không có", "Không có."
            )
            return
        self.unit()
        titles = [
            "Tổng hạn mức thẻ tín dụng",
            "Tổng số tiền phải thanh toán thẻ",
            "Tổng số tiền chậm thanh toán thẻ",
            "Số lượng thẻ tín dụng",
            "Tên tổ chức phát hành thẻ",
        ]
        if report.cards_as_grid:
            issuer_first = chance(self.rng, 0.5)
            numbered = chance(self.rng, 0.4)
            rows = []
            for index, card in enumerate(report.cards, 1):
                row = [
                    self.amount(card.limit),
                    self.amount(card.due),
                    self.amount(card.overdue),
                    self.centre(card.count),
                ]
                row = [self.cell(card.issuer), *row] if issuer_first else [*row, self.cell(card.issuer)]
                rows.append([self.centre(str(index)), *row] if numbered else row)
            weights = [1.0, 1.1, 1.1, 0.8]
            header = [titles[4], *titles[:4]] if issuer_first else titles
            weights = [2.2, *weights] if issuer_first else [*weights, 2.2]
            self.table(["STT", *header] if numbered else header, rows, [0.4, *weights] if numbered else weights)
        else:
            card = report.cards[0]
            rows = list(zip(titles, [card.limit, card.due, card.overdue, card.count, card.issuer]))
            if chance(self.rng, 0.3):
                rows = [rows[4], *rows[:4]]
            self.pairs(rows)

    def _vamc(self, report: Report, number: tuple[int, int]) -> None:
        self.heading(number, "Dư nợ đã bán cho Công ty quản lý tài sản của các TCTD Việt Nam (VAMC)")
        vamc = report.vamc
        if not vamc.seller:
            self.paragraph([(vamc.value, self.text)], after=self.style.gap / 2)
            return
        titles = [
            "Tên TCTD bán nợ",
            choice(self.rng, ("Nợ gốc còn lại (Triệu VND)", "Dư nợ (triệu VND)", "Số tiền VND")),
            "Ngày báo cáo",
        ]
        if chance(self.rng, 0.6):
            row = [self.centre("1"), self.cell(vamc.seller), self.amount(vamc.value), self.centre(vamc.date)]
            self.table(["STT", *titles], [row], [0.4, 2.6, 1.3, 1.0])
        else:
            self.pairs([(titles[0], vamc.seller), (titles[1], vamc.value), (titles[2], vamc.date)])

    def _months(self, report: Report, number: tuple[int, int]) -> None:
        self.heading(number, "Diễn biến dư nợ 12 tháng gần nhất")
        if not report.months:
            self.sentence("Khách hàng không có dư nợ trong 12 tháng gần nhất.", "Không có thông tin.", "Không có")
            return
        self.unit()
        align = choice(self.rng, ("center", "left"))
        rows = [[self.cell(row[0], align=align), *(self.amount(value) for value in row[1:])] for row in report.months]
        titles = choice(
            self.rng,
            (
                ["Tháng", "Dư nợ vay (*)", "Dư nợ thẻ", "Tổng dư nợ"],
                ["Tháng", "Dư nợ vay", "Dư nợ thẻ tín dụng", "Tổng dư nợ (*)"],
                ["Tháng", "Dư nợ cho vay", "Dư nợ thẻ", "Tổng cộng"],
            ),
        )
        self.table(titles, rows, [1.0, 1.5, 1.2, 1.5])
        if chance(self.rng, 0.7):
            note = choice(
                self.rng,
                (
                    "(*) Bao gồm cả dư nợ ngoại tệ đã quy đổi. (-): Thiếu kỳ báo cáo số liệu.",
                    "(*): Dư nợ đã quy đổi ra VND",
                    "(-) Thiếu kỳ báo cáo số liệu",
                ),
            )
            self.paragraph([(note, self.italic)], after=self.style.gap / 2)

    def _bad(self, report: Report, number: tuple[int, int]) -> None:
        self.heading(
            number, choice(self.rng, ("Lịch sử nợ xấu tín dụng trong 05 năm gần nhất", "Lịch sử nợ xấu 5 năm gần nhất"))
        )
        if not report.bad:
            self.sentence(
                "Khách hàng không có nợ xấu trong 05 năm gần nhất.", "Không có nợ xấu trong 5 năm gần nhất.", "Không có"
            )
            return
        self.unit()
        dollars = any(row[3] != "0" for bad in report.bad for row in bad.rows) or chance(self.rng, 0.2)
        rows = []
        for bad in report.bad:
            for index, (day, group, vnd, usd) in enumerate(bad.rows):
                row = (
                    [self.centre(bad.number, rows=len(bad.rows)), self.cell(bad.lender, rows=len(bad.rows))]
                    if index == 0
                    else []
                )
                rows.append(
                    [
                        *row,
                        self.centre(day),
                        self.centre(group),
                        self.amount(vnd),
                        *([self.amount(usd)] if dollars else []),
                    ]
                )
        titles = [
            "STT",
            choice(self.rng, ("Tên TCTD/Chi nhánh TCTD", "Tên TCTD", "TCTD/Chi nhánh")),
            "Ngày phát sinh cuối cùng",
            "Nhóm nợ",
            "Số tiền VND",
        ]
        self.table([*titles, *(["USD"] if dollars else [])], rows, [0.4, 2.8, 1.3, 0.6, 0.9, 0.7][: 5 + dollars])

    def _late(self, report: Report, number: tuple[int, int]) -> None:
        self.heading(number, "Lịch sử chậm thanh toán thẻ tín dụng trong 03 năm gần nhất")
        if not report.late:
            self.sentence(
                "Khách hàng không chậm thanh toán thẻ trong 03 năm gần nhất.",
                "Không có thông tin chậm thanh toán thẻ.",
                "Không có",
            )
            return
        answer, days, times = report.late
        yes = answer == "Y"
        mark = choice(self.rng, ("☑☐", "☑☐", "☒☐", ("Có", "Không"), ("Có", "Không"), "YN"))[0 if yes else 1]
        titles = [
            "Khách hàng có chậm thanh toán thẻ",
            "Số ngày chậm thanh toán thẻ lớn nhất",
            "Số lần chậm thanh toán thẻ",
        ]
        if chance(self.rng, 0.4):
            self.table(titles, [[self.centre(mark), self.centre(days), self.centre(times)]], [1.2, 1.2, 1.0])
        else:
            self.pairs(list(zip(titles, (mark, days, times))))

    def _attention(self, report: Report, number: tuple[int, int]) -> None:
        self.heading(number, "Nợ cần chú ý trong vòng 12 tháng gần nhất")
        if not report.attention:
            self.sentence(
                "Khách hàng không có nợ cần chú ý trong vòng 12 tháng gần nhất.", "Không có nợ cần chú ý.", "Không có"
            )
            return
        rows = [
            [self.centre(month), self.amount(total), self.cell(lender), self.centre(day)]
            for month, total, lender, day in report.attention
        ]
        self.table(
            ["Tháng", choice(self.rng, ("Tổng nợ cần chú ý", "Dư nợ cần chú ý")), "Tên TCTD", "Ngày báo cáo"],
            rows,
            [0.7, 1.0, 2.8, 1.0],
        )

    def _guarantee(self, report: Report, number: tuple[int, int]) -> None:
        self.heading(number, choice(self.rng, ("Thông tin về tài sản đảm bảo", "Thông tin về đảm bảo tiền vay")))
        if not report.guarantee:
            self.sentence("Khách hàng không có tài sản bảo đảm.", "Không có thông tin về tài sản bảo đảm.", "Không có")
            return
        titles = ["Bảo đảm tiền vay bằng tài sản", "Số lượng tài sản bảo đảm", "Số TCTD có tài sản bảo đảm"]
        values = [choice(self.rng, ("Có", "Có", "☑", "Y")), *report.guarantee]
        if chance(self.rng, 0.4):
            self.table(titles, [[self.centre(value) for value in values]], [1.2, 1.0, 1.1])
        else:
            self.pairs(list(zip(titles, values)))

    def _contracts(self, report: Report, number: tuple[int, int]) -> None:
        self.heading(number, "Thông tin về hợp đồng tín dụng")
        if not report.contracts:
            self.sentence(
                "Không có thông tin về hợp đồng tín dụng.", "Khách hàng không có hợp đồng tín dụng.", "Không có"
            )
            return
        numbered, named = chance(self.rng, 0.85), chance(self.rng, 0.75)
        rows = []
        for index, (contract, lender, signed, ends) in enumerate(report.contracts, 1):
            row = [self.centre(str(index))] if numbered else []
            row += [self.cell(contract)] if named else []
            rows.append([*row, self.cell(lender), self.centre(signed), self.centre(ends)])
        dates = choice(self.rng, (["Ngày ký", "Ngày kết thúc"], ["Ngày ký hợp đồng", "Ngày kết thúc hợp đồng"]))
        titles = (["STT"] if numbered else []) + (["Số hợp đồng"] if named else []) + ["Tên TCTD", *dates]
        self.table(titles, rows, ([0.4] if numbered else []) + ([1.2] if named else []) + [2.6, 1.0, 1.0])

    def _look_ups(self, report: Report, number: tuple[int, int]) -> None:
        title = "DANH SÁCH TCTD TRA CỨU THÔNG TIN QUAN HỆ TÍN DỤNG CỦA KHÁCH HÀNG"
        self.heading(number, title + choice(self.rng, (" (trong 1 năm gần nhất)", " (trong 1 năm gần nhất)", "")))
        if not report.look_ups:
            self.sentence("Không có TCTD tra cứu thông tin trong 1 năm gần nhất.", "Không có thông tin.", "Không có")
            return
        timed, numbered = chance(self.rng, 0.15), chance(self.rng, 0.85)
        code_first = chance(self.rng, 0.3)
        rows = []
        for index, (lender, code, product, day) in enumerate(report.look_ups, 1):
            pair = [self.cell(lender), self.centre(code)]
            row = ([self.centre(str(index))] if numbered else []) + (pair[::-1] if code_first else pair)
            row += [self.cell(product), self.centre(day)]
            rows.append([*row, self.centre(corpus.clock(self.rng, True))] if timed else row)
        names = [choice(self.rng, ("Tên TCTD", "Tên tổ chức tín dụng")), choice(self.rng, ("Mã TCTD", "Mã chi nhánh"))]
        titles = (["STT"] if numbered else []) + (names[::-1] if code_first else names)
        titles += [
            choice(self.rng, ("Sản phẩm tra cứu", "Sản phẩm", "Loại sản phẩm")),
            choice(self.rng, ("Ngày tra cứu", "Ngày hỏi tin")),
        ]
        weights = ([0.4] if numbered else []) + ([0.9, 2.6] if code_first else [2.6, 0.9]) + [1.4, 0.9]
        self.table([*titles, "Giờ"] if timed else titles, rows, [*weights, 0.7] if timed else weights)

    def _end(self) -> None:
        rng, style = self.rng, self.style
        if chance(rng, 0.3):
            self.heading((9, 0), "THÔNG TIN KHÁC VỀ KHÁCH HÀNG VAY")
            self.sentence("Không có", "Không có thông tin khác.", corpus.sentence(rng))
        if chance(rng, 0.6):
            self.paragraph(
                [(choice(rng, ("KẾT THÚC BÁO CÁO", "--- KẾT THÚC BÁO CÁO ---")), self.bold)],
                align="center",
                before=style.gap,
            )
        if chance(rng, 0.3):
            self.paragraph([(choice(rng, corpus.SENTENCES[-3:]), self.italic)], before=style.gap / 2)
        if chance(rng, 0.3):
            left = Cell([[("Người lập", self.bold)], [], [(corpus.person(rng), self.text)]], align="center")
            right = Cell(
                [
                    [(choice(rng, ("Người duyệt", "GIÁM ĐỐC", "TRƯỞNG PHÒNG")), self.bold)],
                    [],
                    [(corpus.person(rng), self.text)],
                ],
                align="center",
            )
            self.blocks.append(Table([[left, right]], [1, 1], before=self.pt(style.gap)))

    # Papers that are no report

    def free_page(self) -> list[Table]:
        """Paragraphs, forms and tables of anything: layouts and words that no report has."""
        rng = self.rng
        for _ in range(int(rng.integers(5, 14))):
            dice = rng.random()
            kind = self.style.type(
                choice(rng, ("regular", "regular", "bold", "italic", "bolditalic")), float(rng.uniform(0.8, 1.5))
            )
            if dice < 0.3:
                text = " ".join(corpus.sentence(rng) for _ in range(int(rng.integers(1, 6))))
                self.paragraph(
                    [(text, kind)],
                    align=choice(rng, ("left", "left", "center", "right")),
                    after=4,
                    indent=float(rng.uniform(0, 40)),
                )
            elif dice < 0.5:
                self.paragraph(
                    [(corpus.random_text(rng), kind)], align=choice(rng, ("left", "center", "right")), after=2
                )
            elif dice < 0.7:
                rows = [(corpus.random_text(rng)[:40], corpus.random_text(rng)) for _ in range(int(rng.integers(2, 8)))]
                self.pairs(rows, choice(rng, ("none", "grid", "horizontal", "box")), float(rng.uniform(0.2, 0.6)))
            else:
                self._free_table()
        return self.blocks

    def _free_table(self) -> None:
        rng = self.rng
        count = int(rng.integers(2, 8))
        aligns = [choice(rng, ("left", "center", "right")) for _ in range(count)]
        # A column holds one sort of thing, as on real paper.
        makers = [
            choice(
                rng,
                (
                    corpus.random_text,
                    corpus.amount,
                    lambda r: corpus.dmy(corpus.date(r)),
                    lambda r: corpus.digits(r, 8),
                    corpus.person,
                    corpus.word,
                ),
            )
            for _ in range(count)
        ]
        rows = [
            [self.cell(make(rng), align=align) for make, align in zip(makers, aligns)]
            for _ in range(int(rng.integers(1, 16)))
        ]
        kept, self.style = (
            self.style,
            replace(self.style, tables=choice(rng, ("grid", "grid", "horizontal", "none", "box"))),
        )
        header = [corpus.words(rng, 1, 4).capitalize() for _ in range(count)]
        self.table(header, rows, [float(rng.uniform(0.5, 2)) for _ in range(count)])
        self.style = kept
