"""Pages that come one by one are one scan, and safe one by one. The client is curl."""

import json
import subprocess

import pytest
from PIL import Image

from kiosk import PATIENCE

SCAN_ID = "01K5ZZZZZZZZZZZZZZZZZZZZZZ"


@pytest.fixture
def pages(tmp_path):
    files = [tmp_path / f"{number}.png" for number in (1, 2, 3)]
    for file in files:
        Image.new("L", (620, 877), 255).save(file)
    return files


def put(kiosk, path: str, file=None) -> tuple[int, dict]:
    body = ["--upload-file", file] if file else ["--request", "PUT"]
    # Sent again where the connection breaks: it stays one page.
    again = ["--retry", "2", "--retry-all-errors"]
    command = ["curl", "--silent", *again, "--unix-socket", kiosk.socket, *body, "--write-out", "\n%{http_code}"]
    result = subprocess.run([*command, f"http://kiosk/scans/{path}"], capture_output=True, text=True, timeout=PATIENCE)
    assert result.returncode == 0, f"curl: {result.returncode}, {kiosk.said()[-1000:]}"
    answer, status = result.stdout.rsplit("\n", 1)
    return int(status), json.loads(answer)


def test_files_that_are_submitted_together_are_one_scan(open_branch, pages):
    branch = open_branch()
    branch.kiosk.start()
    result = branch.kiosk.command("submit", "--together", "--json", *pages)
    assert result.returncode == 0, result.stderr
    submitted = json.loads(result.stdout)
    assert [entry["file"] for entry in submitted] == list(map(str, pages))
    [scan_id] = {entry["scan_id"] for entry in submitted}
    assert branch.listener.answer(scan_id)["meta"]["pages"] == 3
    assert len(branch.listener.results) == 1


def test_pages_survive_a_kill_and_their_scan_goes_on(open_branch, pages):
    branch = open_branch()
    branch.kiosk.start()
    assert put(branch.kiosk, f"{SCAN_ID}/pages/1", pages[0])[0] == 201
    branch.kiosk.kill()
    branch.kiosk.start()
    # The answer to the first one may have got lost: it is sent again.
    assert put(branch.kiosk, f"{SCAN_ID}/pages/1", pages[0])[0] == 201
    assert put(branch.kiosk, f"{SCAN_ID}/pages/2", pages[1])[0] == 201
    assert put(branch.kiosk, f"{SCAN_ID}/pages") == (201, {"scan_id": SCAN_ID})
    assert branch.listener.answer(SCAN_ID)["meta"]["pages"] == 2


@pytest.mark.parametrize(
    "path, sends, status, word",
    [
        (f"{SCAN_ID}/pages/2", True, 409, "the one before it is missing"),
        (f"{SCAN_ID}/pages/0", True, 400, "number"),
        (f"{SCAN_ID}/pages", False, 409, SCAN_ID),
        ("no-ulid", True, 400, "ULID"),
        (SCAN_ID, False, 400, "empty"),
    ],
)
def test_what_makes_no_scan_is_refused_with_a_reason(open_branch, pages, path, sends, status, word):
    branch = open_branch()
    branch.kiosk.start()
    answered = put(branch.kiosk, path, pages[0] if sends else None)
    assert answered[0] == status and word in answered[1]["detail"]
    assert branch.kiosk.waiting("document") == []
