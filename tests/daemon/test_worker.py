"""Documents are read by a process of its own, whatever becomes of that. Its socket is one of systemd's."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from daemon import check_results
from kiosk import PATIENCE, PROGRAM, ROOT, until
from scanner import Scanner, feed, pages_of
from test_doctor import examine
from workers import Workers

SAMPLE = ROOT / "tests/data/reports/scan.pdf"

# A worker with nothing to do is let go after a minute.
IDLE = 60.0


@pytest.fixture
def workers(tmp_path, logs):
    with Workers(tmp_path / "worker.sock", logs / f"{tmp_path.name}.worker.log") as workers:
        yield workers


@pytest.fixture
def open_kiosk(open_branch, workers):
    """A branch whose kiosk reads with workers, started."""

    def open_kiosk(listens: bool = True, **settings: dict):
        if listens:
            workers.listen()
        reading = {"worker": str(workers.socket), **settings.pop("reading", {})}
        branch = open_branch(reading=reading, **settings)
        branch.kiosk.start()
        return branch

    return open_kiosk


def has_models(pid: int) -> bool:
    """Whether a process has loaded what reads pictures of pages."""
    return "onnxruntime" in Path(f"/proc/{pid}/maps").read_text(encoding="utf-8")


def submit_long(kiosk) -> str:
    """A document of 15 scanned pages, which takes seconds."""
    result = kiosk.command("submit", "--together", "--json", *[SAMPLE] * 5)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)[0]["scan_id"]


def answer_to(branch, file: Path) -> str:
    """What the kiosk makes of a document, without what differs from one reading to the next."""
    [scan_id] = branch.kiosk.submit(file).accepted.values()
    branch.listener.wait_for([scan_id], patience=300)
    answer = json.loads(branch.listener.results[scan_id][0])
    for key in ("scan_id", "elapsed_ms", "captured_at"):
        del answer["meta"][key]
    return json.dumps(answer)


def test_answers_are_the_same_as_in_one_process(open_kiosk, workers):
    branch = open_kiosk(mqtt={"pictures": True})
    there = answer_to(branch, SAMPLE)
    [worker] = workers.pids()
    assert has_models(worker) and not has_models(branch.kiosk.process.pid)
    assert branch.kiosk.stop() == 0
    del branch.kiosk.settings["reading"]["worker"]
    branch.kiosk.configure()
    branch.kiosk.start()
    assert there == answer_to(branch, SAMPLE)


def test_document_whose_worker_is_killed_is_read_by_the_next_one(open_kiosk, workers):
    branch = open_kiosk()
    scan_id = submit_long(branch.kiosk)
    os.kill(until(workers.at_work), signal.SIGKILL)
    branch.listener.wait_for([scan_id], patience=300)
    assert "not read: the worker" in branch.kiosk.said()
    assert json.loads(branch.listener.results[scan_id][0])["errorCode"] == "0"


def test_document_that_kills_its_workers_is_set_aside_and_others_are_read(open_kiosk, workers, new_paper, truth):
    branch = open_kiosk(kiosk={"attempts": 2})
    scan_id = submit_long(branch.kiosk)
    kills = 0
    while scan_id not in branch.kiosk.dead():
        if pid := workers.at_work():
            os.kill(pid, signal.SIGKILL)
            until(lambda: pid not in workers.pids())
            kills += 1
        assert kills <= 4, "it is tried too often"
    assert kills >= 2
    paper = new_paper()
    scans = branch.kiosk.scan(paper)
    branch.listener.wait_for(scans)
    check_results(branch.listener.results, scans, truth([paper]))


def test_documents_that_were_read_beside_it_are_not_blamed(open_kiosk, workers, new_papers, truth):
    branch = open_kiosk(kiosk={"attempts": 1}, reading={"threads": 2})
    first, *papers = new_papers(3)
    branch.listener.wait_for(branch.kiosk.scan(first))
    [worker] = workers.pids()
    os.kill(worker, signal.SIGSTOP)
    scans = branch.kiosk.scan(*papers)
    until(lambda: [entry["attempts"] for entry in branch.kiosk.waiting("document")] == [1, 1])
    # They are taken; until they are with the worker is a moment.
    time.sleep(3)
    os.kill(worker, signal.SIGKILL)
    branch.listener.wait_for(scans)
    check_results(branch.listener.results, scans, truth(papers))
    assert not branch.kiosk.dead()


def test_worker_that_hangs_is_cut_off_and_its_document_read_by_the_next_one(open_kiosk, workers, new_papers, truth):
    branch = open_kiosk(http={"listen": "127.0.0.1:0", "reading_seconds": 5})
    first, paper = new_papers(2)
    branch.listener.wait_for(branch.kiosk.scan(first))
    [worker] = workers.pids()
    os.kill(worker, signal.SIGSTOP)
    scans = branch.kiosk.scan(paper)
    branch.listener.wait_for(scans)
    assert "reading takes more than 5 s" in branch.kiosk.said()
    # It ends as soon as it can.
    os.kill(worker, signal.SIGCONT)
    until(lambda: worker not in workers.pids())
    check_results(branch.listener.results, scans, truth([paper]))


def test_worker_with_nothing_to_do_is_let_go_and_the_next_document_has_another(open_kiosk, workers, new_papers):
    branch = open_kiosk()
    first, second = new_papers(2)
    branch.listener.wait_for(branch.kiosk.scan(first))
    [worker] = workers.pids()
    until(lambda: not workers.pids(), IDLE + PATIENCE)
    branch.listener.wait_for(branch.kiosk.scan(second))
    assert workers.pids() != [worker]


def test_worker_ends_with_its_daemon_even_in_the_middle_of_a_document(open_kiosk, workers):
    branch = open_kiosk()
    submit_long(branch.kiosk)
    until(workers.at_work)
    branch.kiosk.kill()
    until(lambda: not workers.pids())


def test_documents_wait_for_a_socket_that_is_not_there_and_lose_no_attempt(open_kiosk, workers, new_paper):
    branch = open_kiosk(listens=False, kiosk={"attempts": 1})
    scans = branch.kiosk.scan(new_paper())
    until(lambda: "start cic-kiosk-worker.socket" in branch.kiosk.said())
    assert not branch.kiosk.dead()
    workers.listen()
    branch.listener.wait_for(scans)


def test_files_of_the_folder_are_opened_by_the_worker(open_kiosk, workers, new_paper):
    branch = open_kiosk(listens=False)
    torn = branch.kiosk.inbox / "torn.pdf"
    torn.write_bytes(b"%PDF-1.7 and no more")
    until(lambda: "files have to wait" in branch.kiosk.said())
    workers.listen()
    [reason] = until(lambda: list(branch.kiosk.inbox.glob("failed/*torn.pdf.reason.txt")))
    assert "damaged" in reason.read_text(encoding="utf-8")
    branch.kiosk.drop(new_paper())
    until(lambda: branch.listener.results)


def test_pages_of_a_scanner_are_judged_and_read_ahead_by_the_worker(tmp_path, open_kiosk, workers):
    with Scanner(tmp_path / "scanner", pages_of("scan")) as scanner:
        branch = open_kiosk(escl=scanner.settings)
        scanner.order(page_seconds=1.0)
        feed(branch.kiosk, scanner, 3)
        [scan_id] = until(lambda: list(branch.listener.results), 300)
        answer = branch.listener.answer(scan_id)
        assert (answer["errorCode"], answer["meta"]["pages"]) == ("0", 3)
        assert branch.kiosk.said().count("page read ahead") == 3
        assert not has_models(branch.kiosk.process.pid)


def test_doctor_reads_with_the_worker_and_says_what_to_do_where_there_is_none(open_kiosk, workers):
    kiosk = open_kiosk(listens=False).kiosk
    row = examine(kiosk)[1]["reading"]
    assert row["status"] == "fault" and "cic-kiosk-worker.socket" in row["found"]
    workers.listen()
    row = examine(kiosk)[1]["reading"]
    assert row["status"] == "ok" and "by the worker" in row["found"]


def test_command_without_a_connection_says_what_starts_it():
    result = subprocess.run([PROGRAM, "worker"], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE)
    assert result.returncode == 1 and "cic-kiosk-worker.socket" in result.stderr
