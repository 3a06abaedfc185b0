"""Everything in a branch that a scan meets on its way."""

from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

from badbroker import Gate
from broker import Listener, Mosquitto
from daemon import Daemon


class Branch(NamedTuple):
    broker: Mosquitto
    gate: Gate
    listener: Listener
    kiosk: Daemon


def make_branch(stack: ExitStack, folder: Path, logs: Path, /, *broker_settings: str, **settings: dict) -> Branch:
    """One in this folder, until the stack ends; the kiosk is not started yet. Settings are the kiosk's,
    `broker_settings` are mosquitto's."""
    broker = stack.enter_context(Mosquitto(folder / "broker", *broker_settings))
    gate = stack.enter_context(Gate(broker.port))
    listener = stack.enter_context(Listener(broker.listeners_port, logs / f"{folder.name}.topics"))
    address = f"mqtt://127.0.0.1:{gate.port}"
    kiosk = Daemon(folder.name, folder / "kiosk", logs, address, **settings)
    return Branch(broker, gate, listener, stack.enter_context(kiosk))
