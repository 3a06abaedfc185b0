"""The power fails. Nothing that was accepted is lost, nothing is altered, and nothing is made up.

A scan is *accepted* when whoever brought it was told so: `submit` has printed its id, its file has vanished from the
hot folder, or the HTTP API has answered 200. From then on the promise is: it arrives at the branch's systems, at least
once, under one scan id, saying what is on the paper.

What is not promised, and why:
- Who was not told cannot know: the document may have been accepted, or not. It arrives once or never.
- A file in the hot folder is accepted before it is put away. When the power fails between the two, it is still there
  afterwards and is accepted once more, under another id. The other way round it would be lost.
- A result may come several times: it is sent again until the broker has acknowledged it. It says the same each time.

Killing a process leaves what it has written to the system, which a power failure does not. That nobody is told before
it is on the disk is seen where the disk fails to take it: test_faults.py.
"""

import json
import os
import random
import subprocess
import threading
import time
from collections import Counter, defaultdict
from pathlib import Path

import requests

from badbroker import Fault
from daemon import CONNECTED, check_payloads, check_results
from kiosk import MARK, PATIENCE, PROGRAM, until
from papers import SLOW, Paper, code_of

# The bar for a release is 300.
ROUNDS = int(os.environ.get("CRASH_ROUNDS", "25"))
SEED = int(os.environ.get("CRASH_SEED") or random.SystemRandom().randrange(1 << 32))

# Files that lie in the hot folder at most: a scanner is not faster than that.
MOST_FILES = 20


class Load:
    """Brings papers in all three ways, without a break, and takes down what it was told of each."""

    def __init__(self, kiosk, key, new_paper):
        self.kiosk, self.key, self.new_paper = kiosk, key, new_paper
        self.papers: dict[str, Paper] = {}
        # Scans that were accepted by an answer, and papers without any answer.
        self.accepted: dict[str, Paper] = {}
        self.unanswered: set[Paper] = set()
        self.files: dict[Path, Paper] = {}
        # How often the power failed while a file was there.
        self.failed_beside: Counter[Path] = Counter()
        self.over = threading.Event()
        self.failures: list[BaseException] = []
        ways = self.by_socket, self.by_folder, self.by_http
        self.threads = [threading.Thread(target=self._repeat, args=[way]) for way in ways]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        for thread in self.threads:
            thread.join()
        if self.failures:
            raise self.failures[0]

    def _repeat(self, way):
        # Each way has dice of its own, so that threads do not take throws from each other.
        dice = random.Random(f"{SEED} {way.__name__}")
        try:
            while not self.over.is_set():
                way(dice)
        except BaseException as error:
            self.failures.append(error)

    def _paper(self, dice: random.Random) -> Paper:
        """Most are small; some have the size of a scan, so that the power fails while they are written."""
        paper = self.new_paper(filling=dice.choice([0, 0, 0, 50_000, 1_000_000]), pages=dice.choice([1, 1, 5]))
        self.papers[paper.code] = paper
        return paper

    def by_socket(self, dice: random.Random):
        papers = [self._paper(dice) for _ in range(dice.randint(1, 4))]
        files = {paper.put(self.kiosk.folder, f"{MARK}-{paper.number}.pdf"): paper for paper in papers}
        accepted = self.kiosk.submit(*files).accepted
        for file, paper in files.items():
            if file in accepted:
                self.accepted[accepted[file]] = paper
            else:
                self.unanswered.add(paper)
            file.unlink()
        self.over.wait(dice.uniform(0, 0.1))

    def by_folder(self, dice: random.Random):
        if len(list(self.kiosk.inbox.glob("*.pdf"))) >= MOST_FILES:
            self.over.wait(0.05)
            return
        paper = self._paper(dice)
        self.files[self.kiosk.inbox / f"{MARK}-{paper.number}.pdf"] = paper
        self.kiosk.drop(paper)
        self.over.wait(dice.uniform(0, 0.1))

    def by_http(self, dice: random.Random):
        paper = self._paper(dice)
        try:
            answer = self.kiosk.by_file(self.key, paper.content)
        except (requests.RequestException, ValueError):
            self.unanswered.add(paper)
            self.over.wait(0.02)
            return
        if answer.status_code == 200:
            assert code_of(answer.json()) == paper.code
            self.accepted[answer.json()["meta"]["scan_id"]] = paper
        else:
            self.unanswered.add(paper)

    def note_failure(self):
        """The power has failed, and is not back yet."""
        self.failed_beside.update(path for path in list(self.files) if path.exists())


class Broker:
    """The branch's broker has a bad day, too."""

    def __init__(self, branch, dice: random.Random):
        self.branch, self.dice = branch, dice

    def have_an_accident(self):
        accidents = [self.go_away, self.hang, self.end, self.lose_power, self.lose_memory, self.branch.gate.cut]
        # What counts as delivered too early is lost where messages vanish without a word.
        self.dice.choices(accidents, weights=[1, 3, 1, 1, 1, 1])[0]()

    def go_away(self):
        self.branch.gate.set(Fault.CLOSED)

    def hang(self):
        self.branch.gate.set(Fault.SILENT)

    def end(self):
        self.go_away()
        self.branch.broker.stop()

    def lose_power(self):
        self.go_away()
        self.branch.broker.kill()

    def lose_memory(self):
        self.end()
        self.branch.broker.forget()

    def recover(self):
        """The kiosk is let in only when the listener is there again: what a broker has acknowledged is no longer the
        kiosk's, and a broker that forgot its listeners throws it away."""
        if self.branch.broker.process.poll() is not None:
            self.branch.listener.subscribed.clear()
            self.branch.broker.start()
            self.branch.listener.wait_until_subscribed()
        self.branch.gate.heal()


def test_power_fails_again_and_again_under_load_and_every_accepted_scan_arrives(open_branch, new_paper, truth):
    print(f"CRASH_SEED={SEED} CRASH_ROUNDS={ROUNDS}")
    dice = random.Random(SEED)
    # Each crash counts as an attempt for what was being read. That is not what is tested here.
    branch = open_branch(kiosk={"attempts": 10 * ROUNDS})
    kiosk, broker = branch.kiosk, Broker(branch, dice)
    kiosk.start(log_level="debug")
    with Load(kiosk, kiosk.api_key(), new_paper) as load:
        for _ in range(ROUNDS):
            time.sleep(dice.uniform(0, 1.5))
            if dice.random() < 0.6:
                broker.have_an_accident()
                time.sleep(dice.uniform(0, 1))
            assert kiosk.is_running(), kiosk.said()[-2000:]
            kiosk.kill()
            load.note_failure()
            if dice.random() < 0.6:
                broker.recover()
            # Now and then the power fails again before the kiosk is ready.
            while dice.random() < 0.2:
                kiosk.start(wait=False, log_level="debug")
                time.sleep(dice.uniform(0, 0.3))
                kiosk.kill()
                load.note_failure()
            kiosk.start(log_level="debug")
    broker.recover()
    settle(branch, load)
    check(branch, load, truth(load.papers.values()))


def settle(branch, load):
    """All is well again, and there is time for everything."""
    patience = PATIENCE + len(load.papers) / 5
    until(lambda: not list(branch.kiosk.inbox.glob("*.pdf")), patience)
    until(lambda: not branch.kiosk.waiting(), patience)
    branch.listener.wait_for(load.accepted)
    assert branch.kiosk.dead() == set()
    assert branch.kiosk.stop() == 0
    branch.kiosk.check_outbox_file()


def check(branch, load, truth):
    results = branch.listener.results
    # What was accepted by an answer has arrived under the id that was answered.
    check_results(results, load.accepted, truth)
    # No result is made up, and none is altered, whatever way its paper came.
    scans = defaultdict(set)
    for scan_id, payloads in results.items():
        code = code_of(json.loads(payloads[0]))
        assert code in load.papers, "a result is of no paper"
        check_payloads(scan_id, payloads, truth[code])
        scans[load.papers[code]].add(scan_id)
    for paper in load.accepted.values():
        assert len(scans[paper]) == 1, "an accepted scan has two ids"
    for paper in load.unanswered:
        assert len(scans[paper]) <= 1, "a scan without an answer has two ids"
    # The folder is empty, so that each of its files was accepted.
    for path, paper in load.files.items():
        assert 1 <= len(scans[paper]) <= 1 + load.failed_beside[path], "a file was lost, or accepted too often"
    twice = sum(len(scans[paper]) - 1 for paper in load.files.values())
    again = sum(len(payloads) - 1 for payloads in results.values())
    print(f"{len(load.papers)} papers, {len(results)} scans, {len(load.unanswered)} without an answer,", end=" ")
    print(f"{twice} files accepted twice, {again} results delivered again")
    # Otherwise the test has tested nothing.
    assert len(load.accepted) >= ROUNDS and len(load.files) >= ROUNDS


def test_document_that_takes_the_program_down_each_time_is_set_aside_and_others_are_read(open_branch, new_paper, truth):
    # As long as a document is read, the power fails. Without an end to that, no other document were ever read.
    branch = open_branch(kiosk={"attempts": 2}, reading={"threads": 1})
    kiosk = branch.kiosk
    kiosk.start()
    [deadly] = kiosk.scan(new_paper(**SLOW))
    for attempt in (1, 2):
        until(lambda attempt=attempt: attempts(kiosk, deadly) == attempt)
        kiosk.kill()
        kiosk.start()
    harmless = kiosk.scan(new_paper())
    branch.listener.wait_for(harmless)
    check_results(branch.listener.results, harmless, truth(harmless.values()))
    assert kiosk.dead() == {deadly}
    # An operator can have it tried once more, with nothing lost.
    assert kiosk.command("outbox", "retry", deadly).returncode == 0
    branch.listener.wait_for([deadly])
    assert kiosk.dead() == set()


def attempts(kiosk, scan_id: str) -> int | None:
    return next((entry.get("attempts") for entry in kiosk.waiting("document") if entry["scan_id"] == scan_id), None)


def test_result_that_was_delivered_when_the_power_failed_may_come_again_and_says_the_same(branch, new_papers, truth):
    # The broker has it, and its acknowledgement does not reach the kiosk any more. Before its presence is acknowledged, a
    # kiosk sends no results.
    until(lambda: branch.kiosk.metric(CONNECTED) == 1)
    branch.gate.set(Fault.UNACKNOWLEDGED)
    scans = branch.kiosk.scan(*new_papers(5))
    branch.listener.wait_for(scans)
    branch.kiosk.kill()
    branch.gate.heal()
    branch.kiosk.start()
    until(lambda: not branch.kiosk.waiting())
    check_results(branch.listener.results, scans, truth(scans.values()))
    assert any(len(branch.listener.results[scan_id]) > 1 for scan_id in scans)


def test_kiosk_starts_on_what_the_crash_left_its_socket_its_lock_and_its_log(branch, new_paper):
    branch.kiosk.kill()
    assert branch.kiosk.socket.exists()
    branch.kiosk.start()
    branch.listener.wait_for(branch.kiosk.scan(new_paper()))


def test_branch_is_told_that_a_kiosk_whose_power_failed_is_away(branch):
    until(lambda: branch.listener.presence and branch.listener.presence[-1]["status"] == "online")
    branch.kiosk.kill()
    until(lambda: branch.listener.presence[-1]["status"] == "offline")
    assert branch.listener.presence[-1]["reason"] == "lost"
    branch.kiosk.start()
    until(lambda: branch.listener.presence[-1]["status"] == "online")


def test_submit_that_is_interrupted_hands_in_all_of_a_document_or_nothing(branch, new_paper, truth):
    paper = new_paper(filling=8_000_000)
    file = paper.put(branch.kiosk.folder, f"{MARK}.pdf")
    dice = random.Random(SEED)
    for _ in range(10):
        command = [PROGRAM, "submit", "--config", branch.kiosk.config, file]
        submit = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(dice.uniform(0, 0.1))
        submit.kill()
        submit.wait()
    last = branch.kiosk.scan(new_paper())
    branch.listener.wait_for(last)
    until(lambda: not branch.kiosk.waiting())
    assert branch.kiosk.dead() == set()
    data = truth([paper])[paper.code]
    for scan_id, payloads in branch.listener.results.items():
        if scan_id not in last:
            check_payloads(scan_id, payloads, data)
