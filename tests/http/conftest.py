"""`serve` from outside: one server for whatever does not change it, and servers of their own for the other tests.

With `--queue`, none of them reads anything: each has a broker and a worker of its own, and all must be as without."""

from contextlib import ExitStack
from itertools import count
from pathlib import Path

import pytest
import trustme

from broker import Mosquitto
from files import serve_files
from kiosk import Server
from queues import Overhearer, Worker


def pytest_addoption(parser):
    parser.addoption("--queue", action="store_true", help="have documents read by workers, through a real broker")


def pytest_collection_modifyitems(items):
    """Whether secrets were kept can be told when all the others have run."""
    items.sort(key=lambda item: item.path.name == "test_secrecy.py")


@pytest.fixture(scope="session")
def logs(tmp_path_factory):
    """The folder of all servers' logs."""
    return tmp_path_factory.mktemp("logs")


@pytest.fixture(scope="session")
def reads(request, logs):
    """Gives the options by which a server has its documents read as these tests want it. A worker is given the server's
    configuration: it is the one that opens documents."""

    def reads(stack: ExitStack, folder: Path, name: str, *configuration: object) -> tuple[str, ...]:
        if not request.config.getoption("queue"):
            return ()
        broker = stack.enter_context(Mosquitto(folder / f"broker-{name}"))
        queue = stack.enter_context(Overhearer(broker.listeners_port))
        url = f"mqtt://127.0.0.1:{broker.port}"
        worker = Worker(logs, url, f"worker-{name}", *configuration, threads=2, RUST_LOG="trace")
        stack.enter_context(worker).is_in(queue)
        return "--queue", url, "--name", "api"

    return reads


@pytest.fixture(scope="session")
def server(tmp_path_factory, logs, reads):
    folder = tmp_path_factory.mktemp("server")
    with ExitStack() as stack:
        options = "--allow-url-host", "127.0.0.1", *reads(stack, folder, "server")
        yield stack.enter_context(Server(folder / "state", logs / "server.log", *options))


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
def start(tmp_path, logs, reads):
    """Starts servers for one test, on one state folder; `config` is the text of a configuration file."""
    numbers = count()
    with ExitStack() as stack:

        def start(*options, config="", **more):
            number = next(numbers)
            path = tmp_path / f"{number}.toml"
            path.write_text(config, encoding="utf-8")
            name = f"{tmp_path.name}-{number}"
            queue = reads(stack, tmp_path, name, "--config", path)
            options = "--config", path, "--allow-url-host", "127.0.0.1", *options, *queue
            return stack.enter_context(Server(tmp_path / "state", logs / f"{name}.log", *options, **more))

        yield start
