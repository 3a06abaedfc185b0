"""The two ways to a board's program, scripts/aarch64.sh and cross, and what is packed of it, stay in step.

cross needs a container engine and the network, so it is not run here: what it would do differently is looked for.
"""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TARGET = "aarch64-unknown-linux-gnu"

# What cross's image has by itself, by the names of setup.sh.
OF_THE_IMAGE = {"gcc", "libc6-dev", "gcc-aarch64-linux-gnu", "libc6-dev-arm64-cross"}


def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def toml(name: str) -> dict:
    return tomllib.loads(text(name))


def function(script: str, name: str) -> str:
    """The body of a shell function."""
    return re.search(rf"^{name}\(\) {{\n(.*?)^}}", text(script), re.M | re.S)[1]


def wanted(part: str) -> set[str]:
    """The Debian packages of a part of setup.sh."""
    lines = re.findall(r"^\s*want (.+?) -- ", function("scripts/setup.sh", part), re.M)
    assert lines, part
    return {package for line in lines for package in line.split()}


def cross() -> dict:
    [(target, settings)] = toml("Cross.toml")["target"].items()
    assert target == TARGET
    return settings


def test_cross_finds_its_configuration_under_both_names():
    assert (ROOT / "cross.toml").readlink() == Path("Cross.toml")


def test_cross_installs_what_setup_installs_and_its_image_lacks():
    [command] = cross()["pre-build"]
    installed = command.partition(" install ")[2].split()
    packages = {word for word in installed if not word.startswith("-")}
    assert packages == (wanted("build") | wanted("aarch64")) - OF_THE_IMAGE


def test_both_ways_give_cargo_the_same_arguments():
    told = re.search(r"`cross (build .*?)`", text("Cross.toml"))[1]
    done = re.search(r"^cargo (build .*)$", text("scripts/aarch64.sh"), re.M)[1]
    assert done.replace('"$target"', TARGET) == told


def test_the_script_gives_the_compiler_nothing_that_cross_does_not_pass_on():
    exported = set(re.findall(r"\bexport (\w+)", text("scripts/aarch64.sh")))
    assert exported - {"RUSTC"} == set(cross().get("env", {}).get("passthrough", []))


def test_every_script_names_the_same_target():
    assert f"\ntarget={TARGET}\n" in text("scripts/aarch64.sh")
    assert f"\nBOARD={TARGET}\n" in text("scripts/setup.sh")
    assert f"(--target {TARGET})" in text("scripts/deb.sh")
    assert list(toml(".cargo/config.toml")["target"]) == [TARGET]


def test_the_linker_is_the_one_that_setup_installs():
    linker = toml(".cargo/config.toml")["target"][TARGET]["linker"]
    assert f"-- {linker} --version" in function("scripts/setup.sh", "aarch64")


def test_jemalloc_is_built_for_the_largest_pages_of_any_board():
    """64 KiB; the build script of tikv-jemalloc-sys reads the variable under the target's name first."""
    name = f"{TARGET.upper().replace('-', '_')}_JEMALLOC_SYS_WITH_LG_PAGE"
    assert toml(".cargo/config.toml")["env"][name] == "16"


def test_no_way_chooses_other_features():
    """A board has the program as everybody has it: with Cargo.toml's default."""
    assert toml("Cargo.toml")["features"]["default"] == ["program"]
    for name in "scripts/aarch64.sh", "scripts/deb.sh", "Cross.toml", ".cargo/config.toml":
        assert "features" not in text(name), name
    assert not {"features", "default-features", "profile"} & toml("Cargo.toml")["package"]["metadata"]["deb"].keys()


def test_the_package_has_the_programs_version():
    package = toml("Cargo.toml")["package"]
    assert text("packaging/debian/changelog").startswith(f"cic-kiosk ({package['version']}-1) ")
