"""Keys and certificates of kiosks, from the claim to the revocation, with a broker under the rules of packaging/broker;
and what a hostile kiosk gets there."""

import datetime
import itertools
import json
import os
import random
import re
import shutil
import signal
import ssl
import subprocess
import threading
import time
from pathlib import Path
from typing import NamedTuple

import paho.mqtt.client as mqtt
import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

import asyncapi
import emqx
from broker import MOSQUITTO
from daemon import CONNECTED, Daemon
from files import closed_port
from kiosk import PATIENCE, PROGRAM, ROOT, run, until

RULES = ROOT / "packaging/broker"

SEED = 20260302

PASSWORD = "a-claims-password"

# A kiosk with a user of its own for its claim.
CLAIMER = "key-0123456789abcdef"

ULID = "01JD0000000000000000000000"


def pem_of(key) -> bytes:
    form = serialization.PrivateFormat.PKCS8
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())


class Bank:
    """An office with an authority, and a broker that believes it."""

    def __init__(self, folder: Path):
        self.folder, self.dir = folder, folder / "authority"
        self.port, self.claim_port = closed_port(), closed_port()
        made = run("authority", "init", "--dir", self.dir)
        assert made.returncode == 0, made.stderr
        self.sha256 = re.fullmatch(r'authority_sha256 = "([0-9a-f]{64})"\n', made.stdout)[1]
        self.servers = trustme.CA()
        self.authorities = folder / "servers.pem"
        self.servers.cert_pem.write_to_path(self.authorities)
        own = self.servers.issue_cert("localhost")
        own.cert_chain_pems[0].write_to_path(folder / "broker.pem")
        own.private_key_pem.write_to_path(folder / "broker.key")
        shutil.copy(self.dir / "authority.pem", folder)
        text = (RULES / "mosquitto-acl").read_text(encoding="utf-8")
        (folder / "mosquitto-acl").write_text(f"{text}\nuser admin\ntopic readwrite #\n", encoding="utf-8")
        for user in ("claim", CLAIMER):
            more = [] if (folder / "claims").exists() else ["-c"]
            command = ["mosquitto_passwd", "-b", *more, folder / "claims", user, PASSWORD]
            subprocess.run(command, check=True, capture_output=True, timeout=PATIENCE)
        settings = (RULES / "mosquitto.conf").read_text(encoding="utf-8").replace("/etc/mosquitto/", f"{folder}/")
        settings = settings.replace("listener 8883", f"listener {self.port} 127.0.0.1")
        settings = settings.replace("listener 8884", f"listener {self.claim_port} 127.0.0.1")
        # As root it would become another user, who may not read here.
        settings += f"user root\npersistence_location {folder}/\nlog_dest stderr\n"
        (folder / "mosquitto.conf").write_text(settings, encoding="utf-8")
        self.publish_revoked()
        self.office = self.certify("authority", "office")
        self.process: subprocess.Popen | None = None
        self.start()

    def start(self):
        with (self.folder / "mosquitto.log").open("ab") as log:
            command = [MOSQUITTO, "-c", self.folder / "mosquitto.conf"]
            self.process = subprocess.Popen(command, stdout=log, stderr=log)

        def is_up() -> bool:
            assert self.process.poll() is None, (self.folder / "mosquitto.log").read_text(encoding="utf-8")[-1000:]
            try:
                return bool(ssl.get_server_certificate(("127.0.0.1", self.claim_port), timeout=5))
            except OSError:
                return False

        until(is_up)

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(PATIENCE)

    def restart(self):
        self.stop()
        self.start()

    def publish_revoked(self):
        made = run("authority", "crl", "--dir", self.dir)
        assert made.returncode == 0, made.stderr
        shutil.copy(self.dir / "crl.pem", self.folder)

    def certify(self, name: str, file: str, key=None, days: tuple[float, float] = (-1, 30), issuer: "Bank | None" = None) -> Path:
        """As a bank's own authority would: the certificate FILE.pem, of a key that is made where none is given."""
        own = key or ec.generate_private_key(ec.SECP256R1())
        signer = issuer or self
        authority = x509.load_pem_x509_certificate((signer.dir / "authority.pem").read_bytes())
        signing = serialization.load_pem_private_key((signer.dir / "authority.key").read_bytes(), None)
        now = datetime.datetime.now(datetime.UTC)
        begin, end = (now + datetime.timedelta(days=it) for it in days)
        builder = x509.CertificateBuilder(
            issuer_name=authority.subject,
            subject_name=x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]),
            public_key=own.public_key(),
            serial_number=x509.random_serial_number(),
            not_valid_before=begin,
            not_valid_after=end,
        )
        usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])
        made = builder.add_extension(usage, critical=False).sign(signing, hashes.SHA256())
        path = self.folder / f"{file}.pem"
        chain = made.public_bytes(serialization.Encoding.PEM) + (signer.dir / "authority.pem").read_bytes()
        path.write_bytes(chain)
        if key is None:
            (self.folder / file).mkdir(exist_ok=True)
            (self.folder / file / "mqtt-key").write_bytes(pem_of(own))
        return path

    def do(self, *arguments: object) -> subprocess.CompletedProcess:
        """A command of the office that speaks with the broker."""
        way = ["--broker", f"mqtts://localhost:{self.port}", "--authorities", self.authorities]
        return run("authority", *arguments, *way, "--certificate", self.office, "--credentials", self.folder / "office")

    def approve(self, claim: "Claim", fingerprint: str | None = None, name: tuple[str, str] = ("hn-01", "kiosk-1"), **more):
        names = ["--branch", name[0], "--kiosk", name[1], "--kiosks-broker", f"mqtts://localhost:{self.port}"]
        return self.do("approve", claim.id, fingerprint or claim.fingerprint, *names, "--dir", self.dir)

    def client(self, name: str, version: int = mqtt.MQTTv5) -> "Client":
        """Somebody with a certificate of this name."""
        file = name.replace("/", "_").replace("+", "plus").replace("#", "all")
        certificate = self.certify(name, file)
        return Client(self, self.port, name, certificate=certificate, key=self.folder / file / "mqtt-key")


class Client:
    """Somebody at the broker, who may be up to anything."""

    def __init__(self, bank: Bank, port: int, name: str, certificate: Path | None = None, key: Path | None = None, password: str | None = None):
        self.heard: dict[str, bytes] = {}
        self.outcome: dict[int, int] = {}
        self.connected, self.subscribed = threading.Event(), threading.Event()
        self.reason = None
        self.client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=f"it-{abs(hash(name))}", protocol=mqtt.MQTTv5)
        self.client.tls_set(str(bank.authorities), str(certificate) if certificate else None, str(key) if key else None)
        if password:
            self.client.username_pw_set(name, password)
        self.client.on_connect = lambda *said: self.connected.set() if not said[3].is_failure else None
        self.client.on_subscribe = lambda *_: self.subscribed.set()
        self.client.on_message = lambda _client, _data, message: self.heard.__setitem__(message.topic, message.payload)
        self.client.on_publish = lambda _client, _data, number, reason, _more: self.outcome.__setitem__(number, reason.value)
        self.client.connect("localhost", port)
        self.client.loop_start()

    def __enter__(self):
        assert self.connected.wait(PATIENCE), "the broker does not take it"
        return self

    def __exit__(self, *_):
        self.client.disconnect()
        self.client.loop_stop()

    def writes(self, topic: str, payload: bytes | str = b"{}", retain: bool = False) -> bool:
        """Whether it may."""
        number = self.client.publish(topic, payload, qos=1, retain=retain).mid
        until(lambda: number in self.outcome)
        assert self.outcome[number] in (0, 16, 135), self.outcome[number]
        return self.outcome[number] != 135

    def listens(self, *topics: str):
        for topic in topics:
            self.subscribed.clear()
            self.client.subscribe(topic, qos=1)
            assert self.subscribed.wait(PATIENCE)


class Claim:
    """`cic-kiosk claim` under way, or done."""

    def __init__(self, kiosk: Daemon, bank: Bank, *options: object):
        credentials = kiosk.folder / "claims-credentials"
        credentials.mkdir(exist_ok=True)
        (credentials / "mqtt-password").write_text(PASSWORD, encoding="utf-8")
        command = [PROGRAM, "claim", "--config", kiosk.config, "--credentials", credentials, *options]
        with kiosk.log.open("ab") as stderr:
            self.process = subprocess.Popen([*map(str, command)], stdout=subprocess.PIPE, stderr=stderr, text=True)

    def shown(self) -> "Claim":
        """With what it shows to whoever stands before it."""
        lines = [self.process.stdout.readline().split() for _ in range(3)]
        (_, self.id), (_, self.fingerprint), (_, self.kept) = lines
        return self

    def ends(self) -> int:
        return self.process.wait(PATIENCE)

    def kill(self):
        self.process.kill()
        self.process.wait(PATIENCE)


@pytest.fixture(scope="module")
def bank(tmp_path_factory):
    bank = Bank(tmp_path_factory.mktemp("bank"))
    yield bank
    bank.stop()


@pytest.fixture
def kiosk(bank, tmp_path, logs):
    """A kiosk that nobody has told anything but where to claim."""
    with Daemon(tmp_path.name, tmp_path / "kiosk", logs, "") as kiosk:
        del kiosk.settings["kiosk"]["branch"], kiosk.settings["kiosk"]["id"], kiosk.settings["mqtt"]
        claim = {
            "broker": f"mqtts://localhost:{bank.claim_port}",
            "user": "claim",
            "authorities": str(bank.authorities),
            "authority_sha256": bank.sha256,
        }
        kiosk.configure(claim=claim)
        yield kiosk


@pytest.fixture
def claimed(bank, kiosk):
    """The same with its certificate."""
    claim = Claim(kiosk, bank).shown()
    until(lambda: claim.id in bank.do("claims").stdout)
    approved = bank.approve(claim)
    assert approved.returncode == 0, approved.stderr
    assert claim.ends() == 0
    return kiosk


def is_connected(kiosk: Daemon) -> bool:
    return kiosk.metric(CONNECTED) == 1


# The claim.


def test_kiosk_claims_its_certificate_over_mqtt_and_delivers(bank, kiosk, new_paper):
    claim = Claim(kiosk, bank).shown()
    until(lambda: claim.id in bank.do("claims").stdout)
    [line] = [line for line in bank.do("claims").stdout.splitlines() if claim.id in line]
    assert claim.fingerprint in line and "file" in line
    with bank.client("admin") as admin:
        admin.listens("cic/v1/_claim/#")
        until(lambda: f"cic/v1/_claim/{claim.id}/request" in admin.heard)
        document = json.loads(admin.heard[f"cic/v1/_claim/{claim.id}/request"])
        assert "PRIVATE" not in json.dumps(document) and document["csr"].startswith("-----BEGIN CERTIFICATE REQUEST")
        # Nobody is approved whom the technician does not see.
        wrong = bank.approve(claim, fingerprint="0000-0000-0000-0000")
        assert wrong.returncode == 1 and "nothing was signed" in wrong.stderr
        assert bank.approve(claim).returncode == 0
        assert claim.ends() == 0
        # What it asked for is cleared.
        until(lambda: admin.heard[f"cic/v1/_claim/{claim.id}/request"] == b"")
    key = kiosk.credentials / "mqtt-key"
    assert key.stat().st_mode & 0o777 == 0o600
    kiosk.start()
    until(lambda: is_connected(kiosk))
    kiosk.scan(new_paper())
    until(lambda: not kiosk.waiting())
    assert 88 <= kiosk.metric("cic_mqtt_certificate_days") <= 90
    again = Claim(kiosk, bank)
    assert again.ends() == 0


def test_kiosk_claims_its_certificate_by_a_stick(bank, kiosk, tmp_path):
    stick = tmp_path / "stick"
    stick.mkdir()
    kiosk.configure(mqtt={"broker": f"mqtts://localhost:{bank.port}"})
    claim = Claim(kiosk, bank, "--usb", stick).shown()
    assert claim.ends() == 1
    request = stick / f"{claim.id}.csr"
    names = ["--branch", "hn-01", "--kiosk", "kiosk-9", "--dir", bank.dir]
    assert run("authority", "sign", request, "1111-1111-1111-1111", *names).returncode == 1
    signed = run("authority", "sign", request, claim.fingerprint, *names)
    assert signed.returncode == 0, signed.stderr
    assert Claim(kiosk, bank, "--usb", stick).ends() == 0
    kiosk.start()
    until(lambda: is_connected(kiosk))


def test_openssl_signs_a_kiosks_request_too(bank, kiosk, tmp_path):
    stick = tmp_path / "stick"
    stick.mkdir()
    kiosk.configure(mqtt={"broker": f"mqtts://localhost:{bank.port}"})
    claim = Claim(kiosk, bank, "--usb", stick).shown()
    assert claim.ends() == 1
    text = (ROOT / "docs/provisioning.md").read_text(encoding="utf-8")
    [command] = re.findall(r"^openssl x509 -req (?:.*\\\n)*.*$", text, re.M)
    extensions = re.search(r"^cat > kiosk.ext <<END\n(.*?)^END$", text, re.M | re.S)[1]
    (stick / "kiosk.ext").write_text(extensions, encoding="utf-8")
    command = command.replace("ID", claim.id).replace("ca.pem", f"{bank.dir}/authority.pem").replace("ca.key", f"{bank.dir}/authority.key")
    command = command.replace("BRANCH", "hn-01").replace("KIOSK", "kiosk-7")
    subprocess.run(["bash", "-ec", command], cwd=stick, check=True, capture_output=True, timeout=PATIENCE)
    assert Claim(kiosk, bank, "--usb", stick).ends() == 0
    assert 'id = "kiosk-7"' in (kiosk.folder / "config.d/60-claim.toml").read_text(encoding="utf-8")


def test_claim_goes_on_after_power_cuts_with_the_same_key(bank, kiosk):
    dice = random.Random(SEED)
    seen = set()
    for _ in range(12):
        claim = Claim(kiosk, bank)
        time.sleep(dice.uniform(0.0, 0.25))
        claim.kill()
        seen |= set(re.findall(r"fingerprint  (\S+)", claim.process.stdout.read()))
    claim = Claim(kiosk, bank).shown()
    assert seen <= {claim.fingerprint}
    until(lambda: claim.id in bank.do("claims").stdout)
    assert bank.approve(claim).returncode == 0
    assert claim.ends() == 0
    # Each step ends with a file in its place: as if the power had been cut before the last ones of them.
    steps = [kiosk.folder / it for it in ("authority.pem", "kiosk.pem", "config.d/60-claim.toml", "claimed")]
    for first in reversed(range(len(steps))):
        for step in steps[first:]:
            step.unlink()
        if steps[0].exists():
            (kiosk.folder / "kiosk.pem.new").write_text("half of", encoding="utf-8")
        assert Claim(kiosk, bank).ends() == 0
        assert all(step.exists() for step in steps)
    kiosk.start()
    until(lambda: is_connected(kiosk))


def test_claim_goes_on_when_the_broker_comes_back(bank, kiosk):
    bank.stop()
    claim = Claim(kiosk, bank).shown()
    until(lambda: "no certificate yet" in kiosk.said())
    bank.start()
    until(lambda: claim.id in bank.do("claims").stdout)
    assert bank.approve(claim).returncode == 0
    assert claim.ends() == 0


def test_claim_takes_nothing_of_strangers_and_waits_on(bank, kiosk, tmp_path):
    claim = Claim(kiosk, bank).shown()
    until(lambda: claim.id in bank.do("claims").stdout)
    stranger = Bank.__new__(Bank)
    stranger.dir, stranger.folder = tmp_path / "stranger", bank.folder
    assert run("authority", "init", "--dir", stranger.dir).returncode == 0
    key = serialization.load_pem_private_key((kiosk.credentials / "mqtt-key").read_bytes(), None)
    wrong = {
        "lead to the authority": bank.certify("hn-01/kiosk-1", "w1", key, issuer=stranger),
        "another key": bank.certify("hn-01/kiosk-1", "w2", ec.generate_private_key(ec.SECP256R1())),
        "another name": bank.certify("hn-01", "w3", key),
        "time is over": bank.certify("hn-01/kiosk-1", "w4", key, days=(-9, -1)),
    }
    with bank.client("admin") as admin:
        for words, certificate in wrong.items():
            verdict = {"status": "issued", "chain": certificate.read_text(encoding="utf-8")}
            assert not asyncapi_mistake("verdict", verdict)
            assert admin.writes(f"cic/v1/_claim/{claim.id}/certificate", json.dumps(verdict))
            until(lambda words=words: words in kiosk.said())
        admin.writes(f"cic/v1/_claim/{claim.id}/certificate", b"\xff{")
    assert claim.process.poll() is None and not (kiosk.folder / "kiosk.pem").exists()
    assert bank.approve(claim).returncode == 0
    assert claim.ends() == 0


def test_claim_that_is_denied_ends(bank, kiosk):
    claim = Claim(kiosk, bank).shown()
    until(lambda: claim.id in bank.do("claims").stdout)
    assert bank.do("deny", claim.id).returncode == 0
    assert claim.ends() == 1 and "denied" in kiosk.said()
    assert claim.id not in bank.do("claims").stdout


def test_claim_with_a_broker_that_nobody_vouches_for_says_nothing(bank, kiosk, tmp_path):
    trustme.CA().cert_pem.write_to_path(tmp_path / "other.pem")
    kiosk.configure(claim={"authorities": str(tmp_path / "other.pem")})
    claim = Claim(kiosk, bank).shown()
    until(lambda: "no secure connection" in kiosk.said())
    assert claim.id not in bank.do("claims").stdout
    claim.kill()


@pytest.mark.skipif(not shutil.which("systemd-creds") or os.geteuid() != 0, reason="only root seals credentials")
def test_key_is_sealed_by_systemd_and_opens_here(bank, kiosk, tmp_path):
    root = tmp_path / "root"
    del kiosk.settings["kiosk"]["credentials"]
    kiosk.configure()
    claim = Claim(kiosk, bank, "--root", root).shown()
    assert claim.kept in ("host", "tpm2")
    sealed = root / "etc/credstore.encrypted/cic-kiosk.mqtt-key"
    assert sealed.stat().st_mode & 0o777 == 0o600 and b"PRIVATE" not in sealed.read_bytes()
    drop_in = root / "etc/systemd/system/cic-kiosk.service.d/60-claim.conf"
    assert "LoadCredentialEncrypted=mqtt-key:cic-kiosk.mqtt-key\n" in drop_in.read_text(encoding="utf-8")
    opened = subprocess.run(["systemd-creds", "decrypt", "--name", "mqtt-key", sealed, "-"], capture_output=True, check=True)
    assert opened.stdout.startswith(b"-----BEGIN PRIVATE KEY-----")
    assert not (root / "etc/credstore").exists()
    claim.kill()
    again = Claim(kiosk, bank, "--root", root).shown()
    assert again.fingerprint == claim.fingerprint
    again.kill()


# The renewal.


def shorten(bank: Bank, kiosk: Daemon, days: tuple[float, float]) -> str:
    """The kiosk's certificate is one with these days, which the office has issued; its serial number."""
    key = serialization.load_pem_private_key((kiosk.credentials / "mqtt-key").read_bytes(), None)
    short = bank.certify("hn-01/kiosk-1", "short", key, days=days)
    shutil.copy(short, kiosk.folder / "kiosk.pem")
    index = json.loads((bank.dir / "index.json").read_text(encoding="utf-8"))
    serial = x509.load_pem_x509_certificate(short.read_bytes()).serial_number
    text = f"{serial:x}"
    text = text.zfill(len(text) + len(text) % 2)
    # DER has another byte before what would be a negative number.
    index["entries"][-1]["serial"] = f"00{text}" if int(text[0], 16) >= 8 else text
    (bank.dir / "index.json").write_text(json.dumps(index), encoding="utf-8")
    return index["entries"][-1]["serial"]


def test_certificate_is_renewed_before_its_end_and_used(bank, claimed):
    serial = shorten(bank, claimed, (-100, 5))
    claimed.start()
    until(lambda: is_connected(claimed))
    until(lambda: claimed.metric("cic_mqtt_certificate_days") in (4, 5))
    with bank.client("admin") as admin:
        admin.listens("cic/v1/hn-01/kiosk-1/#")
        asked = "cic/v1/hn-01/kiosk-1/certificate/request"
        until(lambda: asked in admin.heard)
        message = json.loads(admin.heard[asked])
        assert message["replaces"] == serial and not asyncapi.mistake("certificate/request", message)
        issued = bank.do("renew", "--dir", bank.dir)
        assert issued.returncode == 0 and "hn-01/kiosk-1: issued" in issued.stdout, issued
        until(lambda: claimed.metric("cic_mqtt_certificate_days") >= 88)
        until(lambda: admin.heard[asked] == b"")
        until(lambda: "cic/v1/hn-01/kiosk-1/certificate/issued" in admin.heard)
        said = json.loads(admin.heard["cic/v1/hn-01/kiosk-1/certificate/issued"])
        assert not asyncapi.mistake("certificate/issued", said)
    renewed = claimed.state / "certificate.pem"
    assert renewed.stat().st_mode & 0o777 == 0o600 and not (claimed.state / "certificate.trial").exists()
    # It is what counts from now on: the old one could be over.
    assert claimed.stop() == 0
    shorten(bank, claimed, (-100, -1))
    claimed.start()
    until(lambda: is_connected(claimed))


def test_certificate_that_is_not_the_kiosks_is_refused_and_the_old_one_stays(bank, claimed):
    claimed.start()
    until(lambda: is_connected(claimed))
    key = serialization.load_pem_private_key((claimed.credentials / "mqtt-key").read_bytes(), None)
    wrong = [
        bank.certify("hn-01/kiosk-1", "v1", ec.generate_private_key(ec.SECP256R1()), days=(-1, 400)),
        bank.certify("hn-01/kiosk-2", "v2", key, days=(-1, 400)),
    ]
    with bank.client("admin") as admin:
        for number, certificate in enumerate(wrong, 1):
            said = json.dumps({"chain": certificate.read_text(encoding="utf-8")})
            assert admin.writes("cic/v1/hn-01/kiosk-1/certificate/issued", said, retain=True)
            until(lambda number=number: claimed.metric("cic_anomalies_total", kind="certificates_refused") == number)
        admin.writes("cic/v1/hn-01/kiosk-1/certificate/issued", b"", retain=True)
    assert not (claimed.state / "certificate.pem").exists()
    assert is_connected(claimed)


def test_certificate_that_is_over_is_told_with_what_to_do(bank, claimed):
    shorten(bank, claimed, (-100, -1))
    claimed.start()
    until(lambda: (claimed.metric("cic_mqtt_certificate_days") or 0) < 0)
    assert not is_connected(claimed)
    checks = {row["check"]: row for row in json.loads(claimed.command("doctor", "--json").stdout)["checks"]}
    assert checks["mqtt-certificate"]["status"] == "fault" and "ended on" in checks["mqtt-certificate"]["found"]


# The broker's rules.


class Attempt(NamedTuple):
    """Somebody tries to write, or to read."""

    who: str
    verb: str
    topic: str
    may: bool


A, B = "hn-01/k1", "hn-01/k2"

OWN = [
    Attempt(A, "write", f"cic/v1/{A}/{topic}", True)
    for topic in (f"result/{ULID}", "presence", "telemetry", "config/reported", "certificate/request", f"command/anna/{ULID}", f"command/anna/{ULID}/part/0")
] + [
    Attempt(A, "read", topic, True)
    for topic in (
        f"cic/v1/{A}/config/desired",
        "cic/v1/hn-01/_all/config/desired",
        "cic/v1/_all/_all/config/desired",
        f"cic/v1/{A}/command/anna/{ULID}",
        f"cic/v1/{A}/certificate/issued",
        "cic/v1/_all/_all/package/ab12/0",
    )
]

OTHERS = [
    Attempt(A, verb, f"cic/v1/{B}/{topic}", False)
    for verb in ("read", "write")
    for topic in (f"result/{ULID}", "presence", "telemetry", "config/reported", "config/desired", "certificate/request", "certificate/issued", f"command/anna/{ULID}", f"command/anna/{ULID}/part/0")
]

HOSTILE = [
    *OTHERS,
    # What is for all, and what others believe of it.
    Attempt(A, "write", f"cic/v1/{A}/config/desired", False),
    Attempt(A, "write", f"cic/v1/{A}/certificate/issued", False),
    Attempt(A, "write", "cic/v1/hn-01/_all/config/desired", False),
    Attempt(A, "write", "cic/v1/_all/_all/config/desired", False),
    Attempt(A, "write", "cic/v1/_all/_all/package/ab12/0", False),
    Attempt(A, "write", f"cic/v1/_claim/{CLAIMER}/request", False),
    Attempt(A, "write", f"cic/v1/_claim/{CLAIMER}/certificate", False),
    Attempt(A, "read", f"cic/v1/_claim/{CLAIMER}/request", False),
    Attempt(A, "read", f"cic/v1/_claim/{CLAIMER}/certificate", False),
    Attempt(A, "write", "cic/v1/_queue/w1/state", False),
    Attempt(A, "read", "cic/v1/_queue/w1/state", False),
    Attempt(A, "write", "elsewhere", False),
    # An operator in another's name, or with a kiosk's rights.
    Attempt("anna", "write", f"cic/v1/{A}/command/anna/{ULID}", True),
    Attempt("anna", "read", f"cic/v1/{A}/command/anna/{ULID}", True),
    Attempt("anna", "read", f"cic/v1/{A}/command/anna/{ULID}/part/0", True),
    Attempt("anna", "write", f"cic/v1/{A}/command/bao/{ULID}", False),
    Attempt("anna", "read", f"cic/v1/{A}/command/bao/{ULID}", False),
    Attempt("anna", "read", f"cic/v1/{A}/result/{ULID}", False),
    Attempt("anna", "write", f"cic/v1/{A}/presence", False),
    Attempt("anna", "write", f"cic/v1/{A}/config/desired", False),
    # Names that would be wildcards in the rules.
    Attempt("+/+", "write", f"cic/v1/{B}/presence", False),
    Attempt("+/+", "read", f"cic/v1/{B}/config/desired", False),
    Attempt("#", "read", f"cic/v1/{B}/result/{ULID}", False),
    # Offices have what they need.
    Attempt("authority", "write", f"cic/v1/{A}/certificate/issued", True),
    Attempt("authority", "read", f"cic/v1/{A}/result/{ULID}", False),
    Attempt("archive", "read", f"cic/v1/{A}/result/{ULID}", True),
    Attempt("archive", "write", f"cic/v1/{A}/result/{ULID}", False),
    Attempt("fleet", "write", f"cic/v1/{A}/config/desired", True),
    Attempt("fleet", "read", f"cic/v1/{A}/telemetry", True),
    Attempt("fleet", "read", f"cic/v1/{A}/result/{ULID}", False),
    Attempt("packages", "write", "cic/v1/_all/_all/package/ab12/0", True),
    Attempt("queue", "write", "cic/v1/_queue/w1/state", True),
]

CLAIMS = [
    Attempt(CLAIMER, "write", f"cic/v1/_claim/{CLAIMER}/request", True),
    Attempt(CLAIMER, "read", f"cic/v1/_claim/{CLAIMER}/certificate", True),
    Attempt(CLAIMER, "write", f"cic/v1/_claim/{CLAIMER}/certificate", False),
    Attempt(CLAIMER, "write", "cic/v1/_claim/key-of-another/request", False),
    Attempt(CLAIMER, "read", "cic/v1/_claim/key-of-another/certificate", False),
    Attempt(CLAIMER, "read", "cic/v1/_claim/key-of-another/request", False),
    Attempt(CLAIMER, "write", f"cic/v1/{A}/presence", False),
    # The user that all share: it can ask in others' names, and no more.
    Attempt("claim", "write", "cic/v1/_claim/key-of-another/request", True),
    Attempt("claim", "write", "cic/v1/_claim/key-of-another/certificate", False),
    Attempt("claim", "read", "cic/v1/_claim/key-of-another/request", False),
    Attempt("claim", "read", f"cic/v1/{A}/config/desired", False),
    Attempt("claim", "write", f"cic/v1/{A}/certificate/request", False),
]

ALL = [*OWN, *HOSTILE, *CLAIMS]

# EMQX's words.
EMQX = {"read": "subscribe", "write": "publish"}


@pytest.fixture(scope="module")
def emqx_rules():
    return emqx.consult(RULES / "emqx-acl.conf")


@pytest.mark.parametrize("who", sorted({attempt.who for attempt in ALL}))
def test_everybody_at_mosquitto_can_do_what_the_rules_say_and_nothing_else(bank, emqx_rules, who):
    mine = [attempt for attempt in ALL if attempt.who == who]
    if who in (CLAIMER, "claim"):
        client = Client(bank, bank.claim_port, who, password=PASSWORD)
    else:
        client = bank.client(who)
    with bank.client("admin") as admin, client as somebody:
        # Of everything there is one message, which whoever may read it gets: with its own topic, and with wildcards.
        everything = {attempt.topic for attempt in ALL}
        for topic in everything:
            assert admin.writes(topic, b"{}", retain=True)
        somebody.listens("#", "cic/v1/#", "cic/v1/+/+/command/#", *everything)
        readable = {it.topic for it in mine if it.verb == "read" and it.may}
        until(lambda: readable <= somebody.heard.keys())
        # Whatever else was sent to it came before the answer to this.
        somebody.listens("cic/v1/nothing")
        time.sleep(0.2)
        stolen = {it.topic for it in mine if it.verb == "read" and not it.may} & somebody.heard.keys()
        assert stolen == set()
        # EMQX would say the same of all of it.
        reads = {topic for topic in everything if emqx.may(emqx_rules, who, "subscribe", topic)}
        assert everything & somebody.heard.keys() == reads
        taken = {topic for topic in everything if somebody.writes(topic)}
        assert taken == {topic for topic in everything if emqx.may(emqx_rules, who, "publish", topic)}
        for attempt in mine:
            if attempt.verb == "write":
                assert (attempt.topic in taken) == attempt.may, attempt
        for topic in everything:
            admin.writes(topic, b"", retain=True)


def test_rules_for_emqx_say_what_they_should(emqx_rules):
    wrong = [it for it in ALL if emqx.may(emqx_rules, it.who, EMQX[it.verb], it.topic) != it.may]
    assert wrong == []


def test_no_filter_that_emqx_takes_a_subscription_for_gives_more_than_its_topics(emqx_rules):
    """mosquitto decides at each delivery; EMQX once, by the filter."""
    topics = {attempt.topic for attempt in ALL}
    filters = set()
    for topic in topics:
        words = topic.split("/")
        for wild in itertools.product((False, True), repeat=len(words)):
            turned = ["+" if is_wild else word for word, is_wild in zip(words, wild, strict=True)]
            filters.add("/".join(turned))
            filters |= {"/".join([*turned[:length], "#"]) for length in range(len(words))}
    given, too_much = 0, set()
    for who in {attempt.who for attempt in ALL}:
        for one in filters:
            if emqx.may(emqx_rules, who, "subscribe", one):
                got = {topic for topic in topics if mqtt.topic_matches_sub(one, topic)}
                given += len(got)
                too_much |= {(who, topic) for topic in got if not emqx.may(emqx_rules, who, "subscribe", topic)}
    assert given > 100
    # A kiosk could hear what it says itself.
    assert too_much == {(A, f"cic/v1/{A}/command/anna/{ULID}/part/0")}


def test_shared_user_that_asks_in_another_kiosks_name_gets_nothing_signed(bank, kiosk):
    claim = Claim(kiosk, bank).shown()
    until(lambda: claim.id in bank.do("claims").stdout)
    thief = bank.folder / "thief"
    thief.mkdir(exist_ok=True)
    subprocess.run(["openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", thief / "key", "-out", thief / "csr", "-subj", "/CN=x"], check=True, capture_output=True)
    said = {"at": "2026-03-02T08:00:00Z", "version": "0", "key": "tpm2", "csr": (thief / "csr").read_text(encoding="utf-8")}
    with Client(bank, bank.claim_port, "claim", password=PASSWORD) as somebody:
        assert somebody.writes(f"cic/v1/_claim/{claim.id}/request", json.dumps(said), retain=True)
    refused = bank.approve(claim)
    assert refused.returncode == 1 and "somebody else asks in its name" in refused.stderr
    claim.kill()


def test_revoked_kiosk_is_let_in_no_more(bank, claimed):
    claimed.start()
    until(lambda: is_connected(claimed))
    revoked = run("authority", "revoke", "hn-01", "kiosk-1", "--dir", bank.dir)
    assert revoked.returncode == 0, revoked.stderr
    shutil.copy(bank.dir / "crl.pem", bank.folder)
    bank.restart()
    until(lambda: not is_connected(claimed))
    until(lambda: "CertificateRevoked" in claimed.said())
    assert not is_connected(claimed)
    # Others are.
    with bank.client("hn-01/k3") as other:
        assert other.writes("cic/v1/hn-01/k3/presence")
    listed = run("authority", "list", "--dir", bank.dir)
    assert "revoked" in listed.stdout


def asyncapi_mistake(name: str, message: object) -> str | None:
    """What docs/asyncapi.yaml has against this message, by its name there."""
    document = asyncapi._document()
    payload = document["components"]["messages"][name]["payload"]
    validator = asyncapi.Draft7Validator({**payload, "components": document["components"]})
    error = next(validator.iter_errors(message), None)
    return error and error.message
