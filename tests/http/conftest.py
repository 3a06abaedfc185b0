"""`serve` from outside: one server for whatever does not change it, and servers of their own for the other tests."""

from contextlib import ExitStack
from itertools import count

import pytest
import trustme

from files import serve_files
from kiosk import Server


def pytest_collection_modifyitems(items):
    """Whether secrets were kept can be told when all the others have run."""
    items.sort(key=lambda item: item.path.name == "test_secrecy.py")


@pytest.fixture(scope="session")
def logs(tmp_path_factory):
    """The folder of all servers' logs."""
    return tmp_path_factory.mktemp("logs")


@pytest.fixture(scope="session")
def server(tmp_path_factory, logs):
    state = tmp_path_factory.mktemp("server") / "state"
    with Server(state, logs / "server.log", "--allow-url-host", "127.0.0.1") as server:
        yield server


@pytest.fixture(scope="session")
def key(server):
    return server.key("tests")


@pytest.fixture(scope="session")
def files():
    with serve_files() as files:
        yield files


@pytest.fixture(scope="session")
def authority():
    """The bank's own certificate authority, which no machine trusts by itself."""
    return trustme.CA()


@pytest.fixture(scope="session")
def files_over_tls(authority):
    with serve_files("localhost", authority.issue_cert("localhost")) as files:
        yield files


@pytest.fixture
def start(tmp_path, logs):
    """Starts servers for one test, on one state folder; `config` is the text of a configuration file."""
    numbers = count()
    with ExitStack() as stack:

        def start(*options, config="", **more):
            number = next(numbers)
            path = tmp_path / f"{number}.toml"
            path.write_text(config, encoding="utf-8")
            log = logs / f"{tmp_path.name}-{number}.log"
            options = "--config", path, "--allow-url-host", "127.0.0.1", *options
            return stack.enter_context(Server(tmp_path / "state", log, *options, **more))

        yield start
