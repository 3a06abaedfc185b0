"""What the generator promises: truth that holds together and stands on the paper, boxes that cover the ink."""

import json
import re
import subprocess
import sys
import unicodedata
from datetime import datetime
from pathlib import Path

import cv2
import numpy as np
import pytest

from cictrain import corpus, degrade, document, draw
from cictrain.alphabet import ALPHABET, encode
from cictrain.report import RANKS, make_report


def amount(text: str) -> int:
    return int(text.replace(",", ""))


def day(text: str) -> datetime:
    return datetime.strptime(text, "%d/%m/%Y")


@pytest.fixture(scope="module")
def infos():
    return [make_report(np.random.default_rng([7, seed])).info() for seed in range(150)]


@pytest.fixture(scope="module")
def clean():
    """Undegraded pages at 200 dpi."""
    pages = []
    for seed in range(6):
        draft = document.Draft(np.random.default_rng([8, seed]), 200.0)
        pages += [draft.page(index) for index in range(len(draft.flow.pages))]
    return pages


def darkness_under(page, quad) -> float:
    """How much darker the darkest fiftieth under a quad is than its brightest half, in grey levels."""
    low, high = np.floor(quad.min(0)).astype(int).clip(0), np.ceil(quad.max(0)).astype(int)
    patch = page.image[low[1] : high[1], low[0] : high[0]].mean(2)
    return float(np.percentile(patch, 75) - np.percentile(patch, 2)) if patch.size else 0.0


def test_totals_of_a_lender_are_the_sums_of_its_term_lines(infos):
    groups = {name for name in corpus.GROUP_DEBTS}
    for info in infos:
        for _, _, _, debts, total in info["loan_details"]:
            assert amount(total) == sum(amount(d["debt"]) for d in debts if d["debt_name"] not in groups)


def test_group_lines_sum_up_to_the_term_line_above_them(infos):
    for info in infos:
        for row in info["loan_details"]:
            term, left = None, 0
            for debt in row[3] + [{"debt_name": "", "debt": "0"}]:
                if debt["debt_name"] in corpus.GROUP_DEBTS:
                    left -= amount(debt["debt"])
                    continue
                assert term is None or left in (0, term)
                term = left = amount(debt["debt"])


def test_loans_and_cards_make_the_total_of_each_of_twelve_months(infos):
    for info in infos:
        assert len(info["outstanding_loans"]) in (0, 12)
        for loans, cards, total in info["outstanding_loans"]:
            if total == "(-)":
                assert loans == cards == "(-)"
            else:
                assert amount(loans) + amount(cards) == amount(total)


def test_score_lies_within_its_rank(infos):
    for info in infos:
        if info["credit_score"]:
            low, high = RANKS[int(info["credit_rank"]) - 1]
            assert low <= int(info["credit_score"]) <= high


def test_dates_come_in_order(infos):
    for info in infos:
        made = day(re.search(r"\d\d/\d\d/\d{4}", info["report_time"])[0])
        assert all(day(signed) <= day(ends) and day(signed) <= made for signed, ends in info["credit_contract"])
        assert all(day(row[2]) <= made for row in info["customers_look_up"])
        assert not info["credit_ranking_date"] or day(info["credit_ranking_date"]) <= made


def test_codes_have_their_digits(infos):
    for info in infos:
        assert re.fullmatch(r"\d{10}", info["cic_code"])
        assert all(re.fullmatch(r"\d{9}|\d{12}", part) for part in info["id_card"].split(" / "))
        assert all(re.fullmatch(r"\d{8}", row[0]) for row in info["customers_look_up"])


def test_no_late_days_without_late_payment(infos):
    for info in infos:
        for answer, days, times in info["late_payments"]:
            assert answer in "YN" and ((days, times) == ("0", "0")) == (answer == "N")


def test_every_section_occurs_empty_and_filled(infos):
    for table in (
        "loan_details",
        "credit_card_info",
        "outstanding_loans",
        "bad_debt",
        "late_payments",
        "loan_guarantee",
        "credit_contract",
        "customers_look_up",
    ):
        assert {bool(info[table]) for info in infos} == {True, False}, table


def test_every_value_of_the_truth_is_printed_in_its_order_of_characters():
    def squeeze(value: str) -> str:
        """Without blanks, as a value that wraps loses them."""
        return re.sub(r"\s+", "", value)

    for seed in range(12):
        paper = document.make_document(np.random.default_rng([9, seed]), "digital", dpi=100)
        lines = [line.text for page in paper.pages for line in page.lines]
        info = paper.truth["info"]
        text = squeeze("".join(lines))
        for name in (
            "report_time",
            "cic_code",
            "id_card",
            "address",
            "credit_score",
            "credit_rank",
            "credit_ranking_date",
            "debt_sold_to_vamc",
        ):
            # A value that wraps can have a page break or its label's second line within it: its first word must stand there.
            assert squeeze(info[name].split(" ")[0] if info[name] else "") in text, name
        for row in info["loan_details"]:
            assert row[1] in text and row[4] in lines
            assert all(debt["debt"] in lines for debt in row[3])
        for row in info["outstanding_loans"]:
            assert all(value in lines for value in row)
        for code, _, date in info["customers_look_up"]:
            assert code in lines and date in lines


def test_lines_keep_to_the_alphabet_in_nfc(clean):
    for page in clean:
        assert page.lines
        for line in page.lines:
            assert line.text == unicodedata.normalize("NFC", line.text).strip()
            assert line.text and encode(line.text) is not None, line.text


def test_quads_cover_the_ink_and_nothing_beside(clean):
    for page in clean:
        for line in page.lines:
            left, top = line.quad[0]
            right, bottom = line.quad[2]
            assert bottom - top == pytest.approx(1.4 * line.em, rel=0.01)
            assert darkness_under(page, line.quad) > 40, line.text
            # The outermost column at either end belongs to the ink.
            core = slice(int(top), int(np.ceil(bottom)))
            grey = page.image[core].mean(2)
            paper = np.percentile(grey[:, int(left) : int(right) + 1], 75)
            for edge in (int(left), int(np.ceil(right)) - 2):
                assert grey[:, max(0, edge - 1) : edge + 3].min() < paper - 8, line.text


def test_cells_of_different_lines_do_not_overlap(clean):
    for page in clean:
        boxes = np.array([[*line.quad[0], *line.quad[2]] for line in page.lines])
        # The middle of a line, as text boxes may touch above and below.
        height = boxes[:, 3] - boxes[:, 1]
        boxes[:, 1] += 0.3 * height
        boxes[:, 3] -= 0.3 * height
        for index, box in enumerate(boxes):
            rest = np.delete(boxes, index, 0)
            wide = np.minimum(rest[:, 2], box[2]) - np.maximum(rest[:, 0], box[0])
            tall = np.minimum(rest[:, 3], box[3]) - np.maximum(rest[:, 1], box[1])
            assert not ((wide > 1) & (tall > 1)).any(), page.lines[index].text


@pytest.mark.parametrize("kind", [*degrade.KINDS, degrade.RECTIFIED])
def test_text_stays_under_its_quad_through_every_treatment(kind):
    found = total = 0
    for seed in range(4):
        rng = np.random.default_rng([10, seed])
        page = degrade.degrade(document.Draft(rng, 150.0).page(0), kind, rng)
        height, width = page.image.shape[:2]
        assert page.image.dtype == np.uint8 and page.image.shape[2] == 3
        for line in page.lines:
            centre = line.quad.mean(0)
            assert (centre >= 0).all() and (centre <= (width, height)).all()
            assert line.quad.dtype == np.float32
            total += 1
            found += darkness_under(page, line.quad) > 12
        for rule in page.rules:
            assert rule.points.shape[1] == 2 and len(rule.points) >= 2
    assert total > 100 and found / total > 0.97


def test_warp_and_its_inverse_agree():
    rng = np.random.default_rng(3)
    corners = np.array([[0, 0], [800, 0], [800, 1100], [0, 1100]], np.float32)
    matrix = cv2.getPerspectiveTransform(corners, corners + rng.normal(0, 40, (4, 2)).astype(np.float32))
    warp = degrade.Warp(matrix, degrade.Curl(rng, 800, 1100, 0.012))
    points = rng.uniform(0, 800, (200, 2))
    assert np.abs(warp.backward(warp.forward(points)) - points).max() < 0.05


def test_warped_dot_lands_where_its_point_does():
    rng = np.random.default_rng(4)
    image = np.full((1100, 800, 3), 255, np.uint8)
    dots = np.stack(np.meshgrid(range(100, 700, 90), range(100, 1000, 90)), -1).reshape(-1, 2)
    for x, y in dots:
        image[y - 2 : y + 3, x - 2 : x + 3] = 0
    angle = np.radians(4)
    matrix = [[np.cos(angle), -np.sin(angle), 60], [np.sin(angle), np.cos(angle), 5], [1e-5, 2e-5, 1]]
    for curl in (None, degrade.Curl(rng, 800, 1100, 0.01)):
        warp = degrade.Warp(matrix, curl)
        grey = warp.image(image, (860, 1160), 255)[..., 0].astype(float)
        for x, y in warp.forward(dots + 0.5):
            patch = 255 - grey[int(y) - 6 : int(y) + 7, int(x) - 6 : int(x) + 7]
            rows, columns = np.mgrid[0:13, 0:13] + 0.5
            seen = np.array([(patch * columns).sum(), (patch * rows).sum()]) / patch.sum() + [int(x) - 6, int(y) - 6]
            assert np.abs(seen - (x, y)).max() < 0.6


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_turned_page_keeps_text_under_its_quads(clean, quarters):
    page = document.turn(clean[0], quarters)
    for line in page.lines:
        assert darkness_under(page, line.quad) > 40
    back = document.turn(page, 4 - quarters)
    assert (back.image == clean[0].image).all()
    assert np.abs(back.lines[0].quad - clean[0].lines[0].quad).max() < 1e-3


def test_every_character_is_reached_by_random_text():
    rng = np.random.default_rng(0)
    seen = set()
    for _ in range(20_000):
        text = document.random_text(rng)
        assert text and text == text.strip() and encode(text) is not None
        seen.update(text)
    assert seen == set(ALPHABET)


def test_fonts_hold_all_letters_and_group_into_families():
    faces = draw.fonts()
    assert faces and all(not any(c.isalnum() for c in face.missing) for face in faces)
    assert {face.serif for face in faces} == {True, False}
    assert draw.families()


@pytest.mark.parametrize("text", ["Đơn vị tra cứu:", "☑", "Ngân hàng ☐ Ẵ ✓", "1,234"])
def test_drawn_line_is_covered_by_its_box(text):
    rng = np.random.default_rng(1)
    for face in draw.fonts()[::9]:
        image, quad = draw.draw_line(text, face, 30.0, rng)
        ink = np.argwhere(image < image.max() - 60)
        assert ink.size, face.path
        assert ink[:, 1].min() >= quad[0, 0] - 1.5 and ink[:, 1].max() <= quad[1, 0] + 1
        assert quad.min() >= 0 and quad[2, 0] <= image.shape[1] and quad[2, 1] <= image.shape[0]


def test_same_seed_draws_the_same_page():
    one, two = (document.make_page(np.random.default_rng(42), "scan") for _ in range(2))
    assert (one.image == two.image).all() and [a.text for a in one.lines] == [b.text for b in two.lines]


def test_generate_writes_pdf_and_truth(tmp_path):
    root = Path(__file__).parents[1]
    command = [
        sys.executable,
        "-m",
        "cictrain.generate",
        "--out",
        str(tmp_path),
        "--count",
        "2",
        "--seed",
        "5",
        "--kind",
        "fax",
    ]
    subprocess.run(command, cwd=root, check=True, capture_output=True)
    for stem in ("fax-000", "fax-001"):
        assert (tmp_path / f"{stem}.pdf").read_bytes().startswith(b"%PDF")
        truth = json.loads((tmp_path / f"{stem}.json").read_text(encoding="utf-8"))
        assert truth["kind"] == "fax" and truth["info"]["cic_code"] and truth["text"][0]
