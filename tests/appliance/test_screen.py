"""The screen's unit, booted: compositor and browser start with nothing to draw on but memory, and nothing gets out."""

import re
import shutil
import time
from pathlib import Path
from urllib.parse import unquote

import pytest

from kiosk import run, until
from machine import UNITS, place
from test_units import judged

UNIT = "cic-kiosk-screen.service"
SYSTEM = "usr/lib/systemd/system"
# More than the service's: a browser makes code on the way, and has display and touch.
EXPOSURE = 25

# A display that is memory, in place of a card and of seatd; it stands upright.
HEADLESS = """[Service]
Environment=WLR_BACKENDS=headless WLR_LIBINPUT_NO_DEVICES=1 WLR_RENDERER=pixman CIC_KIOSK_TURN=-r
"""


def wpe() -> str:
    """The example, with a display that is memory."""
    text = (UNITS / "examples/screen-wpe.conf").read_text(encoding="utf-8")
    assert "--platform=drm" in text
    return text.replace("--platform=drm", "--platform=headless")


@pytest.fixture(scope="module")
def machine(new_machine):
    machine = new_machine("screen")
    # In the place of the service, pages that try what they can.
    probe = Path(__file__).with_name("screen_probe.py").read_text(encoding="utf-8")
    place(machine.root, "usr/share/cic-kiosk/screen_probe.py", probe)
    service = "[Service]\nExecStart=/usr/bin/python3 -I /usr/share/cic-kiosk/screen_probe.py\n"
    place(machine.root, f"{SYSTEM}/cic-kiosk.service", service)
    place(machine.root, f"{SYSTEM}/seatd.service", "[Service]\nExecStart=/bin/sleep infinity\n")
    place(machine.root, f"{SYSTEM}/{UNIT}.d/headless.conf", HEADLESS)
    machine.start()
    machine.run("systemctl", "start", "dbus.socket")
    yield machine
    machine.stop()


def asked(machine) -> list[str]:
    """What the pages' places were asked for, in order."""
    return machine.journal("--unit=cic-kiosk.service", "--output=cat").splitlines()


def told(lines: list[str]) -> set[str]:
    """What the page has said of itself."""
    return {unquote(line.split("/told/")[1]) for line in lines if "/told/" in line}


def tried(machine, begun: int = 0) -> list[str]:
    """What was asked for since, once the page has tried everything."""
    until(lambda: "end" in told(asked(machine)[begun:]))
    # It follows a link last.
    time.sleep(2)
    return asked(machine)[begun:]


def test_unit_is_sandboxed_as_far_as_a_browser_bears():
    judgement = judged(UNITS / UNIT)
    found = re.search(r"Overall exposure level for \S+: ([\d.]+)", judgement.stdout)
    assert found and 10 * float(found[1]) <= EXPOSURE, judgement.stdout[-300:]


def test_browser_shows_the_kiosks_pages_and_nothing_else(machine):
    machine.run("systemctl", "start", UNIT)
    seen = tried(machine)
    assert seen[0] == "kiosk /kiosk"
    assert {line.split()[0] for line in seen} == {"kiosk"}, seen
    # It fills the display, and the page cannot make programs.
    assert {"size 720x1280", "wasm undefined"} <= told(seen), told(seen)
    assert any(what.startswith("fetch ") for what in told(seen)), "the internet was reached"


def test_browser_runs_as_its_own_user_in_its_own_sandbox_and_writes_to_no_disk(machine):
    group = machine.property(UNIT, "ControlGroup")
    pids = machine.run("cat", f"/sys/fs/cgroup{group}/cgroup.procs").split()
    users = {machine.run("stat", "--format=%U", f"/proc/{pid}") for pid in pids}
    assert len(pids) > 4 and users == {"cic-kiosk-screen"}, users
    # Chromium's renderers have a user namespace and a filter of system calls of their own.
    names = {pid: machine.run("cat", f"/proc/{pid}/cmdline").replace("\0", " ") for pid in pids}
    renderers = [pid for pid, name in names.items() if "--type=renderer" in name]
    assert renderers and not any("--no-sandbox" in name for name in names.values())
    own = machine.run("readlink", "/proc/1/ns/user")
    assert all(machine.run("readlink", f"/proc/{pid}/ns/user") != own for pid in renderers)
    written = machine.run("find", "/var", "/home", "/root", "-user", "cic-kiosk-screen")
    assert written == "", written


def test_browser_that_dies_comes_back_with_nothing_of_what_was(machine):
    before = machine.property(UNIT, "MainPID")
    begun = len(asked(machine))
    machine.run("kill", "-KILL", before)
    until(lambda: machine.property(UNIT, "MainPID") not in (before, "0"))
    until(lambda: "kiosk /kiosk" in asked(machine)[begun:])
    machine.run("systemctl", "stop", UNIT)
    assert machine.run("ls", "/run/cic-kiosk-screen", ok=2) == ""


def test_screen_waits_for_the_service(machine):
    machine.run("systemctl", "stop", "cic-kiosk.service")
    machine.run("systemctl", "mask", "--runtime", "cic-kiosk.service")
    machine.run("systemctl", "start", "--no-block", UNIT)
    until(lambda: machine.property(UNIT, "ActiveState") == "activating")
    assert machine.property(UNIT, "MainPID") == "0"
    machine.run("systemctl", "unmask", "--runtime", "cic-kiosk.service")
    begun = len(asked(machine))
    machine.run("systemctl", "start", "cic-kiosk.service")
    until(lambda: "kiosk /kiosk" in asked(machine)[begun:])
    machine.run("systemctl", "stop", UNIT)


def test_wpe_shows_the_kiosks_pages_and_nothing_else(machine):
    folder = f"/run/systemd/system/{UNIT}.d"
    machine.run("mkdir", "-p", folder)
    machine.run("tee", f"{folder}/wpe.conf", input=wpe())
    machine.run("systemctl", "daemon-reload")
    machine.run("systemctl", "restart", "cic-kiosk.service")
    begun = len(asked(machine))
    machine.run("systemctl", "start", UNIT)
    seen = tried(machine, begun)
    assert {line.split()[0] for line in seen} == {"kiosk"} and "wasm undefined" in told(seen), seen
    machine.run("systemctl", "stop", UNIT)


@pytest.mark.parametrize("program, listener", [("chromium", "chromium"), ("cog", "WPENetworkProce")])
def test_screen_of_the_real_service_follows_it(new_machine, program, listener):
    """Through its restart, too: the browser is the same, and hears of what happens again."""
    if not shutil.which(program):
        pytest.skip(f"{program} is not installed")
    machine = new_machine(f"following-{program}")
    if program == "cog":
        place(machine.root, f"{SYSTEM}/{UNIT}.d/wpe.conf", wpe())
    place(machine.root, f"{SYSTEM}/seatd.service", "[Service]\nExecStart=/bin/sleep infinity\n")
    place(machine.root, f"{SYSTEM}/{UNIT}.d/headless.conf", HEADLESS)
    shutil.copy(UNITS / "screen/40-screen.toml", machine.root / "etc/cic-kiosk/config.d")
    machine.start()
    machine.run("systemctl", "start", "dbus.socket", "broker.service", UNIT)

    def listens() -> bool:
        """A page keeps its connection for what it is told."""
        seen = machine.run("ss", "--tcp", "--numeric", "--processes", "state", "established", "dport = :8081")
        return listener in seen

    until(listens)
    # The page is there by then; it is what asks again.
    time.sleep(3)
    browser = machine.property(UNIT, "MainPID")
    service = machine.property("cic-kiosk.service", "MainPID")
    machine.run("kill", "-KILL", service)
    until(lambda: machine.property("cic-kiosk.service", "MainPID") not in (service, "0"))
    until(listens)
    assert machine.property(UNIT, "MainPID") == browser
