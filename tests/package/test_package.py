"""The Debian packages that scripts/deb.sh made, each looked at as dpkg, a board and Debian's own judge would."""

import hashlib
import re
import stat
import subprocess
import tarfile
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
VERSION = tomllib.loads((ROOT / "Cargo.toml").read_text())["package"]["version"]

# Bytes. That for x86-64 has what an office needs, too.
MOST_PROGRAM = {"amd64": 28_000_000, "arm64": 22_100_000}
# What a library that is asked for by this name comes in.
PACKAGES = {
    "libc.so.6": "libc6",
    "libm.so.6": "libc6",
    "libdl.so.2": "libc6",
    "librt.so.1": "libc6",
    "libpthread.so.0": "libc6",
    "ld-linux-aarch64.so.1": "libc6",
    "ld-linux-x86-64.so.2": "libc6",
    "libgcc_s.so.1": "libgcc-s1",
    "libstdc++.so.6": "libstdc++6",
}
PROGRAMS = {"./usr/bin/cic-kiosk", "./usr/lib/cic-kiosk/confirm"}
MACHINES = {"amd64": "Advanced Micro Devices X86-64", "arm64": "AArch64"}
DEBIAN_12 = 2, 36


def run(*command: object) -> str:
    result = subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, f"{result.stdout}{result.stderr}"
    return result.stdout


class Package:
    def __init__(self, architecture: str, folder: Path):
        self.architecture, self.root, self.control = architecture, folder / "root", folder / "control"
        self.file = ROOT / f"target/debian/cic-kiosk_{VERSION}-1_{architecture}.deb"
        run("dpkg-deb", "--extract", self.file, self.root)
        run("dpkg-deb", "--control", self.file, self.control)
        listing = folder / "files.tar"
        listing.write_bytes(subprocess.run(["dpkg-deb", "--fsys-tarfile", self.file], capture_output=True).stdout)
        with tarfile.open(listing) as archive:
            self.members = archive.getmembers()

    def field(self, name: str) -> str:
        return run("dpkg-deb", "--field", self.file, name).strip()

    def depends(self) -> dict[str, str]:
        """Package to the oldest version that will do."""
        found = re.findall(r"([^ ,]+)(?: \(>= ([^)]+)\))?", self.field("Depends"))
        return dict(found)

    @property
    def program(self) -> Path:
        return self.root / "usr/bin/cic-kiosk"

    @property
    def binaries(self) -> list[Path]:
        return [self.program, self.root / "usr/lib/cic-kiosk/libonnxruntime.so"]


@pytest.fixture(scope="module", params=MACHINES)
def package(request, tmp_path_factory):
    return Package(request.param, tmp_path_factory.mktemp(request.param))


def test_it_is_for_its_architecture(package):
    assert package.field("Architecture") == package.architecture
    for binary in package.binaries:
        assert f"Machine:                           {MACHINES[package.architecture]}\n" in run("readelf", "-h", binary)


def test_it_has_what_a_kiosk_needs_at_the_places_that_the_configuration_names(package):
    config = tomllib.loads((package.root / "etc/cic-kiosk/config.toml").read_text())
    for key in "models", "onnxruntime":
        assert (package.root / config["reading"][key].lstrip("/")).exists(), key
    for unit in "cic-kiosk.service", "cic-kiosk-worker.socket", "cic-kiosk-worker@.service", "cic-kiosk-reboot.path", "cic-kiosk-confirm.service":
        assert (package.root / "usr/lib/systemd/system" / unit).exists(), unit
    for folder in "sysusers.d", "tmpfiles.d", "systemd/journald.conf.d":
        assert (package.root / "usr/lib" / folder / "cic-kiosk.conf").exists(), folder


def test_its_units_start_its_own_programs(package):
    units = list((package.root / "usr/lib/systemd/system").glob("*.service"))
    assert units
    for unit in units:
        for program in re.findall(r"^Exec\w+=[-+!:@]*(\S+)", unit.read_text(), re.M):
            assert "cic-kiosk" not in program or (package.root / program.lstrip("/")).exists(), program


def test_its_screen_is_left_to_whoever_has_one_and_binds_no_other_browser(package):
    unit = (package.root / "usr/lib/systemd/system/cic-kiosk-screen.service").read_text()
    for path in re.findall(r"/usr/share/cic-kiosk/[\w./-]+\.json", unit):
        assert (package.root / path[1:]).exists(), path
    assert (package.root / "usr/lib/sysusers.d/cic-kiosk-screen.conf").exists()
    assert not (package.root / "etc/chromium").exists()
    script = (package.control / "postinst").read_text()
    assert "cic-kiosk-screen.conf" in script, "its user is not made"
    # Debian's words for: it stays as the place has it, and that is off at first.
    assert "debian-installed cic-kiosk-screen.service" in script
    assert {"cage", "chromium", "seatd"} <= set(package.field("Suggests").split(", "))


def test_its_models_are_those_of_the_manifest(package):
    folder = package.root / "usr/share/cic-kiosk/models"
    manifest = (folder / "manifest.toml").read_text()
    models = sorted(folder.glob("*.onnx"))
    assert len(models) == 4
    for model in models:
        assert hashlib.sha256(model.read_bytes()).hexdigest() in manifest, model.name
    assert sorted(path.suffix for path in (folder / "golden").iterdir()) == [".json", ".pdf"]


def test_everything_is_roots_and_written_by_nobody_else(package):
    assert package.members
    for member in package.members:
        expected = 0o755 if member.isdir() or member.name in PROGRAMS else 0o644
        assert stat.S_IMODE(member.mode) == expected, member.name
        assert (member.uid, member.gid) == (0, 0), member.name
        assert member.isdir() or member.isfile(), member.name


def test_it_keeps_the_configuration_of_the_place_and_nothing_else(package):
    assert (package.control / "conffiles").read_text().split() == ["/etc/cic-kiosk/config.toml"]


def test_a_purge_ends_the_state_and_a_removal_does_not(package, tmp_path):
    """With what it deletes put elsewhere: the script itself is run."""
    state = tmp_path / "cic-kiosk"
    script = (package.control / "postrm").read_text()
    for word, remains in ("remove", True), ("upgrade", True), ("purge", False):
        state.mkdir(exist_ok=True)
        # Without systemd's helpers, as on a system from which they went first.
        command = script.replace("/var/lib/", f"{tmp_path}/").replace("/usr/bin/deb-systemd-helper", "/none")
        run("sh", "-c", command.replace("/run/systemd/system", "/none"), "postrm", word)
        assert state.exists() == remains, word


def test_it_depends_on_every_library_that_its_binaries_ask_for(package):
    depends = package.depends()
    for binary in package.binaries:
        needed = re.findall(r"\(NEEDED\).*\[(.+)\]", run("readelf", "-d", binary))
        assert {PACKAGES[library] for library in needed} <= depends.keys(), binary.name


def test_it_runs_with_the_c_library_that_it_depends_on_and_with_debian_12s(package):
    def version(words: str) -> tuple[int, ...]:
        return tuple(int(word) for word in words.split("."))

    used = [version(one) for binary in package.binaries for one in re.findall(r"\bGLIBC_([\d.]+)", run("readelf", "-V", binary))]
    assert max(used) <= version(package.depends()["libc6"]) <= DEBIAN_12


def test_its_program_is_small_and_has_no_symbols(package):
    assert package.program.stat().st_size <= MOST_PROGRAM[package.architecture]
    for binary in package.binaries:
        assert ".symtab" not in run("readelf", "-S", "-W", binary), binary.name


def test_its_program_runs_and_takes_its_configuration(package):
    # The emulator finds a board's C library where the cross compiler has it.
    emulator = ["qemu-aarch64-static", "-L", "/usr/aarch64-linux-gnu"] if package.architecture == "arm64" else []
    assert VERSION in run(*emulator, package.program, "--version")
    run(*emulator, package.program, "config", "check", "--config", package.root / "etc/cic-kiosk/config.toml")


def test_jemalloc_of_a_board_works_on_pages_of_64_kib():
    """As its build script told `configure`."""
    outputs = (ROOT / "target/aarch64-unknown-linux-gnu/release/build").glob("tikv-jemalloc-sys-*/output")
    newest = max(outputs, key=lambda output: output.stat().st_mtime)
    assert "--with-lg-page=16" in newest.read_text(errors="replace")


def test_debians_judge_finds_no_error(package):
    run("lintian", "--fail-on", "error", "--tag-display-limit", "0", package.file)
