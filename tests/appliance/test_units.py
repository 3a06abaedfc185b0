"""The files of `systemd/`: systemd accepts them without a word, and they fit the program and each other."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from kiosk import PROGRAM, ROOT
from machine import PACKAGE, UNITS, install

SERVICES = ["cic-kiosk.service", "cic-kiosk-worker@.service"]

# The bank's bar: 1.5.
EXPOSURE = 15

# What the package brings.
PATH = r"/(?:usr/(?:bin|lib|share)|usr/share/doc|etc)/cic-kiosk[\w./-]*"


def run(*command: object, **more) -> subprocess.CompletedProcess:
    return subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=60, check=False, **more)


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    """An empty system in which the package is installed."""
    root = tmp_path_factory.mktemp("package")
    install(root)
    return root


def judged(unit: Path) -> subprocess.CompletedProcess:
    return run("systemd-analyze", "security", "--offline=true", f"--threshold={EXPOSURE}", unit)


@pytest.mark.parametrize("unit", SERVICES)
def test_exposure_is_below_the_bar(unit):
    judgement = judged(UNITS / unit)
    print(judgement.stdout.splitlines()[-1])
    assert judgement.returncode == 0 and "Overall exposure level" in judgement.stdout, judgement


def test_bar_can_be_missed(tmp_path):
    (tmp_path / "bare.service").write_text("[Service]\nExecStart=/bin/true\n", encoding="ascii")
    assert judged(tmp_path / "bare.service").returncode


def verified(*units: Path | str, folders: str) -> str:
    """What systemd says about units. A misspelt key is a word on stderr, and no failure."""
    checked = run("systemd-analyze", "verify", "--man=no", *units, env={**os.environ, "SYSTEMD_UNIT_PATH": folders})
    return checked.stdout + checked.stderr


@pytest.mark.parametrize("with_drop_ins", [False, True])
def test_systemd_accepts_every_unit_and_drop_in_without_a_word(with_drop_ins, tmp_path):
    for unit in (unit for kind in ("path", "service", "socket") for unit in UNITS.glob(f"cic-kiosk*.{kind}")):
        # Their programs are not on this machine.
        program = re.compile(r"/usr/(bin|lib)/cic-kiosk(/confirm)?(?= |$)", re.MULTILINE)
        text = program.sub("/bin/true", unit.read_text(encoding="utf-8"))
        (tmp_path / unit.name).write_text(text, encoding="utf-8")
    if with_drop_ins:
        for drop_in in [*UNITS.glob("examples/*.conf"), *UNITS.glob("appliance/*/*.conf")]:
            text = drop_in.read_text(encoding="utf-8")
            named = re.search(r"^# /etc/systemd/system/(\S+\.d)/", text)
            folder = tmp_path / (named[1] if named else drop_in.parent.name)
            folder.mkdir(exist_ok=True)
            # Examples that are commented out are examples, too.
            (folder / drop_in.name).write_text(re.sub(r"^#(?=[A-Z]\w+=)", "", text, flags=re.M), encoding="utf-8")
    units = [unit for unit in tmp_path.iterdir() if unit.is_file()]
    if with_drop_ins:
        units += ["emergency.service", "basic.target"]
    assert verified(*units, folders=f"{tmp_path}:") == ""
    misspelt = tmp_path / "cic-kiosk.service"
    misspelt.write_text(misspelt.read_text(encoding="utf-8").replace("ProtectHome=", "ProtectHoem="), encoding="utf-8")
    assert "ProtectHoem" in verified(misspelt, folders=f"{tmp_path}:")


def loaded(text: str) -> set[tuple[str, str]]:
    return set(re.findall(r"^LoadCredential(?:Encrypted)?=(.+):(.+)$", text, re.M))


def test_every_secret_that_the_program_asks_for_is_loaded():
    asked = set()
    for source in (ROOT / "src").rglob("*.rs"):
        text = source.read_text(encoding="utf-8").split("#[cfg(test)]")[0]
        asked |= set(re.findall(r'^const \w+: &str = "((?:outbox|mqtt|cloud)-[a-z-]+)";', text, re.M))
    assert {"outbox-key", "mqtt-password"} <= asked
    for file in [UNITS / "cic-kiosk.service", UNITS / "examples/encrypted-credentials.conf"]:
        assert loaded(file.read_text(encoding="utf-8")) == {(name, f"cic-kiosk.{name}") for name in asked}, file


def test_no_unit_lets_onnxruntime_tell_its_makers():
    for unit in UNITS.glob("cic-kiosk*.service"):
        text = unit.read_text(encoding="utf-8")
        assert ("/usr/bin/cic-kiosk" in text) == ("\nEnvironment=ORT_DISABLE_TELEMETRY=1\n" in text), unit
    # Nor does the library that is shipped know where they are.
    assert b"events.data.microsoft.com" not in (ROOT / ".cache/onnxruntime/libonnxruntime.so").read_bytes()


def test_everything_that_units_and_settings_name_is_installed(package):
    for file in [*UNITS.glob("cic-kiosk*"), UNITS / "config.toml", UNITS / "confirm"]:
        text = "\n".join(line for line in file.read_text(encoding="utf-8").splitlines() if not line.startswith("#"))
        for path in re.findall(PATH, text):
            if path.startswith("/usr/share/doc/"):
                assert (ROOT / "docs" / Path(path).name).is_file(), f"{file}: {path}"
            else:
                assert (package / path[1:]).exists(), f"{file}: {path}"
    socket = (UNITS / "cic-kiosk-worker.socket").read_text(encoding="utf-8")
    assert 'worker = "/run/cic-kiosk-worker.sock"' in (UNITS / "config.toml").read_text(encoding="utf-8")
    assert "ListenStream=/run/cic-kiosk-worker.sock\n" in socket
    assert not [path for path, source in PACKAGE.items() if not source.is_file()]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives folders to other users")
def test_user_groups_and_folders_are_made(package):
    users = {line.split(":")[0]: line.split(":") for line in (package / "etc/passwd").read_text().splitlines()}
    assert users["cic-kiosk"][5:] == ["/var/lib/cic-kiosk", "/usr/sbin/nologin"]
    groups = {line.split(":")[0]: line.split(":")[3] for line in (package / "etc/group").read_text().splitlines()}
    assert all("cic-kiosk" in groups[group].split(",") for group in ("gpio", "video", "systemd-journal"))
    uid = int(users["cic-kiosk"][2])
    folders = [("etc/cic-kiosk", 0, 0o755), ("etc/credstore", 0, 0o700), ("var/lib/cic-kiosk", uid, 0o700)]
    for path, owner, mode in folders:
        status = (package / path).stat()
        assert (status.st_uid, status.st_mode & 0o777) == (owner, mode), path


def test_program_accepts_the_packages_settings():
    checked = run(PROGRAM, "config", "check", "--config", UNITS / "config.toml")
    assert checked.returncode == 0, checked.stderr
    # What is left to be filled in is right, too, once it is.
    filled = re.sub(r'^#(?=[a-z]+ = ")', "", (UNITS / "config.toml").read_text(encoding="utf-8"), flags=re.M)
    shown = run(PROGRAM, "config", "check", "--config", "/dev/stdin", input=filled)
    assert shown.returncode == 0, shown.stderr


def test_script_is_clean():
    for script in [UNITS / "confirm", Path(__file__).with_name("bootloader.sh")]:
        checked = run("shellcheck", script)
        assert checked.returncode == 0, checked.stdout
