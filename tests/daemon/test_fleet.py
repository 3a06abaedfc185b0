"""What the fleet sees of a kiosk, and what it can set there; with brokers that are right, wrong, and gone."""

import json
import random
import re
import subprocess
import time
from pathlib import Path

import pytest
import yaml

import asyncapi
from broker import Mosquitto
from daemon import CONNECTED
from kiosk import PATIENCE, ROOT, until

# Seconds for what a kiosk is to do by itself; a slow machine may take several times as long.
TRIAL = 5

SEED = 20260302


@pytest.fixture
def quick(open_branch):
    """A branch with a kiosk that tells of itself often."""
    branch = open_branch(fleet={"telemetry_seconds": 5, "trial_seconds": TRIAL})
    branch.kiosk.start()
    until(lambda: branch.listener.reported)
    return branch


# Presence.


def test_presence_says_what_the_kiosk_is(branch):
    until(lambda: branch.listener.presence)
    birth = branch.listener.presence[-1]
    assert birth["status"] == "online" and birth["boot_id"] == Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    assert {"folder", "submit", "api"} == set(birth["sources"])
    assert {"telemetry", "configuration", "http"} == set(birth["capabilities"])
    manifest = (ROOT / "models/manifest.toml").read_text(encoding="utf-8")
    assert {model["kind"] for model in birth["models"]} == {"detector", "recogniser"}
    for model in birth["models"]:
        assert model["sha256"] in manifest and model["version"] in manifest


def test_kiosk_that_ends_says_so_before_it_has(branch):
    until(lambda: branch.listener.presence)
    assert branch.kiosk.stop() == 0
    until(lambda: branch.listener.presence[-1]["status"] == "offline")
    assert [said["status"] for said in branch.listener.presence[-3:]] == ["online", "stopping", "offline"]
    assert branch.listener.presence[-1]["reason"] == "stopped"


def test_presence_comes_anew_with_each_connection_and_is_of_the_same_start(branch):
    until(lambda: branch.listener.presence)
    branch.gate.cut()
    until(lambda: [said["status"] for said in branch.listener.presence[-2:]] == ["offline", "online"])
    lost, online = branch.listener.presence[-2:]
    assert lost["reason"] == "lost" and online["started"] == lost["started"]


# Telemetry.


def test_telemetry_and_prometheus_show_the_same_figures(quick, new_papers):
    quick.listener.wait_for(quick.kiosk.scan(*new_papers(3)))
    until(lambda: not quick.kiosk.waiting())
    told = len(quick.listener.telemetry)
    until(lambda: len(quick.listener.telemetry) > told + 2)
    telemetry = quick.listener.telemetry[-1]
    metrics = quick.kiosk.metrics()

    def metric(name: str, **labels: str) -> float:
        return metrics[(f"cic_{name}", frozenset(labels.items()))]

    assert sum(telemetry["scans"]["submit"].values()) == 3
    same = [
        (metric("scans_total", source=source, outcome=outcome), count)
        for source, outcomes in telemetry["scans"].items()
        for outcome, count in outcomes.items()
    ]
    same += [(metric("values_read_total", at_most=bound), count) for bound, count in telemetry["confidence"].items()]
    for stage, times in telemetry["stages"].items():
        same.append((metric("scan_stages_total", stage=stage), times["count"]))
        same.append((metric("scan_stage_p50_seconds", stage=stage), times["p50_seconds"]))
        same.append((metric("scan_stage_p95_seconds", stage=stage), times["p95_seconds"]))
    for name, source in telemetry["sources"].items():
        same.append((metric("source_ready", source=name), source["ready"]))
        same.append((metric("source_state", source=name, state=source["state"]), 1))
    same += [(metric("worker_restarts_total", worker=name), count) for name, count in telemetry["workers"].items()]
    for name in ("accepts", "documents", "results", "delivered", "dead", "without_key", "bytes"):
        same.append((metric(f"outbox_{name}"), telemetry["outbox"][name]))
    same.append((metric("mqtt_connected"), telemetry["mqtt"]["connected"]))
    for name in ("delivered", "connections"):
        same.append((metric(f"mqtt_{name}_total"), telemetry["mqtt"][name]))
    same += [(metric(f"machine_{name}"), telemetry["machine"][name]) for name in ("memory_bytes", "disk_bytes")]
    assert len(same) > 25 and [pair for pair in same if pair[0] != pair[1]] == []
    # What changes all the time is at least there, and possible.
    assert 0 <= metric("machine_cpu_share") <= 1 and 0 <= telemetry["machine"]["own_cpu_share"] <= 1
    assert 1 << 20 < telemetry["machine"]["own_memory_bytes"] < 1 << 30


def test_telemetry_comes_at_its_interval_and_when_something_changes(quick):
    until(lambda: len(quick.listener.telemetry) >= 4)
    # By default it is a minute; then only a change would be told.
    quick.kiosk.configure(fleet={"telemetry_seconds": 3600})
    quick.kiosk.reload()
    until(lambda: "read again" in quick.kiosk.said())
    told = len(quick.listener.telemetry)
    quick.kiosk.configure(outbox={"min_free_bytes": 1 << 60})
    quick.kiosk.reload()
    until(lambda: any(not said["outbox"]["accepts"] for said in quick.listener.telemetry[told:]))
    quick.kiosk.configure(outbox={"min_free_bytes": 0})
    quick.kiosk.reload()
    until(lambda: quick.listener.telemetry[-1]["outbox"]["accepts"])


# Settings from afar.


def test_settings_are_merged_taken_over_and_reported_and_outlive_a_power_cut(quick):
    quick.listener.desire("kiosk", 1, capture={"asks": 7})
    quick.listener.desire("all", 3, capture={"asks": 1, "idle_seconds": 5})
    quick.listener.desire("branch", 2, capture={"idle_seconds": 6})
    expected = {"capture": {"asks": 7, "idle_seconds": 6}}
    until(lambda: quick.listener.reported[-1]["settings"] == expected)
    quick.kiosk.kill()
    # The broker forgets all of it: the kiosk does not.
    quick.broker.kill()
    quick.broker.forget()
    quick.listener.subscribed.clear()
    quick.listener.reported.clear()
    quick.broker.start()
    quick.listener.wait_until_subscribed()
    quick.kiosk.start()
    until(lambda: quick.listener.reported)
    assert quick.listener.reported[-1]["settings"] == expected
    until(lambda: quick.listener.presence[-1].get("configuration") == {"all": 3, "branch": 2, "kiosk": 1})


def test_setting_that_needs_a_restart_is_said_so_and_is_in_force_after_it(quick):
    quick.listener.desire("kiosk", 1, http={"queue": 3}, capture={"asks": 3})
    reported = quick.listener.reports("kiosk", version=1)
    assert reported["needs_restart"] == ["http.queue"] and reported["status"] == "applied"
    assert quick.kiosk.stop() == 0
    quick.kiosk.start()
    until(lambda: quick.listener.reported[-1]["needs_restart"] == [])
    assert quick.listener.reported[-1]["kiosk"] == {"version": 1}


@pytest.mark.parametrize(
    "section, key, value",
    [
        ("kiosk", "credentials", "/tmp"),
        ("cloud", "hosts", ["evil.example"]),
        ("mqtt", "authorities", "/tmp/ca.pem"),
        ("mqtt", "broker", "mqtt://evil.example"),
        ("reading", "onnxruntime", "/tmp/evil.so"),
        ("sane", "program", "/bin/sh"),
    ],
)
def test_what_may_not_come_from_afar_is_refused_by_its_name(quick, section, key, value):
    quick.listener.desire("kiosk", 1, **{section: {key: value}, "capture": {"asks": 9}})
    reported = quick.listener.reports("kiosk", code="keys", version=None)
    assert set(reported["kiosk"]["refused"]["keys"]) == {f"{section}.{key}"}
    assert reported["settings"] == {}


def test_messages_of_every_kind_are_answered_and_the_kiosk_lives(quick, new_paper):
    dice = random.Random(SEED)
    listener = quick.listener
    listener.desire("kiosk", 5, capture={"asks": 5})
    listener.reports("kiosk", version=5, code=None)
    listener.desire("kiosk", 5, capture={"asks": 5})
    listener.desire("kiosk", 4, capture={"asks": 4})
    listener.reports("kiosk", version=5, code="outdated")
    listener.desire("kiosk", 5, capture={"asks": 6})
    listener.reports("kiosk", version=5, code="conflict")
    listener.send("kiosk", b"x" * (65 * 1024))
    listener.reports("kiosk", version=5, code="too_large")
    listener.send("kiosk", b"\x00\xff{")
    listener.reports("kiosk", version=5, code="malformed")
    listener.send("kiosk", b"")
    good = json.dumps({"version": 6, "settings": {"capture": {"asks": 1}, "decision": {"values": {"cic_code": 0.5}}}})
    for _ in range(200):
        torn = bytearray(good.encode())
        for _ in range(dice.randint(1, 6)):
            torn[dice.randrange(len(torn))] = dice.randrange(256)
        listener.send(dice.choice(["all", "branch"]), bytes(torn[: dice.randint(1, len(torn))]))
    # Larger than is ever taken in: the broker is told so, and keeps it.
    listener.send("branch", b"x" * (2 << 20))
    listener.desire("kiosk", 7, capture={"asks": 7})
    listener.reports("kiosk", version=7, code=None)
    assert listener.reported[-1]["settings"]["capture"]["asks"] == 7
    listener.wait_for(quick.kiosk.scan(new_paper()))
    assert quick.kiosk.metric("cic_worker_restarts_total", worker="configuration") == 0
    assert quick.kiosk.metric("cic_mqtt_connections_total") == 1
    assert "panic" not in quick.kiosk.said()


def test_settings_that_cut_the_broker_off_are_taken_back_and_reported(open_branch, tmp_path, new_paper):
    # It may be led there, and nobody is there.
    branch = open_branch(fleet={"trial_seconds": TRIAL, "brokers": ["mqtt://127.0.0.1:1"]})
    branch.kiosk.start()
    branch.listener.desire("kiosk", 1, mqtt={"broker": "mqtt://127.0.0.1:1", "keep_alive_seconds": 9})
    until(lambda: branch.listener.presence and branch.listener.presence[-1].get("reason") == "reconnecting")
    reported = branch.listener.reports("kiosk", code="unreachable", version=None)
    assert reported["status"] == "refused" and reported["settings"] == {}
    # It is still desired, and is not tried again, not even after a restart.
    tries = branch.kiosk.said().count("are taken over")
    assert branch.kiosk.stop() == 0
    branch.listener.reported.clear()
    branch.kiosk.start()
    branch.listener.reports("kiosk", code="unreachable", version=None)
    branch.listener.wait_for(branch.kiosk.scan(new_paper()))
    assert branch.kiosk.said().count("are taken over") == tries
    assert branch.kiosk.metric("cic_anomalies_total", kind="configurations_rolled_back") == 0
    branch.listener.desire("kiosk", 2, mqtt={"keep_alive_seconds": 9})
    branch.listener.reports("kiosk", version=2, code=None, status="applied")


def test_settings_that_lead_to_another_broker_stay_when_it_is_reached(open_branch, tmp_path, new_paper):
    with Mosquitto(tmp_path / "other") as other:
        address = f"mqtt://127.0.0.1:{other.port}"
        branch = open_branch(fleet={"trial_seconds": TRIAL, "brokers": [address]})
        branch.kiosk.start()
        branch.listener.desire("kiosk", 1, mqtt={"broker": address})
        command = ["mosquitto_sub", "-p", str(other.port), "-t", "cic/v1/hn-01/kiosk-1/config/reported", "-W", "60"]

        def at_the_other() -> dict:
            said = subprocess.run([*command, "-C", "1"], capture_output=True, timeout=PATIENCE * 2)
            return json.loads(said.stdout or b"{}")

        until(lambda: at_the_other().get("status") == "applied")
        assert at_the_other()["kiosk"] == {"version": 1}
        time.sleep(TRIAL + 1)
        assert at_the_other()["status"] == "applied"
        branch.kiosk.kill()
        branch.kiosk.start()
        branch.kiosk.scan(new_paper())
        until(lambda: not branch.kiosk.waiting())


def test_kill_while_settings_are_taken_over_leaves_the_old_ones_or_the_new_ones(open_branch):
    branch = open_branch(fleet={"trial_seconds": TRIAL})
    dice = random.Random(SEED)
    file = branch.kiosk.state / "desired.json"
    last = 15
    seen = []
    for version in range(1, last + 1):
        branch.kiosk.start(log_level="info")
        until(lambda: branch.kiosk.metric(CONNECTED) == 1)
        whole = {"capture": {"asks": version, "idle_seconds": version}, "outbox": {"max_age_days": version}}
        branch.listener.desire("kiosk", version, **whole)
        time.sleep(dice.uniform(0, 0.12))
        branch.kiosk.kill()
        kept = json.loads(file.read_text(encoding="utf-8"))["levels"]["kiosk"] if file.exists() else None
        if kept is None:
            seen.append(0)
            continue
        number = kept["version"]
        seen.append(number)
        assert kept["settings"] == {
            "capture": {"asks": number, "idle_seconds": number},
            "outbox": {"max_age_days": number},
        }
        branch.listener.reported.clear()
    branch.kiosk.start()
    # Retained, it comes again.
    reported = branch.listener.reports("kiosk", version=last, code=None)
    assert reported["settings"] == whole
    # They never go back, and some were taken over.
    assert seen == sorted(seen) and seen[-1] > 0
    print("versions after each kill:", seen)


def test_kiosk_that_takes_no_settings_says_so(open_branch):
    branch = open_branch(fleet={"configuration": False})
    branch.kiosk.start()
    branch.listener.desire("kiosk", 1, capture={"asks": 7})
    branch.listener.reports("kiosk", code="disabled", version=None)
    until(lambda: branch.listener.presence)
    assert "configuration" not in branch.listener.presence[-1]["capabilities"]


def test_operator_takes_settings_back_by_what_the_kiosk_allows(quick):
    quick.listener.desire("kiosk", 1, capture={"asks": 7})
    quick.listener.reports("kiosk", version=1, code=None)
    quick.kiosk.configure(fleet={"configuration": False})
    quick.kiosk.reload()
    reported = quick.listener.reports("kiosk", version=None, code="disabled")
    assert reported["settings"] == {}


# What the documentation says.


def blocks(language: str) -> list[str]:
    """What docs/mqtt.md shows in this language."""
    text = (ROOT / "docs/mqtt.md").read_text(encoding="utf-8")
    shown = re.findall(r"^```(\w*)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    return [block for of, block in shown if of == language]


def test_access_rules_of_the_documentation_let_a_kiosk_do_its_work_and_nothing_else(open_branch, tmp_path, new_paper):
    [rules] = [block for block in blocks("") if "pattern write" in block]
    (tmp_path / "acl").write_text(rules, encoding="utf-8")
    broker = Mosquitto(tmp_path / "strict", login=("hn-01/kiosk-1", "a-password"))
    # Of the kiosk's listener alone.
    broker.settings.insert(broker.settings.index(f"listener {broker.listeners_port} 127.0.0.1"), f"acl_file {tmp_path}/acl")
    broker.configure()
    with broker:
        branch = open_branch(fleet={"telemetry_seconds": 5})
        branch.gate.broker_port = broker.port
        branch.kiosk.give_credential("mqtt-password", "a-password")
        branch.kiosk.configure(mqtt={"user": "hn-01/kiosk-1"})
        login = ["-p", str(broker.port), "-u", "hn-01/kiosk-1", "-P", "a-password"]
        listen = ["mosquitto_sub", "-p", str(broker.listeners_port), "-W", "60", "-C", "1", "-t"]
        for whom, topic in [("all", "_all/_all"), ("branch", "hn-01/_all"), ("kiosk", "hn-01/kiosk-1")]:
            said = json.dumps({"version": 1, "settings": {"capture": {"asks": len(whom)}}})
            publish = ["mosquitto_pub", "-p", str(broker.listeners_port), "-r", "-t", f"cic/v1/{topic}/config/desired"]
            subprocess.run([*publish, "-m", said], check=True, timeout=PATIENCE)
        branch.kiosk.start()

        def retained(topic: str) -> dict:
            said = subprocess.run([*listen, f"cic/v1/hn-01/kiosk-1/{topic}"], capture_output=True, timeout=2 * PATIENCE)
            return json.loads(said.stdout or b"{}")

        until(lambda: {it: retained("config/reported").get(it) for it in ("all", "branch", "kiosk")} == dict.fromkeys(["all", "branch", "kiosk"], {"version": 1}))
        assert retained("presence")["status"] == "online" and retained("telemetry")["mqtt"]["connected"]
        branch.kiosk.scan(new_paper())
        until(lambda: not branch.kiosk.waiting())
        # A kiosk that somebody has taken over writes nothing that others listen to.
        for topic in ("hn-01/kiosk-2/config/desired", "hn-01/_all/config/desired", "_all/_all/config/desired"):
            attempt = ["mosquitto_pub", *login, "-q", "1", "-V", "5", "-t", f"cic/v1/{topic}", "-m", "{}"]
            said = subprocess.run(attempt, capture_output=True, text=True, timeout=PATIENCE)
            assert "not authorized" in (said.stdout + said.stderr).lower(), said


def test_messages_that_are_shown_in_the_documentation_are_right():
    shown = [json.loads(line) for block in blocks("json") for line in block.splitlines()]
    kinds = {"presence": 0, "config/desired": 0, "config/reported": 0, "command/{sender}/{id}": 0}
    for message in shown:
        fitting = [kind for kind in kinds if not asyncapi.mistake(kind, message)]
        assert fitting, message
        kinds[fitting[0]] += 1
    assert all(kinds.values()), kinds


def test_documentation_names_every_figure(branch):
    text = (ROOT / "docs/operations.md").read_text(encoding="utf-8")
    document = yaml.safe_load((ROOT / "docs/asyncapi.yaml").read_text(encoding="utf-8"))
    assert set(document["components"]["schemas"]["Telemetry"]["properties"]) >= {"scans", "outbox", "machine", "clock"}
    names = {name for name, _ in branch.kiosk.metrics() if name.startswith("cic_")}
    families = {re.sub(r"_(total|bucket|sum|count|created)$", "", name) for name in names}
    own = {name for name in families if re.match(r"cic_(outbox|mqtt|machine|scan|cloud|source|worker|values|anomal)", name)}
    missing = {name for name in own if name not in text}
    assert own and not missing, missing

