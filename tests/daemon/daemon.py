"""Runs `cic-kiosk run`, and uses it as those around it do: a scanner, an operator, systemd."""

import json
import os
import re
import secrets
import signal
import sqlite3
import subprocess
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import requests

from kiosk import MARK, ONNXRUNTIME, PATIENCE, PROGRAM, ROOT, SECRETS, Server, keys
from papers import Paper

# Figures that /metrics has for the kiosk beside those of the HTTP API.
CONNECTED = "cic_mqtt_connected"
DOCUMENTS_WAITING = "cic_outbox_documents"
RESULTS_WAITING = "cic_outbox_results"
DEAD_LETTERS = "cic_outbox_dead"

READY = re.compile(r"ready(?::(?: http (https?://[^\s,]+))?,?(?: screen (http://\S+))?)?\n")


def as_toml(value: object) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{json.dumps(key)} = {as_toml(of)}" for key, of in value.items()) + " }"
    return json.dumps(value)


class Submitted(NamedTuple):
    """What `submit` came to: its exit status, scan id by file, and what it complained of."""

    status: int
    accepted: dict[Path, str]
    complaint: str


class Daemon(Server):
    """A kiosk of its own in a folder: configuration, secrets, state, hot folder; started and ended as often as wanted.

    What its runs leave behind is kept in the folder of logs, for the test of secrecy: `*.log` is what the daemon said,
    `*.err` what the commands beside it said, and `*.metrics` the figures before an end in order.
    """

    def __init__(self, name: str, folder: Path, logs: Path, broker: str, /, **settings: dict):
        folder.mkdir(exist_ok=True)
        self.name, self.folder, self.logs = name, folder, logs
        self.state, self.inbox = folder / "state", folder / "in"
        self.credentials, self.config = folder / "credentials", folder / "kiosk.toml"
        self.socket = folder / "submit.sock"
        self.inbox.mkdir(exist_ok=True)
        self.settings = {
            "kiosk": {
                "branch": "hn-01",
                "id": "kiosk-1",
                "state": str(self.state),
                "credentials": str(self.credentials),
                "socket": str(self.socket),
            },
            "http": {"listen": "127.0.0.1:0"},
            "mqtt": {"broker": broker},
            "folder": {"watch": str(self.inbox), "settle_seconds": 1},
            "reading": {"models": str(ROOT / "models"), "onnxruntime": ONNXRUNTIME},
        }
        self.configure(**settings)
        self.give_credential("outbox-key", secrets.token_hex(32))
        self.process: subprocess.Popen | None = None
        self.env = dict(os.environ)
        self.address = ""
        self.screen = ""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.kill()

    def configure(self, **settings: dict):
        """Lays these settings over the others, from the next start or reload on."""
        for section, values in settings.items():
            self.settings.setdefault(section, {}).update(values)
        sections = (
            f"[{section}]\n" + "".join(f"{key} = {as_toml(value)}\n" for key, value in values.items())
            for section, values in self.settings.items()
        )
        self.config.write_text("\n".join(sections), encoding="utf-8")

    def give_credential(self, name: str, value: str):
        self.credentials.mkdir(exist_ok=True)
        (self.credentials / name).write_text(value, encoding="utf-8")
        SECRETS.add(value)

    # Its life.

    def start(self, wait: bool = True, log_level: str = "trace", under: Iterable[object] = (), **env: object):
        """Starts it, under another program where one is named, and waits until it says that it is ready, unless it
        shall not."""
        self.env = {**os.environ, "RUST_LOG": log_level, **{name: str(value) for name, value in env.items()}}
        self.env.pop("ORT_DYLIB_PATH", None)
        with self.log.open("ab") as stderr:
            command = [*under, PROGRAM, "run", "--config", self.config]
            # A daemon has no terminal.
            streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": stderr}
            self.process = subprocess.Popen(command, env=self.env, text=True, start_new_session=True, **streams)
        # Another port has the same document.
        self.__dict__.pop("openapi", None)
        if wait:
            self.wait_until_ready()

    def wait_until_ready(self):
        # One that says nothing is ended, so that reading its line ends, too.
        watchdog = threading.Timer(PATIENCE, self.process.kill)
        watchdog.start()
        line = self.process.stdout.readline()
        watchdog.cancel()
        found = READY.fullmatch(line)
        assert found, f"{line!r}\n{self.said()[-2000:]}"
        self.address, self.screen = found[1] or "", found[2] or ""

    def is_running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def kill(self):
        """Ends it as a power failure does, with all that it has started: a child that has not begun yet would hold
        its locks for a moment."""
        if self.process is not None:
            if self.is_running():
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(PATIENCE)
            self.process.stdout.close()

    def stop(self) -> int:
        if self.address:
            self.keep_figures()
        return super().stop()

    def reload(self):
        self.process.send_signal(signal.SIGHUP)

    @property
    def log(self) -> Path:
        return self.logs / f"{self.name}.log"

    def said(self) -> str:
        """All that its runs have logged."""
        return self.log.read_text(encoding="utf-8")

    # What others ask of it.

    def command(self, *arguments: object, env: dict | None = None) -> subprocess.CompletedProcess:
        """Runs a subcommand that uses the same configuration."""
        command = [PROGRAM, *map(str, arguments), "--config", str(self.config)]
        result = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, env=env)
        with (self.logs / f"{self.name}.err").open("a", encoding="utf-8") as file:
            file.write(result.stderr)
        return result

    def submit(self, *files: Path) -> Submitted:
        result = self.command("submit", *files)
        lines = (line.split(maxsplit=1) for line in result.stdout.splitlines())
        accepted = {Path(file): scan_id for scan_id, file in lines}
        assert (result.returncode == 0) == (accepted.keys() == set(files)), result
        return Submitted(result.returncode, accepted, result.stderr)

    def scan(self, *papers: Paper) -> dict[str, Paper]:
        """Submits papers, which must be accepted; gives them by their scan ids."""
        files = {paper.put(self.folder, f"{MARK}-{paper.number}.pdf"): paper for paper in papers}
        submitted = self.submit(*files)
        assert submitted.status == 0, submitted
        return {scan_id: files[file] for file, scan_id in submitted.accepted.items()}

    def scan_one(self, paper: Paper) -> Submitted:
        """Submits a paper, which need not be accepted."""
        return self.submit(paper.put(self.folder, f"{MARK}-{paper.number}.pdf"))

    def drop(self, paper: Paper) -> Path:
        """Moves a paper into the hot folder, all at once."""
        path = self.inbox / f"{MARK}-{paper.number}.pdf"
        paper.put(self.folder, path.name).rename(path)
        return path

    def api_key(self):
        return keys(self.state, "add", "tests")

    def is_ready(self) -> bool:
        return requests.get(self.address + "/readyz", timeout=PATIENCE).status_code == 200

    def keep_figures(self):
        try:
            text = requests.get(self.address + "/metrics", timeout=PATIENCE).text
        except requests.ConnectionError:
            return
        with (self.logs / f"{self.name}.metrics").open("a", encoding="utf-8") as file:
            file.write(text)

    # What it has in store.

    def entries(self, state: str) -> list[dict]:
        result = self.command("outbox", "list", "--json")
        assert result.returncode == 0, result.stderr
        return [entry for entry in json.loads(result.stdout) if entry["state"] == state]

    def waiting(self, *kinds: str) -> list[dict]:
        """What waits to be read (`document`) or to be delivered (`result`), or either."""
        return [entry for entry in self.entries("waiting") if not kinds or entry["kind"] in kinds]

    def dead(self) -> set[str]:
        """Scan ids of the dead letters."""
        return {entry["scan_id"] for entry in self.entries("dead")}

    @property
    def outbox_file(self) -> Path:
        return self.state / "outbox.sqlite"

    def check_outbox_file(self):
        """It must be whole, as SQLite sees it; the daemon must not run."""
        connection = sqlite3.connect(self.outbox_file)
        try:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        finally:
            connection.close()


def check_results(results: dict[str, list[bytes]], scans: dict[str, Paper], truth: dict[str, dict]):
    """Each scan has arrived, and says what its paper says, as often as it came; its topic is its id."""
    missing = {scan_id for scan_id in scans if not results.get(scan_id)}
    assert not missing, f"{len(missing)} of {len(scans)} accepted scans never arrived"
    for scan_id, paper in scans.items():
        check_payloads(scan_id, results[scan_id], truth[paper.code])


def check_payloads(scan_id: str, payloads: Iterable[bytes], data: dict):
    for payload in payloads:
        answer = json.loads(payload)
        assert answer["meta"]["scan_id"] == scan_id
        assert answer["errorCode"] == "0" and answer["meta"]["source"] == "local"
        assert answer["data"] == data, "a result is not what its paper says"
