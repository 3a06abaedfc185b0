"""Packages of models on their way to real kiosks, wave by wave."""

import json
from contextlib import ExitStack

import pytest
import trustme

from daemon import Daemon
from kiosk import until
from packages import Office as Packer
from packages import Shop, wrong_truth

NAMES = [f"hn-01/k-{number}" for number in (1, 2, 3)]
KINDS = ["selftest", "model-update", "model-rollback"]


@pytest.fixture(scope="module")
def packer(tmp_path_factory):
    return Packer(tmp_path_factory.mktemp("packer") / "packer")


@pytest.fixture
def kiosks(office, packer, tmp_path):
    """Three at work, which take packages; more settings are for `[models]`."""
    logs = tmp_path / "logs"
    logs.mkdir()
    with ExitStack() as stack:

        def kiosks(**models: object) -> list[Daemon]:
            found = []
            for name in NAMES:
                kiosk_id = name.split("/")[1]
                settings = {
                    "kiosk": {"id": kiosk_id},
                    "fleet": {"senders": {"operator": KINDS}},
                    "models": {"keys": packer.trusted, **models},
                }
                kiosk = Daemon(kiosk_id, tmp_path / kiosk_id, logs, office.address, **settings)
                found.append(stack.enter_context(kiosk))
                kiosk.start(log_level="info")
            until(lambda: len(office.list("--status", "online")) == len(NAMES))
            return found

        yield kiosks


def rollout(office, *arguments: object, status: int = 0) -> dict:
    path = office.folder / "state.json"
    office.fleet("rollout", "start", "--soak", 0, "--state", path, *arguments, status=status)
    return json.loads(path.read_text())


def outcomes(state: dict) -> list[str]:
    """In the order in which it is their turn."""
    return [kiosk["outcome"] for kiosk in state["kiosks"]]


def packages(office) -> list[dict | None]:
    """Which each kiosk says that it reads with; without one, the installed models."""
    return [kiosk["presence"].get("package") for kiosk in office.list()]


def told(office) -> set[str]:
    """The kiosks to which the operator has ever sent a command."""
    topics = {topic for topic in list(office.heard) if "/command/operator/" in topic}
    return {topic.split("/command/")[0].removeprefix("cic/v1/") for topic in topics} - {"_all/_all"}


def read_with(office) -> list[tuple[str | None, bool]]:
    """Has each kiosk read its golden page: with which package, and whether that was right."""
    lines = office.fleet("send", "selftest", "--all", "--json").splitlines()
    results = [json.loads(line)["command"]["result"] for line in lines]
    return [(result["package"], 0 < result["right"] == result["values"]) for result in results]


def test_package_goes_in_chunks_to_a_canary_and_then_to_all_who_read_with_it(office, packer, kiosks):
    good = packer.make("1.2.0")
    kiosks()
    state = rollout(office, "--model", good.file, "--waves", "1,100%")
    assert state["phase"] == {"phase": "done"} and outcomes(state) == ["done"] * 3
    until(lambda: packages(office) == [{"version": "1.2.0", "trial": True}] * 3)
    assert read_with(office) == [("1.2.0", True)] * 3
    # It went by the broker, on which nothing of it is left.
    parts = [topic for topic in list(office.heard) if topic.startswith(f"{good.topic}/")]
    assert len(parts) == len(good.chunks()) and not set(parts) & office.standing.keys()


def test_package_whose_golden_page_is_read_wrong_stops_at_the_canary_and_no_kiosk_reads_with_it(office, packer, kiosks, tmp_path):
    bad = packer.make("1.3.0", golden=wrong_truth(tmp_path), right=1)
    with Shop(bad.file.parent, trustme.CA()) as shop:
        kiosks(sources=[shop.url], authorities=str(shop.authorities))
        plan = tmp_path / "plan.toml"
        plan.write_text(f'model = "{shop.url}{bad.file.name}"\nsha256 = "{bad.sha256}"\nbytes = {bad.bytes}\nwaves = ["1", "100%"]\n')
        state = rollout(office, plan, status=1)
    assert state["phase"]["phase"] == "stopped" and outcomes(state) == ["failed", "waiting", "waiting"]
    canary = state["kiosks"][0]
    assert "golden" in canary["note"] and "values are right" in canary["note"]
    assert shop.asked and told(office) == {canary["id"]}
    # Whoever gives it up has nothing to take back: all have what they had.
    office.fleet("rollout", "abort", office.folder / "state.json", "--undo")
    assert told(office) == {canary["id"]}
    assert packages(office) == [None] * 3
    assert read_with(office) == [(None, True)] * 3
