"""Runs the program, and asks it as its clients do."""

import base64
import json
import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import requests
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from contract import PATH, check_response

ROOT = Path(__file__).parents[2]

# Cargo's own build, unless another one is to be tested.
PROGRAM = os.environ.get("CIC_KIOSK", str(ROOT / "target/debug/cic-kiosk"))
ONNXRUNTIME = os.environ.get("ORT_DYLIB_PATH", str(ROOT / ".cache/onnxruntime/libonnxruntime.so"))

# For what takes a moment, on a machine that builds something else at the same time; or that is emulated.
PATIENCE = 900.0 if "CIC_KIOSK_VM" in os.environ else 60.0

# What no log may hold: every secret that was handed out or guessed, and this word, which stands in every address and
# file name that a test sends.
SECRETS: set[str] = set()
MARK = "nobodys-business"


class Key(NamedTuple):
    """A key, in the order in which HTTP Basic authentication wants it."""

    api_key: str
    api_secret: str


def until(condition: Callable, patience: float = PATIENCE):
    """What the condition gives as soon as that counts as true."""
    deadline = time.monotonic() + patience
    while not (result := condition()):
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.02)
    return result


def run(*arguments: object, **more) -> subprocess.CompletedProcess:
    """Runs the program to its end."""
    command = [PROGRAM, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, **more)


def keys(state: Path, *arguments: str, **more) -> Key | None:
    """Runs `keys`, and gives the key that it hands out, if it does."""
    result = run("keys", *arguments, "--state", state, "--json", **more)
    assert result.returncode == 0, result.stderr
    answer = json.loads(result.stdout)
    if "api_secret" not in answer:
        return None
    return watched(Key(**answer))


def wrong(key: Key) -> Key:
    """The key with a secret that is not its own."""
    return watched(Key(key.api_key, key.api_secret[::-1]))


def watched(key: Key) -> Key:
    """The key, of which no log may hold the secret from now on, plain or as it is sent."""
    SECRETS.update([key.api_secret, base64.b64encode(":".join(key).encode()).decode()])
    return key


def serve_command(state: Path, *options: object, listen: str = "127.0.0.1:0") -> list[str]:
    reading = ["--models", ROOT / "models", "--onnxruntime", ONNXRUNTIME]
    return list(map(str, ["serve", "--state", state, "--listen", listen, *reading, *options]))


class Server:
    """A server under way. Its log is as talkative as it gets, because it must keep its secrets even then."""

    def __init__(self, state: Path, log: Path, *options: object, env: dict[str, str] | None = None, **more: str):
        self.state, self.log, self.env = state, log, {**os.environ, **(env or {}), "RUST_LOG": "trace"}
        with log.open("ab") as stderr:
            command = [PROGRAM, *serve_command(state, *options, **more)]
            self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr, env=self.env, text=True)
        # One that says nothing is ended, so that reading its line ends, too.
        watchdog = threading.Timer(PATIENCE, self.process.kill)
        watchdog.start()
        line = self.process.stdout.readline()
        watchdog.cancel()
        found = re.fullmatch(r"listening on (https?://\S+)\n", line)
        assert found, log.read_text(encoding="utf-8")[-2000:]
        self.address = found[1]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()

    def stop(self) -> int:
        """Ends it as an operator does, and gives its exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE)

    def key(self, name: str, *options: str) -> Key:
        return keys(self.state, "add", name, *options, env=self.env)

    def ask(self, method: str, path: str = PATH, **more) -> requests.Response:
        """Any request; an answer of the contract's is checked for what holds for all of them."""
        # First, as after its last answer a server gives no document any more.
        document = self.openapi
        response = requests.request(method, self.address + path, timeout=PATIENCE, **more)
        if path == PATH and method != "HEAD":
            check_response(response, document)
        assert MARK not in response.text, "an answer repeats what was sent"
        return response

    def by_url(self, key: Key | None, url: str, **parameters: str) -> requests.Response:
        return self.ask("GET", auth=key, params={"img": url, "format_type": "url", **parameters})

    def by_file(self, key: Key | None, content: bytes, **parameters: str) -> requests.Response:
        files = {"img": (f"{MARK}.pdf", content)}
        return self.ask("POST", auth=key, params={"format_type": "file", **parameters}, files=files)

    def by_base64(self, key: Key | None, text: str, **parameters: str) -> requests.Response:
        return self.ask("POST", auth=key, params={"format_type": "base64", **parameters}, json={"img": text})

    def knows(self, key: Key) -> bool:
        """Whether the key is right: then the request is refused for the document that is missing."""
        return self.ask("GET", auth=key).status_code == 400

    def is_up(self) -> bool:
        return requests.get(self.address + "/healthz", timeout=PATIENCE).status_code == 200

    @cached_property
    def openapi(self) -> dict:
        return requests.get(self.address + "/openapi.json", timeout=PATIENCE).json()

    def metrics(self) -> dict[tuple[str, frozenset], float]:
        """All figures by name and labels. Whoever scrapes them asks again where a connection breaks, while the program
        runs."""
        try:
            text = requests.get(self.address + "/metrics", timeout=PATIENCE).text
        except requests.ConnectionError:
            assert self.process.poll() is None, f"the program has ended with {self.process.returncode}"
            text = requests.get(self.address + "/metrics", timeout=PATIENCE).text
        families = text_string_to_metric_families(text)
        return {
            (sample.name, frozenset(sample.labels.items())): sample.value for one in families for sample in one.samples
        }

    def metric(self, name: str, **labels: str) -> float:
        """One figure; what was never counted is 0."""
        return self.metrics().get((name, frozenset(labels.items())), 0.0)
