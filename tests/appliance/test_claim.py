"""The claim's unit, booted: a kiosk that knows nobody but an authority gets its certificate, and starts with it."""

import re
import shutil
from pathlib import Path

import pytest

from kiosk import until
from machine import place
from test_provisioning import PASSWORD, Bank

CLAIM = "cic-kiosk-claim.service"
KIOSK = "cic-kiosk.service"

# What the disk of a kiosk keeps of the claim.
KEPT = ["etc/cic-kiosk", "etc/credstore.encrypted", "etc/systemd/system/cic-kiosk.service.d", "var/lib/systemd"]

# Where the office is, on a machine that has no network but its own.
OFFICE = "/etc/bank"


class Office(Bank):
    """It is on the kiosk's machine, with its broker; the folder is what is put there."""

    def start(self):
        conf = self.folder / "mosquitto.conf"
        conf.write_text(conf.read_text(encoding="utf-8").replace(str(self.folder), OFFICE), encoding="utf-8")

    def asked(self, machine, *arguments: object, ok: int | None = 0) -> str:
        way = ["--broker", f"mqtts://localhost:{self.port}", "--authorities", f"{OFFICE}/servers.pem"]
        own = ["--certificate", f"{OFFICE}/office.pem", "--credentials", f"{OFFICE}/office"]
        return machine.run("/usr/bin/cic-kiosk", "authority", *arguments, *way, *own, ok=ok)


@pytest.fixture(scope="module")
def office(tmp_path_factory):
    return Office(tmp_path_factory.mktemp("office"))


@pytest.fixture(scope="module")
def machine(new_machine, office):
    machine = new_machine("claim")
    shutil.copytree(office.folder, machine.root / OFFICE[1:])
    settings = {
        "broker": f"mqtts://localhost:{office.claim_port}",
        "user": "claim",
        "authorities": "/etc/cic-kiosk/servers.pem",
        "authority_sha256": office.sha256,
    }
    # In the place of the names that another kiosk has.
    text = "[claim]\n" + "".join(f'{key} = "{value}"\n' for key, value in settings.items())
    place(machine.root, "etc/cic-kiosk/config.d/branch.toml", text)
    shutil.copy(office.authorities, machine.root / "etc/cic-kiosk")
    place(machine.root, "etc/credstore/cic-kiosk.claim-password", PASSWORD, 0o600)
    broker = f"[Service]\nExecStart=/usr/sbin/mosquitto -c {OFFICE}/mosquitto.conf\n"
    place(machine.root, "usr/lib/systemd/system/broker.service", broker)
    wanted = machine.root / "usr/lib/systemd/system/kiosk-test.target.wants"
    wanted.mkdir()
    for unit in ["dbus.socket", "broker.service", CLAIM, KIOSK]:
        (wanted / unit).symlink_to(f"../{unit}")
    machine.start()
    yield machine
    machine.stop()


def connections(machine) -> int:
    """How often the broker has taken the kiosk."""
    log = machine.journal("--unit=broker.service")
    return len(re.findall(r"New client connected from \S+ as \S+ \(.*u'hn-01/kiosk-1'\)", log))


def is_up(machine) -> bool:
    return machine.run("systemctl", "is-active", KIOSK, ok=None) == "active" and connections(machine) > 0


def test_first_boot_claims_the_certificate_and_the_service_starts_with_it(machine, office):
    shown = until(lambda: re.search(r"id +(\S+)\nfingerprint +(\S+)\nkey +(\S+)", machine.journal(f"--unit={CLAIM}")))
    name, fingerprint, kept = shown.groups()
    assert kept in ("host", "tpm2")
    assert machine.run("systemctl", "is-active", KIOSK, ok=None) != "active", "it is at work without a name"
    until(lambda: name in office.asked(machine, "claims", ok=None))
    names = ["--branch", "hn-01", "--kiosk", "kiosk-1", "--kiosks-broker", f"mqtts://localhost:{office.port}"]
    office.asked(machine, "approve", name, fingerprint, *names, "--dir", f"{OFFICE}/authority")
    until(lambda: is_up(machine))
    assert machine.property(CLAIM, "Result") == "success"
    assert "kiosk-1" in machine.run("cat", "/etc/cic-kiosk/config.d/60-claim.toml")
    assert "PRIVATE" not in machine.run("cat", "/etc/credstore.encrypted/cic-kiosk.mqtt-key")


def test_second_boot_does_not_claim_again(machine):
    files = Path(f"/proc/{machine.pid}/root")
    for path in KEPT:
        shutil.copytree(files / path, machine.root / path, dirs_exist_ok=True)
    certificate = (machine.root / "etc/cic-kiosk/kiosk.pem").read_bytes()
    machine.stop()
    machine.start()
    until(lambda: is_up(machine))
    assert machine.property(CLAIM, "ConditionResult") == "no"
    assert "fingerprint" not in machine.journal(f"--unit={CLAIM}")
    assert (Path(f"/proc/{machine.pid}/root") / "etc/cic-kiosk/kiosk.pem").read_bytes() == certificate
