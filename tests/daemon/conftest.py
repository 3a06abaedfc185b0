"""`run` from outside: each test has a kiosk, a way to the broker, a broker, and somebody who listens to that."""

from contextlib import ExitStack
from functools import partial
from itertools import count

import pytest
import trustme

from branch import make_branch
from cloud import cloud  # noqa: F401
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


@pytest.fixture
def open_branch(tmp_path, logs):
    """Makes the branch, as `make_branch` does."""
    with ExitStack() as stack:
        yield partial(make_branch, stack, tmp_path, logs)


@pytest.fixture
def branch(open_branch):
    """A branch in which the kiosk is at work."""
    branch = open_branch()
    branch.kiosk.start()
    return branch
