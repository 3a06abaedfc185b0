"""What the figures of confidence promise: honest numbers, readable pictures, a card that is up to date."""

import json
import xml.etree.ElementTree as ElementTree

import pytest

from cictrain import confidence

ROWS = [
    *[["generated", "scan", 0.999, True]] * 60,
    *[["generated", "fax", 0.95, True]] * 19,
    ["generated", "fax", 0.95, False],
    *[["generated", "fax", 0.3, True]] * 3,
    *[["generated", "fax", 0.3, False]] * 7,
    *[["generated", "fax", None, False]] * 10,
    *[["samples", "scan", 0.998, True]] * 40,
]


@pytest.fixture
def models(tmp_path):
    (tmp_path / "manifest.toml").write_text("[[model]]\n")
    (tmp_path / "CARD.md").write_text("# Models\n\n## Data\nDrawn.\n\n## Limits\n- Print only.\n")
    return tmp_path


@pytest.fixture
def drawn(models):
    values = models / "values.json"
    values.write_text(json.dumps({"documents": {"samples": 2, "generated": 5}, "values": ROWS}))
    assert confidence.main([str(values), "--models", str(models)]) == 0
    return models


def test_bins_hold_every_value_once_and_the_surest_too():
    found = confidence.bins([(0.05, False), (0.1, True), (0.19, False), (1.0, True)])
    assert [(count, right) for _, count, right in found] == [(1, 0), (2, 1), (1, 1)]
    assert found[1][0] == pytest.approx(0.145)


def test_interval_is_wide_for_few_and_holds_the_share():
    low, high = confidence.interval(1, 1)
    assert low < 0.3 and high == 1.0
    low, high = confidence.interval(990, 1000)
    assert 0.98 < low < 0.99 < high < 0.995


def test_values_of_equal_confidence_are_accepted_together():
    curve = confidence.coverage([(0.9, True), (0.9, False), (0.5, True)], 4)
    assert curve == [(0.9, 0.5, 0.5), (0.5, 0.75, pytest.approx(1 / 3))]


def test_summary_counts_what_was_not_given_among_all_but_never_as_accepted():
    generated = confidence.summary(ROWS)["generated"]
    assert generated["kinds"]["fax"] == {"values": 40, "accepted": 20, "wrong": 1}
    assert generated["kinds"]["all"] == {"values": 100, "accepted": 80, "wrong": 1}
    assert generated["low"] == {"values": 10, "right": 3} and generated["high"] == {"values": 60, "right": 60}


@pytest.mark.parametrize("name", ["reliability", "coverage"])
def test_figures_are_whole_svgs_for_light_and_dark_that_stay_on_their_paper(drawn, name):
    text = (drawn / f"figures/{name}.svg").read_text()
    root = ElementTree.fromstring(text)
    width, height = (float(size) for size in root.attrib["viewBox"].split()[2:])
    assert root.tag.endswith("}svg") and "prefers-color-scheme: dark" in text
    for node in root.iter():
        for axis, most in (("x", width), ("cx", width), ("y", height), ("cy", height)):
            assert 0 <= float(node.get(axis, 0)) <= most, node.attrib
    words = {node.text for node in root.iter("{http://www.w3.org/2000/svg}text")}
    assert {"generated", "samples"} <= words


def test_card_tells_the_numbers_and_keeps_what_else_it_says(drawn):
    card = (drawn / "CARD.md").read_text()
    assert "on 5 generated reports and 2 samples" in card.replace("\n", " ")
    assert "| generated | 10 | 30.00 % | 60 | 100.00 % |" in card
    assert "| generated, all | 100 | 80.00 % | 1 | 1.25 % |" in card
    assert card.startswith("# Models\n\n## Data\nDrawn.\n\n## Confidence\n") and card.endswith("\n\n## Limits\n- Print only.\n")
    assert confidence.refreshed(card, drawn) == card, "a second time changes nothing"


def test_card_of_newer_models_says_that_nothing_is_measured(drawn):
    (drawn / "manifest.toml").write_text("[[model]]\n[[model]]\n")
    card = confidence.refreshed((drawn / "CARD.md").read_text(), drawn)
    assert "Not measured since these models were made" in card and "generated, all" not in card


@pytest.mark.parametrize("text", ["", "{}", '{"documents": {"others": 1}, "values": [["others", "scan", 0.5, true]]}'])
def test_values_that_are_none_are_told_in_a_sentence(models, text):
    values = models / "values.json"
    values.write_text(text)
    message = confidence.main([str(values), "--models", str(models)])
    assert str(values) in message and not (models / "figures").exists()
