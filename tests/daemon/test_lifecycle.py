"""What systemd and an operator rely on: how the kiosk begins, what it says of itself, how it changes and ends."""

import json
import os
import re
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import pytest

from badbroker import Fault
from daemon import RESULTS_WAITING, check_results
from kiosk import MARK, PATIENCE, PROGRAM, until
from papers import SLOW
from systemd import Systemd

WATCHDOG = 2.0


@pytest.fixture
def systemd(tmp_path):
    with Systemd(tmp_path / "notify") as systemd:
        yield systemd


@pytest.fixture
def kiosk(open_branch):
    """One that has not been started."""
    return open_branch().kiosk


# systemd.


def test_systemd_is_told_when_documents_are_accepted_and_not_before(kiosk, systemd, new_paper):
    kiosk.start(wait=False, **systemd.env)
    systemd.wait_for("READY", "1")
    assert kiosk.scan(new_paper())
    kiosk.wait_until_ready()


def test_status_tells_how_many_results_wait_and_nothing_of_them(open_branch, systemd, new_papers):
    branch = open_branch()
    branch.gate.set(Fault.CLOSED)
    branch.kiosk.start(**systemd.env)
    systemd.wait_for("STATUS")
    papers = new_papers(3)
    branch.kiosk.scan(*papers)
    until(lambda: re.search(r"\b3\b", systemd.status))
    said = " ".join(one.says["STATUS"] for one in systemd.said("STATUS"))
    assert not [value for paper in papers for value in paper.values if value in said] and MARK not in said
    branch.gate.heal()
    until(lambda: not re.search(r"\b3\b", systemd.status))


def test_reload_is_told_as_type_notify_reload_wants_it(kiosk, systemd):
    kiosk.start(**systemd.env)
    systemd.wait_for("READY", "1")
    before = time.monotonic_ns() // 1000
    kiosk.reload()
    reloading = systemd.wait_for("RELOADING", "1")
    # systemd believes it only when it was said after the signal.
    assert before <= int(reloading.says["MONOTONIC_USEC"]) <= time.monotonic_ns() // 1000
    again = systemd.wait_for("READY", "1", number=2)
    assert again.at >= reloading.at


def test_end_is_told_before_it_comes(kiosk, systemd):
    kiosk.start(**systemd.env)
    assert kiosk.stop() == 0
    assert systemd.said("STOPPING", "1")


def test_watchdog_is_fed_at_least_twice_in_its_time(kiosk, systemd, new_papers):
    kiosk.start(WATCHDOG_USEC=int(WATCHDOG * 1e6), **systemd.env)
    # At work as well as at rest.
    kiosk.scan(*new_papers(2, **SLOW))
    last = systemd.wait_for("WATCHDOG", "1", number=6)
    fed = [one.at for one in systemd.said("WATCHDOG", "1") if one.at <= last.at]
    assert max(later - earlier for earlier, later in pairwise(fed)) < 0.75 * WATCHDOG


def test_watchdog_is_not_fed_where_none_waits(kiosk, systemd):
    kiosk.start(**systemd.env)
    assert kiosk.stop() == 0
    assert not systemd.said("WATCHDOG")


# The beginning.


def test_second_instance_on_the_same_state_is_refused_and_the_first_goes_on(open_branch, new_paper):
    branch = open_branch()
    branch.kiosk.start()
    result = branch.kiosk.command("run")
    assert result.returncode == 1 and result.stdout == ""
    assert str(branch.kiosk.state) in result.stderr and "another" in result.stderr, result.stderr
    branch.listener.wait_for(branch.kiosk.scan(new_paper()))


def test_configuration_that_is_not_there_is_named(kiosk):
    kiosk.config.unlink()
    result = kiosk.command("run")
    assert result.returncode == 1 and str(kiosk.config) in result.stderr


@pytest.mark.parametrize(
    "settings, word",
    [
        ({"mqtt": {"brokr": "mqtt://127.0.0.1"}}, "brokr"),
        ({"mqtt": {"broker": f"mqtt://user:{MARK}@127.0.0.1"}}, "mqtt-password"),
        ({"mqtt": {"broker": "http://127.0.0.1"}}, "mqtts://"),
        ({"kiosk": {"branch": "a/b"}}, "branch"),
        ({"outbox": {"max_entries": 0}}, "max_entries"),
    ],
)
def test_mistake_in_the_configuration_is_named_with_its_file_and_line(kiosk, settings, word):
    kiosk.configure(**settings)
    result = kiosk.command("run")
    assert result.returncode not in (0, None) and result.stdout == ""
    assert str(kiosk.config) in result.stderr and "line" in result.stderr and word in result.stderr
    # A password that stands in the wrong place is a secret all the same.
    assert MARK not in result.stderr


@pytest.mark.parametrize("name", ["branch", "id"])
def test_kiosk_without_a_name_says_which_setting_is_missing(kiosk, name):
    del kiosk.settings["kiosk"][name]
    kiosk.configure()
    result = kiosk.command("run")
    assert result.returncode == 1 and f"kiosk.{name}" in result.stderr


def test_missing_key_of_the_outbox_is_named_with_what_to_do(kiosk):
    file = kiosk.credentials / "outbox-key"
    file.unlink()
    result = kiosk.command("run")
    assert result.returncode == 1 and str(file) in result.stderr
    # That very command makes one.
    assert "cic-kiosk outbox key" in result.stderr
    key = subprocess.run([PROGRAM, "outbox", "key"], capture_output=True, text=True, timeout=PATIENCE, check=True)
    kiosk.give_credential("outbox-key", key.stdout.strip())
    kiosk.start()


def test_unusable_key_of_the_outbox_is_named_and_not_shown(kiosk):
    kiosk.give_credential("outbox-key", "a-key-of-too-few-bytes")
    result = kiosk.command("run")
    assert result.returncode == 1 and "outbox-key" in result.stderr
    assert "a-key-of-too-few-bytes" not in result.stderr


def test_credentials_come_from_systemd_where_the_configuration_names_none(kiosk):
    del kiosk.settings["kiosk"]["credentials"]
    kiosk.configure()
    kiosk.start(CREDENTIALS_DIRECTORY=kiosk.credentials)


def test_files_in_config_d_and_variables_lie_over_the_configuration(open_branch, new_paper):
    branch = open_branch()
    folder = branch.kiosk.folder / "config.d"
    folder.mkdir()
    (folder / "10-branch.toml").write_text('[kiosk]\nid = "kiosk-2"\n', encoding="utf-8")
    branch.kiosk.start(CIC_KIOSK__OUTBOX__MAX_ENTRIES=1)
    topics = branch.listener.topics
    until(lambda: topics.exists() and "/kiosk-2/presence" in topics.read_text(encoding="utf-8"))
    branch.gate.set(Fault.CLOSED)
    branch.kiosk.scan(new_paper())
    refused = branch.kiosk.scan_one(new_paper())
    assert refused.status == 1 and "full" in refused.complaint


def test_kiosk_without_http_listens_on_no_port_and_does_the_rest(open_branch, new_paper):
    branch = open_branch(http={"enabled": False})
    branch.kiosk.start()
    assert branch.kiosk.address == ""
    process = Path("/proc", str(branch.kiosk.process.pid))
    sockets = (line.split() for name in ("tcp", "tcp6") for line in (process / "net" / name).open(encoding="utf-8"))
    # State 0A is LISTEN, and the tenth field is the inode.
    listening = {f"socket:[{fields[9]}]" for fields in sockets if fields[3] == "0A"}
    assert not listening & {os.readlink(descriptor) for descriptor in (process / "fd").iterdir()}
    branch.listener.wait_for(branch.kiosk.scan(new_paper()))


def test_socket_is_for_the_kiosks_user_and_group_only(kiosk):
    kiosk.start()
    assert kiosk.socket.is_socket() and kiosk.socket.stat().st_mode & 0o007 == 0


def test_kiosk_starts_without_its_broker_and_accepts_documents(open_branch, new_paper):
    branch = open_branch()
    branch.gate.set(Fault.CLOSED)
    branch.kiosk.start()
    assert branch.kiosk.is_ready()
    scans = branch.kiosk.scan(new_paper())
    until(lambda: branch.kiosk.metric(RESULTS_WAITING) == 1)
    branch.gate.heal()
    branch.listener.wait_for(scans)
    until(lambda: branch.kiosk.metric(RESULTS_WAITING) == 0)


# Changes.


def test_reload_applies_what_can_change_at_once(open_branch, new_papers):
    branch = open_branch()
    branch.gate.set(Fault.CLOSED)
    branch.kiosk.start()
    scans = branch.kiosk.scan(*new_papers(3))
    branch.kiosk.configure(outbox={"max_entries": 3})
    branch.kiosk.reload()
    [paper] = new_papers(1)
    until(lambda: branch.kiosk.scan_one(paper).status == 1)
    branch.kiosk.configure(outbox={"max_entries": 100})
    branch.kiosk.reload()
    until(lambda: branch.kiosk.scan_one(paper).status == 0)
    branch.gate.heal()
    branch.listener.wait_for(scans)


def test_reload_leads_to_another_broker_with_all_that_waits(open_branch, new_papers):
    branch = open_branch()
    branch.kiosk.configure(mqtt={"broker": "mqtt://127.0.0.1:1"})
    branch.kiosk.start()
    scans = branch.kiosk.scan(*new_papers(3))
    branch.kiosk.configure(mqtt={"broker": f"mqtt://127.0.0.1:{branch.gate.port}"})
    branch.kiosk.reload()
    branch.listener.wait_for(scans)


def test_reload_names_what_only_a_restart_can_change(kiosk):
    kiosk.start()
    kiosk.configure(kiosk={"state": str(kiosk.folder / "elsewhere")})
    kiosk.reload()
    told = until(lambda: [line for line in kiosk.said().splitlines() if "kiosk.state" in line and "restart" in line])
    assert len(told) == 1 and kiosk.is_running() and not (kiosk.folder / "elsewhere").exists()


def test_reload_of_a_broken_configuration_names_the_mistake_and_changes_nothing(open_branch, systemd, new_paper):
    branch = open_branch()
    branch.kiosk.start(**systemd.env)
    branch.kiosk.config.write_text("[mqtt]\nbrokr = 1\n", encoding="utf-8")
    branch.kiosk.reload()
    until(lambda: "brokr" in branch.kiosk.said() and "line 2" in branch.kiosk.said())
    # Otherwise systemd would take it for hanging.
    systemd.wait_for("READY", "1", number=2)
    branch.kiosk.configure()
    branch.listener.wait_for(branch.kiosk.scan(new_paper()))


# The end.


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_idle_kiosk_ends_in_order_within_two_seconds(branch, name):
    until(lambda: branch.listener.presence and branch.listener.presence[-1]["status"] == "online")
    begun = time.monotonic()
    branch.kiosk.process.send_signal(signal.Signals[name])
    assert branch.kiosk.process.wait(PATIENCE) == 0
    assert time.monotonic() - begun < 2
    until(lambda: branch.listener.presence[-1]["status"] == "offline")
    assert branch.listener.presence[-1]["reason"] == "stopped"
    assert not branch.kiosk.socket.exists()
    branch.kiosk.check_outbox_file()


@pytest.mark.parametrize("fault", [Fault.CLOSED, Fault.SILENT])
def test_broker_that_is_away_does_not_put_off_the_end(open_branch, new_paper, fault):
    branch = open_branch(kiosk={"drain_seconds": 3})
    branch.kiosk.start()
    branch.gate.set(fault)
    branch.kiosk.scan(new_paper())
    begun = time.monotonic()
    assert branch.kiosk.stop() == 0
    # The drain, and a moment for all the rest.
    assert time.monotonic() - begun < 3 + 2


def test_kiosk_that_ends_under_load_loses_nothing(branch, new_papers, truth):
    scans = branch.kiosk.scan(*new_papers(20))
    dropped = [branch.kiosk.drop(paper) for paper in new_papers(10)]
    assert branch.kiosk.stop() == 0
    branch.kiosk.start()
    until(lambda: not any(path.exists() for path in dropped))
    until(lambda: not branch.kiosk.waiting())
    branch.listener.wait_for(scans)
    check_results(branch.listener.results, scans, truth(scans.values()))
    # In order, no file is taken twice.
    until(lambda: len(branch.listener.results) >= len(scans) + len(dropped))
    assert len(branch.listener.results) == len(scans) + len(dropped)


def test_request_under_way_at_the_end_is_answered_and_published(branch, new_paper):
    key = branch.kiosk.api_key()
    paper = new_paper(**SLOW)
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(branch.kiosk.by_file, key, paper.content)
        until(lambda: branch.kiosk.metric("cic_documents_at_work") >= 1)
        assert branch.kiosk.stop() == 0
    assert answer.result().status_code == 200
    scan_id = answer.result().json()["meta"]["scan_id"]
    branch.kiosk.start()
    branch.listener.wait_for([scan_id])


def test_document_that_takes_longer_than_the_drain_is_read_after_the_next_start(open_branch, new_paper, truth):
    branch = open_branch(kiosk={"drain_seconds": 0, "attempts": 1})
    branch.kiosk.start()
    scans = branch.kiosk.scan(new_paper(**SLOW))
    assert branch.kiosk.stop() == 0
    # To be ended is not the document's fault: with one attempt, it would be set aside otherwise.
    branch.kiosk.start()
    branch.listener.wait_for(scans)
    check_results(branch.listener.results, scans, truth(scans.values()))
    assert branch.kiosk.dead() == set()


def test_kiosk_that_ends_accepts_nothing_more_and_says_so(open_branch, new_paper):
    branch = open_branch(kiosk={"drain_seconds": 10})
    branch.kiosk.start()
    branch.gate.set(Fault.SILENT)
    branch.kiosk.scan(new_paper(**SLOW))
    branch.kiosk.process.send_signal(signal.SIGTERM)
    refused = until(lambda: (one := branch.kiosk.scan_one(new_paper())).status and one)
    assert refused.accepted == {} and refused.complaint
    assert branch.kiosk.process.wait(PATIENCE) == 0


# The commands beside it.


def test_outbox_shows_what_waits_without_its_content_and_opens_it_when_asked_to(open_branch, new_paper, truth):
    branch = open_branch()
    branch.gate.set(Fault.CLOSED)
    branch.kiosk.start()
    paper = new_paper()
    [scan_id] = branch.kiosk.scan(paper)
    until(lambda: branch.kiosk.waiting("result"))
    shown = branch.kiosk.command("outbox", "list").stdout + branch.kiosk.command("outbox", "show", scan_id).stdout
    assert scan_id in shown and not [value for value in paper.values if value in shown]
    opened = branch.kiosk.command("outbox", "show", scan_id, "--payload")
    assert json.loads(opened.stdout)["data"] == truth([paper])[paper.code]
