"""What must not be told, was not told: to no log, however talkative, in no figure, no topic and no complaint. Runs
after all other tests, over all that they left."""

import json
import re
import subprocess
import sys

import pytest

from badbroker import Fault
from kiosk import MARK, ROOT, SECRETS, until
from secrecy import could_be_chance, forbidden, found

SAMPLE = ROOT / "tests/data/reports/scan"


@pytest.fixture
def told(open_branch, new_paper):
    """Everything that can be told has had its chance, even when these tests run by themselves."""
    branch = open_branch()
    kiosk = branch.kiosk
    kiosk.give_credential("mqtt-password", "a-password-that-nobody-asked-for")
    kiosk.configure(mqtt={"user": "kiosk-1"})
    kiosk.start()
    papers = [new_paper(), new_paper(), new_paper()]
    scans = kiosk.scan(papers[0])
    kiosk.drop(papers[1])
    scans |= {kiosk.by_file(kiosk.api_key(), papers[2].content).json()["meta"]["scan_id"]: papers[2]}
    # A scanned sample, which the models read.
    sample = SAMPLE.with_suffix(".pdf")
    [scanned] = kiosk.submit(sample).accepted.values()
    branch.listener.wait_for([*scans, scanned], patience=300)
    assert json.loads(branch.listener.results[scanned][0])["errorCode"] == "0"
    torn = kiosk.folder / f"{MARK}.pdf"
    torn.write_bytes(papers[0].content[:500])
    kiosk.submit(torn)
    kiosk.command("outbox", "list")
    branch.gate.set(Fault.REFUSED)
    until(lambda: not kiosk.waiting("document"))
    kiosk.reload()
    assert kiosk.stop() == 0
    return branch


def test_what_is_forbidden_is_known():
    sample = json.loads(SAMPLE.with_suffix(".json").read_text(encoding="utf-8"))
    assert len(forbidden()) > 50 and sample["info"]["cic_code"] in forbidden()


def test_no_value_of_a_paper_and_no_secret_is_in_a_log_a_figure_a_topic_or_a_complaint(told, logs):
    ended = {path.suffix for path in logs.iterdir()}
    assert {".log", ".metrics", ".topics"} <= ended, "there is nothing to look at"
    assert "accepted" in told.kiosk.said(), "the log tells nothing"
    words = forbidden() | {word for word in SECRETS if not could_be_chance(word)}
    assert found(lines_of(words), [logs]) == set()


def lines_of(words: set[str]) -> set[str]:
    """A key in a PEM file has many lines. Its first and last ones are no secrets, and the rest of a line says little."""
    keys = {word for word in words if "\n" in word}
    lines = {line for key in keys for line in key.splitlines() if len(line) > 16 and not line.startswith("-----")}
    return words - keys | lines


def test_no_log_names_a_file_of_a_customer(told, logs):
    # What the commands complain of may: whoever runs them has named it.
    assert found([MARK], logs.glob("*.log")) == set()
    assert found([MARK], logs.glob("*.metrics")) == set()


def test_topics_are_made_of_branch_kiosk_and_scan_id_or_are_of_commands(told, logs):
    topics = {line for file in logs.glob("*.topics") for line in file.read_text(encoding="utf-8").splitlines()}
    shape = re.compile(r"cic/v1/hn-01/kiosk-\d/(presence|telemetry|config/(desired|reported)|result/[0-9A-HJKMNP-TV-Z]{26}|command/.+)")
    shared = re.compile(r"cic/v1/(_all|hn-01)/_all/(config/desired|package/[0-9a-f]{64}/\d+)")
    assert topics and [topic for topic in topics if not shape.fullmatch(topic) and not shared.fullmatch(topic)] == []


def test_search_for_secrets_finds_one_and_does_not_repeat_it(tmp_path):
    (tmp_path / "clean.log").write_text("started\n", encoding="utf-8")
    command = [sys.executable, ROOT / "tests/secrecy.py", tmp_path]
    assert subprocess.run(command, capture_output=True).returncode == 0
    value = max(forbidden(), key=len)
    (tmp_path / "telling.log").write_text(f"started\nread {value} today\n", encoding="utf-8")
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 1 and f"{tmp_path}/telling.log:2: " in result.stdout
    assert value not in result.stdout + result.stderr
