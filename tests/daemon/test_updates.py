"""Packages of models: whatever happens to one, there is a kiosk that reads and reports."""

import fcntl
import json
import os
import random
import shutil
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import NamedTuple

import pytest

from daemon import Daemon
from kiosk import PATIENCE, PROGRAM, SECRETS, until
from packages import GOLDEN, Office, Shop, weights, wrong_truth
from workers import Workers

COMMANDS = "cic/v1/hn-01/kiosk-1/command/desk/"
DIGITS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
SENDERS = {"desk": ["selftest", "model-update", "model-rollback"]}
SEED = int(os.environ.get("UPDATE_SEED", "20260302"))

# Times that an installation is killed, and an update by the service; the bar is 100.
KILLS = int(os.environ.get("UPDATE_KILLS", "12"))


@pytest.fixture(scope="session")
def office(tmp_path_factory):
    for truth in GOLDEN.glob("*.json"):
        SECRETS.update(value for value in json.loads(truth.read_text())["info"].values() if isinstance(value, str) and len(value) > 8)
    return Office(tmp_path_factory.mktemp("office") / "office")


@pytest.fixture(scope="session")
def good(office):
    return office.make("1.2.0")


@pytest.fixture
def kiosk(tmp_path, logs, office):
    """One without a service: only its commands are run."""
    kiosk = Daemon(tmp_path.name, tmp_path / "kiosk", logs, "mqtt://127.0.0.1:1", models={"keys": office.trusted})
    kiosk.state.mkdir(mode=0o700)
    return kiosk


def model(kiosk: Daemon, *arguments: object) -> subprocess.CompletedProcess:
    return kiosk.command("model", *arguments)


def in_force(kiosk: Daemon) -> dict:
    listed = model(kiosk, "list")
    assert listed.returncode == 0, listed.stderr
    return json.loads(listed.stdout)["in_force"]


def reads(kiosk: Daemon):
    """The models in force read the golden page as it is."""
    tested = model(kiosk, "selftest")
    assert tested.returncode == 0, tested
    seen = json.loads(tested.stdout)
    assert seen["right"] == seen["values"] > 0


def installed(kiosk: Daemon, file: Path, *options: str) -> dict:
    result = model(kiosk, "install", file, *options)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def test_package_is_tried_put_in_force_and_left_again(kiosk, office, good):
    verified = json.loads(model(kiosk, "verify", good.file).stdout)
    assert (verified["version"], verified["comment"]) == ("1.2.0", "a test")
    result = installed(kiosk, good.file)
    assert result["version"] == "1.2.0" and result["golden"]["right"] == result["golden"]["values"]
    now = in_force(kiosk)
    assert now["current"] == "1.2.0" and now["trial"] is not None
    reads(kiosk)
    newer = office.make("1.10.0", key="next")
    installed(kiosk, newer.file)
    # The first one has not proven itself: it is nothing to go back to.
    assert (in_force(kiosk)["current"], in_force(kiosk)["previous"]) == ("1.10.0", None)
    assert model(kiosk, "rollback").returncode == 0
    assert in_force(kiosk)["current"] is None
    reads(kiosk)
    refused = model(kiosk, "install", newer.file)
    assert refused.returncode == 1 and "did not do" in refused.stderr
    installed(kiosk, newer.file, "--allow-older")
    assert model(kiosk, "rollback").returncode == 0
    assert in_force(kiosk)["current"] is None
    nothing = model(kiosk, "rollback")
    assert nothing.returncode == 1 and "none to go back to" in nothing.stderr
    reads(kiosk)


def bad(office: Office, good, what: str, folder: Path) -> Path:
    """A package that is bad in this way."""
    file = folder / "bad.cicmodel"
    content = good.file.read_bytes()
    ways = {
        "changed": lambda: file.write_bytes(content[:-700] + bytes([content[-700] ^ 1]) + content[-699:]),
        "cut off": lambda: file.write_bytes(content[: len(content) // 2]),
        "cut off in its signature": lambda: file.write_bytes(content[:100]),
        "empty": lambda: file.write_bytes(b""),
        "unsigned": lambda: shutil.copy(good.file.with_name("1.2.0.tar"), file),
        "of a stranger": lambda: shutil.copy(office.make("1.3.0", key="stranger").file, file),
        "older": lambda: shutil.copy(office.make("0.9.0").file, file),
        "for another board": lambda: shutil.copy(office.make("1.3.0", device="some-board").file, file),
        "expired": lambda: shutil.copy(office.make("1.3.0", days=0).file, file),
        "for a newer program": lambda: shutil.copy(office.make("1.3.0", program="99.0.0").file, file),
        "slow": lambda: shutil.copy(office.make("1.3.0", slowdown=0.01).file, file),
        "wrong about its page": lambda: shutil.copy(office.make("1.3.0", golden=wrong_truth(folder), right=1).file, file),
        "of broken models": lambda: shutil.copy(
            office.make("1.3.0", models=office.changed_models("broken", lambda _, it: it[: len(it) // 2])).file, file
        ),
        "of models that read nonsense": lambda: shutil.copy(office.make("1.3.0", models=nonsense(office)).file, file),
        "of swapped models": lambda: shutil.copy(office.make("1.3.0", models=swapped(office)).file, file),
    }
    ways[what]()
    return file


def nonsense(office: Office, name: str = "nonsense") -> Path:
    """Models that are whole and can be loaded, and whose recogniser has forgotten most that it knew."""

    def forget(file: str, content: bytes) -> bytes:
        if not file.startswith("recogniser"):
            return content
        begin, end = max(weights(content), key=lambda span: span[1] - span[0])
        return content[:begin] + bytes(end - begin) + content[end:]

    return office.changed_models(name, forget)


def swapped(office: Office) -> Path:
    models = office.changed_models("swapped", lambda _, content: content)
    manifest = (models / "manifest.toml").read_text(encoding="utf-8")
    turned = manifest.replace('"detector"', '"x"').replace('"recogniser"', '"detector"').replace('"x"', '"recogniser"')
    (models / "manifest.toml").write_text(turned, encoding="utf-8")
    return models


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("changed", "signature"),
        ("cut off", "signature"),
        ("cut off in its signature", "no signed package"),
        ("empty", "no signed package"),
        ("unsigned", "no signed package"),
        ("of a stranger", "signature"),
        ("older", "1.2.0 is used already"),
        ("for another board", "it is for some-board"),
        ("expired", "expired at"),
        ("for a newer program", "it needs cic-kiosk 99.0.0"),
        ("slow", "too slow"),
        ("wrong about its page", "values are right"),
        ("of broken models", "golden pages"),
        ("of models that read nonsense", "values are right"),
        ("of swapped models", "golden pages"),
    ],
)
def test_bad_package_is_refused_with_its_reason_and_what_was_there_stays(kiosk, office, good, tmp_path, what, words):
    if what == "older":
        installed(kiosk, good.file)
    before = in_force(kiosk)
    file = bad(office, good, what, tmp_path)
    refused = model(kiosk, "install", file)
    assert refused.returncode == 1 and words in refused.stderr, refused
    assert in_force(kiosk) == before
    reads(kiosk)
    # Nothing of it is left.
    left = [path.name for path in (kiosk.state / "models").iterdir()]
    assert not [path for path in (kiosk.state / "models/incoming").iterdir()], left


def test_without_a_key_nothing_is_installed(kiosk, good):
    kiosk.configure(models={"keys": []})
    refused = model(kiosk, "install", good.file)
    assert refused.returncode == 1 and "models.keys" in refused.stderr


def test_power_cut_at_any_moment_of_an_installation_leaves_models_that_read(kiosk, good):
    chance = random.Random(SEED)
    command = [PROGRAM, "model", "install", "--allow-older", str(good.file), "--config", str(kiosk.config)]
    env = {**os.environ, "RUST_LOG": "cic_kiosk=info"}
    began = time.monotonic()
    subprocess.run(command, env=env, check=True, capture_output=True, timeout=PATIENCE)
    whole = time.monotonic() - began
    assert model(kiosk, "rollback").returncode == 0
    seen = set()
    for number in range(KILLS):
        process = subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        step = ["", "verify", "unpack", "test", "switch"][number % 5]
        # Either anywhere, or in the milliseconds after a step has begun.
        if step:
            for line in process.stderr:
                if line.strip().endswith(step):
                    break
            time.sleep(chance.random() * 0.03)
        else:
            time.sleep(chance.random() * whole)
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=PATIENCE)
        now = in_force(kiosk)
        assert now["current"] in (None, "1.2.0")
        seen.add(now["current"])
        reads(kiosk)
        if now["current"]:
            assert model(kiosk, "rollback").returncode == 0
    # Afterwards it can be installed as if nothing had happened, and nothing of the tries is left.
    installed(kiosk, good.file, "--allow-older")
    assert in_force(kiosk)["current"] == "1.2.0"
    reads(kiosk)
    assert not list((kiosk.state / "models/incoming").iterdir())
    print("in force after a kill:", seen)


# The service.


class Desk:
    """Orders something of the kiosk, and sees what becomes of it."""

    def __init__(self, listener):
        self.listener = listener
        # How long its commands may wait. A kiosk remembers 64 of them until then, and takes no more.
        self.life = timedelta(hours=1)

    def order(self, kind: str, **parameters: object) -> str:
        now = datetime.now(timezone.utc)
        number = int(now.timestamp() * 1000) << 80 | random.getrandbits(80)
        command_id = "".join(DIGITS[number >> 5 * place & 31] for place in reversed(range(26)))
        at, expires = (it.strftime("%Y-%m-%dT%H:%M:%SZ") for it in (now, now + self.life))
        message = {"status": "init", "kind": kind, "at": at, "expires": expires, "parameters": parameters}
        self.publish(COMMANDS + command_id, json.dumps(message))
        return command_id

    def publish(self, topic: str, payload: str | bytes):
        self.listener.client.publish(topic, payload, qos=1, retain=True).wait_for_publish(PATIENCE)

    def end(self, command_id: str) -> dict:
        said = self.listener.commands[f"desk/{command_id}"]
        until(lambda: said and said[-1]["status"] in ("successful", "failed"), 2 * PATIENCE)
        return said[-1]

    def steps(self, command_id: str) -> list[str]:
        return [said["progress"]["step"] for said in self.listener.commands[f"desk/{command_id}"] if said.get("progress")]


@pytest.fixture
def open_kiosk(open_branch, office):
    """A branch whose kiosk takes packages, and who orders them."""

    def open_kiosk(**settings: dict):
        models = {"keys": office.trusted, **settings.pop("models", {})}
        branch = open_branch(fleet={"telemetry_seconds": 5, "senders": SENDERS}, models=models, **settings)
        return branch, Desk(branch.listener)

    return open_kiosk


def presence(branch) -> dict:
    return branch.listener.presence[-1] if branch.listener.presence else {}


def read_golden(branch) -> dict:
    """What the kiosk says of a golden page that is handed in as a paper."""
    page = next(path for path in GOLDEN.iterdir() if path.suffix != ".json")
    submitted = branch.kiosk.submit(page)
    assert submitted.status == 0, submitted
    (scan_id,) = submitted.accepted.values()
    branch.listener.wait_for([scan_id])
    return json.loads(branch.listener.results[scan_id][0])


def is_right(answer: dict) -> bool:
    truth = json.loads(next(GOLDEN.glob("*.json")).read_text(encoding="utf-8"))["info"]
    reports = answer["data"]["info"] if answer["errorCode"] == "0" else []
    return bool(reports) and all(reports[0][name] == truth[name] for name in ("cic_code", "address"))


@contextmanager
def shop(folder: Path, authority, *packages):
    folder.mkdir()
    for package in packages:
        shutil.copy(package.file, folder / package.file.name)
    with Shop(folder, authority) as opened:
        yield opened


def test_package_comes_over_https_piece_by_piece_and_is_gone_on_with_after_a_power_cut(open_kiosk, good, authority, tmp_path):
    with shop(tmp_path / "shop", authority, good) as server:
        branch, desk = open_kiosk(models={"sources": [server.url], "authorities": str(server.authorities), "trial_documents": 2})
        kiosk = branch.kiosk
        kiosk.start()
        until(lambda: presence(branch))
        assert "package" not in presence(branch)
        parameters = {"url": server.url + good.file.name, "sha256": good.sha256, "bytes": good.bytes}
        # The server hangs up again and again; the kiosk asks for what is missing, until its power is cut.
        server.gives = 1 << 20
        first = desk.order("model-update", **parameters)
        part = kiosk.state / f"models/incoming/{good.sha256}.part"
        until(lambda: len(server.asked) >= 2)
        kiosk.kill()
        assert 0 < part.stat().st_size < good.bytes
        asked = len(server.asked)
        server.gives = None
        kiosk.start()
        assert desk.end(first)["code"] == "interrupted"
        done = desk.end(second := desk.order("model-update", **parameters))
        assert done["status"] == "successful" and done["result"]["version"] == "1.2.0", done
        assert server.asked[0] == 0 and all(server.asked[1:]) and len(server.asked) > asked
        assert set(desk.steps(second)) <= {"download", "verify", "unpack", "test", "switch"}
        until(lambda: presence(branch).get("package") == {"version": "1.2.0", "trial": True})
        assert is_right(read_golden(branch)) and is_right(read_golden(branch))
        until(lambda: presence(branch)["package"] == {"version": "1.2.0", "trial": False})
        tested = desk.end(desk.order("selftest"))
        assert tested["status"] == "successful" and tested["result"]["package"] == "1.2.0", tested
        back = desk.end(desk.order("model-rollback"))
        assert back["result"] == {"current": None}
        until(lambda: "package" not in presence(branch))
        assert is_right(read_golden(branch))
        # From elsewhere nothing comes, whoever orders it.
        other = {**parameters, "url": server.url.replace("/models/", "/other/") + good.file.name}
        refused = desk.end(desk.order("model-update", **other))
        assert refused["status"] == "failed" and "models.sources" in refused["reason"]
        until(lambda: branch.listener.telemetry[-1]["anomalies"].get("packages_refused") == 1)
        assert kiosk.stop() == 0


class Moment(NamedTuple):
    """Where in an update the power fails: by what it can be seen, and for how many seconds there is something to hit."""

    seen: Callable[[], bool]
    seconds: float


def moments(kiosk: Daemon, desk: Desk, package, version: str, command: str) -> dict[str, Moment]:
    models = kiosk.state / "models"
    part, unpacked = models / f"incoming/{package.sha256}.part", models / "incoming/unpacked"

    def is_switched() -> bool:
        return text(models / "in-force.json").startswith(f'{{"current":"{version}"')

    return {
        "ordered": Moment(lambda: True, 0.1),
        "begun": Moment(lambda: command in text(kiosk.state / "commands.json"), 0.02),
        "fetching": Moment(part.exists, 0.1),
        "checking": Moment(lambda: part.exists() and part.stat().st_size == package.bytes, 0.1),
        "unpacking": Moment(unpacked.exists, 0.1),
        "testing": Moment(lambda: "test" in desk.steps(command), 3),
        "placed": Moment((models / version).exists, 0.01),
        "switched": Moment(is_switched, 0.05),
        "on trial": Moment(lambda: desk.end(command)["status"] == "successful", 1),
    }


def text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""


def power_fails(kiosk: Daemon, moment: Moment, chance: random.Random):
    deadline = time.monotonic() + PATIENCE
    # Some of what there is to hit takes a millisecond.
    while not moment.seen():
        assert time.monotonic() < deadline, "it was never seen"
        time.sleep(0.0005)
    time.sleep(chance.random() * moment.seconds)
    kiosk.kill()


def starts_again(branch, chance: random.Random) -> dict:
    """Gives what the kiosk says it is. Now and then the power fails again before that."""
    if chance.random() < 0.3:
        branch.kiosk.start(wait=False, log_level="debug")
        time.sleep(chance.random() * 0.5)
        branch.kiosk.kill()
    until(lambda: presence(branch).get("status") != "online")
    branch.kiosk.start(log_level="debug")
    until(lambda: presence(branch)["status"] == "online")
    return presence(branch)


def test_power_cut_at_any_moment_of_an_update_leaves_a_kiosk_that_reports_and_reads(open_kiosk, office, good, authority, tmp_path):
    chance = random.Random(SEED)
    packages = {"1.2.0": good, "1.3.0": office.make("1.3.0", key="next")}
    (temporary := tmp_path / "temporary").mkdir()
    seen = Counter()
    with shop(tmp_path / "shop", authority, *packages.values()) as server:
        branch, desk = open_kiosk(models={"sources": [server.url], "authorities": str(server.authorities)})
        kiosk, desk.life = branch.kiosk, timedelta(minutes=2)
        kiosk.start(log_level="debug", TMPDIR=temporary)
        models = until(lambda: presence(branch).get("models"))

        def update(version: str) -> str:
            package = packages[version]
            parameters = {"sha256": package.sha256, "bytes": package.bytes, "allow_older": True}
            return desk.order("model-update", url=server.url + package.file.name, **parameters)

        def goes_back():
            end = desk.end(desk.order("model-rollback"))
            assert end["status"] == "successful" and end["result"] == {"current": None}, end
            until(lambda: "package" not in presence(branch))

        for number in range(KILLS):
            version = chance.choice(list(packages))
            command = update(version)
            places = moments(kiosk, desk, packages[version], version, command)
            names = [*places, "going back"]
            name = names[number % len(names)]
            if name == "going back":
                assert desk.end(command)["status"] == "successful"
                back = desk.order("model-rollback")
                begun = Moment(lambda: back in text(kiosk.state / "commands.json"), 0.05)
                power_fails(kiosk, begun, chance)
            else:
                power_fails(kiosk, places[name], chance)
            birth = starts_again(branch, chance)
            # What was ordered has come to an end, and says to which.
            for ordered in [command, back] if name == "going back" else [command]:
                end = desk.end(ordered)
                assert end["status"] == "successful" or (end["code"] == "interrupted" and end["reason"]), end
            # It reads with a set of models that is whole, and says with which.
            current = in_force(kiosk)["current"]
            assert current in (None, version)
            assert current == version or end["status"] == "failed" or name == "going back"
            said = {"version": version, "trial": True} if current else None
            until(lambda: presence(branch).get("package") == said)
            assert birth["models"] == models
            assert is_right(read_golden(branch))
            # Nothing is left but what is in force, and what was fetched: that is gone on with.
            left = {path.name for path in (kiosk.state / "models").iterdir()}
            assert left <= {"in-force.json", "lock", "incoming", current}, left
            left = [path.name for path in (kiosk.state / "models/incoming").iterdir()]
            assert left in [[], *([f"{package.sha256}.part"] for package in packages.values())], left
            seen[name, end["status"], current is not None] += 1
            if current:
                goes_back()
        assert desk.end(update("1.2.0"))["status"] == "successful"
        goes_back()
        assert is_right(read_golden(branch))
        assert not [path for path in kiosk.state.rglob("*") if path.suffix in (".new", ".part", ".damaged")]
        assert not list(temporary.iterdir())
        assert kiosk.stop() == 0
    for (name, status, is_new), count in sorted(seen.items()):
        print(f"killed when {name}: {count} times the command {status}, {'new' if is_new else 'old'} models")


def test_package_comes_in_chunks_over_the_broker_and_a_worker_reads_with_it(open_kiosk, good, tmp_path):
    workers = Workers(tmp_path / "worker.sock", tmp_path / "worker.log")
    workers.listen()
    try:
        branch, desk = open_kiosk(reading={"worker": str(workers.socket)})
        branch.kiosk.start()
        chunks = good.chunks()
        parameters = {"topic": good.topic, "sha256": good.sha256, "bytes": good.bytes}
        # The last half is not there yet when the kiosk begins, and loses its power.
        for number, chunk in enumerate(chunks[: len(chunks) // 2]):
            desk.publish(f"{good.topic}/{number}", chunk)
        first = desk.order("model-update", **parameters)
        part = branch.kiosk.state / f"models/incoming/{good.sha256}.part"
        until(lambda: part.exists() and part.stat().st_size == len(chunks) // 2 * (48 << 10))
        branch.kiosk.kill()
        for number, chunk in enumerate(chunks):
            desk.publish(f"{good.topic}/{number}", chunk if number >= len(chunks) // 2 else b"")
        branch.kiosk.start()
        assert desk.end(first)["code"] == "interrupted"
        # What it has, the broker has no more: it goes on with the rest.
        done = desk.end(desk.order("model-update", **parameters))
        assert done["status"] == "successful", done
        until(lambda: presence(branch).get("package") == {"version": "1.2.0", "trial": True})
        assert is_right(read_golden(branch))
        assert branch.kiosk.stop() == 0
    finally:
        workers.close()


def test_order_waits_for_who_holds_the_models_for_a_moment_and_says_so_of_who_holds_them_long(open_kiosk, good):
    branch, desk = open_kiosk()
    kiosk = branch.kiosk
    kiosk.state.mkdir(mode=0o700)
    installed(kiosk, good.file)
    kiosk.start()
    until(lambda: presence(branch).get("package"))
    with (kiosk.state / "models/lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        end = desk.end(desk.order("model-rollback"))
        assert (end["status"], end["code"]) == ("failed", "busy"), end
        back = desk.order("model-rollback")
        until(lambda: desk.listener.commands[f"desk/{back}"])
        fcntl.flock(lock, fcntl.LOCK_UN)
    assert desk.end(back)["status"] == "successful"


def test_models_that_read_worse_than_those_before_are_left_by_themselves(open_kiosk, office):
    bad_models = office.make("1.3.0", models=nonsense(office, "worse"), right=0, slowdown=1000)
    branch, _ = open_kiosk()
    branch.kiosk.start()
    for _ in range(8):
        assert is_right(read_golden(branch))
    # What was counted is written down at an end in order.
    assert branch.kiosk.stop() == 0
    assert in_force(branch.kiosk)["record"]["documents"] == 8
    branch.kiosk.start()
    installed(branch.kiosk, bad_models.file)
    until(lambda: presence(branch).get("package") == {"version": "1.3.0", "trial": True})
    # Some documents are read badly, until the next look at how they are read.
    wrong = next(number for number in range(500) if is_right(read_golden(branch)))
    assert 3 <= wrong
    until(lambda: "package" not in presence(branch))
    until(lambda: branch.listener.telemetry[-1]["anomalies"].get("packages_left") == 1)
    assert in_force(branch.kiosk)["failed"][0]["version"] == "1.3.0"
    assert is_right(read_golden(branch))
    assert branch.kiosk.stop() == 0


def test_package_with_which_the_service_dies_at_each_start_is_left(open_kiosk, good):
    branch, _ = open_kiosk()
    kiosk = branch.kiosk
    kiosk.state.mkdir(mode=0o700)
    installed(kiosk, good.file)
    for _ in range(3):
        kiosk.start()
        kiosk.kill()
        assert in_force(kiosk)["current"] == "1.2.0"
    kiosk.start()
    until(lambda: presence(branch) and "package" not in presence(branch))
    assert "3 starts" in in_force(kiosk)["failed"][0]["reason"]
    assert is_right(read_golden(branch))
    assert kiosk.stop() == 0


def test_package_that_is_damaged_on_the_disk_is_left_for_the_installed_models(open_kiosk, good):
    branch, _ = open_kiosk()
    kiosk = branch.kiosk
    kiosk.state.mkdir(mode=0o700)
    installed(kiosk, good.file)
    for path in (kiosk.state / "models/1.2.0/models").glob("*.onnx"):
        with path.open("r+b") as file:
            file.seek(1000)
            file.write(b"\0" * 64)
    kiosk.start()
    assert in_force(kiosk)["current"] is None and in_force(kiosk)["failed"] == []
    assert is_right(read_golden(branch))
    assert kiosk.stop() == 0
