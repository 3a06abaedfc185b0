"""Papers in a document scanner become scans, whatever is pulled out on the way. The scanner is a strict eSCL server."""

import pytest

from disks import SmallDisk
from kiosk import until
from scanner import Scanner, feed, pages_of, standing, wait_for

PAGES = pages_of("scan")


@pytest.fixture
def scanner(tmp_path):
    with Scanner(tmp_path / "scanner", [*PAGES, *PAGES, *PAGES][:8]) as scanner:
        yield scanner


@pytest.fixture
def open_kiosk(open_branch, scanner):
    """A branch with the scanner, and the kiosk started."""

    def open_kiosk(**settings: dict):
        escl = {**scanner.settings, **settings.pop("escl", {})}
        branch = open_branch(escl=escl, **settings)
        branch.kiosk.start()
        return branch

    return open_kiosk


def pages_captured(kiosk) -> int:
    return standing(kiosk).get("scan", {}).get("pages", 0)


def order(kiosk, what: str):
    result = kiosk.command("scan", what)
    assert result.returncode == 0, result.stderr


def only_answer(branch) -> dict:
    [scan_id] = until(lambda: list(branch.listener.results))
    return branch.listener.answer(scan_id)


def test_paper_in_the_feeder_becomes_one_scan_that_is_read_while_it_is_scanned(open_kiosk, scanner):
    scanner.order(page_seconds=1.0)
    branch = open_kiosk()
    feed(branch.kiosk, scanner, 8)
    answer = only_answer(branch)
    assert (answer["errorCode"], answer["meta"]["pages"]) == ("0", 8)
    assert answer["meta"]["captured_by"] == "escl" and "interrupted" not in answer["meta"]
    said = branch.kiosk.said()
    assert said.index("page read ahead") < said.index("number=8")
    assert said.count("page read ahead") == 8


def test_pages_from_the_glass_are_one_scan_until_a_person_says_so(open_kiosk):
    branch = open_kiosk(escl={"begin": "button"})
    wait_for(branch.kiosk, "ready")
    for number in (1, 2):
        order(branch.kiosk, "start")
        until(lambda: pages_captured(branch.kiosk) == number)
        wait_for(branch.kiosk, "ready")
    assert not branch.listener.results
    order(branch.kiosk, "done")
    assert only_answer(branch)["meta"]["pages"] == 2


def test_order_that_nobody_can_take_is_refused_in_words(open_kiosk, scanner):
    scanner.unplug()
    kiosk = open_kiosk().kiosk
    wait_for(kiosk, "absent")
    for what, word in [("start", "no source is ready"), ("done", "no source has a scan")]:
        result = kiosk.command("scan", what)
        assert (result.returncode, word in result.stderr) == (1, True), result.stderr


def test_cancelled_scan_leaves_nothing_behind(open_kiosk, scanner):
    scanner.order(page_seconds=0.5)
    branch = open_kiosk()
    feed(branch.kiosk, scanner, 8)
    until(lambda: pages_captured(branch.kiosk) >= 1)
    order(branch.kiosk, "cancel")
    wait_for(branch.kiosk, "ready")
    until(lambda: not branch.kiosk.entries("open"))
    until(lambda: any(line.startswith("DELETE") for line in scanner.requests()))
    assert not branch.listener.results and not branch.kiosk.waiting()


def test_page_that_is_not_good_enough_is_asked_for_again(open_kiosk, scanner):
    branch = open_kiosk(quality={"min_dpi": 2000.0}, capture={"asks": 1}, escl={"begin": "button"})
    wait_for(branch.kiosk, "ready")
    order(branch.kiosk, "start")
    ask = until(lambda: standing(branch.kiosk).get("scan", {}).get("ask"))
    assert ask.startswith("Page 1 again")
    order(branch.kiosk, "start")
    until(lambda: "ask" not in standing(branch.kiosk)["scan"])
    order(branch.kiosk, "done")
    meta = only_answer(branch)["meta"]
    assert meta["pages"] == 1
    assert meta["quality"] == [{"page": 0, "findings": ["coarse"], "asked_again": ["coarse"]}]


@pytest.mark.parametrize(
    "orders, word",
    [({"jam": 3}, "jam"), ({"hatch": 3}, "cover"), ({"cut": 3}, ""), ({"hang": 3}, "")],
    ids=["jam", "cover open", "cut off", "hangs"],
)
def test_pages_before_a_fault_are_safe_and_a_person_can_end_their_scan(open_kiosk, scanner, orders, word):
    scanner.order(**orders)
    branch = open_kiosk(escl={"page_seconds": 3})
    feed(branch.kiosk, scanner, 4)
    reason = until(lambda: standing(branch.kiosk).get("reason"))
    assert word in reason
    assert pages_captured(branch.kiosk) == 2
    scanner.order(loaded=0, **dict.fromkeys(orders, 0))
    order(branch.kiosk, "done")
    assert only_answer(branch)["meta"]["pages"] == 2


def test_scanner_that_is_unplugged_and_plugged_in_again_is_used_without_a_restart(open_kiosk, scanner):
    scanner.order(page_seconds=0.5)
    branch = open_kiosk()
    feed(branch.kiosk, scanner, 8)
    until(lambda: pages_captured(branch.kiosk) >= 2)
    scanner.unplug()
    until(lambda: standing(branch.kiosk)["state"] in ("absent", "failing"))
    assert standing(branch.kiosk)["reason"]
    order(branch.kiosk, "done")
    assert only_answer(branch)["meta"]["pages"] >= 2
    scanner.plug()
    feed(branch.kiosk, scanner, 1)
    until(lambda: len(branch.listener.results) == 2)


def test_killed_kiosk_delivers_what_was_captured_and_says_that_pages_may_be_missing(open_kiosk, scanner):
    scanner.order(page_seconds=0.5)
    branch = open_kiosk()
    feed(branch.kiosk, scanner, 8)
    until(lambda: pages_captured(branch.kiosk) >= 2)
    branch.kiosk.kill()
    scanner.order(loaded=0)
    branch.kiosk.start()
    meta = only_answer(branch)["meta"]
    assert meta["pages"] >= 2 and meta["interrupted"] and meta["decision"] == "review"


def test_page_is_kept_while_the_disk_is_full_and_a_person_is_told(open_branch, scanner, tmp_path):
    with SmallDisk(tmp_path / "disk", 64) as disk:
        state = {"state": str(disk.place / "state")}
        branch = open_branch(kiosk=state, escl=scanner.settings, outbox={"min_free_bytes": 1 << 20})
        branch.kiosk.start()
        wait_for(branch.kiosk, "ready")
        disk.fill()
        scanner.order(loaded=3)
        ask = until(lambda: standing(branch.kiosk).get("scan", {}).get("ask"))
        assert "outbox" in ask
        disk.clear()
        assert only_answer(branch)["meta"]["pages"] == 3
        branch.kiosk.stop()
