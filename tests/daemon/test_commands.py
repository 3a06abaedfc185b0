"""What the fleet's operators may order of a kiosk: done once, for whom it lets order it, and answered whatever comes."""

import hashlib
import io
import json
import random
import sqlite3
import subprocess
import sys
import tarfile
from contextlib import closing
from datetime import datetime, timedelta, timezone
from pathlib import Path

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from badbroker import Fault
from files import closed_port
from kiosk import PATIENCE, SECRETS, until
from secrecy import could_be_chance, forbidden, found
from systemd import Systemd

COMMANDS = "cic/v1/hn-01/kiosk-1/command/"
ALL = ["scan", "identify", "reload", "restart", "reboot", "diagnostics", "log", "cloud", "wipe", "config-rollback"]
SENDERS = {"senders": {"desk": ALL, "guest": ["identify"]}, "telemetry_seconds": 5}
SEED = 20260302
DIGITS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def new_id(at: datetime | None = None) -> str:
    """A ULID."""
    number = int((at or datetime.now(timezone.utc)).timestamp() * 1000) << 80 | random.getrandbits(80)
    return "".join(DIGITS[number >> 5 * place & 31] for place in reversed(range(26)))


def shown(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def command(kind: str, at: datetime | None = None, life: timedelta = timedelta(hours=1), **parameters: object) -> str:
    at = at or datetime.now(timezone.utc)
    times = {"at": shown(at), "expires": shown(at + life)}
    return json.dumps({"status": "init", "kind": kind, **times, "parameters": parameters})


class Operator:
    """Gives commands, and sees what becomes of them."""

    def __init__(self, listener, sender: str = "desk"):
        self.listener, self.sender = listener, sender

    def send(self, command_id: str, message: str | bytes, sender: str = ""):
        topic = f"{COMMANDS}{sender or self.sender}/{command_id}"
        self.listener.client.publish(topic, message, qos=1, retain=True).wait_for_publish(PATIENCE)

    def give(self, kind: str, **parameters: object) -> str:
        command_id = new_id()
        self.send(command_id, command(kind, **parameters))
        return command_id

    def said(self, command_id: str, sender: str = "") -> list[dict]:
        return self.listener.commands[f"{sender or self.sender}/{command_id}"]

    def end(self, command_id: str, sender: str = "", patience: float = PATIENCE) -> dict:
        """What became of a command, when it has ended."""
        said = self.said(command_id, sender)
        until(lambda: said and said[-1]["status"] in ("successful", "failed"), patience)
        return said[-1]

    def fails(self, command_id: str, code: str, sender: str = "") -> str:
        end = self.end(command_id, sender)
        assert end["status"] == "failed" and end["code"] == code, end
        return end["reason"]

    def result(self, command_id: str, patience: float = PATIENCE) -> dict:
        end = self.end(command_id, patience=patience)
        assert end["status"] == "successful", end
        return end["result"]

    def whole(self, command_id: str, patience: float = PATIENCE) -> tuple[dict, bytes]:
        """The result of a command whose output comes in parts, and that."""
        result = self.result(command_id, patience)
        parts = self.listener.parts[f"{self.sender}/{command_id}"]
        until(lambda: len(parts) == result["parts"])
        whole = b"".join(parts[number] for number in range(result["parts"]))
        assert all(0 < len(part) <= 32 << 10 for part in parts.values())
        assert len(whole) == result["bytes"] and hashlib.sha256(whole).hexdigest() == result["sha256"]
        return result, whole


@pytest.fixture
def open_desk(open_branch, tmp_path):
    """A branch whose kiosk takes commands, and who gives them; systemd is played. The kiosk is not started yet."""
    with Systemd(tmp_path / "notify.sock") as systemd:

        def open_desk(**settings: dict):
            branch = open_branch(**{"fleet": SENDERS, **settings})
            return branch, Operator(branch.listener), systemd.env

        yield open_desk


@pytest.fixture
def desk(open_desk):
    """The same with the kiosk at work."""
    branch, operator, env = open_desk()
    branch.kiosk.start(**env)
    until(lambda: branch.listener.presence)
    return branch, operator, env


def begin_again(branch, env: dict):
    """What systemd does with a program that ended."""
    assert branch.kiosk.process.wait(PATIENCE) == 0
    branch.kiosk.start(**env)


def begun(operator: Operator, command_id: str):
    until(lambda: operator.said(command_id))
    assert operator.said(command_id)[0]["status"] == "executing"


# Who may order what.


def test_presence_says_which_kinds_are_taken_from_whom(desk):
    branch, _, _ = desk
    birth = branch.listener.presence[-1]
    assert "commands" in birth["capabilities"]
    assert birth["commands"]["guest"] == ["identify"] and set(birth["commands"]["desk"]) == set(ALL)


def test_kiosk_does_nothing_unless_its_own_configuration_says_for_whom(branch):
    operator = Operator(branch.listener)
    operator.fails(operator.give("reload"), "not_allowed")
    branch.listener.desire("kiosk", 1, fleet={"senders": {"desk": ["reload"]}})
    reported = branch.listener.reports("kiosk", code="keys", version=None)
    assert set(reported["kiosk"]["refused"]["keys"]) == {"fleet.senders"}
    branch.kiosk.configure(fleet=SENDERS)
    branch.kiosk.reload()
    until(lambda: branch.listener.presence[-1].get("commands"))
    assert operator.result(operator.give("reload")) == {"needs_restart": []}


def test_sender_may_order_what_is_allowed_to_him_alone(desk):
    branch, operator, _ = desk
    guest = Operator(branch.listener, "guest")
    guest.fails(guest.give("wipe", kiosk="kiosk-1"), "not_allowed")
    guest.fails(guest.give("identify"), "unavailable")
    stranger = Operator(branch.listener, "stranger")
    stranger.fails(stranger.give("identify"), "not_allowed")
    operator.fails(operator.give("dance"), "unknown_kind")
    until(lambda: branch.listener.telemetry[-1]["anomalies"].get("commands_not_allowed") == 2)


def test_broker_keeps_one_operator_from_giving_commands_in_anothers_name(open_desk, tmp_path):
    branch, operator, env = open_desk()
    broker, port = branch.broker, closed_port()
    for user in ("desk", "guest"):
        entry = ["mosquitto_passwd", "-b", *([] if user == "guest" else ["-c"]), tmp_path / "users", user, user]
        subprocess.run(entry, check=True, capture_output=True, timeout=PATIENCE)
    rules = "pattern write cic/v1/+/+/command/%u/+\npattern read cic/v1/+/+/command/%u/#\n"
    (tmp_path / "rules").write_text(rules, encoding="utf-8")
    broker.settings += [
        f"listener {port} 127.0.0.1",
        "allow_anonymous false",
        f"password_file {tmp_path}/users",
        f"acl_file {tmp_path}/rules",
    ]
    broker.stop()
    broker.configure()
    broker.start()
    branch.listener.wait_until_subscribed()
    branch.kiosk.start(**env)

    def as_guest(sender: str) -> str:
        client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
        client.username_pw_set("guest", "guest")
        client.connect("127.0.0.1", port)
        client.loop_start()
        command_id = new_id()
        topic = f"{COMMANDS}{sender}/{command_id}"
        client.publish(topic, command("identify"), qos=1, retain=True).wait_for_publish(PATIENCE)
        client.disconnect()
        client.loop_stop()
        return command_id

    operator.fails(as_guest("guest"), "unavailable", sender="guest")
    forged = as_guest("desk")
    assert operator.result(operator.give("reload")) == {"needs_restart": []}
    assert not operator.said(forged)


# Once.


def test_command_is_done_once_however_often_it_comes(desk):
    branch, operator, env = desk
    command_id, message = new_id(), command("reload")
    operator.send(command_id, message)
    first = operator.end(command_id)
    assert [said["status"] for said in operator.said(command_id)] == ["executing", "successful"]
    for number in (3, 4):
        operator.send(command_id, message)
        until(lambda number=number: len(operator.said(command_id)) >= number)
    # Over a power cut, and at a broker that has forgotten what became of it.
    branch.kiosk.kill()
    operator.send(command_id, message)
    branch.kiosk.start(**env)
    until(lambda: len(operator.said(command_id)) >= 5)
    assert all(said == first for said in operator.said(command_id)[1:])
    assert branch.kiosk.said().count("was read again") == 1


def test_command_that_a_power_cut_interrupts_has_failed(desk):
    branch, operator, env = desk
    command_id = operator.give("diagnostics")
    begun(operator, command_id)
    branch.kiosk.kill()
    branch.kiosk.start(**env)
    operator.fails(command_id, "interrupted")
    assert operator.result(operator.give("reload")) == {"needs_restart": []}


def test_end_that_the_broker_did_not_hear_of_is_told_on_the_next_connection(desk):
    branch, operator, _ = desk
    command_id = operator.give("diagnostics")
    begun(operator, command_id)
    branch.gate.set(Fault.REFUSED)
    until(lambda: branch.listener.presence[-1]["status"] == "offline")
    branch.gate.heal()
    operator.whole(command_id, patience=3 * PATIENCE)


def test_commands_that_came_while_the_kiosk_was_away_are_all_answered(open_desk):
    branch, operator, env = open_desk()
    guest = Operator(branch.listener, "guest")
    at = datetime.now(timezone.utc) - timedelta(minutes=2)
    times = [at + timedelta(seconds=number) for number in range(12)]
    ids = [new_id(time) for time in times]
    order = list(range(12))
    random.Random(SEED).shuffle(order)
    for number in order:
        operator.send(ids[number], command("reload", times[number]))
    # More than a kiosk has room for at a time.
    crowd = [new_id() for _ in range(70)]
    for command_id in crowd:
        guest.send(command_id, command("identify"))
    branch.kiosk.start(**env)
    for command_id in ids:
        operator.result(command_id)
    ends = [guest.end(command_id) for command_id in crowd]
    assert {end["code"] for end in ends} <= {"unavailable", "busy"}
    assert branch.kiosk.metric("cic_mqtt_connections_total") == 1


def test_command_that_is_too_late_is_not_done(open_desk):
    branch, operator, env = open_desk()
    at = datetime.now(timezone.utc) - timedelta(hours=2)
    late, early = new_id(at), new_id(at + timedelta(hours=4))
    operator.send(late, command("reload", at))
    operator.send(early, command("reload", at + timedelta(hours=4)))
    branch.kiosk.start(**env)
    operator.fails(late, "expired")
    # As it looks to a kiosk whose clock is behind.
    assert "clock" in operator.fails(early, "clock")
    assert "was read again" not in branch.kiosk.said()


def test_messages_of_every_kind_are_answered_or_ignored_and_the_kiosk_lives(desk, new_paper):
    branch, operator, _ = desk
    dice = random.Random(SEED)
    for message, code in [
        (b"x" * (65 << 10), "too_large"),
        (b"\x00\xff{", "malformed"),
        (b"[" * 60_000, "malformed"),
        (b"{}", "malformed"),
        (command("reload", life=timedelta(days=8)), "malformed"),
        (command("reload", at=datetime.now(timezone.utc) - timedelta(hours=3)), "malformed"),
        (command("reload", more=1), "parameters"),
        (command("identify", seconds=-1), "parameters"),
    ]:
        command_id = new_id()
        operator.send(command_id, message)
        operator.fails(command_id, code)
    for command_id in ("1", "x" * 26, new_id().lower(), "é"):
        operator.send(command_id, command("reload"))
        operator.fails(command_id, "malformed")
    # What looks like the kiosk's own words, and what is larger than is ever taken in.
    operator.send(new_id(), json.dumps({"status": "executing"}))
    operator.send(new_id(), b"")
    operator.send(new_id(), b"x" * (2 << 20))
    good = command("identify", seconds=1).encode()
    for _ in range(150):
        torn = bytearray(good)
        for _ in range(dice.randint(1, 6)):
            torn[dice.randrange(len(torn))] = dice.randrange(256)
        operator.send(new_id(), bytes(torn[: dice.randint(1, len(torn))]))
    assert operator.result(operator.give("reload")) == {"needs_restart": []}
    branch.listener.wait_for(branch.kiosk.scan(new_paper()))
    assert branch.kiosk.metric("cic_worker_restarts_total", worker="commands") == 0
    assert branch.kiosk.metric("cic_mqtt_connections_total") == 1
    assert "panic" not in branch.kiosk.said()


def test_older_version_of_mqtt_does(open_desk):
    branch, operator, env = open_desk(mqtt={"protocol": "3.1.1"})
    command_id = operator.give("reload")
    branch.kiosk.start(**env)
    assert operator.result(command_id) == {"needs_restart": []}


# The kinds.


def test_reload_takes_over_what_can_change_and_names_the_rest_and_what_is_wrong(desk):
    branch, operator, _ = desk
    branch.kiosk.configure(capture={"asks": 9}, http={"queue": 3})
    assert operator.result(operator.give("reload")) == {"needs_restart": ["http.queue"]}
    branch.kiosk.configure(capture={"asks": -1})
    assert "asks" in operator.fails(operator.give("reload"), "failed")


def test_what_the_kiosk_has_not_is_said(desk):
    _, operator, _ = desk
    assert "light" in operator.fails(operator.give("identify", seconds=1), "unavailable")
    operator.fails(operator.give("scan"), "unavailable")
    operator.fails(operator.give("scan", source="camera"), "unavailable")
    operator.fails(operator.give("scan", source="printer"), "parameters")


def test_restart_ends_in_order_and_its_success_is_the_next_start(desk):
    branch, operator, env = desk
    started = branch.listener.presence[-1]["started"]
    command_id = operator.give("restart")
    begin_again(branch, env)
    assert operator.result(command_id) == {}
    assert "stopped" in branch.kiosk.said() and operator.said(command_id)[0]["status"] == "executing"
    until(lambda: branch.listener.presence[-1]["status"] == "online")
    assert branch.listener.presence[-1]["started"] >= started


def test_restart_is_refused_where_nobody_would_start_the_program_again(open_desk):
    branch, operator, _ = open_desk()
    branch.kiosk.start()
    operator.fails(operator.give("restart"), "not_permitted")
    operator.fails(operator.give("wipe", kiosk="kiosk-1"), "not_permitted")
    assert branch.kiosk.is_running()


def test_reboot_is_asked_of_systemd_and_its_success_is_that_the_machine_came_back(desk):
    branch, operator, env = desk
    wish = branch.kiosk.folder / "reboot"
    command_id = operator.give("reboot")
    # As cic-kiosk-reboot.path and the machine do.
    until(wish.exists)
    wish.unlink()
    branch.kiosk.kill()
    kept = branch.kiosk.state / "commands.json"
    boot_id = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    text = kept.read_text(encoding="utf-8")
    assert boot_id in text
    kept.write_text(text.replace(boot_id, "an-earlier-one"), encoding="utf-8")
    branch.kiosk.start(**env)
    assert operator.result(command_id) == {}
    # Only the program comes back.
    command_id = operator.give("reboot")
    until(wish.exists)
    branch.kiosk.kill()
    branch.kiosk.start(**env)
    operator.fails(command_id, "interrupted")


def test_reboot_that_nobody_heeds_has_failed_and_is_taken_back(desk):
    branch, operator, _ = desk
    assert "cic-kiosk-reboot.path" in operator.fails(operator.give("reboot"), "not_permitted")
    assert not (branch.kiosk.folder / "reboot").exists()


def test_cloud_is_turned_off_for_good_and_on_only_where_the_kiosk_lets_it_be(open_desk, tmp_path, authority):
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    place = {"hosts": ["127.0.0.1"], "address": "https://127.0.0.1:1", "authorities": str(tmp_path / "ca.pem")}
    branch, operator, env = open_desk(cloud={"enabled": True, "consent": "a contract", **place})
    branch.kiosk.give_credential("cloud-key", "a-key-for-the-cloud-service")
    branch.kiosk.give_credential("cloud-secret", "a-secret-for-the-cloud-service")
    branch.kiosk.start(**env)
    until(lambda: branch.listener.telemetry and branch.listener.telemetry[-1]["cloud"]["enabled"])
    assert operator.result(operator.give("cloud", enabled=False)) == {"enabled": False}
    until(lambda: not branch.listener.telemetry[-1]["cloud"]["enabled"])
    branch.kiosk.kill()
    branch.listener.telemetry.clear()
    branch.kiosk.start(**env)
    until(lambda: branch.listener.telemetry)
    assert not branch.listener.telemetry[-1]["cloud"]["enabled"]
    branch.kiosk.reload()
    assert operator.result(operator.give("cloud", enabled=True)) == {"enabled": True}
    until(lambda: branch.listener.telemetry[-1]["cloud"]["enabled"])
    branch.kiosk.configure(cloud={"enabled": False})
    operator.result(operator.give("reload"))
    operator.fails(operator.give("cloud", enabled=True), "unavailable")


def test_configuration_before_the_last_one_is_in_force_again_and_stays(desk):
    branch, operator, env = desk
    operator.fails(operator.give("config-rollback"), "unavailable")
    for version in (1, 2):
        branch.listener.desire("kiosk", version, capture={"asks": version})
        branch.listener.reports("kiosk", version=version, code=None)
    assert operator.result(operator.give("config-rollback")) == {"configuration": {"kiosk": 1}}
    reported = branch.listener.reports("kiosk", version=1, code="rolled_back")
    assert reported["settings"] == {"capture": {"asks": 1}}
    # It is still desired, and is not taken over again.
    branch.kiosk.kill()
    branch.listener.reported.clear()
    branch.kiosk.start(**env)
    branch.listener.reports("kiosk", version=1, code="rolled_back")
    branch.listener.desire("kiosk", 3, capture={"asks": 3})
    branch.listener.reports("kiosk", version=3, code=None)


def test_wipe_erases_all_papers_and_the_kiosk_works_on_empty(desk, new_papers):
    branch, operator, env = desk
    kiosk, papers = branch.kiosk, new_papers(4)
    operator.fails(operator.give("wipe", kiosk="kiosk-2"), "parameters")
    lost = kiosk.scan(*papers[:2])
    branch.listener.wait_for(lost)
    dropped = kiosk.drop(papers[2])
    until(lambda: list((kiosk.inbox / "done").glob("*")))
    seen = set(branch.listener.results)
    copy = branch.kiosk.folder / "copy.sqlite"
    with closing(sqlite3.connect(kiosk.outbox_file)) as outbox, closing(sqlite3.connect(copy)) as into:
        outbox.backup(into)
    command_id = operator.give("wipe", kiosk="kiosk-1")
    begin_again(branch, env)
    assert operator.result(command_id)["files"] >= 2
    assert not kiosk.waiting() and not list((kiosk.inbox / "done").glob("*")) and not dropped.exists()
    # A copy from before does not open, though the credential is the same.
    assert kiosk.stop() == 0
    for path in kiosk.state.glob("outbox.sqlite*"):
        path.unlink()
    copy.rename(kiosk.outbox_file)
    for scan_id in lost:
        shown = kiosk.command("outbox", "show", scan_id, "--payload")
        assert shown.returncode != 0 and "key" in shown.stderr
    kiosk.outbox_file.unlink()
    kiosk.start(**env)
    branch.listener.wait_for(kiosk.scan(papers[3]))
    assert len(branch.listener.results) == len(seen) + 1


def test_wipe_is_finished_by_the_next_start_whenever_the_power_fails(desk, new_paper):
    branch, operator, env = desk
    branch.listener.wait_for(branch.kiosk.scan(new_paper()))
    command_id = operator.give("wipe", kiosk="kiosk-1")
    begun(operator, command_id)
    branch.kiosk.kill()
    branch.kiosk.start(**env)
    operator.result(command_id)
    listed = branch.kiosk.command("outbox", "list", "--json")
    assert json.loads(listed.stdout) == []


def test_log_of_a_time_comes_in_parts(open_desk, tmp_path, logs):
    branch, operator, env = open_desk()
    journald = [sys.executable, Path(__file__).with_name("journald.py"), tmp_path / "run"]
    since = datetime.now(timezone.utc)
    under = ["unshare", "--mount", "--propagation", "private", *journald]
    branch.kiosk.start(under=under, log_level="debug", **env)
    for _ in range(3):
        operator.result(operator.give("reload"))
    result, whole = operator.whole(operator.give("log", since=shown(since - timedelta(seconds=2))))
    assert result["lines"] == whole.count(b"\n") > 3 and not result["cut"]
    assert b"ready" in whole and whole.count(b"the configuration was read again") == 3
    (logs / f"{tmp_path.name}-log.log").write_bytes(whole)
    _, none = operator.whole(operator.give("log", since=shown(since - timedelta(days=2)), until=shown(since - timedelta(days=1))))
    assert none == b""


def test_log_that_goes_to_no_journal_is_said(desk):
    _, operator, _ = desk
    operator.fails(operator.give("log", since=shown(datetime.now(timezone.utc))), "unavailable")


def test_diagnostics_help_and_hold_no_value_of_a_paper_and_no_secret(open_desk, new_papers, tmp_path):
    branch, operator, env = open_desk(mqtt={"user": "a-users-name"})
    kiosk = branch.kiosk
    kiosk.give_credential("mqtt-password", "a-password-that-nobody-asked-for")
    kiosk.start(**env)
    branch.listener.wait_for(kiosk.scan(*new_papers(3)))
    command_id = operator.give("diagnostics")
    result, whole = operator.whole(command_id, patience=3 * PATIENCE)
    steps = [said["progress"]["step"] for said in operator.said(command_id) if "progress" in said]
    assert set(steps) <= {"log", "doctor", "pack", "send"}
    bundle = tmp_path / "bundle"
    with tarfile.open(fileobj=io.BytesIO(whole)) as packed:
        packed.extractall(bundle, filter="data")
    assert {path.name for path in bundle.iterdir()} == set(result["files"])
    read = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in bundle.glob("*.json")}
    assert read["kiosk"]["version"] and read["telemetry"]["scans"]["submit"]
    assert {row["check"] for row in read["doctor"]["checks"]} > {"configuration", "disk"}
    assert read["configuration"]["kiosk"]["id"] == "kiosk-1" and read["configuration"]["mqtt"]["user"] == "…"
    assert read["from-afar"]["status"] == "applied"
    words = forbidden() | {word for word in SECRETS if not could_be_chance(word)}
    assert found(words | {"a-users-name"}, [bundle]) == set()
