"""Work that many machines share: whatever happens to workers, broker and messages, each file has one answer."""

import base64
import json
import secrets
import signal
import threading
import time
from contextlib import ExitStack

import pytest
import requests

from broker import Mosquitto
from contract import PATH
from kiosk import Server, until
from papers import code_of
from queues import Overhearer, Submit, Worker

# What takes long enough to be disturbed.
SLOW = {"pages": 12, "address": 2000}
ID = "01ARZ3NDEKTSV4RRFFQ69G5FAV"


@pytest.fixture
def office(tmp_path, logs):
    """A broker with a queue, and whatever part of it a test wants."""
    with ExitStack() as stack:

        class Office:
            folder = tmp_path

            def __init__(self, *settings: str):
                self.broker = stack.enter_context(Mosquitto(tmp_path / "broker", *settings))
                self.queue = stack.enter_context(Overhearer(self.broker.listeners_port))
                self.url = f"mqtt://127.0.0.1:{self.broker.port}"
                self.config = tmp_path / "queue.toml"
                self.config.write_text("[mqtt]\nretry_max_seconds = 1\n", encoding="utf-8")
                self.logs = logs / tmp_path.name
                self.logs.mkdir(exist_ok=True)

            def worker(self, name: str, *options: object, **more) -> Worker:
                options = "--config", self.config, *options
                return stack.enter_context(Worker(self.logs, self.url, name, *options, **more)).is_in(self.queue)

            def submit(self, name: str, papers: list, *options: object, **more) -> Submit:
                files = [paper.put(tmp_path, f"{paper.number}.pdf") for paper in papers]
                options = "--config", self.config, *options
                return stack.enter_context(Submit(self.logs, self.url, name, files, *options, **more))

        yield Office


def codes(answers: list[dict]) -> list[str]:
    return [code_of(answer) for answer in answers]


def test_workers_share_the_files_and_answers_come_in_the_order_of_the_files(office, new_papers, truth):
    office, papers = office(), new_papers(8)
    office.worker("w-1")
    office.worker("w-2")
    submit = office.submit("s", papers)
    answers = submit.answers()
    assert codes(answers) == [paper.code for paper in papers] and submit.process.returncode == 0
    said = truth(papers)
    assert all(answer["data"] == said[code_of(answer)] for answer in answers)
    assert all(answer["meta"]["file"].endswith(f"/{paper.number}.pdf") for answer, paper in zip(answers, papers))
    until(lambda: office.queue.total("done") == 8)
    assert all(office.queue.states[name]["done"] > 0 for name in ("w-1", "w-2"))
    # Nothing is left of who is gone, and no document is kept.
    until(lambda: office.queue.states["s"] == {})


def test_worker_killed_in_the_middle_of_a_job_loses_nothing_and_only_what_it_held_is_repeated(office, new_papers):
    office, papers = office(), new_papers(6, **SLOW)
    workers = {name: office.worker(name) for name in ("w-1", "w-2")}
    submit = office.submit("s", papers)
    victim = until(office.queue.holder)
    workers[victim].kill()
    assert codes(submit.answers()) == [paper.code for paper in papers]
    until(lambda: office.queue.states[victim]["status"] == "offline")
    assert submit.process.returncode == 0
    taken = {(topic, json.loads(said)["worker"]) for topic, said, _ in office.queue.said if topic.startswith("taken/")}
    assert {worker for _, worker in taken} == set(workers)
    # A worker holds one job at a time here: that one alone was begun by both.
    assert len(taken) <= len(papers) + 1


def test_document_that_ends_three_workers_is_a_dead_letter_without_the_document(office, new_papers):
    office, [paper] = office(), new_papers(1, **SLOW)
    submit = office.submit("s", [paper], "--patience", "60")
    for name in ("w-1", "w-2", "w-3"):
        worker = office.worker(name)
        until(lambda name=name: office.queue.holder() == name)
        worker.kill()
    [answer] = submit.answers()
    assert answer["errorCode"] == "6" and submit.process.returncode == 1
    [(topic, said, _)] = [each for each in office.queue.said if each[0].startswith("dead/s/")]
    assert json.loads(said)["workers"] == ["w-1", "w-2", "w-3"] and paper.code.encode() not in said
    # It is gone: a worker that comes then is left in peace.
    office.worker("w-4")
    time.sleep(1)
    assert office.queue.states["w-4"]["held"] == 0


def test_restart_of_a_broker_that_remembers_nothing_loses_no_file(office, new_papers):
    office, papers = office(), new_papers(5, **SLOW)
    office.worker("w-1")
    submit = office.submit("s", papers)
    until(office.queue.holder)
    office.broker.kill()
    office.broker.forget()
    office.broker.start()
    assert codes(submit.answers()) == [paper.code for paper in papers]


def test_answer_that_comes_twice_is_taken_once_and_its_reader_told(office, new_papers):
    office, papers = office(), new_papers(2)
    office.worker("w-1")
    submit = office.submit("s", papers)
    assert len(submit.answers()) == 2
    server = Server(office.folder / "state", office.logs / "serve.log", "--queue", office.url, "--name", "serve")
    with server:
        topic, said, _ = next(each for each in office.queue.said if each[0].startswith("answers/s/"))
        job = topic.split("/")[2]

        def is_settled() -> bool:
            # It answers HTTP before it listens at the broker.
            office.queue.publish(f"answers/serve/{job}/w-1", said)
            return f"settled/w-1/serve/{job}" in office.queue.topics("settled")

        until(is_settled)
        key = server.key("tests")
        assert server.by_file(key, papers[0].content).json()["errorCode"] == "0"


def test_job_that_comes_twice_is_read_once(office, new_papers):
    office, [paper] = office(), new_papers(1)
    office.worker("w-1")
    submit = office.submit("s", [paper])
    assert len(submit.answers()) == 1
    until(lambda: office.queue.total("done") == 1)
    topic, said, _ = next(each for each in office.queue.said if each[0].startswith("jobs/s/"))
    # Its submitter is gone, so nobody settles it: the second time it is answered from memory.
    office.queue.publish(topic, said)
    office.queue.publish(topic, said)
    until(lambda: office.queue.states["w-1"]["done"] == 2)
    time.sleep(2.5)
    assert office.queue.states["w-1"]["done"] == 2


def test_job_that_has_expired_is_read_by_nobody(office, new_papers):
    office, [paper, slow] = office(), [*new_papers(1), *new_papers(1, **SLOW)]
    worker = office.worker("w-1")
    office.submit("s", [paper]).answers()
    topic, said, _ = next(each for each in office.queue.said if each[0].startswith("jobs/s/"))
    busy = office.submit("busy", [slow])
    until(lambda: office.queue.topics("taken/busy"))
    # It holds all that it may: what comes now waits at the broker, and for too long.
    worker.process.send_signal(signal.SIGSTOP)
    office.queue.publish(f"jobs/stranger/{ID}", said, expires=1)
    time.sleep(2.5)
    worker.process.send_signal(signal.SIGCONT)
    assert len(busy.answers()) == 1
    until(lambda: office.queue.states["w-1"]["done"] == 2)
    assert office.queue.topics("taken/stranger") == []


def test_file_that_no_worker_takes_fails_in_its_time_and_its_log_says_why(office, new_papers):
    office, papers = office(), new_papers(2)
    submit = office.submit("s", papers, "--patience", "2")
    answers = submit.answers()
    assert [answer["errorCode"] for answer in answers] == ["6", "6"] and submit.process.returncode == 1
    assert "no worker is there" in submit.said()


def test_file_that_is_larger_than_the_broker_takes_fails_alone(office, new_paper):
    office = office("max_packet_size 60000")
    papers = [new_paper(), new_paper(filling=100_000), new_paper()]
    office.worker("w-1")
    submit = office.submit("s", papers)
    answers = submit.answers()
    assert [answer["errorCode"] for answer in answers] == ["0", "6", "0"]
    assert "the broker takes" in answers[1]["meta"]["detail"]


def test_what_strangers_publish_ends_nobody_and_changes_no_answer(office, new_papers):
    office, papers = office(), new_papers(4, **SLOW)
    office.worker("w-1")
    submit = office.submit("s", papers)
    held = until(lambda: office.queue.topics("taken/s"))[0]
    job = held.split("/")[2]
    office.queue.judges = False
    for payload in (b"", b"\xff" * 100, b"{", b'{"worker":"x"}', b"[" * 5000, secrets.token_bytes(100_000)):
        office.queue.publish(f"jobs/stranger/{ID}", payload)
        office.queue.publish(f"answers/s/{job}/w-1", payload)
        office.queue.publish(f"answers/s/{job}/w-9", payload)
        office.queue.publish(f"answers/s/{ID}/w-9", payload)
        office.queue.publish(f"settled/w-1/stranger/{ID}", payload)
    office.queue.publish(f"jobs/s/{ID}/more", b"?")
    assert codes(submit.answers()) == [paper.code for paper in papers]


def test_several_submitters_have_each_their_own_answers(office, new_papers):
    office = office()
    office.worker("w-1", threads=2)
    stacks = {f"s-{number}": new_papers(3) for number in range(3)}
    submits = {name: office.submit(name, papers) for name, papers in stacks.items()}
    for name, papers in stacks.items():
        assert codes(submits[name].answers()) == [paper.code for paper in papers]


def test_worker_that_is_told_to_end_finishes_what_it_holds(office, new_papers):
    office, papers = office(), new_papers(4, **SLOW)
    first = office.worker("w-1")
    submit = office.submit("s", papers)
    until(lambda: office.queue.holder() == "w-1")
    office.worker("w-2")
    assert first.stop() == 0
    until(lambda: office.queue.states["w-1"] == {"status": "offline", "role": "worker"})
    assert codes(submit.answers()) == [paper.code for paper in papers]
    assert "/".join(office.queue.topics("answers")).count("w-1") >= 1


def test_with_a_key_papers_are_sealed_and_a_worker_with_another_key_reads_none(office, new_papers):
    office, papers = office(), new_papers(2)
    credentials = {}
    for name, key in {"right": "11" * 32, "wrong": "22" * 32}.items():
        folder = office.folder / name
        folder.mkdir()
        (folder / "queue-key").write_text(key, encoding="utf-8")
        credentials[name] = {"CREDENTIALS_DIRECTORY": str(folder)}
    wrong = office.worker("w-1", **credentials["wrong"])
    submit = office.submit("s", papers[:1], **credentials["right"])
    assert submit.answers()[0]["errorCode"] == "6"
    assert office.queue.states["w-1"]["done"] == 0
    wrong.kill()
    office.worker("w-2", **credentials["right"])
    submit = office.submit("t", papers, **credentials["right"])
    assert codes(submit.answers()) == [paper.code for paper in papers]
    for topic, said, _ in office.queue.said:
        if topic.startswith(("jobs/", "answers/")):
            assert b"%PDF" not in said and b"cic_code" not in said, topic


def test_api_answers_from_the_queue_as_it_does_alone(office, new_papers):
    office, papers = office(), new_papers(2)
    office.worker("w-1", threads=2)
    states = office.folder / "alone", office.folder / "queued"
    queue = "--queue", office.url, "--name", "serve", "--config", office.config
    with Server(states[0], office.logs / "a.log") as alone, Server(states[1], office.logs / "q.log", *queue) as queued:
        keys = alone.key("tests"), queued.key("tests")
        for content in (papers[0].content, papers[1].content, b"nothing", b""):
            for thumb in ("true", "false"):
                here, there = (
                    server.by_file(key, content, get_thumb=thumb) for server, key in zip((alone, queued), keys)
                )
                assert here.status_code == there.status_code
                assert here.headers.keys() == there.headers.keys()
                here, there = here.json(), there.json()
                for answer in (here, there):
                    for varying in ("scan_id", "elapsed_ms"):
                        answer["meta"].pop(varying, None)
                assert here == there
        text = base64.b64encode(papers[0].content).decode()
        assert queued.by_base64(keys[1], text).json()["errorCode"] == "0"
        assert queued.stop() == 0
    assert office.queue.states["serve"] == {"status": "offline", "role": "submitter"}


def test_api_without_a_worker_answers_in_its_time_as_when_reading_takes_too_long(office, new_papers):
    office, [paper] = office(), new_papers(1)
    office.config.write_text("[http]\nreading_seconds = 2\n", encoding="utf-8")
    queue = "--queue", office.url, "--name", "serve", "--config", office.config
    with Server(office.folder / "state", office.logs / "q.log", *queue) as server:
        answer = server.by_file(server.key("tests"), paper.content)
        assert (answer.json()["errorCode"], answer.status_code) == ("3", 400)
        assert "no worker is there" in server.log.read_text(encoding="utf-8")


def test_client_that_goes_away_ends_the_work_for_it(office, new_papers):
    office, [paper] = office(), new_papers(1, **SLOW)
    worker = office.worker("w-1")
    queue = "--queue", office.url, "--name", "serve", "--config", office.config
    with Server(office.folder / "state", office.logs / "q.log", *queue) as server:
        key = server.key("tests")
        with pytest.raises(requests.Timeout):
            holding = threading.Thread(target=lambda: until(lambda: office.queue.topics("taken/serve")) and worker.process.send_signal(signal.SIGSTOP))
            holding.start()
            files = {"img": ("a.pdf", paper.content)}
            requests.post(server.address + PATH, auth=key, params={"format_type": "file"}, files=files, timeout=5)
        holding.join()
        until(lambda: office.queue.topics("settled/w-1/serve"))
        worker.process.send_signal(signal.SIGCONT)
        until(lambda: office.queue.states["w-1"]["held"] == 0)
        assert office.queue.topics("answers") == []
