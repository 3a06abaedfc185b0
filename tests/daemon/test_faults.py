"""Disks, brokers and clocks fail. The kiosk stays up, says so, takes nothing that it cannot keep, and goes on after it.

For each fault: what is seen while it lasts, that nothing is lost that was accepted, and that the kiosk recovers without
anybody's help when it ends. *Ready* (/readyz) means that documents are accepted: a broker that is away does not make a
kiosk unready, as there is the outbox; a disk that fails and an outbox that is full do.
"""

import json
import random
import shutil
import time
from itertools import pairwise
from pathlib import Path

import pytest
import requests

from badbroker import CONNECT, Fault
from broker import Listener, Mosquitto
from clocks import TEN_YEARS, Clock
from daemon import CONNECTED, DEAD_LETTERS, check_payloads, check_results
from disks import EIO, ENOSPC, EROFS, FailingDisk, SmallDisk
from kiosk import MARK, PATIENCE, until
from papers import code_of, pdf

# Time limits of the connection that a test can wait for.
HASTY = {
    "keep_alive_seconds": 5,
    "connect_seconds": 2,
    "ack_seconds": 2,
    "retry_min_seconds": 1,
    "retry_max_seconds": 1,
}


def delivers(branch, scans, truth):
    """All scans arrive, and nothing is left."""
    branch.listener.wait_for(scans)
    until(lambda: not branch.kiosk.waiting())
    check_results(branch.listener.results, scans, truth(scans.values()))


def codes(listener) -> set[str]:
    """Which papers have arrived."""
    return {code_of(json.loads(payloads[0])) for payloads in listener.results.values()}


def scan_until_refused(kiosk, new_paper, most: int = 1000, **features):
    """What was accepted, and the refusal."""
    scans = {}
    for _ in range(most):
        paper = new_paper(**features)
        submitted = kiosk.scan_one(paper)
        if submitted.status != 0:
            assert submitted.accepted == {}
            return scans, submitted
        scans |= {scan_id: paper for scan_id in submitted.accepted.values()}
    raise AssertionError("it is never full")


def is_a_sentence(complaint: str) -> bool:
    """It tells a person what is wrong, and nothing of the program's inside."""
    return len(complaint.split()) >= 4 and "panicked" not in complaint and "Error {" not in complaint


# The disk.


@pytest.fixture
def small_disk(tmp_path):
    with SmallDisk(tmp_path / "disk", mebibytes=8) as disk:
        yield disk


@pytest.fixture
def on_small_disk(small_disk, open_branch):
    """A kiosk whose state is on the small disk."""
    state, room = str(small_disk.place / "state"), {"min_free_bytes": 300_000}
    branch = open_branch(kiosk={"state": state}, outbox=room)
    branch.kiosk.state = small_disk.place / "state"
    yield branch
    branch.kiosk.kill()


def test_full_disk_refuses_documents_loses_none_and_is_forgotten_when_there_is_space(
    on_small_disk, small_disk, new_paper, truth
):
    branch, kiosk = on_small_disk, on_small_disk.kiosk
    branch.gate.set(Fault.CLOSED)
    kiosk.start()
    key = kiosk.api_key()
    scans = kiosk.scan(*[new_paper() for _ in range(3)])
    small_disk.fill()
    # SQLite has some room in its files, but not for ever.
    more, refused = scan_until_refused(kiosk, new_paper, filling=100_000)
    scans |= more
    assert refused.status == 1 and "space" in refused.complaint and is_a_sentence(refused.complaint)
    until(lambda: not kiosk.is_ready())
    # A result may take the room that its document has left: then it counts as any other.
    dropped = new_paper(filling=100_000)
    left = kiosk.drop(dropped)
    paper = new_paper()
    answer = kiosk.by_file(key, paper.content)
    if answer.status_code == 200:
        scans[answer.json()["meta"]["scan_id"]] = paper
    assert kiosk.is_up() and kiosk.is_running()
    small_disk.clear()
    until(kiosk.is_ready)
    scans |= kiosk.scan(new_paper())
    until(lambda: not left.exists())
    branch.gate.heal()
    delivers(branch, scans, truth)
    assert dropped.code in codes(branch.listener)
    assert kiosk.dead() == set()


def test_full_disk_does_not_keep_what_was_accepted_from_the_broker(on_small_disk, small_disk, new_paper):
    branch, kiosk = on_small_disk, on_small_disk.kiosk
    branch.gate.set(Fault.CLOSED)
    kiosk.start()
    scans = kiosk.scan(*[new_paper() for _ in range(5)])
    until(lambda: not kiosk.waiting("document"))
    small_disk.fill()
    branch.gate.heal()
    branch.listener.wait_for(scans)
    small_disk.clear()
    until(lambda: not kiosk.waiting("result"))


def test_kiosk_that_dies_on_a_full_disk_finds_everything_again(on_small_disk, small_disk, new_paper, truth):
    branch, kiosk = on_small_disk, on_small_disk.kiosk
    branch.gate.set(Fault.CLOSED)
    kiosk.start()
    scans = kiosk.scan(*[new_paper() for _ in range(3)])
    small_disk.fill()
    more, _ = scan_until_refused(kiosk, new_paper, filling=100_000)
    kiosk.kill()
    small_disk.clear()
    branch.gate.heal()
    kiosk.start()
    delivers(branch, scans | more, truth)


def test_read_only_disk_is_named_at_the_start_and_nothing_on_it_is_lost(on_small_disk, small_disk, new_paper, truth):
    branch, kiosk = on_small_disk, on_small_disk.kiosk
    branch.gate.set(Fault.CLOSED)
    kiosk.start()
    scans = kiosk.scan(new_paper())
    kiosk.kill()
    small_disk.set_read_only(True)
    result = kiosk.command("run")
    assert result.returncode == 1 and str(kiosk.state) in result.stderr and is_a_sentence(result.stderr)
    small_disk.set_read_only(False)
    branch.gate.heal()
    kiosk.start()
    delivers(branch, scans, truth)


@pytest.mark.parametrize(
    "call, errno",
    [("fsync", EIO), ("write", EIO), ("write", EROFS), ("write", ENOSPC)],
    ids=["fsync fails", "writing fails", "the disk becomes read-only", "the disk is full in the middle of it"],
)
def test_disk_that_fails_at_work_refuses_documents_and_recovers_without_a_restart(
    open_branch, failing_library, tmp_path, new_paper, truth, call, errno
):
    # A commit that did not reach the disk is none, whatever the next one says: nothing of it may count as accepted.
    branch = open_branch()
    kiosk = branch.kiosk
    disk = FailingDisk(failing_library, kiosk.state, tmp_path / "fails")
    branch.gate.set(Fault.CLOSED)
    kiosk.start(**disk.env)
    scans = kiosk.scan(*[new_paper() for _ in range(3)])
    disk.fail(call, errno)
    for _ in range(3):
        refused = kiosk.scan_one(new_paper())
        assert refused.status == 1 and refused.accepted == {} and is_a_sentence(refused.complaint)
    until(lambda: not kiosk.is_ready())
    dropped = new_paper()
    left = kiosk.drop(dropped)
    assert kiosk.is_running() and kiosk.is_up()
    disk.heal()
    until(kiosk.is_ready)
    until(lambda: not left.exists())
    scans |= kiosk.scan(new_paper())
    branch.gate.heal()
    delivers(branch, scans, truth)
    assert dropped.code in codes(branch.listener) and kiosk.dead() == set()
    assert kiosk.stop() == 0
    kiosk.check_outbox_file()


def test_disk_that_fails_while_results_are_delivered_delivers_them_again(
    open_branch, failing_library, tmp_path, new_papers, truth
):
    # The broker has acknowledged them, and that cannot be written down: twice is better than never.
    branch = open_branch()
    kiosk = branch.kiosk
    disk = FailingDisk(failing_library, kiosk.state, tmp_path / "fails")
    branch.gate.set(Fault.CLOSED)
    kiosk.start(**disk.env)
    scans = kiosk.scan(*new_papers(5))
    until(lambda: len(kiosk.waiting("result")) == 5)
    disk.fail("fsync", EIO)
    branch.gate.heal()
    branch.listener.wait_for(scans)
    disk.heal()
    delivers(branch, scans, truth)
    assert kiosk.dead() == set()


def backlog(branch, new_paper, number: int):
    """Results that wait; the kiosk does not run."""
    branch.gate.set(Fault.CLOSED)
    branch.kiosk.start()
    scans = {}
    for _ in range(number // 10):
        scans |= branch.kiosk.scan(*[new_paper() for _ in range(10)])
    until(lambda: len(branch.kiosk.waiting("result")) == number)
    # In the file itself, not beside it in the log, so that there is something to tear.
    assert branch.kiosk.stop() == 0
    return scans


def cut_in_half(file: Path):
    with file.open("rb+") as content:
        content.truncate(file.stat().st_size // 2 // 4096 * 4096)


def overwrite_the_middle(file: Path):
    size = file.stat().st_size
    with file.open("rb+") as content:
        content.seek(size // 2)
        content.write(random.Random(1).randbytes(size // 8))


def overwrite_the_head(file: Path):
    with file.open("rb+") as content:
        content.write(b"\xff" * 100)


def empty(file: Path):
    file.write_bytes(b"")


@pytest.mark.parametrize("tear", [cut_in_half, overwrite_the_middle, overwrite_the_head, empty])
def test_torn_outbox_is_put_aside_what_can_be_saved_is_delivered_and_new_documents_are_accepted(
    open_branch, new_paper, truth, tear
):
    # A disk that lies has eaten a part of the file. What is in the rest must not go with it, and a kiosk in a branch
    # has nobody who repairs it.
    branch = open_branch()
    kiosk = branch.kiosk
    scans = backlog(branch, new_paper, 100)
    torn_size = kiosk.outbox_file.stat().st_size
    tear(kiosk.outbox_file)
    branch.gate.heal()
    kiosk.start()
    new = kiosk.scan(new_paper())
    delivers(branch, new, truth)
    arrived = {scan_id: paper for scan_id, paper in scans.items() if scan_id in branch.listener.results}
    check_results(branch.listener.results, arrived, truth(scans.values()))
    assert set(branch.listener.results) <= scans.keys() | new.keys(), "a result is made up"
    if tear in (cut_in_half, overwrite_the_middle):
        assert len(arrived) >= len(scans) // 5, f"of {len(scans)} results, only {len(arrived)} were saved"
    if tear is not empty:
        # Whoever has better tools can look for more.
        assert list(kiosk.state.glob("outbox.sqlite.damaged*")), torn_size
        assert "damaged" in kiosk.said()
    assert kiosk.stop() == 0
    kiosk.check_outbox_file()


def test_damage_that_is_met_at_work_ends_the_kiosk_and_the_next_start_repairs_it(open_branch, new_paper, truth):
    # The kiosk cannot go on with a file that is not what it wrote. systemd starts it again.
    branch = open_branch()
    kiosk = branch.kiosk
    backlog(branch, new_paper, 100)
    kiosk.start()
    overwrite_the_middle(kiosk.outbox_file)
    branch.gate.heal()
    assert kiosk.process.wait(PATIENCE) == 1
    assert "damaged: start again" in kiosk.said()
    kiosk.start()
    delivers(branch, kiosk.scan(new_paper()), truth)
    assert list(kiosk.state.glob("outbox.sqlite.damaged*"))


def test_torn_end_of_the_write_ahead_log_costs_nothing_that_reached_the_disk(open_branch, new_paper, truth):
    # The power failed in the middle of a commit: what it had written of it stands at the end of the log.
    branch = open_branch()
    kiosk = branch.kiosk
    branch.gate.set(Fault.CLOSED)
    kiosk.start()
    scans = kiosk.scan(*[new_paper() for _ in range(10)])
    kiosk.kill()
    log = kiosk.state / "outbox.sqlite-wal"
    with log.open("ab") as content:
        content.write(random.Random(1).randbytes(10_000))
    branch.gate.heal()
    kiosk.start()
    delivers(branch, scans, truth)


# The broker.


@pytest.mark.parametrize("fault", [Fault.CLOSED, Fault.SLAMMED, Fault.REFUSED, Fault.SILENT, Fault.UNACKNOWLEDGED])
def test_results_wait_for_a_broker_that_fails_and_arrive_when_it_is_well(open_branch, new_papers, truth, fault):
    branch = open_branch(mqtt=HASTY)
    kiosk = branch.kiosk
    branch.gate.set(fault)
    kiosk.start()
    scans = kiosk.scan(*new_papers(5))
    until(lambda: len(kiosk.waiting("result")) == 5)
    # Long enough for several attempts.
    until(lambda: len(branch.gate.asked) >= 3 or fault is Fault.CLOSED)
    assert kiosk.is_ready() and kiosk.is_running()
    assert kiosk.dead() == set(), "a broker that fails is no reason to give up a result"
    assert len(kiosk.waiting("result")) == 5
    branch.gate.heal()
    delivers(branch, scans, truth)
    assert until(lambda: kiosk.metric(CONNECTED) == 1)


@pytest.mark.parametrize("fault", [Fault.CLOSED, Fault.SILENT, Fault.UNACKNOWLEDGED])
def test_broker_that_fails_in_the_middle_of_a_backlog_gets_the_rest_when_it_is_well(
    open_branch, new_papers, truth, fault
):
    branch = open_branch(mqtt=HASTY)
    kiosk = branch.kiosk
    kiosk.start()
    scans = kiosk.scan(*new_papers(3))
    branch.listener.wait_for(scans)
    branch.gate.set(fault)
    scans |= kiosk.scan(*new_papers(20))
    until(lambda: not kiosk.waiting("document"))
    branch.gate.heal()
    delivers(branch, scans, truth)


def test_broker_that_is_away_is_asked_less_and_less_often(open_branch):
    # A kiosk has a long patience, and a branch has many kiosks: when the broker comes back, they must not all be there.
    branch = open_branch(mqtt={"retry_min_seconds": 1, "retry_max_seconds": 4})
    branch.gate.set(Fault.SLAMMED)
    branch.kiosk.start()
    until(lambda: len(branch.gate.asked) >= 5)
    gaps = [later - earlier for earlier, later in pairwise(branch.gate.asked)]
    # Each has its own chance in it, up to as much again.
    assert gaps[2] > 1.5 * gaps[0] and max(gaps) < 10, gaps


def test_refusal_by_the_broker_is_told_once_and_not_at_each_attempt(open_branch):
    branch = open_branch(mqtt=HASTY)
    branch.gate.set(Fault.REFUSED)
    branch.kiosk.start(log_level="warn")
    until(lambda: branch.gate.seen[CONNECT] >= 4)
    told = [line for line in branch.kiosk.said().splitlines() if "refuses the connection" in line]
    assert len(told) == 1, told


def test_kiosk_says_in_its_figures_whether_the_broker_is_there(branch):
    until(lambda: branch.kiosk.metric(CONNECTED) == 1)
    branch.gate.set(Fault.CLOSED)
    until(lambda: branch.kiosk.metric(CONNECTED) == 0)
    branch.gate.heal()
    until(lambda: branch.kiosk.metric(CONNECTED) == 1)


def test_broker_that_lost_its_sessions_gets_what_it_has_not_acknowledged(branch, new_papers, truth):
    # Before its presence is acknowledged, a kiosk sends no results.
    until(lambda: branch.kiosk.metric(CONNECTED) == 1)
    branch.gate.set(Fault.UNACKNOWLEDGED)
    scans = branch.kiosk.scan(*new_papers(5))
    branch.listener.wait_for(scans)
    branch.gate.set(Fault.CLOSED)
    branch.broker.kill()
    branch.broker.forget()
    branch.listener.subscribed.clear()
    branch.broker.start()
    branch.listener.wait_until_subscribed()
    branch.gate.heal()
    delivers(branch, scans, truth)


def test_result_that_the_broker_finds_too_large_is_set_aside_and_holds_nothing_up(open_branch, new_paper, truth):
    # mosquitto 2.0 ends the connection without a word; whoever sends the same again, sends nothing else ever after.
    branch = open_branch("message_size_limit 3000", mqtt=HASTY)
    kiosk = branch.kiosk
    branch.gate.set(Fault.CLOSED)
    kiosk.start()
    scans = kiosk.scan(new_paper())
    large = kiosk.scan(new_paper(address=2000))
    scans |= kiosk.scan(new_paper())
    until(lambda: len(kiosk.waiting("result")) == 3)
    branch.gate.heal()
    branch.listener.wait_for(scans)
    until(lambda: kiosk.dead() == set(large))
    until(lambda: kiosk.metric(DEAD_LETTERS) == 1)
    # Somebody allows more, and has it sent.
    branch.broker.stop()
    branch.broker.configure()
    branch.broker.start()
    assert kiosk.command("outbox", "retry", *large).returncode == 0
    delivers(branch, scans | large, truth)
    assert kiosk.dead() == set()


def test_kiosk_logs_in_with_its_password_and_certificate(tmp_path, logs, authority, new_paper, truth, open_branch):
    broker = Mosquitto(tmp_path / "strict", login=("kiosk-1", "a-secret-of-the-branch"), authority=authority)
    authority.cert_pem.write_to_path(tmp_path / "authority.pem")
    issued = authority.issue_cert("kiosk-1")
    issued.cert_chain_pems[0].write_to_path(tmp_path / "kiosk.pem")
    branch = open_branch(
        mqtt={
            "broker": f"mqtts://localhost:{broker.port}",
            "user": "kiosk-1",
            "authorities": str(tmp_path / "authority.pem"),
            "certificate": str(tmp_path / "kiosk.pem"),
            **HASTY,
        }
    )
    kiosk = branch.kiosk
    kiosk.give_credential("mqtt-password", "a-secret-of-no-branch")
    kiosk.give_credential("mqtt-key", issued.private_key_pem.bytes().decode())
    with broker, Listener(broker.listeners_port, logs / "strict.topics") as listener:
        kiosk.start()
        scans = kiosk.scan(new_paper())
        # With a wrong password nothing is lost, and nothing gets there.
        until(lambda: "refuses the connection" in kiosk.said())
        assert not listener.results and kiosk.dead() == set()
        kiosk.give_credential("mqtt-password", "a-secret-of-the-branch")
        kiosk.reload()
        listener.wait_for(scans)
        check_results(listener.results, scans, truth(scans.values()))


# The clock.


@pytest.fixture
def clock(tmp_path):
    return Clock(tmp_path / "clock")


@pytest.mark.parametrize("days", [TEN_YEARS, -TEN_YEARS], ids=["forward", "back"])
def test_clock_that_jumps_ten_years_loses_nothing_and_stops_nothing(open_branch, clock, new_papers, truth, days):
    branch = open_branch(mqtt=HASTY)
    kiosk = branch.kiosk
    kiosk.start(**clock.env)
    scans = kiosk.scan(*new_papers(3))
    branch.listener.wait_for(scans)
    # What waits for its acknowledgement would wait for ten years.
    until(lambda: not kiosk.waiting("result"))
    clock.set(days)
    scans |= kiosk.scan(*new_papers(3))
    branch.listener.wait_for(scans)
    until(lambda: not kiosk.waiting("result"))
    clock.set(0)
    scans |= kiosk.scan(*new_papers(3))
    delivers(branch, scans, truth)
    assert len(scans) == 9 and kiosk.dead() == set() and kiosk.is_ready()


@pytest.mark.parametrize("days", [TEN_YEARS, -TEN_YEARS], ids=["forward", "back"])
def test_clock_that_jumps_ten_years_erases_no_result_that_waits(open_branch, clock, new_papers, truth, days):
    # By that clock the results are older than any limit, or not made yet.
    branch = open_branch(outbox={"keep_delivered_hours": 0, "max_age_days": 1})
    kiosk = branch.kiosk
    branch.gate.set(Fault.CLOSED)
    kiosk.start(**clock.env)
    scans = kiosk.scan(*new_papers(3))
    until(lambda: len(kiosk.waiting("result")) == 3)
    clock.set(days)
    # A document is accepted, or refused in plain words, as results wait for longer than is allowed.
    [paper] = new_papers(1)
    submitted = kiosk.scan_one(paper)
    assert submitted.status == 0 or is_a_sentence(submitted.complaint)
    scans |= {scan_id: paper for scan_id in submitted.accepted.values()}
    kiosk.kill()
    # Everything is still there after a start under the wrong clock.
    kiosk.start(**clock.env)
    until(lambda: len(kiosk.waiting("result")) == len(scans))
    clock.set(0)
    scans |= kiosk.scan(*new_papers(1))
    branch.gate.heal()
    delivers(branch, scans, truth)


# The outbox's limits.


def test_outbox_at_its_limit_refuses_documents_on_all_ways_until_results_are_delivered(open_branch, new_paper, truth):
    branch = open_branch(outbox={"max_entries": 5})
    kiosk = branch.kiosk
    branch.gate.set(Fault.CLOSED)
    kiosk.start()
    key = kiosk.api_key()
    scans, refused = scan_until_refused(kiosk, new_paper)
    assert len(scans) == 5 and "full" in refused.complaint and is_a_sentence(refused.complaint)
    until(lambda: not kiosk.is_ready())
    left = kiosk.drop(new_paper())
    answer = kiosk.by_file(key, new_paper().content)
    assert answer.status_code == 503 and "retry-after" in answer.headers
    # It stays where it is, as long as it takes.
    time.sleep(2)
    assert left.exists() and kiosk.is_running()
    branch.gate.heal()
    until(kiosk.is_ready)
    until(lambda: not left.exists())
    delivers(branch, scans | kiosk.scan(new_paper()), truth)


def test_document_that_the_outbox_has_no_room_for_is_refused_and_a_smaller_one_is_not(open_branch, new_paper, truth):
    branch = open_branch(outbox={"max_bytes": 500_000})
    kiosk = branch.kiosk
    kiosk.start()
    refused = kiosk.scan_one(new_paper(filling=600_000))
    assert refused.status == 1 and "full" in refused.complaint and is_a_sentence(refused.complaint)
    delivers(branch, kiosk.scan(new_paper()), truth)


def test_results_older_than_allowed_stop_the_accepting_and_are_never_dropped(open_branch, clock, new_paper, truth):
    branch = open_branch(outbox={"max_age_days": 2})
    kiosk = branch.kiosk
    branch.gate.set(Fault.CLOSED)
    kiosk.start(**clock.env)
    scans = kiosk.scan(new_paper())
    until(lambda: len(kiosk.waiting("result")) == 1)
    clock.set(1)
    scans |= kiosk.scan(new_paper())
    clock.set(3)
    refused = until(lambda: refusal(kiosk, new_paper, scans))
    assert "days" in refused.complaint and is_a_sentence(refused.complaint)
    branch.gate.heal()
    delivers(branch, scans, truth)
    kiosk.scan(new_paper())


def refusal(kiosk, new_paper, scans):
    """The refusal, or what was accepted is among the scans."""
    paper = new_paper()
    submitted = kiosk.scan_one(paper)
    scans |= {scan_id: paper for scan_id in submitted.accepted.values()}
    return submitted if submitted.status else None


# Documents.


@pytest.mark.parametrize(
    "content, code",
    [(pdf([["No report at all"]]), "1"), (b"neither a picture nor a PDF", "3"), (b"%PDF-1.7\ntorn", "3")],
    ids=["no report", "no document", "a torn PDF"],
)
def test_document_that_cannot_be_read_is_answered_with_an_error_and_not_lost(branch, tmp_path, content, code):
    file = tmp_path / f"{MARK}.pdf"
    file.write_bytes(content)
    submitted = branch.kiosk.submit(file)
    answer = branch.listener.answer(submitted.accepted[file])
    assert answer["errorCode"] == code and answer["data"]["info"] == []
    assert answer["meta"]["scan_id"] == submitted.accepted[file]


def test_file_in_the_folder_is_taken_only_when_it_is_complete(branch, new_paper, truth):
    # A scanner writes slowly, over the network.
    paper = new_paper(filling=100_000)
    content, path = paper.content, branch.kiosk.inbox / f"{MARK}.pdf"
    with path.open("wb", buffering=0) as file:
        for part in range(10):
            file.write(content[part * len(content) // 10 : (part + 1) * len(content) // 10])
            time.sleep(0.3)
    until(lambda: not path.exists())
    [(scan_id, payloads)] = until(lambda: list(branch.listener.results.items()))
    check_payloads(scan_id, payloads, truth([paper])[paper.code])


def test_file_that_is_too_large_is_put_aside_and_holds_nothing_up(open_branch, new_paper):
    branch = open_branch(limits={"max_bytes": 100_000})
    kiosk = branch.kiosk
    kiosk.start()
    large = kiosk.drop(new_paper(filling=200_000))
    small = kiosk.drop(new_paper())
    until(lambda: not large.exists() and not small.exists())
    [failed] = until(lambda: list((kiosk.inbox / "failed").glob("*.pdf")))
    assert failed.name.endswith(large.name)
    reason = failed.with_name(failed.name + ".reason.txt").read_text(encoding="utf-8")
    assert "100000 are allowed" in reason and is_a_sentence(reason)
    until(lambda: len(branch.listener.results) == 1)
    refused = kiosk.submit(failed)
    assert refused.status == 1 and "large" in refused.complaint


def test_file_that_was_read_goes_to_done_under_its_scans_id(branch, new_paper):
    paper = new_paper()
    path = branch.kiosk.drop(paper)
    [scan_id] = until(lambda: list(branch.listener.results))
    done = branch.kiosk.inbox / "done" / f"{scan_id}-{path.name}"
    until(done.exists)
    assert done.read_bytes() == paper.content
    assert [entry.name for entry in branch.kiosk.inbox.iterdir()] == ["done"]


def test_file_that_is_no_report_goes_to_failed_after_it_was_published_as_such(branch):
    path = branch.kiosk.inbox / f"{MARK}.pdf"
    path.write_bytes(pdf([["Nothing of interest"]]))
    [(scan_id, [payload])] = until(lambda: list(branch.listener.results.items()))
    assert json.loads(payload)["errorCode"] == "1"
    failed = branch.kiosk.inbox / "failed" / f"{scan_id}-{path.name}"
    until(failed.exists)
    assert is_a_sentence(failed.with_name(failed.name + ".reason.txt").read_text(encoding="utf-8"))


def test_files_whose_scans_ended_while_the_kiosk_was_off_are_put_away_at_the_start(open_branch, new_papers):
    branch = open_branch()
    kiosk = branch.kiosk
    kiosk.start()
    kiosk.drop(new_papers(1)[0])
    [scan_id] = until(lambda: list(branch.listener.results))
    [done] = until(lambda: list(kiosk.inbox.glob("done/*")))
    kiosk.kill()
    # As if the power had failed just before.
    done.rename(kiosk.inbox / f".{scan_id}.taken-{done.name.split('-', 1)[1]}")
    # And one that was never accepted.
    other = new_papers(1)[0]
    its_scan = scan_id[:-1] + ("0" if scan_id[-1] != "0" else "1")
    other.put(kiosk.inbox, f".{its_scan}.taken-{MARK}.pdf")
    kiosk.start()
    branch.listener.wait_for([its_scan])
    until(lambda: len(list((kiosk.inbox / "done").iterdir())) == 2)
    assert done.exists() and set(branch.listener.results) == {scan_id, its_scan}
    assert other.code in codes(branch.listener)


def test_file_is_erased_at_once_where_none_is_to_be_kept(open_branch, new_paper):
    branch = open_branch(folder={"keep_days": 0})
    branch.kiosk.start()
    branch.kiosk.drop(new_paper())
    until(lambda: branch.listener.results)
    until(lambda: not list(branch.kiosk.inbox.iterdir()))


def test_folder_that_is_missing_is_told_and_used_as_soon_as_it_is_there(open_branch, new_paper):
    branch = open_branch()
    kiosk = branch.kiosk
    shutil.rmtree(kiosk.inbox)
    kiosk.start()
    assert kiosk.is_running() and kiosk.scan(new_paper())
    kiosk.inbox.mkdir()
    path = kiosk.drop(new_paper())
    until(lambda: not path.exists())


def test_papers_are_answered_over_http_and_published_under_the_same_id(branch, new_paper, truth):
    paper = new_paper()
    answer = branch.kiosk.by_file(branch.kiosk.api_key(), paper.content)
    scan_id = answer.json()["meta"]["scan_id"]
    published = branch.listener.answer(scan_id)
    assert published["data"] == answer.json()["data"] == truth([paper])[paper.code]


def test_kiosk_without_a_broker_still_answers_over_http(branch, new_paper):
    branch.gate.set(Fault.CLOSED)
    paper = new_paper()
    answer = branch.kiosk.by_file(branch.kiosk.api_key(), paper.content)
    assert answer.status_code == 200
    assert json.loads(json.dumps(answer.json()))["errorCode"] == "0"
    [entry] = branch.kiosk.waiting("result")
    assert entry["scan_id"] == answer.json()["meta"]["scan_id"]
    branch.gate.heal()
    branch.listener.wait_for([entry["scan_id"]])


def test_outbox_key_that_was_lost_loses_no_result_and_holds_nothing_up(open_branch, new_paper):
    # Somebody has laid a new key over the old one. What was sealed with the old one waits for it.
    branch = open_branch()
    kiosk = branch.kiosk
    branch.gate.set(Fault.CLOSED)
    kiosk.start()
    old = kiosk.scan(new_paper())
    until(lambda: len(kiosk.waiting("result")) == 1)
    assert kiosk.stop() == 0
    lost = (kiosk.credentials / "outbox-key").read_text(encoding="utf-8")
    kiosk.give_credential("outbox-key", lost[::-1])
    branch.gate.heal()
    kiosk.start()
    branch.listener.wait_for(kiosk.scan(new_paper()))
    assert old.keys() - branch.listener.results.keys() and kiosk.dead() == set()
    assert kiosk.stop() == 0
    kiosk.give_credential("outbox-key-old", lost)
    kiosk.start()
    branch.listener.wait_for(old)


def test_state_folder_holds_no_value_of_a_paper_that_waits(open_branch, new_paper):
    branch = open_branch()
    branch.gate.set(Fault.CLOSED)
    branch.kiosk.start()
    papers = [new_paper() for _ in range(3)]
    branch.kiosk.scan(*papers)
    branch.kiosk.drop(papers[0])
    until(lambda: len(branch.kiosk.waiting("result")) == 4)
    contents = [path.read_bytes() for path in branch.kiosk.state.rglob("*") if path.is_file()]
    values = {value for paper in papers for value in paper.values} | {MARK}
    assert not [value for value in values for content in contents if value.encode() in content]


def test_submit_without_a_kiosk_says_so_and_names_the_socket(open_branch, new_paper):
    kiosk = open_branch().kiosk
    refused = kiosk.scan_one(new_paper())
    assert refused.status == 1 and str(kiosk.socket) in refused.complaint and is_a_sentence(refused.complaint)


def test_submit_names_the_file_that_it_cannot_read_and_hands_in_the_others(branch, new_paper, tmp_path):
    good = new_paper().put(tmp_path, "good.pdf")
    result = branch.kiosk.command("submit", "--json", tmp_path / "none.pdf", good)
    assert result.returncode == 1
    bad, accepted = json.loads(result.stdout)
    assert bad["file"].endswith("none.pdf") and "scan_id" not in bad and is_a_sentence(bad["error"])
    branch.listener.wait_for([accepted["scan_id"]])
    assert requests.get(branch.kiosk.address + "/healthz", timeout=PATIENCE).ok
