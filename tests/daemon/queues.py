"""A queue of jobs: its workers, those who have documents for it, and somebody who listens to all of it."""

import json
import os
import re
import signal
import subprocess
import threading
from pathlib import Path

import paho.mqtt.client as mqtt
import yaml
from jsonschema import Draft7Validator
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from kiosk import ONNXRUNTIME, PATIENCE, PROGRAM, ROOT, until

READING = ["--models", ROOT / "models", "--onnxruntime", ONNXRUNTIME]
QUEUE = "cic/v1/_queue/"
# What only programs of one version understand.
SEALED = ("jobs/", "answers/", "settled/")


def schemas() -> list[tuple[re.Pattern, Draft7Validator]]:
    """What docs/asyncapi.yaml says of each topic of the queue."""
    document = yaml.safe_load((ROOT / "docs/asyncapi.yaml").read_text(encoding="utf-8"))
    found = []
    for channel in document["channels"].values():
        if channel["address"].startswith(QUEUE):
            [name] = channel["messages"]
            payload = document["components"]["messages"][name]["payload"]
            schema = payload if isinstance(payload, bool) else {**payload, "components": document["components"]}
            topic = re.compile(re.sub(r"\{\w+\}", "[^/]+", channel["address"]))
            found.append((topic, Draft7Validator(schema)))
    return found


class Overhearer:
    """Hears all that is said in the queue, and holds it to docs/asyncapi.yaml."""

    def __init__(self, port: int):
        self.port, self.states, self.strange = port, {}, []
        self.said: list[tuple[str, bytes, bool]] = []
        self.schemas = schemas()
        self.judges = True
        self.subscribed = threading.Event()
        self.client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
        self.client.reconnect_delay_set(1, 1)
        self.client.on_connect = lambda client, *_: client.subscribe(QUEUE + "#", qos=1)
        self.client.on_subscribe = lambda *_: self.subscribed.set()
        self.client.on_message = self._hear

    def __enter__(self):
        self.client.connect("127.0.0.1", self.port)
        self.client.loop_start()
        assert self.subscribed.wait(PATIENCE)
        return self

    def __exit__(self, *_):
        self.client.disconnect()
        self.client.loop_stop()
        assert self.strange == [], "messages that docs/asyncapi.yaml does not describe"

    def _hear(self, _client, _data, message: mqtt.MQTTMessage):
        topic = message.topic.removeprefix(QUEUE)
        self.said.append((topic, message.payload, message.retain))
        validator = next((schema for known, schema in self.schemas if known.fullmatch(message.topic)), None)
        said = json.loads(message.payload) if message.payload and not topic.startswith(SEALED) else None
        if not self.judges:
            pass
        elif validator is None:
            self.strange.append(topic)
        elif said is not None:
            self.strange += [f"{topic}: {error.message}" for error in validator.iter_errors(said)]
        if topic.endswith("/state"):
            self.states[topic.split("/")[0]] = said or {}

    def topics(self, kind: str) -> list[str]:
        """Each topic of this kind, as often as something was published to it."""
        return [topic for topic, *_ in list(self.said) if topic.startswith(kind + "/")]

    def holder(self) -> str | None:
        """Who said last that it has a job, of those without an answer. States come too seldom for that."""
        answered = {topic.split("/")[2] for topic in self.topics("answers")}
        for topic, said, _ in reversed(list(self.said)):
            if topic.startswith("taken/") and topic.split("/")[2] not in answered:
                return json.loads(said)["worker"]
        return None

    def total(self, figure: str) -> int:
        return sum(state.get(figure, 0) for state in list(self.states.values()))

    def publish(self, topic: str, payload: bytes = b"", retain: bool = False, expires: int | None = None):
        properties = Properties(PacketTypes.PUBLISH)
        if expires is not None:
            properties.MessageExpiryInterval = expires
        sent = self.client.publish(QUEUE + topic, payload, qos=1, retain=retain, properties=properties)
        sent.wait_for_publish(PATIENCE)


class Program:
    """A part of a queue that runs until it is ended."""

    def __init__(self, log: Path, *arguments: object, under: tuple[object, ...] = (), **env: str):
        self.log = log
        command = [*under, PROGRAM, *arguments]
        self.env = {**os.environ, "RUST_LOG": "info", **env}
        with log.open("ab") as stderr:
            self.process = subprocess.Popen(
                list(map(str, command)), stdout=subprocess.PIPE, stderr=stderr, text=True, env=self.env
            )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(PATIENCE)
        self.process.stdout.close()

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(PATIENCE)

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE)

    def said(self) -> str:
        return self.log.read_text(encoding="utf-8")


class Worker(Program):
    """One that reads documents, one at a time unless more are wanted."""

    def __init__(self, folder: Path, url: str, name: str, *options: object, threads: int = 1, **more):
        self.name = name
        queue = ["--queue", url, "--name", name, "--threads", threads]
        super().__init__(folder / f"{name}.log", "worker", *queue, *READING, *options, **more)

    def is_in(self, queue: Overhearer) -> "Worker":
        """Once the queue knows that it is there."""

        def there() -> bool:
            assert self.process.poll() is None, self.said()[-2000:]
            return queue.states.get(self.name, {}).get("status") == "online"

        until(there)
        return self


class Submit(Program):
    """One that has files for the queue."""

    def __init__(self, folder: Path, url: str, name: str, files: list[Path], *options: object, **more):
        arguments = ["submit", "--queue", url, "--name", name, *options, *files]
        super().__init__(folder / f"{name}.log", *arguments, **more)

    def answers(self, patience: float = 3 * PATIENCE) -> list[dict]:
        stdout, _ = self.process.communicate(timeout=patience)
        return [json.loads(line) for line in stdout.splitlines()]
