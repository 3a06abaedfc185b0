"""What one report says: made-up values whose arithmetic holds, and the truth in the form of the engine's JSON.

A report here knows no fonts and no places; `compose` decides how it is set. The truth depends on nothing but this.
"""

from __future__ import annotations

import datetime
from dataclasses import dataclass, field

import numpy as np

from . import corpus
from .corpus import chance, choice

#: Rank 1 to 10: the range of scores.
RANKS = (
    (645, 706),
    (623, 644),
    (609, 622),
    (588, 608),
    (567, 587),
    (545, 566),
    (480, 544),
    (455, 479),
    (435, 454),
    (403, 434),
)
MISSING_MONTH = "(-)"


@dataclass
class Debt:
    name: str  # without "- " and ":"
    amount: str
    usd: str
    group: bool  # a group line under a term line


@dataclass
class Loan:
    number: str
    code: str
    name: str
    reported: str
    debts: list[Debt]
    total: str


@dataclass
class Card:
    limit: str
    due: str
    overdue: str
    count: str
    issuer: str


@dataclass
class Bad:
    """One lender's bad debts: (last date, group, VND, USD) each."""

    number: str
    lender: str
    rows: list[tuple[str, str, str, str]]


@dataclass
class Vamc:
    """`value` is what the truth holds; the other members are set only when there is a debt, printed as a table or a line."""

    value: str
    seller: str = ""
    date: str = ""


@dataclass
class Report:
    title_number: str
    enquiry: list[tuple[str, str]]
    report_time: str
    name: str
    cic_code: str
    id_card: str
    other_papers: str
    phone: str
    address: str
    score: tuple[str, str, str, str] | None  # score, rank, date, comparison
    loans: list[Loan]
    grand_total: str
    cards: list[Card]
    cards_as_grid: bool
    vamc: Vamc
    months: list[tuple[str, str, str, str]]  # month, loans, cards, total
    bad: list[Bad]
    late: tuple[str, str, str] | None  # Y or N, days, times
    attention: list[tuple[str, str, str, str]]  # month, amount, lender, reported
    guarantee: tuple[str, str] | None
    contracts: list[tuple[str, str, str, str]]  # number, lender, signed, ends
    look_ups: list[tuple[str, str, str, str]]  # lender, code, product, date
    absent: set[str] = field(default_factory=set)  # sections that are not printed at all

    def info(self) -> dict:
        """The truth, as `info` of the samples has it."""
        score, rank, ranked, _ = self.score or ("", "", "", "")
        return {
            "report_time": self.report_time,
            "cic_code": self.cic_code,
            "id_card": self.id_card,
            "address": self.address,
            "credit_score": score,
            "credit_rank": rank,
            "credit_ranking_date": ranked,
            "debt_sold_to_vamc": self.vamc.value,
            "loan_details": [
                [
                    loan.number,
                    loan.code,
                    loan.name,
                    [{"debt_name": d.name, "debt": d.amount} for d in loan.debts],
                    loan.total,
                ]
                for loan in self.loans
            ],
            "credit_card_info": [[card.limit, card.due, card.overdue, card.count] for card in self.cards],
            "outstanding_loans": [list(month[1:]) for month in self.months],
            "bad_debt": [[*row[:3], bad.number, bad.lender] for bad in self.bad for row in bad.rows],
            "late_payments": [list(self.late)] if self.late else [],
            "loan_guarantee": [list(self.guarantee)] if self.guarantee else [],
            "credit_contract": [[signed, ends] for _, _, signed, ends in self.contracts],
            "customers_look_up": [[code, product, day] for _, code, product, day in self.look_ups],
        }


def _money(value: int) -> str:
    return f"{value:,}"


def _million(rng) -> int:
    """A debt in millions: mostly small, every digit and length."""
    return int(10 ** rng.uniform(0, choice(rng, (2.5, 3.5, 4.5, 5.5))))


def _split(rng, total: int, parts: int) -> list[int]:
    if parts == 1 or total < parts:
        return [total]
    cuts = sorted(set(rng.integers(1, total, parts - 1).tolist()))
    return [b - a for a, b in zip([0, *cuts], [*cuts, total])]


def _loan(rng, number: int, today: datetime.date) -> Loan:
    debts: list[Debt] = []
    total = 0
    dollars = chance(rng, 0.15)
    terms = rng.permutation(len(corpus.TERM_DEBTS))[: choice(rng, (1, 1, 1, 2, 2, 3))]
    if chance(rng, 0.6):
        terms = np.sort(terms)
    for term in terms:
        value = _million(rng)
        total += value
        usd = _money(_million(rng)) if dollars and chance(rng, 0.5) else "0"
        debts.append(Debt(corpus.TERM_DEBTS[term], _money(value), usd, False))
        if chance(rng, 0.06):
            continue
        parts = _split(rng, value, choice(rng, (1, 1, 1, 1, 2, 3)))
        groups = np.sort(rng.permutation(len(corpus.GROUP_DEBTS))[: len(parts)])
        if len(parts) == 1 and chance(rng, 0.5):
            groups = [0]
        for group, part in zip(groups, parts):
            debts.append(Debt(corpus.GROUP_DEBTS[group], _money(part), usd, True))
            usd = "0"
    code, name = corpus.lender(rng)
    reported = corpus.dmy(today - datetime.timedelta(days=int(rng.integers(1, 70))))
    return Loan(str(number), code, name + corpus.branch(rng), reported, debts, _money(total))


def _cards(rng) -> tuple[list[Card], bool]:
    as_grid = chance(rng, 0.5)
    cards = []
    for _ in range(choice(rng, (1, 1, 2, 2, 3, 4)) if as_grid else 1):
        limit = int(rng.integers(1, 60)) * choice(rng, (1, 5, 10, 10, 20))
        due = int(rng.integers(0, limit + 1))
        overdue = int(rng.integers(0, due + 1)) if chance(rng, 0.2) else 0
        issuers = [
            corpus.lender(rng)[1] + corpus.branch(rng) for _ in range(1 if as_grid else choice(rng, (1, 1, 2, 3)))
        ]
        joiner = choice(rng, ("; ", ", ", " / "))
        cards.append(Card(_money(limit), _money(due), _money(overdue), str(rng.integers(1, 6)), joiner.join(issuers)))
    return cards, as_grid


def _months(rng, today: datetime.date) -> list[tuple[str, str, str, str]]:
    year, month = today.year, today.month
    rows = []
    with_cards = chance(rng, 0.6)
    for _ in range(12):
        month, year = (12, year - 1) if month == 1 else (month - 1, year)
        label = f"{month:02d}/{year}"
        if chance(rng, 0.07):
            rows.append((label, MISSING_MONTH, MISSING_MONTH, MISSING_MONTH))
            continue
        loans = _million(rng) if chance(rng, 0.93) else 0
        cards = int(rng.integers(0, 100)) if with_cards and chance(rng, 0.6) else 0
        rows.append((label, _money(loans), _money(cards), _money(loans + cards)))
    return rows


def _bad(rng, today: datetime.date) -> list[Bad]:
    found = []
    for number in range(1, 1 + choice(rng, (1, 1, 2, 2, 3, 5))):
        rows = []
        for _ in range(choice(rng, (1, 1, 2, 2, 3, 4))):
            day = today - datetime.timedelta(days=int(rng.integers(30, 5 * 365)))
            usd = _money(_million(rng)) if chance(rng, 0.1) else "0"
            rows.append((corpus.dmy(day), str(rng.integers(3, 6)), _money(_million(rng)), usd))
        found.append(Bad(str(number), corpus.lender(rng)[1] + corpus.branch(rng), rows))
    return found


def _id_card(rng) -> str:
    def twelve():
        return (
            choice(rng, corpus.PROVINCE_CODES) + corpus.digits(rng, 9) if chance(rng, 0.6) else corpus.digits(rng, 12)
        )

    dice = rng.random()
    if dice < 0.5:
        return twelve()
    if dice < 0.8:
        return corpus.digits(rng, 9)
    if dice < 0.95:
        return choice(rng, (f"{corpus.digits(rng, 9)} / {twelve()}", f"{twelve()} / {corpus.digits(rng, 9)}"))
    return f"{corpus.digits(rng, 9)} / {twelve()} / {twelve()}"


def _time(rng, day: datetime.date) -> str:
    text = corpus.dmy(day)
    return choice(
        rng,
        (
            f"{corpus.clock(rng, False)} - {text}",
            f"{corpus.clock(rng, True)} {text}",
            text,
            f"{corpus.clock(rng, True)} - {text}",
        ),
    )


def _enquiry(rng, report_time: str, today: datetime.date) -> list[tuple[str, str]]:
    bank = corpus.lender(rng)[1] + corpus.branch(rng)
    lines = [
        ("Đơn vị tra cứu", bank.upper() if chance(rng, 0.15) else bank),
        ("Địa chỉ", corpus.address(rng)),
        ("Điện thoại", corpus.phone(rng)),
        (
            "Người tra cứu",
            corpus.person(rng) if chance(rng, 0.7) else corpus.latin_word(rng).lower() + corpus.digits(rng, 2),
        ),
        (
            "Mã số phiếu",
            f"{corpus.digits(rng, 8)}S11A{today.year}" if chance(rng, 0.6) else corpus.contract_number(rng),
        ),
        ("Thời gian yêu cầu", _time(rng, today)),
        ("Thời gian gửi báo cáo", report_time),
    ]
    # The report's own time is always there; the rest may be.
    return [line for line in lines if line[1] is report_time or chance(rng, 0.93)]


def _no_vamc(rng) -> str:
    return choice(
        rng,
        (
            "Khách hàng không có dư nợ đã bán cho VAMC.",
            "Khách hàng không có dư nợ đã bán cho VAMC.",
            "Không có dư nợ bán cho VAMC.",
            "Khách hàng không có nợ đã bán cho VAMC",
            "Không có thông tin về dư nợ đã bán cho VAMC.",
            "Không có.",
            "Không có",
        ),
    )


def _until(rng, today: datetime.date, years: int) -> str:
    return corpus.dmy(today - datetime.timedelta(days=int(rng.integers(0, 365 * years))))


def make_report(rng: np.random.Generator) -> Report:
    today = corpus.date(rng, 2018, 2028)
    report_time = _time(rng, today)
    plenty = chance(rng, 0.15)
    loans = [
        _loan(rng, number, today) for number in range(1, 1 + choice(rng, (0, 1, 1, 2, 2, 3, 4, 5, 8 if plenty else 3)))
    ]
    grand = sum(int(loan.total.replace(",", "")) for loan in loans)
    cards, as_grid = _cards(rng) if chance(rng, 0.75) else ([], False)
    vamc = Vamc(_no_vamc(rng))
    if chance(rng, 0.25):
        vamc = Vamc(_money(_million(rng)), corpus.lender(rng)[1] + corpus.branch(rng), _until(rng, today, 3))
    rank = int(rng.integers(1, 11))
    score = None
    if chance(rng, 0.93):
        low, high = RANKS[rank - 1]
        printed = f"{rank:02d}" if chance(rng, 0.5) else str(rank)
        score = (
            str(rng.integers(low, high + 1)),
            printed,
            _until(rng, today, 1),
            f"Điểm tín dụng cao hơn {rng.integers(1, 100)}%",
        )
    late = None
    if chance(rng, 0.9):
        late = ("Y", str(rng.integers(1, 400)), str(rng.integers(1, 30))) if chance(rng, 0.45) else ("N", "0", "0")
    guarantee = None
    if chance(rng, 0.7):
        count = int(rng.integers(1, 12))
        guarantee = (str(count) if chance(rng, 0.8) else f"{count:02d}", str(rng.integers(1, count + 1)))
    contracts = []
    for _ in range(choice(rng, (0, 1, 2, 3, 5, 8))):
        signed = today - datetime.timedelta(days=int(rng.integers(0, 365 * 10)))
        ends = signed + datetime.timedelta(days=int(rng.integers(0, 365 * 25)))
        contracts.append(
            (
                corpus.contract_number(rng),
                corpus.lender(rng)[1] + corpus.branch(rng),
                corpus.dmy(signed),
                corpus.dmy(ends),
            )
        )
    look_ups = []
    known = [corpus.lender(rng) for _ in range(8)]
    for _ in range(choice(rng, (0, 2, 4, 7, 10, 14, 20, 28, 40 if plenty else 12))):
        code, name = choice(rng, known) if chance(rng, 0.6) else corpus.lender(rng)
        product = choice(rng, corpus.PRODUCTS) if chance(rng, 0.85) else corpus.words(rng, 2, 5).capitalize()
        look_ups.append((name + corpus.branch(rng), code, product, _until(rng, today, 1)))
    attention = []
    for _ in range(choice(rng, (0, 0, 1, 2, 4))):
        past = today - datetime.timedelta(days=int(rng.integers(20, 365)))
        attention.append(
            (
                past.strftime("%m/%Y"),
                _money(_million(rng)),
                corpus.lender(rng)[1] + corpus.branch(rng),
                corpus.dmy(past),
            )
        )
    person = corpus.person(rng)
    report = Report(
        title_number=f"{today.year}/S11A",
        enquiry=_enquiry(rng, report_time, today),
        report_time=report_time,
        name=person.upper() if chance(rng, 0.7) else person,
        cic_code=(choice(rng, corpus.PROVINCE_CODES)[1:] + corpus.digits(rng, 8))
        if chance(rng, 0.6)
        else corpus.digits(rng, 10),
        id_card=_id_card(rng),
        other_papers=choice(rng, ("", "", "", corpus.digits(rng, 8), choice(rng, "BCNPK") + corpus.digits(rng, 7))),
        phone=corpus.phone(rng) if chance(rng, 0.3) else "",
        address=corpus.address(rng),
        score=score,
        loans=loans,
        grand_total=_money(grand) if len(loans) > 1 and chance(rng, 0.4) else "",
        cards=cards,
        cards_as_grid=as_grid,
        vamc=vamc,
        months=_months(rng, today) if chance(rng, 0.85) else [],
        bad=_bad(rng, today) if chance(rng, 0.5) else [],
        late=late,
        attention=attention,
        guarantee=guarantee,
        contracts=contracts,
        look_ups=look_ups,
    )
    # A section that is not printed leaves nothing in the truth.
    empty = {"attention": [], "vamc": Vamc(""), "late": None, "guarantee": None, "contracts": [], "cards": []}
    for section, nothing in empty.items():
        if chance(rng, 0.04):
            report.absent.add(section)
            setattr(report, section, nothing)
    return report
