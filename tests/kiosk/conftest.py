"""The virtual kiosk, and the branch that it stands in: mosquitto on this machine, with TLS that goes both ways."""

import json
import re
import secrets
import shutil
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import NamedTuple

import pytest
import trustme

from broker import Listener, Mosquitto
from machine import CACHE, Machine, until
from papers import Paper
from secrecy import forbidden

LOGS = CACHE / "logs"
NUMBERS = count(1)

# What no log may hold: all that stands on a paper, and every secret.
SECRETS = forbidden()


def new_paper(**features: int) -> Paper:
    """A paper of which there has been none like it; with a text layer, so that it is read at once."""
    paper = Paper(next(NUMBERS), **features)
    SECRETS.update(paper.values)
    return paper


class Kiosk(Machine):
    """The machine as a kiosk of its branch: given what it needs to know by its data partition."""

    def __init__(self, name: str, broker: Mosquitto, authority: trustme.CA, slots: dict | None, settings: dict):
        super().__init__(name, LOGS, slots)
        self.broker, self.authority, self.settings = broker, authority, settings

    def __enter__(self):
        super().__enter__()
        (self.share / "papers").mkdir()
        certificate = self.authority.issue_cert("kiosk-1")
        chain = b"".join(blob.bytes() for blob in certificate.cert_chain_pems)
        settings = {
            "kiosk": {"branch": "hn-01", "id": "kiosk-1"},
            "mqtt": {
                # This machine, as QEMU's network shows it.
                "broker": f"mqtts://10.0.2.2:{self.broker.port}",
                "authorities": "/etc/cic-kiosk/config.d/authority.pem",
                "certificate": "/etc/cic-kiosk/config.d/kiosk.pem",
                "retry_max_seconds": 5,
            },
            **self.settings,
        }
        self.give("config.d/50-kiosk.toml", toml(settings))
        self.give("config.d/authority.pem", self.authority.cert_pem.bytes())
        self.give("config.d/kiosk.pem", chain)
        key = secrets.token_hex(32)
        SECRETS.add(key)
        self.give("credstore/cic-kiosk.outbox-key", key)
        self.give("credstore/cic-kiosk.mqtt-key", certificate.private_key_pem.bytes())
        self.make_data()
        return self

    def wait_until_up(self):
        """Until the service is ready, and somebody answers."""
        if self.link is None:
            self.connect()
        until(lambda: self.try_run("systemctl is-active cic-kiosk")[1] == "active")

    def wait_until_connected(self):
        until(lambda: "broker connected" in self.run("systemctl show --property=StatusText cic-kiosk"))

    def submit(self, *papers: Paper) -> dict[str, Paper]:
        """Hands papers in, which must be accepted; gives them by their scan ids."""
        for paper in papers:
            paper.put(self.share, f"{paper.number}.pdf")
        names = " ".join(f"{paper.number}.pdf" for paper in papers)
        lines = self.run(f"cd share && cic-kiosk submit {names}").splitlines()
        ids = dict(line.split()[::-1] for line in lines)
        return {ids[f"{paper.number}.pdf"]: paper for paper in papers}

    def scan_status(self) -> dict:
        [standing] = json.loads(self.run("cic-kiosk scan status --json"))
        return standing


def toml(settings: dict) -> str:
    sections = (
        f"[{section}]\n" + "".join(f"{key} = {value_of(value)}\n" for key, value in values.items())
        for section, values in settings.items()
    )
    return "\n".join(sections)


def value_of(value) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {value_of(part)}" for key, part in value.items()) + " }"
    return json.dumps(value)


class Branch(NamedTuple):
    broker: Mosquitto
    listener: Listener
    kiosk: Kiosk

    def check(self, scans: dict[str, Paper]):
        """Each of the scans has arrived, and says what is on its paper."""
        self.listener.wait_for(scans, patience=600)
        for scan_id, paper in scans.items():
            answers = [json.loads(payload) for payload in self.listener.results[scan_id]]
            assert {report["cic_code"] for answer in answers for report in answer["data"]["info"]} == {paper.code}


@contextmanager
def open_branch(name: str, folder: Path, slots: dict[str, Path] | None = None, **settings: dict):
    """A kiosk that is not on yet, with a broker of its own."""
    authority = trustme.CA()
    names = ("localhost", "127.0.0.1", "10.0.2.2")
    with (
        Mosquitto(folder / name, authority=authority, names=names) as broker,
        Listener(broker.listeners_port, LOGS / f"{name}.topics.log") as listener,
        Kiosk(name, broker, authority, slots, settings) as kiosk,
    ):
        yield Branch(broker, listener, kiosk)


@pytest.fixture(scope="session", autouse=True)
def logs():
    shutil.rmtree(LOGS, ignore_errors=True)
    LOGS.mkdir(parents=True)
    return LOGS


@pytest.fixture(autouse=True)
def own_log(request, logs):
    """What machines were told and said during the test, and what their consoles and journals say."""
    with (logs / (re.sub(r"\W+", "-", request.node.name) + ".log")).open("w", encoding="utf-8") as log:
        Machine.log_to(log)
        yield
        Machine.log_to(None)
