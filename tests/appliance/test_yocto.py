"""The Yocto layer stays in step with what it builds, and its own scripts do what they promise.

BitBake is not run here: what it says of the layer is in yocto/meta-cic-kiosk/README.md.
"""

import json
import os
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LAYER = ROOT / "yocto/meta-cic-kiosk"
RECIPES = LAYER / "recipes-kiosk"
TOOLS = ROOT / ".cache/yocto/bin"
PROGRAM = Path(os.environ.get("CIC_KIOSK", ROOT / "target/debug/cic-kiosk"))
BOARDS = sorted(ROOT.glob("yocto/kas/*.yml"))


def recipe(name: str) -> tuple[str, str]:
    """The version and the text of a recipe."""
    [path] = RECIPES.glob(f"*/{name}_*.bb")
    return path.stem.removeprefix(f"{name}_"), path.read_text(encoding="utf-8")


def test_every_crate_of_the_lock_file_is_pinned():
    done = subprocess.run([ROOT / "scripts/yocto-crates.py", "--check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_program_has_the_version_of_its_recipe():
    package = tomllib.loads((ROOT / "Cargo.toml").read_text(encoding="utf-8"))["package"]
    assert recipe("cic-kiosk")[0] == package["version"]


def test_the_prebuilt_runtime_is_the_one_that_is_tested():
    pins = (ROOT / "scripts/onnxruntime.txt").read_text(encoding="utf-8")
    version, text = recipe("onnxruntime-prebuilt")
    assert f"onnxruntime=={version} " in pins
    sums = re.findall(r'sha256sum\] = "(\w+)"', text)
    assert sorted(sums) == sorted(re.findall(r"sha256:(\w+)", pins))


def test_all_models_of_the_manifest_are_packed():
    manifest = tomllib.loads((ROOT / "models/manifest.toml").read_text(encoding="utf-8"))
    packed = set(re.findall(r"file://models/(\S+\.onnx)", recipe("cic-kiosk-models")[1]))
    assert packed == {model["file"] for model in manifest["model"]}


def test_what_the_recipe_installs_is_there_and_all_units_are_installed():
    patterns = re.findall(r"\$\{S\}/(systemd/[^\s$]+)", recipe("cic-kiosk")[1])
    found = {pattern: list(ROOT.glob(pattern.removesuffix("/."))) for pattern in patterns}
    assert all(found.values()), found
    installed = {path for paths in found.values() for path in paths}
    units = {path for kind in ("service", "socket", "mount", "timer", "path") for path in ROOT.glob(f"systemd/*.{kind}")}
    assert units and units <= installed


def test_nothing_is_fetched_by_what_it_happens_to_be():
    for path in LAYER.rglob("*.*"):
        text = path.read_text(encoding="utf-8")
        assert "AUTOREV" not in text, path
        assert "PRIVATE KEY" not in text, path
        assert "BEGIN CERTIFICATE---" not in text, path


def test_the_linter_finds_nothing():
    files = [path for suffix in ("bb", "bbappend") for path in LAYER.rglob(f"*.{suffix}")]
    done = subprocess.run(
        [TOOLS / "oelint-adv", *files],
        env={**os.environ, "OELINT_CONFIG": str(ROOT / "yocto/oelint.cfg")},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


VALIDATE = """
import json, pathlib, sys
import jsonschema, kas, yaml
schema = json.loads(pathlib.Path(kas.__file__).with_name("schema-kas.json").read_text())
settings = yaml.safe_load(open(sys.argv[1]))
jsonschema.validate(settings, schema)
print(json.dumps(settings))
"""


@pytest.mark.parametrize("path", BOARDS, ids=lambda path: path.stem)
def test_a_board_is_described_as_kas_wants_it_with_every_layer_by_its_commit(path):
    done = subprocess.run([TOOLS / "python", "-c", VALIDATE, path], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    settings = json.loads(done.stdout)
    for name, repository in settings.get("repos", {}).items():
        assert name == "cic-kiosk" or re.fullmatch("[0-9a-f]{40}", repository["commit"]), name


@pytest.mark.parametrize("script", sorted(LAYER.rglob("*.sh")), ids=lambda path: path.name)
def test_shell_scripts_are_sound(script):
    done = subprocess.run(["shellcheck", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


class Stick:
    """A stick for a kiosk whose root file system is a folder, and an authority that the kiosk knows."""

    def __init__(self, folder: Path):
        self.folder, self.root, self.files = folder, folder / "root", folder / "files"
        (self.root / "etc/cic-kiosk").mkdir(parents=True)
        (self.root / "etc/cic-kiosk/config.toml").write_text('[kiosk]\nbranch = "hn-01"\nid = "kiosk-1"\n')
        (self.files / "config.d").mkdir(parents=True)
        (self.files / "credentials").mkdir()
        (self.files / "config.d/50-branch.toml").write_text('[kiosk]\nid = "kiosk-7"\n')
        (self.files / "credentials/mqtt-password").write_text("correct horse")
        self.authority("known")
        self.authority("stranger")

    def authority(self, name: str):
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "9",
             "-subj", f"/CN={name}", "-addext", "extendedKeyUsage=codeSigning",
             "-keyout", self.folder / f"{name}.key", "-out", self.folder / f"{name}.pem"],
            check=True, capture_output=True,
        )

    def sign(self, by: str = "known"):
        subprocess.run(["tar", "-cf", self.folder / "provision.tar", "-C", self.files, "."], check=True)
        subprocess.run(
            ["openssl", "cms", "-sign", "-nodetach", "-binary", "-outform", "DER", "-signer", self.folder / f"{by}.pem",
             "-inkey", self.folder / f"{by}.key", "-in", self.folder / "provision.tar", "-out", self.folder / "provision.cms"],
            check=True,
        )

    def insert(self) -> subprocess.CompletedProcess:
        runtime = self.folder / "run"
        runtime.mkdir(exist_ok=True)
        done = subprocess.run(
            ["sh", LAYER / "recipes-core/provision/files/cic-kiosk-provision.sh", self.folder],
            env={
                "PATH": f"{PROGRAM.parent}:{os.environ['PATH']}",
                "CIC_KIOSK_ROOT": str(self.root),
                "CIC_KIOSK_AUTHORITY": str(self.folder / "known.pem"),
                "RUNTIME_DIRECTORY": str(runtime),
                "SYSTEMD_CREDENTIAL_SECRET": str(self.folder / "secret"),
            },
            capture_output=True, text=True, timeout=120,
        )
        assert list(runtime.iterdir()) == [], "what was on the stick stays behind"
        assert "correct horse" not in done.stdout + done.stderr
        return done

    def credential(self, name: str) -> bytes:
        path = self.root / f"etc/credstore.encrypted/cic-kiosk.{name}"
        done = subprocess.run(
            ["systemd-creds", "decrypt", f"--name={name}", path, "-"],
            env={**os.environ, "SYSTEMD_CREDENTIAL_SECRET": str(self.folder / "secret")},
            check=True, capture_output=True,
        )
        return done.stdout

    def taken(self) -> set[str]:
        return {str(path.relative_to(self.root)) for path in self.root.rglob("*") if path.is_file()} - {"etc/cic-kiosk/config.toml"}


@pytest.fixture
def stick(tmp_path):
    return Stick(tmp_path)


def test_a_signed_stick_provisions_a_kiosk_and_its_secrets_are_sealed(stick):
    stick.sign()
    done = stick.insert()
    assert done.returncode == 0, done.stderr
    assert (stick.root / "etc/cic-kiosk/config.d/50-branch.toml").read_text() == '[kiosk]\nid = "kiosk-7"\n'
    assert stick.credential("mqtt-password") == b"correct horse"
    assert b"correct horse" not in b"".join(path.read_bytes() for path in stick.root.rglob("*") if path.is_file())
    assert len(stick.credential("outbox-key")) > 16, "a key of its own was not made"


def test_a_stick_that_nobody_known_signed_changes_nothing(stick):
    stick.sign(by="stranger")
    done = stick.insert()
    assert (done.returncode, stick.taken()) == (1, set())
    assert "signed" in done.stderr


def test_a_stick_that_was_changed_after_signing_changes_nothing(stick):
    stick.sign()
    message = stick.folder / "provision.cms"
    message.write_bytes(message.read_bytes().replace(b"kiosk-7", b"kiosk-8"))
    assert (stick.insert().returncode, stick.taken()) == (1, set())


def test_a_stick_with_too_much_on_it_changes_nothing(stick):
    (stick.files / "config.d/60-large.toml").write_bytes(b"#" * (1 << 20))
    stick.sign()
    done = stick.insert()
    assert (done.returncode, stick.taken()) == (1, set())
    assert "1 MiB" in done.stderr


def test_settings_with_a_mistake_can_be_mended_with_another_stick(stick):
    (stick.files / "config.d/50-branch.toml").write_text("[kiosk]\nidd = 7\n")
    stick.sign()
    assert stick.insert().returncode == 1
    (stick.files / "config.d/50-branch.toml").write_text('[kiosk]\nid = "kiosk-7"\n')
    stick.sign()
    assert stick.insert().returncode == 0


def test_a_kiosk_is_provisioned_once(stick):
    stick.sign()
    assert stick.insert().returncode == 0
    (stick.files / "config.d/50-branch.toml").write_text('[kiosk]\nid = "kiosk-8"\n')
    stick.sign()
    assert stick.insert().returncode == 1
    assert "kiosk-7" in (stick.root / "etc/cic-kiosk/config.d/50-branch.toml").read_text()


def test_only_what_belongs_to_the_kiosk_is_taken(stick):
    (stick.files / "sudoers").write_text("ALL")
    (stick.files / "config.d/link.toml").symlink_to("/etc/passwd")
    stick.sign()
    assert stick.insert().returncode == 0
    assert stick.taken() == {
        "etc/cic-kiosk/config.d/50-branch.toml",
        "etc/credstore.encrypted/cic-kiosk.mqtt-password",
        "etc/credstore.encrypted/cic-kiosk.outbox-key",
        "var/lib/cic-kiosk-provision/done",
    }
