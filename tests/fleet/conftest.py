"""An operator's commands from outside: each test has a broker of its own, and as many simulated kiosks as it wants."""

import subprocess
import tempfile
import threading
from contextlib import ExitStack

import pytest

from broker import Mosquitto
from kiosk import PATIENCE, until
from office import Office


@pytest.fixture
def broker(tmp_path):
    with Mosquitto(tmp_path / "broker") as broker:
        yield broker


@pytest.fixture
def office(tmp_path, broker):
    office = Office(tmp_path, broker.listeners_port)
    yield office
    office.close()


@pytest.fixture
def simulate(tmp_path, office):
    """Has kiosks born; they live until the test's end."""
    with ExitStack() as stack:

        def simulate(kiosks: int, *options: object) -> subprocess.Popen:
            work = () if "--work" in options else ("--work", 0.05)
            # They are killed, and leave their state behind.
            work += ("--state", tempfile.mkdtemp(prefix="simulated-", dir=tmp_path))
            command = office.command("simulate", "--kiosks", kiosks, *work, "--telemetry", 2, *options)
            log = stack.enter_context((tmp_path / "simulate.log").open("ab"))
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
            stack.callback(process.stdout.close)
            stack.callback(process.wait, PATIENCE)
            stack.callback(process.kill)
            watchdog = threading.Timer(PATIENCE * 2, process.kill)
            watchdog.start()
            line = process.stdout.readline()
            watchdog.cancel()
            assert line.startswith(f"ready: {kiosks} kiosks"), (line, (tmp_path / "simulate.log").read_text())
            until(lambda: sum("/presence" in topic for topic in list(office.standing)) >= kiosks)
            return process

        yield simulate
