"""The key of a kiosk's certificate is sealed with a TPM2: swtpm's, which the kernel has as its own.

It is made without firmware that knows of it, as on most boards.
"""

import struct
import subprocess
from pathlib import Path

import pytest

from kiosk import PATIENCE, run, until

DEVICES = Path("/sys/class/tpmrm")


class Tpm:
    """A TPM2 of its own, whose secrets are this folder's."""

    def __init__(self, folder: Path):
        folder.mkdir(exist_ok=True)
        self.folder = folder

    def __enter__(self):
        subprocess.run(["modprobe", "tpm_vtpm_proxy"], check=True)
        command = ["swtpm", "chardev", "--vtpm-proxy", "--tpm2", "--tpmstate", f"dir={self.folder}"]
        self.process = subprocess.Popen(command)
        until(lambda: self.process.poll() is not None or any(DEVICES.glob("tpmrm*")))
        [device] = DEVICES.glob("tpmrm*")
        self.device = Path("/dev") / device.name
        until(self.device.exists)
        # systemd asks for this one.
        assert self.device.name == "tpmrm0"
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(PATIENCE)
        until(lambda: not any(DEVICES.glob("tpmrm*")))

    def take(self, password: bytes):
        """Somebody makes themselves its owner (TPM2_HierarchyChangeAuth)."""
        no_password = struct.pack(">IIHBH", 9, 0x40000009, 0, 0, 0)
        body = struct.pack(">II", 0x129, 0x40000001) + no_password + struct.pack(">H", len(password)) + password
        with self.device.open("r+b", buffering=0) as device:
            device.write(struct.pack(">HI", 0x8002, 6 + len(body)) + body)
            _, _, code = struct.unpack(">HII", device.read(4096)[:10])
        assert code == 0, hex(code)


class Kiosk:
    """A kiosk's disk, as far as it holds its key."""

    def __init__(self, folder: Path):
        self.root, self.stick, self.config = folder / "root", folder / "stick", folder / "config.toml"
        self.sealed = self.root / "etc/credstore.encrypted/cic-kiosk.mqtt-key"
        self.stick.mkdir()
        self.config.write_text(f'[claim]\nauthority_sha256 = "{"0" * 64}"\n', encoding="utf-8")

    def claim(self) -> subprocess.CompletedProcess:
        return run("claim", "--config", self.config, "--usb", self.stick, "--root", self.root)

    def shown(self) -> dict[str, str]:
        """What it shows to whoever stands before it."""
        claimed = self.claim()
        assert "signed" in claimed.stdout, claimed
        return dict(line.split() for line in claimed.stdout.splitlines()[:3])

    def credential(self) -> bytes | None:
        """What the service gets of it; nothing if it does not open."""
        command = ["systemd-creds", "decrypt", "--name", "mqtt-key", self.sealed, "-"]
        opened = subprocess.run(command, capture_output=True, timeout=PATIENCE, check=False)
        return opened.stdout if opened.returncode == 0 else None


@pytest.fixture
def kiosk(tmp_path):
    return Kiosk(tmp_path)


def test_key_is_sealed_to_the_tpm2_and_the_services_credential_opens_with_it(kiosk, tmp_path):
    with Tpm(tmp_path / "tpm"):
        shown = kiosk.shown()
        assert shown["key"] == "tpm2"
        assert b"PRIVATE" not in kiosk.sealed.read_bytes()
        assert kiosk.credential().startswith(b"-----BEGIN PRIVATE KEY-----")
    assert kiosk.credential() is None
    # The machine was switched off and on.
    with Tpm(tmp_path / "tpm"):
        assert kiosk.shown() == shown


def test_key_of_another_machine_does_not_open_and_is_not_replaced(kiosk, tmp_path):
    with Tpm(tmp_path / "tpm"):
        shown, sealed = kiosk.shown(), kiosk.sealed.read_bytes()
    with Tpm(tmp_path / "other"):
        assert kiosk.credential() is None
        claimed = kiosk.claim()
        assert claimed.returncode == 1 and claimed.stdout == ""
        assert str(kiosk.sealed) in claimed.stderr and "remove the file and claim again" in claimed.stderr
        assert kiosk.sealed.read_bytes() == sealed
        kiosk.sealed.unlink()
        assert kiosk.shown()["fingerprint"] != shown["fingerprint"]


def test_tpm2_that_does_not_work_is_an_error_that_says_what_to_do_and_no_key_is_kept(kiosk, tmp_path):
    with Tpm(tmp_path / "tpm") as tpm:
        tpm.take(b"somebody's")
        claimed = kiosk.claim()
        assert claimed.returncode == 1 and claimed.stdout == ""
        assert "clear it in the firmware's setup" in claimed.stderr and "claim.seal = false" in claimed.stderr
        assert not list(kiosk.root.rglob("*mqtt-key*"))
        # Its administrator may decide against it.
        with kiosk.config.open("a", encoding="utf-8") as config:
            config.write("seal = false\n")
        assert kiosk.shown()["key"] == "file"


def test_machine_without_a_tpm2_seals_with_its_own_key_and_says_so(kiosk, tmp_path):
    shown = kiosk.shown()
    assert shown["key"] == "host"
    # Nor does one that is put in later change what the key is sealed with.
    with Tpm(tmp_path / "tpm"):
        assert kiosk.shown() == shown
