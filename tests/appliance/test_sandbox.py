"""The units' sandboxes, with the real program and with what tries to get out, on a kiosk that boots."""

import json
import re
from pathlib import Path

import pytest

from conftest import BROKER
from kiosk import ROOT, run, until
from machine import UNITS, place

REPORT = ROOT / "tests/data/reports/camera.pdf"
DOCUMENT = "/usr/share/cic-kiosk/report.pdf"
PYTHON = "/usr/bin/python3"

# In place of the program, in the service's sandbox and in a worker's.
IN_SERVICE = {"Type": "oneshot", "Restart": "no", "RuntimeDirectory": "cic-kiosk-probe"}
IN_WORKER = {"StandardInput": "socket", "StandardOutput": "socket"}


def variant(unit: str, **settings: str) -> str:
    """The unit, with some settings replaced, or added to its section [Service]."""
    text = (UNITS / unit).read_text(encoding="utf-8")
    for key, value in settings.items():
        text, found = re.subn(rf"^{key}=.*$", f"{key}={value}", text, flags=re.MULTILINE)
        if not found:
            text = text.replace("[Service]\n", f"[Service]\n{key}={value}\n")
    return text


@pytest.fixture(scope="module")
def machine(new_machine):
    machine = new_machine("sandbox")
    units = "usr/lib/systemd/system"
    script = Path(__file__).with_name("probe.py").read_text(encoding="utf-8")
    place(machine.root, "usr/share/cic-kiosk/probe.py", script)
    (machine.root / DOCUMENT[1:]).write_bytes(REPORT.read_bytes())
    probe = f"{PYTHON} -I /usr/share/cic-kiosk/probe.py"
    place(machine.root, f"{units}/probe.service", variant("cic-kiosk.service", ExecStart=probe, **IN_SERVICE))
    reading = (
        "/usr/bin/cic-kiosk extract --models /usr/share/cic-kiosk/models"
        f" --onnxruntime /usr/lib/cic-kiosk/libonnxruntime.so {DOCUMENT}"
    )
    for name, command in [("probing", probe), ("reading", reading)]:
        text = variant("cic-kiosk-worker@.service", ExecStart=command, **IN_WORKER)
        # The probe is a script.
        text = text.replace("\nExecPaths=", f"\nExecPaths={Path(PYTHON).resolve()} ")
        place(machine.root, f"{units}/{name}@.service", text)
        text = variant("cic-kiosk-worker.socket", ListenStream=f"/run/{name}.sock")
        place(machine.root, f"{units}/{name}.socket", text)
    machine.start()
    machine.run("systemctl", "start", "dbus.socket", "broker.service", "probing.socket", "reading.socket")
    yield machine
    machine.stop()


# Connects to two workers, and asks the second one when both are there.
ASK = """
import socket, sys
workers = []
for _ in range(2):
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(f"/run/{sys.argv[1]}.sock")
    workers.append((connection, connection.makefile(encoding="utf-8")))
    begin = workers[-1][1].readline()
if begin == "here\\n":
    connection.sendall(b"\\n")
print(begin, workers[-1][1].read())
"""


def answer_of(machine, name: str) -> str:
    """What the second of two workers says to the kiosk's user."""
    return machine.as_kiosk(PYTHON, "-c", ASK, name)


def test_service_has_what_it_needs_and_nothing_else(machine):
    machine.run("systemctl", "start", "probe.service")
    ends = json.loads(machine.journal("--unit=probe.service").splitlines()[-1])
    # No camera is behind the node, but it may be opened.
    assert ends.pop("camera") in ("ENXIO", "ENODEV")
    expected = {"branch", "loopback", "journal", "own state", "core", "other processes", "program"}
    assert {name for name, end in ends.items() if end == "ok"} == expected, ends


def test_worker_sees_nothing_and_reaches_nobody(machine):
    ends = json.loads(answer_of(machine, "probing").removeprefix("here"))
    assert {name for name, end in ends.items() if end == "ok"} == {"journal", "core", "other processes"}, ends


def test_worker_is_for_the_kiosks_user_alone(machine):
    connect = "import socket; socket.socket(socket.AF_UNIX).connect('/run/probing.sock')"
    nobody = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"]
    machine.run(*nobody, PYTHON, "-c", connect, ok=1)


def test_reading_works_in_a_workers_sandbox(machine):
    read = json.loads(answer_of(machine, "reading"))
    outside = json.loads(run("extract", "--models", ROOT / "models", REPORT, check=True).stdout)
    assert read["data"] and read["data"] == outside["data"]


@pytest.fixture
def service(machine):
    machine.run("systemctl", "start", "cic-kiosk.service")
    yield machine
    machine.run("systemctl", "stop", "cic-kiosk.service")


def test_service_reads_and_delivers(service):
    scan_id = service.as_kiosk("cic-kiosk", "submit", DOCUMENT).split()[0]
    topic = f"cic/v1/hn-01/kiosk-1/result/{scan_id}"
    result = service.run("mosquitto_sub", "-h", BROKER, "-t", topic, "-C", "1", "-W", "120")
    outside = json.loads(run("extract", "--models", ROOT / "models", REPORT, check=True).stdout)
    assert json.loads(result)["data"] == outside["data"]
    # A worker read it; and nobody keeps records of that.
    assert service.property("cic-kiosk-worker.socket", "NAccepted") != "0"
    assert service.run("find", "/var/lib/cic-kiosk", "-name", ".*") == ""


def test_what_is_not_secret_is_not_needed_and_secrets_are_nobody_elses(service):
    folder = "/run/credentials/cic-kiosk.service"
    assert service.run("ls", folder) == "outbox-key"
    service.run("setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", "ls", folder, ok=2)


def test_check_speaks_with_the_broker_and_reads(service):
    service.run("systemctl", "start", "cic-kiosk-check.service")
    said = service.journal("--unit=cic-kiosk-check.service")
    assert re.search(r"ok +broker-mqtt", said) and re.search(r"ok +reading", said), said


def test_service_that_hangs_or_dies_is_started_again(service):
    for signal, patience in [("KILL", 30), ("STOP", 90)]:
        before = service.property("cic-kiosk.service", "MainPID")
        service.run("kill", f"-{signal}", before)
        until(lambda: service.property("cic-kiosk.service", "MainPID") not in (before, "0"), patience)
        until(lambda: service.run("systemctl", "is-active", "cic-kiosk.service", ok=None) == "active")


def test_reload_is_told_and_done(service):
    service.run("systemctl", "reload", "cic-kiosk.service")
    until(lambda: "the configuration was read again" in service.journal("--unit=cic-kiosk.service"))


def test_journal_is_kept_and_limited(machine):
    assert "max 256.0M" in machine.journal("--unit=systemd-journald.service")
