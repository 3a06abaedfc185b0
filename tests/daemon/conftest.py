"""`run` from outside: each test has a kiosk, a way to the broker, a broker, and somebody who listens to that."""

from contextlib import ExitStack
from itertools import count
from typing import NamedTuple

import pytest
import trustme

from badbroker import Gate
from broker import Listener, Mosquitto
from daemon import Daemon
from disks import build_library
from kiosk import SECRETS
from papers import Paper, readings

NUMBERS = count(1)


def pytest_collection_modifyitems(items):
    """Whether secrets were kept can be told when all the others have run."""
    items.sort(key=lambda item: item.path.name == "test_secrecy.py")


@pytest.fixture(scope="session")
def logs(tmp_path_factory):
    """The folder of what all daemons, commands and brokers' topics said."""
    return tmp_path_factory.mktemp("logs")


@pytest.fixture(scope="session")
def new_paper():
    """Makes papers of which there has been none like it; what stands on them is secret."""

    def new_paper(**features: int) -> Paper:
        paper = Paper(next(NUMBERS), **features)
        SECRETS.update(paper.values)
        return paper

    return new_paper


@pytest.fixture
def new_papers(new_paper):
    return lambda number, **features: [new_paper(**features) for _ in range(number)]


@pytest.fixture
def truth(tmp_path):
    """What `extract` says of the papers, by their codes."""
    return lambda papers: readings(list(papers), tmp_path / "truth")


@pytest.fixture(scope="session")
def failing_library(tmp_path_factory):
    return build_library(tmp_path_factory.mktemp("library"))


@pytest.fixture(scope="session")
def authority():
    """The bank's own certificate authority, which no machine trusts by itself."""
    return trustme.CA()


class Branch(NamedTuple):
    """Everything in a branch that a scan meets on its way."""

    broker: Mosquitto
    gate: Gate
    listener: Listener
    kiosk: Daemon


@pytest.fixture
def open_branch(tmp_path, logs):
    """Makes the branch; the kiosk is not started yet. Settings are the kiosk's, `broker_settings` are mosquitto's."""
    with ExitStack() as stack:

        def open_branch(*broker_settings: str, **settings: dict) -> Branch:
            broker = stack.enter_context(Mosquitto(tmp_path / "broker", *broker_settings))
            gate = stack.enter_context(Gate(broker.port))
            topics = logs / f"{tmp_path.name}.topics"
            listener = stack.enter_context(Listener(broker.listeners_port, topics))
            address = f"mqtt://127.0.0.1:{gate.port}"
            kiosk = Daemon(tmp_path.name, tmp_path / "kiosk", logs, address, **settings)
            return Branch(broker, gate, listener, stack.enter_context(kiosk))

        yield open_branch


@pytest.fixture
def branch(open_branch):
    """A branch in which the kiosk is at work."""
    branch = open_branch()
    branch.kiosk.start()
    return branch
