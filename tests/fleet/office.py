"""An operator at a broker, and somebody who knows all that stands there."""

import json
import subprocess
import threading
from pathlib import Path

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from kiosk import PATIENCE, PROGRAM

# Comes back to the office behind all that the broker got before it.
CAUGHT_UP = "office/caught-up"


class Office:
    """An operator at a broker, and somebody who knows all that stands there."""

    def __init__(self, folder: Path, port: int):
        self.folder, self.port = folder, port
        self.address = f"mqtt://127.0.0.1:{port}"
        self.standing: dict[str, bytes] = {}
        # How often something came, by its topic.
        self.heard: dict[str, int] = {}
        self.caught_up = threading.Event()
        self.client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
        subscribed = threading.Event()
        self.client.on_connect = lambda client, *_: client.subscribe([("cic/v1/#", 1), (CAUGHT_UP, 1)])
        self.client.on_subscribe = lambda *_: subscribed.set()
        self.client.on_message = self._take
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()
        assert subscribed.wait(PATIENCE)

    def close(self):
        self.client.disconnect()
        self.client.loop_stop()

    def _take(self, _client, _data, message):
        if message.topic == CAUGHT_UP:
            self.caught_up.set()
            return
        self.heard[message.topic] = self.heard.get(message.topic, 0) + 1
        if message.payload:
            self.standing[message.topic] = message.payload
        else:
            self.standing.pop(message.topic, None)

    def say(self, topic: str, payload: str | bytes):
        """Publishes anything, retained."""
        self.client.publish(topic, payload, qos=1, retain=True).wait_for_publish(PATIENCE)

    def command(self, *arguments: object) -> list[str]:
        words = list(map(str, arguments))
        return [PROGRAM, "fleet", *words, "--broker", self.address]

    def fleet(self, *arguments: object, status: int = 0, **more) -> str:
        """Runs a command to its end, which must have this exit status; gives what it printed."""
        ended = self.run(*arguments, **more)
        assert ended.returncode == status, (ended.args, ended.returncode, ended.stdout[-3000:], ended.stderr[-3000:])
        return ended.stdout

    def run(self, *arguments: object, **more) -> subprocess.CompletedProcess:
        """Runs a command to its end; what it has heard from the kiosks is known here, too, after that."""
        ended = subprocess.run(self.command(*arguments), capture_output=True, text=True, timeout=PATIENCE * 2, **more)
        # A broker hands a subscriber everything in the order in which it came.
        if self.client.is_connected():
            self.caught_up.clear()
            self.client.publish(CAUGHT_UP, qos=1)
            assert self.caught_up.wait(PATIENCE)
        return ended

    def list(self, *arguments: object) -> list[dict]:
        """The kiosks that `list` finds."""
        lines = map(json.loads, self.run("list", "--json", *arguments).stdout.splitlines())
        return [line for line in lines if "kiosk" in line]

    def reported(self, kiosk: str) -> dict:
        return json.loads(self.standing[f"cic/v1/{kiosk}/config/reported"])
