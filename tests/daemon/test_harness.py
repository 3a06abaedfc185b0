"""What breaks things here breaks them: otherwise the other tests would show nothing."""

import os
import subprocess
import sys
import time

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from badbroker import CONNECT, PUBACK, PUBLISH, Fault, Gate
from broker import RESULTS, Listener, Mosquitto
from clocks import TEN_YEARS, Clock
from disks import EIO, EROFS, FailingDisk, SmallDisk
from kiosk import until
from papers import code_of


@pytest.fixture
def broker(tmp_path):
    with Mosquitto(tmp_path / "broker") as broker:
        yield broker


@pytest.fixture
def gate(broker):
    with Gate(broker.port) as gate:
        yield gate


@pytest.fixture
def listener(broker, tmp_path):
    with Listener(broker.listeners_port, tmp_path / "topics") as listener:
        yield listener


class Client:
    """A kiosk as simple as can be."""

    def __init__(self, port: int, protocol: MQTTProtocolVersion = MQTTProtocolVersion.MQTTv5):
        self.port, self.answers, self.ended = port, [], False
        self.client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="client", protocol=protocol)
        self.client.on_connect = lambda *arguments: self.answers.append(arguments[3])
        self.client.on_disconnect = lambda *_: setattr(self, "ended", True)

    def __enter__(self):
        self.client.connect("127.0.0.1", self.port)
        self.client.loop_start()
        return self

    def __exit__(self, *_):
        # Otherwise it stays for what was never acknowledged.
        self.client.disconnect()
        self.client.loop_stop()

    def publish(self, name: str) -> mqtt.MQTTMessageInfo:
        until(lambda: self.answers)
        return self.client.publish(RESULTS + name, name, qos=1)


def test_gate_passes_everything_on(gate, listener):
    with Client(gate.port) as client:
        until(client.publish("a").is_published)
    listener.wait_for(["a"])
    assert (gate.seen[CONNECT], gate.seen[PUBLISH], gate.seen[PUBACK]) == (1, 1, 1)
    assert listener.topics.read_text(encoding="utf-8") == RESULTS + "a\n"


def test_gate_without_acknowledgements_passes_messages_on(gate, listener):
    gate.set(Fault.UNACKNOWLEDGED)
    with Client(gate.port) as client:
        lost = client.publish("lost")
        listener.wait_for(["lost"])
        until(lambda: gate.seen[PUBACK] == 1)
        gate.heal()
        until(client.publish("later").is_published)
        assert not lost.is_published()


def test_silent_gate_passes_nothing_on_and_ends_nothing(gate, listener):
    with Client(gate.port) as client:
        until(client.publish("before").is_published)
        gate.set(Fault.SILENT)
        swallowed = client.publish("swallowed")
        until(lambda: gate.seen[PUBLISH] == 2)
        gate.heal()
        assert not swallowed.is_published() and not client.ended
        with Client(gate.port) as other:
            until(other.publish("after").is_published)
    assert "swallowed" not in listener.results


@pytest.mark.parametrize("protocol", [MQTTProtocolVersion.MQTTv311, MQTTProtocolVersion.MQTTv5])
def test_refusing_gate_answers_that_it_will_not_have_the_client(gate, protocol):
    gate.set(Fault.REFUSED)
    with Client(gate.port, protocol) as client:
        until(lambda: client.answers)
        assert client.answers[0] == "Not authorized"


def test_closed_gate_refuses_until_it_is_healed(gate):
    with Client(gate.port) as client:
        until(lambda: client.answers)
        gate.set(Fault.CLOSED)
        until(lambda: client.ended)
    with pytest.raises(ConnectionRefusedError), Client(gate.port):
        pass
    gate.heal()
    with Client(gate.port) as client:
        until(client.publish("again").is_published)


def test_listener_hears_on_after_the_broker_lost_power_and_memory(broker, gate, listener):
    with Client(gate.port) as client:
        until(client.publish("before").is_published)
    broker.kill()
    broker.forget()
    listener.subscribed.clear()
    broker.start()
    listener.wait_until_subscribed()
    with Client(gate.port) as client:
        until(client.publish("after").is_published)
    listener.wait_for(["before", "after"])


def test_broker_with_a_login_refuses_others(tmp_path):
    with Mosquitto(tmp_path / "strict", login=("user", "password")) as broker, Client(broker.port) as client:
        until(lambda: client.answers)
        assert client.answers[0] == "Not authorized"


def test_strict_broker_takes_whoever_has_a_certificate_and_the_password(tmp_path, authority):
    authority.cert_pem.write_to_path(tmp_path / "authority.pem")
    authority.issue_cert("kiosk-1").private_key_and_cert_chain_pem.write_to_path(tmp_path / "kiosk.pem")
    with Mosquitto(tmp_path / "strict", login=("user", "password"), authority=authority) as broker:
        client = Client(broker.port)
        client.client.username_pw_set("user", "password")
        client.client.tls_set(tmp_path / "authority.pem", tmp_path / "kiosk.pem")
        with client:
            until(client.publish("a").is_published)


def test_small_disk_can_be_filled_cleared_and_made_read_only(tmp_path):
    with SmallDisk(tmp_path / "disk", 2) as disk:
        file = disk.place / "file"
        disk.fill()
        with pytest.raises(OSError, match="space"):
            file.write_bytes(b"1")
        disk.clear()
        file.write_bytes(b"1")
        disk.set_read_only(True)
        with pytest.raises(OSError, match="Read-only"):
            file.write_bytes(b"1")
        disk.set_read_only(False)
        file.write_bytes(b"1")


ATTEMPT = """
import os, sys
with open(sys.argv[1], "wb", buffering=0) as file:
    for call in (lambda: file.write(b"1"), lambda: os.fsync(file.fileno())):
        try:
            call()
            print(0)
        except OSError as error:
            print(error.errno)
"""


def test_disk_fails_where_and_while_it_is_told_to(failing_library, tmp_path):
    (tmp_path / "below").mkdir()
    disk = FailingDisk(failing_library, tmp_path / "below", tmp_path / "flag")

    def attempt(name: str) -> list[int]:
        env = {**os.environ, **{name: str(value) for name, value in disk.env.items()}}
        command = [sys.executable, "-c", ATTEMPT, tmp_path / name]
        return list(map(int, subprocess.check_output(command, env=env, text=True).split()))

    assert attempt("below/file") == [0, 0]
    disk.fail("fsync", EIO)
    assert attempt("below/file") == [0, EIO] and attempt("beside") == [0, 0]
    disk.fail("write", EROFS)
    assert attempt("below/file") == [EROFS, 0]
    disk.heal()
    assert attempt("below/file") == [0, 0]


def test_clock_jumps_and_seconds_since_the_start_do_not(tmp_path):
    clock = Clock(tmp_path / "clock")
    clock.set(TEN_YEARS)
    env = {**os.environ, **{name: str(value) for name, value in clock.env.items()}}
    told = subprocess.check_output(
        [sys.executable, "-c", "import time; print(time.time(), time.monotonic())"], env=env, text=True
    )
    wall, monotonic = map(float, told.split())
    assert abs(wall - time.time() - TEN_YEARS * 86400) < 60 and abs(monotonic - time.monotonic()) < 60


def test_papers_differ_in_all_that_is_read_of_them(new_papers, truth):
    papers = [*new_papers(3), *new_papers(1, pages=3), *new_papers(1, filling=1000), *new_papers(1, address=800)]
    for paper in papers:
        [report] = truth([paper])[paper.code]["info"]
        assert (report["cic_code"], report["id_card"], report["address"]) == (paper.code, paper.identity, paper.street)
        assert code_of({"data": {"info": [report]}}) == paper.code
    assert len({value for paper in papers for value in paper.values}) == 3 * len(papers)
