"""What an operator sees of a fleet, tells it, and changes in waves; with kiosks that fail, and a broker full of garbage."""

import fcntl
import hashlib
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time
from pathlib import Path

import pytest

from broker import Mosquitto
from chromium import chromium
from daemon import Daemon
from kiosk import PATIENCE, ROOT, until
from office import Office

# Of 100 kiosks, each twentieth fails.
FAIL = ("--fail", "5%")

# Whether the picture in docs/fleet.md is made anew.
REGENERATE = "REGENERATE" in os.environ

HOSTILE = "\x1b[2J\x1b]0;owned\x07\u202e<script>alert(1)</script>"


def chunks(office) -> list[str]:
    return [topic for topic in list(office.standing) if "/package/" in topic]


def rollout(office, *arguments: object, status: int = 0, state: str = "state.json") -> tuple[str, dict]:
    """Starts a roll-out; gives what it said and its state in the end."""
    path = office.folder / state
    said = office.fleet("rollout", "start", "--soak", 0, *arguments, "--state", path, status=status)
    return said, json.loads(path.read_text())


def outcomes(state: dict) -> dict[str, int]:
    counts: dict[str, int] = {}
    for kiosk in state["kiosks"]:
        counts[kiosk["outcome"]] = counts.get(kiosk["outcome"], 0) + 1
    return counts


@pytest.fixture
def package(tmp_path):
    """Something of three parts."""
    path = tmp_path / "package.tar"
    path.write_bytes(os.urandom(2 * 48 * 1024 + 1000))
    return path


@pytest.fixture
def settings(tmp_path):
    path = tmp_path / "settings.toml"
    path.write_text("[capture]\nasks = 4\n[decision]\nvalue_below = 0.75\n")
    return path


# Seeing.


def test_all_kiosks_are_listed_with_what_they_are_and_filters_choose_among_them(office, simulate):
    simulate(100)
    kiosks = office.list()
    assert len(kiosks) == 100
    assert {kiosk["presence"]["status"] for kiosk in kiosks} == {"online"}
    table = office.fleet("list")
    assert "100 kiosks, 100 online" in table and "Radxa ROCK 5B" in table and kiosks[0]["presence"]["models"][0]["version"] in table
    assert len(office.list("--branch", "sim-02")) == 20
    assert len(office.list("--kiosk", "sim-02/k0025")) == 1
    assert len(office.list("raspberry")) == 50
    assert len(office.list("--status", "online", "--version", "0.1.0")) == 100
    assert office.fleet("list", "--status", "offline", status=1).endswith("0 kiosks, 0 online\n")
    told = office.list("--telemetry", 3, "--branch", "sim-01")
    assert all(kiosk["telemetry"]["outbox"]["accepts"] for kiosk in told)


def test_kiosk_that_goes_or_is_lost_is_listed_as_such(office, simulate):
    process = simulate(5)
    process.kill()
    until(lambda: {kiosk["presence"]["reason"] for kiosk in office.list("--status", "offline")} == {"lost"})
    process = simulate(5)
    process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENCE) == 0
    assert {kiosk["presence"]["reason"] for kiosk in office.list("--stale", "0s")} == {"stopped"}
    assert office.run("list", "--stale", "1h").returncode == 1


def test_garbage_at_the_broker_is_shown_as_such_and_commands_no_terminal(office, simulate):
    simulate(2)
    office.say("cic/v1/hn-01/bad/presence", b"\xff\xfe\x00")
    office.say("cic/v1/hn-01/odd/presence", json.dumps({"status": "online", "version": HOSTILE, "board": HOSTILE}))
    office.say("cic/v1/hn-01/deep/presence", b"[" * 100_000)
    # mosquitto lets no control character into a topic; all else may be in one.
    office.say("cic/v1/hn-01/<b>x\u00ad\u2028/presence", json.dumps({"status": "online"}))
    office.say("cic/v1/hn-01/odd/config/reported", json.dumps({"all": {"refused": {"reason": HOSTILE}}, "status": 7}))
    office.say("cic/v1/_all/_all/config/desired", "{")
    office.say("cic/v1/_queue/w1/state", json.dumps({"status": "online", "role": HOSTILE, "per_minute": 34.5}))
    office.say("cic/v1/_queue/w2/state", "null")
    table = office.fleet("list")
    assert "5 kiosks" in table and "malformed" in table and "34.5" in table
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", table), repr(table)
    assert "not understood" in table and "no JSON" in table
    for arguments in (["config", "diff"], ["list", "--json"], ["watch", "--plain", "--seconds", "1"]):
        ended = office.run(*arguments)
        assert "panic" not in ended.stderr and "\x1b" not in ended.stdout, ended
    page = office.folder / "report.html"
    office.fleet("report", "--minutes", 0.02, "--out", page)
    html = page.read_text()
    assert "<script" not in html and "&lt;script&gt;" in html and "\x1b" not in html


def test_operator_who_may_only_read_sees_everything(tmp_path):
    (tmp_path / "acl").write_text("user reader\ntopic read cic/v1/#\n")
    strict = Mosquitto(tmp_path / "strict", login=("reader", "a-password"))
    place = strict.settings.index(f"listener {strict.listeners_port} 127.0.0.1")
    strict.settings.insert(place, f"acl_file {tmp_path}/acl")
    strict.configure()
    with strict:
        office = Office(tmp_path, strict.listeners_port)
        office.say("cic/v1/hn-01/k1/presence", '{"status":"online"}')
        office.address = f"mqtt://127.0.0.1:{strict.port}"
        (tmp_path / "password").write_text("a-password\n")
        login = ("--user", "reader", "--password-file", tmp_path / "password")
        assert '"kiosk":"k1"' in office.fleet("list", "--json", *login)
        assert "does not take messages" in office.run("config", "set", "--all", "capture.asks=1", *login).stderr
        (tmp_path / "password").write_text("another")
        ended = office.run("list", *login)
        assert ended.returncode == 1 and "refuses the connection" in ended.stderr, ended
        env = {**os.environ, "CIC_KIOSK_MQTT_PASSWORD": "a-password"}
        assert '"kiosk":"k1"' in office.fleet("list", "--json", "--user", "reader", env=env)
        office.close()


class Terminal:
    """A real terminal with `watch` in it."""

    def __init__(self, command: list[str]):
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 150, 0, 0))
        env = {**os.environ, "TERM": "xterm-256color"}
        self.process = subprocess.Popen(command, stdin=slave, stdout=slave, stderr=slave, env=env)
        os.close(slave)
        self.raw = b""

    def shows(self, words: str) -> bool:
        while select.select([self.master], [], [], 0)[0]:
            try:
                self.raw += os.read(self.master, 1 << 16)
            except OSError:
                break
        # What is drawn at which place; colours and modes do not matter here.
        lines = [[" "] * 200 for _ in range(50)]
        row = column = 0
        for place, _, letter in re.findall(r"\x1b\[(\d+;\d+)H|(\x1b\[[0-9;?]*[a-zA-Z])|(.)", self.raw.decode(errors="replace")):
            if place:
                row, column = (int(number) - 1 for number in place.split(";"))
            elif letter:
                lines[row][column] = letter
                column = min(column + 1, 199)
        return any(words in "".join(line) for line in lines)

    def press(self, keys: str):
        os.write(self.master, keys.encode())

    def end(self):
        self.process.kill()
        self.process.wait(PATIENCE)
        os.close(self.master)


def test_watch_shows_changes_in_a_real_terminal_and_obeys_keys(office, simulate):
    simulate(30, *("--fail", "10%"))
    terminal = Terminal(office.command("watch"))
    try:
        until(lambda: terminal.shows("30 kiosks") and terminal.shows("sim-01/k0001"))
        until(lambda: terminal.shows("camera failing"))
        office.say("cic/v1/hn-09/k9/presence", '{"status":"offline","reason":"lost","version":"7.7.7"}')
        until(lambda: terminal.shows("hn-09/k9 offline (lost)"))
        terminal.press("/hn-09\r")
        until(lambda: terminal.shows("1 shown"))
        terminal.press("q")
        assert terminal.process.wait(PATIENCE) == 0
        # The screen that was before is there again.
        until(lambda: terminal.shows("") and b"\x1b[?1049l" in terminal.raw)
    finally:
        terminal.end()


def test_watch_prints_lines_where_there_is_no_terminal_and_goes_on_after_the_broker(office, broker, simulate):
    simulate(3)
    command = office.command("watch", "--branch", "hn-09")
    watch = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert watch.stdout.readline().endswith(" 0 kiosks\n")
        office.say("cic/v1/hn-09/k9/presence", '{"status":"online","version":"1"}')
        assert watch.stdout.readline().endswith(" hn-09/k9 online, program 1\n")
        broker.kill()
        assert "the connection broke" in watch.stdout.readline()
        broker.start()
        assert watch.stdout.readline().endswith(" connected again\n")
        watch.send_signal(signal.SIGINT)
        assert watch.wait(PATIENCE) == 0
    finally:
        watch.kill()
        watch.wait(PATIENCE)
        watch.stdout.close()


# Commands.


def test_command_is_followed_until_all_have_answered(office, simulate):
    simulate(100, *FAIL)
    lines = office.fleet("send", "identify", "seconds=5", "--all", "--json", status=1).splitlines()
    answers = {f"{it['branch']}/{it['kiosk']}": it["command"] for it in map(json.loads, lines)}
    assert len(answers) == 100
    failed = sorted(kiosk for kiosk, command in answers.items() if command["status"] == "failed")
    assert failed == [f"sim-0{n}/k{20 * n:04}" for n in range(1, 6)]
    assert office.fleet("send", "identify", "--kiosk", "sim-01/k0001").splitlines()[1].split()[1] == "successful"
    office.fleet("send", "no-such-thing", "--kiosk", "sim-01/k0001", status=1)
    assert "unknown_kind" in office.run("send", "no-such-thing", "--kiosk", "sim-01/k0001").stdout
    assert office.run("send", "identify").returncode == 64
    topics = [topic for topic in list(office.standing) if "/command/operator/" in topic]
    assert len(topics) >= 102
    office.fleet("send", "--clear", "--all")
    # Marks come and do not stay.
    until(lambda: {topic for topic in list(office.standing) if "/command/" in topic and "/_all/" not in topic} == set())


def test_output_that_comes_in_parts_is_put_together_and_proved(office, simulate):
    simulate(3)
    out = office.folder / "out"
    lines = office.fleet("send", "diagnostics", "--all", "--json", "--out", out).splitlines()
    for answer in map(json.loads, lines):
        content = open(answer["file"], "rb").read()
        result = answer["command"]["result"]
        assert result["parts"] > 1 and len(content) == result["bytes"]
        assert hashlib.sha256(content).hexdigest() == result["sha256"]
        assert content.startswith(f"cic/v1/{answer['branch']}/{answer['kiosk']}/".encode())
    assert len(lines) == 3 and {path.stat().st_mode & 0o777 for path in out.iterdir()} == {0o600}


# Settings.


def test_settings_reach_all_kiosks_and_those_that_refuse_are_named(office, simulate):
    simulate(100, *FAIL)
    said = office.fleet("config", "set", "--all", "capture.asks=4", status=1)
    assert "version 1 is in force at 95 kiosks, refused by 5, and 0 have not answered" in said
    assert said.count("not_applied") == 5
    assert office.reported("sim-01/k0001")["settings"] == {"capture": {"asks": 4}}
    differences = [json.loads(line) for line in office.fleet("config", "diff", "--json", status=1).splitlines()]
    assert len(differences) == 5 and {it["difference"]["key"] for it in differences} == {"capture.asks"}
    # What is set stays, version by version, until it is taken out.
    office.fleet("config", "set", "--branch", "sim-01", "decision.value_below=0.5", status=1)
    office.fleet("config", "set", "--kiosk", "sim-01/k0001", "capture.asks=9")
    assert office.reported("sim-01/k0001")["settings"] == {"capture": {"asks": 9}, "decision": {"value_below": 0.5}}
    office.fleet("config", "set", "--kiosk", "sim-01/k0001", "--unset", "capture.asks")
    assert office.reported("sim-01/k0001")["settings"]["capture"] == {"asks": 4}
    assert office.reported("sim-01/k0001")["kiosk"] == {"version": 2}


def test_settings_that_no_kiosk_takes_or_that_somebody_else_has_changed_are_not_sent(office, simulate, settings):
    simulate(2)
    for wrong, words in [
        ("kiosk.id=x", "from afar"),
        ("capture.ask=1", "no such key"),
        ("capture.asks=many", "capture.asks"),
        ("nonsense", "cannot read"),
    ]:
        ended = office.run("config", "set", "--all", wrong)
        assert ended.returncode == 1 and words in ended.stderr, ended
    assert "cic/v1/_all/_all/config/desired" not in office.standing
    office.fleet("config", "set", "--all", settings, "--expect", 0)
    assert "version 1 is wanted" in office.run("config", "set", "--all", "capture.asks=5", "--expect", 0).stderr
    office.fleet("config", "diff", settings)
    settings.write_text("[capture]\nasks = 5\n")
    assert "decision.value_below" in office.fleet("config", "diff", settings, status=1)
    office.fleet("config", "set", "--all", settings, "--replace", "--expect", 1)
    assert json.loads(office.standing["cic/v1/_all/_all/config/desired"]) == {
        "version": 2,
        "settings": {"capture": {"asks": 5}},
    }


# Roll-outs.


def test_rollout_of_a_model_goes_through_in_waves_and_clears_its_package(office, simulate, package):
    simulate(40)
    said, state = rollout(office, "--model", package, "--waves", "1,10%,100%", "--at-once", 10)
    assert outcomes(state) == {"done": 40} and state["phase"] == {"phase": "done"}, said
    sha256 = hashlib.sha256(package.read_bytes()).hexdigest()
    kiosks = office.list("--version", sha256[:12])
    assert len(kiosks) == 40
    assert not chunks(office)
    assert office.run("rollout", "start", "--model", package, "--state", office.folder / "state.json").returncode == 1


def test_rollout_stops_where_more_have_failed_than_may_and_tells_no_other(office, simulate, package):
    simulate(100, *FAIL)
    said, state = rollout(office, "--model", package, "--waves", "1,10%,50%,100%", "--stop-at", "3%", status=1)
    [count] = [outcomes(state)["failed"]]
    bound = [1, 10, 50, 100][state["wave"]]
    assert count > 0.03 * bound and "stopped" in said
    # Up to the wave before, no more had failed than may.
    assert all(kiosk["outcome"] == "waiting" for kiosk in state["kiosks"][bound:])
    planted = {f"sim-0{n}/k{20 * n:04}" for n in range(1, 6)}
    assert {kiosk["id"] for kiosk in state["kiosks"] if kiosk["outcome"] == "failed"} <= planted
    told = {topic.split("/command/")[0] for topic in office.heard if "/command/operator/" in topic}
    told = {topic.removeprefix("cic/v1/") for topic in told} - {"_all/_all"}
    assert told == {kiosk["id"] for kiosk in state["kiosks"] if kiosk["outcome"] != "waiting"}
    assert chunks(office), "who goes on needs it"
    # Nothing is undone that nobody asked for; then all of it is.
    office.fleet("rollout", "abort", office.folder / "state.json", "--undo")
    assert not chunks(office)
    until(lambda: not any("package" in kiosk["presence"] for kiosk in office.list()))


def test_rollout_that_was_killed_goes_on_and_tells_nobody_twice(office, simulate, package):
    simulate(60, "--work", 0.3)
    state = office.folder / "state.json"
    start = ("rollout", "start", "--soak", 0, "--waves", "1,50%,100%", "--at-once", 5, "--model", package)
    process = subprocess.Popen(office.command(*start, "--state", state), stderr=subprocess.DEVNULL)
    until(lambda: state.exists() and outcomes(json.loads(state.read_text())).get("done", 0) > 10)
    process.kill()
    process.wait(PATIENCE)
    assert outcomes(json.loads(state.read_text())).get("waiting", 0) > 0
    assert "interrupted" in subprocess.run(
        office.command("rollout", "status", state)[:-2], capture_output=True, text=True, timeout=PATIENCE
    ).stdout
    office.fleet("rollout", "resume", state)
    assert outcomes(json.loads(state.read_text())) == {"done": 60}
    told = [topic for topic in office.heard if "/command/operator/" in topic and "/_all/" not in topic]
    kiosks = [topic.split("/command/")[0] for topic in told]
    assert len(kiosks) == 60 == len(set(kiosks))


def test_rollout_outlives_a_broker_that_is_started_again(office, broker, simulate, settings):
    simulate(30)
    state = office.folder / "state.json"
    start = ("rollout", "start", "--soak", 2, "--waves", "10%,100%", "--at-once", 3, "--settings", settings)
    log = (office.folder / "rollout.log").open("wb")
    process = subprocess.Popen(office.command(*start, "--state", state), stderr=log, stdout=log)
    until(lambda: state.exists() and outcomes(json.loads(state.read_text())).get("done", 0) >= 3)
    # Mosquitto saves what is retained once a second.
    time.sleep(1.2)
    broker.stop()
    broker.start()
    assert process.wait(PATIENCE * 2) == 0, (office.folder / "rollout.log").read_text()
    assert outcomes(json.loads(state.read_text())) == {"done": 30}


def test_rollout_of_settings_keeps_what_kiosks_had_and_can_be_undone(office, simulate, settings):
    simulate(20)
    office.fleet("config", "set", "--kiosk", "sim-01/k0001", "capture.asks=2", "capture.idle_seconds=9")
    said, state = rollout(office, "--settings", settings, "--waves", "1,100%")
    assert outcomes(state) == {"done": 20}, said
    assert office.reported("sim-01/k0001")["settings"] == {
        "capture": {"asks": 4, "idle_seconds": 9},
        "decision": {"value_below": 0.75},
    }
    office.fleet("rollout", "abort", office.folder / "state.json", "--undo")
    assert office.reported("sim-01/k0001")["settings"] == {"capture": {"asks": 2, "idle_seconds": 9}}
    assert office.reported("sim-01/k0002")["settings"] == {}


def test_rollout_of_settings_can_become_those_of_all(office, simulate, settings):
    simulate(20)
    office.fleet("config", "set", "--kiosk", "sim-01/k0001", "capture.idle_seconds=9")
    rollout(office, "--settings", settings, "--waves", "1,100%", "--promote")
    wanted = json.loads(office.standing["cic/v1/_all/_all/config/desired"])
    assert wanted == {"version": 1, "settings": {"capture": {"asks": 4}, "decision": {"value_below": 0.75}}}
    until(lambda: json.loads(office.standing["cic/v1/sim-01/k0002/config/desired"])["settings"] == {})
    own = json.loads(office.standing["cic/v1/sim-01/k0001/config/desired"])
    assert own["settings"] == {"capture": {"idle_seconds": 9}}
    until(lambda: office.reported("sim-01/k0002")["settings"]["capture"] == {"asks": 4})


def test_kiosks_that_are_away_are_left_out_and_taken_when_they_are_back(office, simulate, settings):
    simulate(5)
    office.say("cic/v1/hn-01/away/presence", '{"status":"offline","reason":"lost"}')
    said, state = rollout(office, "--settings", settings, "--waves", "100%")
    assert outcomes(state) == {"done": 5, "absent": 1} and state["kiosks"][-1]["id"] == "hn-01/away", said
    assert "not connected" in said
    assert "cic/v1/hn-01/away/config/desired" not in office.standing


# Reports.


def test_report_of_a_record_is_a_page_that_needs_nothing_else(office, simulate):
    kiosks, scans, fail, minutes = (200, 60, "3%", 0.8) if REGENERATE else (20, 600, "10%", 0.12)
    simulate(kiosks, "--scans", scans, "--fail", fail)
    record, page = office.folder / "record.jsonl", office.folder / "report.html"
    office.fleet("report", "--minutes", minutes, "--record", record)
    assert office.run("report", "--from", record, "--out", page).returncode == 0
    html = page.read_text()
    assert html.startswith("<!DOCTYPE html>") and html.count("<svg") == 3
    for words in (f"{kiosks} / {kiosks}", "Throughput", "Review rate", "Confidence", "camera failing", "sim-01", "0.1.0"):
        assert words in html, words
    assert not re.search(r"(src|href)=|https?://(?!www\.w3\.org)|url\(|@import|<script", html)
    look_at(page)
    record.write_text("no record\n")
    assert "line 1" in office.run("report", "--from", record, "--out", page).stderr


def look_at(path: Path):
    """A browser complains of nothing, and shows all charts. With REGENERATE=1 it is the picture in docs/fleet.md."""
    with chromium() as browser:
        page, complaints = browser.new_page(viewport={"width": 1200, "height": 800}), []
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda message: complaints.append(message.text))
        page.goto(path.as_uri())
        boxes = [chart.bounding_box() for chart in page.locator("svg").all()]
        assert len(boxes) == 3 and complaints == []
        assert all(box["x"] >= 0 and box["x"] + box["width"] <= 1200 and box["height"] > 100 for box in boxes), boxes
        if REGENERATE:
            page.screenshot(path=ROOT / "docs/images/fleet-report.png", full_page=True)


# A real kiosk.


def test_real_kiosk_is_listed_and_takes_settings(office, tmp_path):
    logs = tmp_path / "logs"
    logs.mkdir()
    with Daemon("real", tmp_path / "kiosk", logs, office.address, fleet={"telemetry_seconds": 5}) as kiosk:
        kiosk.start()
        [listed] = until(lambda: office.list("--status", "online"))
        assert listed["kiosk"] == "kiosk-1" and {"folder", "submit"} <= set(listed["presence"]["sources"])
        said = office.fleet("config", "set", "--branch", "hn-01", "capture.asks=7", "http.queue=3")
        assert "in force at 1 kiosks" in said
        assert office.reported("hn-01/kiosk-1")["settings"]["capture"] == {"asks": 7}
        assert "after a restart" in office.fleet("config", "diff", status=1)
        # What the kiosk alone can judge, it judges.
        refused = office.fleet("config", "set", "--all", "outbox.max_entries=999999999", status=1)
        assert "outbox.max_entries" in refused and "set at the kiosk" in refused
        [listed] = office.list("--telemetry", 6)
        assert listed["telemetry"]["sources"]
        assert kiosk.stop() == 0
    assert office.list("--status", "offline")
