"""Commands that need the machine: its journal, and that it is started again. In the real sandbox, with the real units."""

import json
import secrets
import time
from datetime import datetime, timedelta, timezone

import pytest

from conftest import BROKER
from kiosk import until
from machine import place

TOPIC = "cic/v1/hn-01/kiosk-1/command/desk/"
DIGITS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


@pytest.fixture
def machine(new_machine):
    machine = new_machine("commands")
    place(machine.root, "etc/cic-kiosk/config.d/senders.toml", '[fleet.senders]\ndesk = ["log", "reboot", "restart"]\n')
    machine.start()
    machine.run("systemctl", "start", "broker.service", "cic-kiosk.service")
    yield machine
    machine.stop()


def give(machine, kind: str, **parameters: object) -> str:
    """Gives a command, and gives its topic."""
    number = int(time.time() * 1000) << 80 | secrets.randbits(80)
    topic = TOPIC + "".join(DIGITS[number >> 5 * place & 31] for place in reversed(range(26)))
    now = datetime.now(timezone.utc)
    times = {"at": now.isoformat(), "expires": (now + timedelta(hours=1)).isoformat()}
    message = json.dumps({"status": "init", "kind": kind, **times, "parameters": parameters})
    machine.run("mosquitto_pub", "-h", BROKER, "-t", topic, "-q", "1", "-r", "-m", message)
    return topic


def end(machine, topic: str) -> dict:
    """What became of a command, when it has ended."""

    def found() -> dict | None:
        said = json.loads(machine.run("mosquitto_sub", "-h", BROKER, "-t", topic, "-C", "1", "-W", "20"))
        return said if said["status"] in ("successful", "failed") else None

    return until(found)


def test_service_in_its_sandbox_may_read_its_own_lines_of_the_journal(machine):
    log = end(machine, give(machine, "log", since="2020-01-01T00:00:00Z"))
    assert log["status"] == "successful" and log["result"]["lines"] > 3, log


def test_restart_is_systemds_and_the_next_run_says_that_it_is_done(machine):
    before = machine.property("cic-kiosk.service", "MainPID")
    assert end(machine, give(machine, "restart"))["status"] == "successful"
    assert machine.property("cic-kiosk.service", "MainPID") != before
    assert machine.property("cic-kiosk.service", "Result") == "success"


def test_machine_is_started_again_when_the_service_wishes_so(machine):
    assert machine.property("cic-kiosk-reboot.path", "ActiveState") == "active"
    give(machine, "reboot")
    machine.wait()


def test_machine_is_not_started_again_where_that_is_masked(machine):
    machine.run("systemctl", "mask", "--runtime", "--now", "cic-kiosk-reboot.path")
    refused = end(machine, give(machine, "reboot"))
    assert refused["code"] == "not_permitted" and "cic-kiosk-reboot.path" in refused["reason"]
    assert machine.run("systemctl", "is-active", "cic-kiosk.service") == "active"
