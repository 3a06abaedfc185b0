"""A real broker of one's own, and somebody who listens to it."""

import json
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections import defaultdict
from collections.abc import Collection
from pathlib import Path

import paho.mqtt.client as mqtt
import trustme
from paho.mqtt.enums import CallbackAPIVersion

import asyncapi
from files import closed_port
from kiosk import PATIENCE, until

RESULTS = "cic/v1/hn-01/kiosk-1/result/"
PRESENCE = "cic/v1/hn-01/kiosk-1/presence"
TELEMETRY = "cic/v1/hn-01/kiosk-1/telemetry"
REPORTED = "cic/v1/hn-01/kiosk-1/config/reported"

# Where settings are desired, by whom they are meant for.
DESIRED = {
    "all": "cic/v1/_all/_all/config/desired",
    "branch": "cic/v1/hn-01/_all/config/desired",
    "kiosk": "cic/v1/hn-01/kiosk-1/config/desired",
}

MOSQUITTO = shutil.which("mosquitto", path=os.environ["PATH"] + ":/usr/sbin")


class Mosquitto:
    """A broker with two ports: one for the kiosk, on which it may be strict, and one for the listener."""

    def __init__(
        self,
        folder: Path,
        *settings: str,
        login: tuple[str, str] | None = None,
        authority: trustme.CA | None = None,
        names: tuple[str, ...] = ("localhost", "127.0.0.1"),
    ):
        self.folder, self.port, self.listeners_port = folder, closed_port(), closed_port()
        self.store = folder / "mosquitto.db"
        folder.mkdir()
        strict = [f"listener {self.port} 127.0.0.1", f"allow_anonymous {str(login is None).lower()}"]
        if login:
            self.set_login(*login)
            strict += [f"password_file {folder}/passwords"]
        if authority:
            strict += self._certified(authority, names)
        # As root it would become another user, who may not write here. No limit stands between what it acknowledges
        # and what it hands on, so that killing it loses nothing that the listener should have had.
        self.settings = [
            "per_listener_settings true",
            "user root",
            f"persistence_location {folder}/",
            "persistence true",
            "autosave_interval 1",
            "max_inflight_messages 0",
            "max_queued_messages 0",
            "log_dest stderr",
            *strict,
            f"listener {self.listeners_port} 127.0.0.1",
            "allow_anonymous true",
        ]
        self.configure(*settings)
        self.process: subprocess.Popen | None = None

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.kill()

    def configure(self, *settings: str):
        """These settings beside its own, from the next start on."""
        lines = [*settings, *self.settings]
        (self.folder / "mosquitto.conf").write_text("\n".join(lines) + "\n", encoding="utf-8")

    def set_login(self, user: str, password: str):
        command = ["mosquitto_passwd", "-b", "-c", self.folder / "passwords", user, password]
        subprocess.run(command, check=True, capture_output=True, timeout=PATIENCE)

    def _certified(self, authority: trustme.CA, names: tuple[str, ...]) -> list[str]:
        """Settings for TLS that goes both ways."""
        authority.cert_pem.write_to_path(self.folder / "authority.pem")
        authority.issue_cert(*names).private_key_and_cert_chain_pem.write_to_path(self.folder / "broker.pem")
        files = {"cafile": "authority.pem", "certfile": "broker.pem", "keyfile": "broker.pem"}
        return [*(f"{key} {self.folder}/{name}" for key, name in files.items()), "require_certificate true"]

    def start(self):
        with (self.folder / "mosquitto.log").open("ab") as log:
            command = [MOSQUITTO, "-c", self.folder / "mosquitto.conf"]
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        until(self.is_up)

    def is_up(self) -> bool:
        assert self.process.poll() is None, (self.folder / "mosquitto.log").read_text(encoding="utf-8")[-1000:]
        try:
            socket.create_connection(("127.0.0.1", self.listeners_port), 1).close()
        except OSError:
            return False
        return True

    def stop(self):
        """Ends it in order: it writes its store."""
        self._end(signal.SIGTERM)

    def kill(self):
        """Ends it as a power failure does."""
        self._end(signal.SIGKILL)

    def _end(self, how: signal.Signals):
        if self.process and self.process.poll() is None:
            self.process.send_signal(how)
            self.process.wait(PATIENCE)

    def forget(self):
        """Throws its sessions and retained messages away; it must not run."""
        self.store.unlink(missing_ok=True)


class Listener:
    """Takes down every result, as often as it comes, across the broker's restarts, and what is for the fleet. At its
    end all of the latter must have fitted docs/asyncapi.yaml."""

    def __init__(self, port: int, topics: Path):
        self.port, self.topics = port, topics
        self.results: dict[str, list[bytes]] = defaultdict(list)
        self.presence: list[dict] = []
        self.telemetry: list[dict] = []
        self.reported: list[dict] = []
        # What the kiosk said of commands, and parts of what they asked for, by `sender/id`.
        self.commands: dict[str, list[dict]] = defaultdict(list)
        self.parts: dict[str, dict[int, bytes]] = defaultdict(dict)
        self.strange: list[str] = []
        self.subscribed = threading.Event()
        self.client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="branch-system", clean_session=False)
        self.client.reconnect_delay_set(0.05, 0.2)
        self.client.on_connect = lambda *_: self.client.subscribe("cic/v1/#", qos=1)
        self.client.on_subscribe = lambda *_: self.subscribed.set()
        self.client.on_disconnect = lambda *_: self.subscribed.clear()
        self.client.on_message = self._take_down

    def __enter__(self):
        self.client.connect("127.0.0.1", self.port)
        self.client.loop_start()
        self.wait_until_subscribed()
        return self

    def __exit__(self, *_):
        self.client.disconnect()
        self.client.loop_stop()
        assert self.strange == [], "messages that docs/asyncapi.yaml does not describe"

    def wait_until_subscribed(self):
        assert self.subscribed.wait(PATIENCE), "the broker does not answer the listener"

    def _take_down(self, _client, _data, message: mqtt.MQTTMessage):
        with self.topics.open("a", encoding="utf-8") as topics:
            topics.write(message.topic + "\n")
        kind = message.topic.split("/", 4)[4]
        if kind == "config/desired" or kind.startswith("package/"):
            return
        if kind.startswith("command/"):
            self._take_down_command(kind.removeprefix("command/"), message)
            return
        if not kind.startswith("result/"):
            said = json.loads(message.payload)
            if (wrong := asyncapi.mistake(kind, said)) or message.qos != 1:
                self.strange.append(f"{message.topic}: {wrong}")
            lists = {PRESENCE: self.presence, TELEMETRY: self.telemetry, REPORTED: self.reported}
            lists.get(message.topic, []).append(said)
        else:
            assert message.topic.startswith(RESULTS) and message.qos == 1 and not message.retain
            self.results[message.topic.removeprefix(RESULTS)].append(message.payload)

    def _take_down_command(self, command: str, message: mqtt.MQTTMessage):
        command, _, part = command.partition("/part/")
        if part:
            assert message.qos == 1 and not message.retain
            self.parts[command][int(part)] = message.payload
            return
        try:
            said = json.loads(message.payload)
            status = said["status"]
        except (ValueError, LookupError, TypeError, RecursionError):
            return
        # Anything else was given by whoever tests.
        if status in ("executing", "successful", "failed") and said.keys() & {"kind", "code"}:
            if wrong := asyncapi.mistake("command/{sender}/{id}", said):
                self.strange.append(f"{message.topic}: {wrong}")
            self.commands[command].append(said)

    def desire(self, whom: str, version: int, **settings: dict):
        """Publishes settings that are wanted of this kiosk, of its branch's kiosks, or of all."""
        self.send(whom, json.dumps({"version": version, "settings": settings}))

    def send(self, whom: str, message: str | bytes):
        """Publishes anything where settings are wanted."""
        self.client.publish(DESIRED[whom], message, qos=1, retain=True).wait_for_publish(PATIENCE)

    def reports(self, whom: str, **expected: object) -> dict:
        """What is reported of those settings, once it is this; `code` is that of the refusal."""

        def found() -> dict | None:
            if not self.reported:
                return None
            reported = self.reported[-1]
            level = reported[whom]
            code = level.get("refused", {}).get("code")
            said = {"version": level.get("version"), "code": code, "status": reported["status"]}
            return reported if said | expected == said else None

        return until(found)

    def answer(self, scan_id: str) -> dict:
        """The result of one scan, once it is there."""
        return json.loads(until(lambda: self.results.get(scan_id))[0])

    def wait_for(self, scan_ids: Collection[str], patience: float = PATIENCE):
        """Until there is a result of each of these scans."""
        deadline = time.monotonic() + patience
        while missing := set(scan_ids) - self.results.keys():
            assert time.monotonic() < deadline, f"{len(missing)} of {len(scan_ids)} accepted scans never arrived"
            time.sleep(0.02)
