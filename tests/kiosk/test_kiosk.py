"""A day of a kiosk: one machine, which goes through all of it in this order."""

import io
import json
import re
import subprocess

import pytest
from PIL import Image

from conftest import LOGS, SECRETS, new_paper, open_branch
from machine import ROOT, until
from secrecy import found

# Pixels of the camera. A page of 150 dpi lies in it with a hand's breadth of table around.
SIZE = (1600, 1920)

CAMERA = {"enabled": True, "device": "platform-vivid.0-video-index0", "looks_per_second": 2, "timeout_seconds": 60}
PANEL = {"chip": "panel", **{line: {"line": line} for line in ("lamp", "button", "light")}}

JPEG = re.compile(rb"stream\r?\n(\xff\xd8.*?)\r?\nendstream", re.S)

# The confinement that the units promise, from 0 to 10.
MOST_EXPOSED = 1.5


def table() -> Image.Image:
    return Image.effect_noise(SIZE, 12).point(lambda level: level // 3 + 20)


def paper_on_table(number: int) -> Image.Image:
    """A page of a committed report, lying a little askew."""
    pages = JPEG.findall((ROOT / "tests/data/reports/scan.pdf").read_bytes())
    # A scanner's white is more than a camera ever sees.
    page = Image.open(io.BytesIO(pages[number])).convert("L").point(lambda level: level * 0.85)
    shape = Image.new("L", page.size, 255)
    page, shape = (picture.rotate(0.7, Image.Resampling.BICUBIC, expand=True) for picture in (page, shape))
    paper = table()
    paper.paste(page, tuple((whole - part) // 2 for whole, part in zip(SIZE, page.size)), shape)
    return paper


@pytest.fixture(scope="module")
def branch(tmp_path_factory):
    with open_branch(
        "day", tmp_path_factory.mktemp("day"), camera=CAMERA, panel=PANEL, capture={"idle_seconds": 20}
    ) as branch:
        kiosk = branch.kiosk
        for name, picture in (("table", table()), ("page-1", paper_on_table(0)), ("page-2", paper_on_table(1))):
            # NV12, which the service prefers: what is grey has no colour in its second half.
            (kiosk.share / name).write_bytes(picture.tobytes() + b"\x80" * (picture.width * picture.height // 2))
        kiosk.start()
        kiosk.wait_until_up()
        kiosk.run("./panel up; ./vivid up {} {} share/table".format(*SIZE))
        yield branch


def show(kiosk, name: str):
    kiosk.run(f"./vivid show share/{name}")


def test_service_is_up_by_itself_in_its_whole_sandbox(branch):
    kiosk = branch.kiosk
    pid = kiosk.run("systemctl show --value --property=MainPID cic-kiosk")
    status = dict(line.split(":\t", 1) for line in kiosk.run(f"cat /proc/{pid}/status").splitlines())
    assert status["Seccomp"] == "2" and status["NoNewPrivs"] == "1"
    assert {int(status[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")} == {0}
    assert kiosk.run(f"stat --format=%U /proc/{pid}") == "cic-kiosk"
    assert kiosk.run("stat --format='%a %U' /var/lib/cic-kiosk") == "700 cic-kiosk"
    for unit in ("cic-kiosk.service", "cic-kiosk-worker@.service"):
        exposure = kiosk.run(f"systemd-analyze --no-pager security {unit} | tail -n 1")
        assert float(re.search(r"level for \S+: ([\d.]+)", exposure)[1]) <= MOST_EXPOSED
    # No unit of the whole machine has failed.
    assert kiosk.run("systemctl --failed --plain --no-legend") == ""


def test_root_is_read_only_and_the_rest_is_on_the_data_partition(branch):
    kiosk = branch.kiosk
    assert kiosk.try_run("touch /usr/bin/x")[0] != 0
    writable = kiosk.run("findmnt --real --noheadings --list --output TARGET --options rw --types ext4").split()
    given = ["/etc/cic-kiosk/config.d", "/etc/credstore", "/etc/credstore.encrypted", "/etc/machine-id"]
    assert sorted(writable) == ["/data", *given, "/var"]


def test_doctor_finds_no_fault(branch):
    kiosk = branch.kiosk
    until(lambda: kiosk.scan_status()["state"] == "ready")
    kiosk.wait_until_connected()

    # Each check has a time that is meant for a board; the first look may take longer here.
    def without_fault() -> list[dict] | None:
        checks = doctor(kiosk)
        return None if "fault" in {check["status"] for check in checks} else checks

    checks = until(without_fault)
    statuses = {check["check"]: check["status"] for check in checks}
    assert statuses["camera"] == statuses["panel"] == statuses["reading"] == statuses["broker-mqtt"] == "ok", statuses
    # What the tests after this one rest upon.
    found = {check["check"]: check["found"] for check in checks}
    assert "int8 is used" in found["models"] and "by the worker" in found["reading"]


def doctor(kiosk) -> list[dict]:
    """What it finds as the service's user, and with its secrets."""
    command = (
        "cd / && setpriv --reuid cic-kiosk --regid cic-kiosk --init-groups "
        "env CREDENTIALS_DIRECTORY=/run/credentials/cic-kiosk.service cic-kiosk doctor --json 2>/dev/null"
    )
    return json.loads(kiosk.try_run(command)[1])["checks"]


def test_paper_under_the_camera_is_taken_read_and_received_over_tls(branch):
    kiosk = branch.kiosk
    until(lambda: kiosk.scan_status()["state"] == "ready")
    show(kiosk, "page-1")
    [scan_id] = until(lambda: list(branch.listener.results))
    [report] = branch.listener.answer(scan_id)["data"]["info"]
    truth = json.loads((ROOT / "tests/data/reports/scan.json").read_text(encoding="utf-8"))["info"]
    # What stands on the first page.
    fields = ("report_time", "cic_code", "id_card", "address", "credit_score", "credit_rank", "credit_ranking_date")
    assert {field: report[field] for field in fields} == {field: truth[field] for field in fields}
    log = (branch.broker.folder / "mosquitto.log").read_text(encoding="utf-8")
    assert re.search(r"connected from 127\.0\.0\.1:\d+ as \S*kiosk-1", log), "it is the kiosk that connected"


def test_button_begins_and_ends_a_scan_and_lamp_and_light_follow(branch):
    kiosk = branch.kiosk
    until(lambda: "scan" not in kiosk.scan_status())
    until(lambda: "1" not in kiosk.run("./panel levels lamp 5"))
    # All is ready: the light is on.
    until(lambda: "0" not in kiosk.run("./panel levels light 30"))
    known = set(branch.listener.results)
    kiosk.run("./panel press 0.3")
    until(lambda: kiosk.scan_status().get("scan", {}).get("pages") == 1)
    assert "1" in kiosk.run("./panel levels lamp 1")
    # It blinks: a scan is open.
    assert set(kiosk.run("./panel levels light 40")) == {"0", "1"}
    kiosk.run("./panel press 3")
    until(lambda: "scan" not in kiosk.scan_status())
    until(lambda: set(branch.listener.results) - known)
    until(lambda: "1" not in kiosk.run("./panel levels lamp 5"))
    until(lambda: "0" not in kiosk.run("./panel levels light 30"))


def test_camera_that_is_unplugged_is_told_of_and_used_again(branch):
    kiosk = branch.kiosk
    kiosk.run("./vivid unplug")
    until(lambda: kiosk.scan_status()["state"] == "absent")
    assert kiosk.run("systemctl is-active cic-kiosk") == "active"
    kiosk.run("./vivid plug")
    until(lambda: kiosk.scan_status()["state"] == "ready")
    known = set(branch.listener.results)
    show(kiosk, "page-2")
    until(lambda: set(branch.listener.results) - known)
    # It is needed no more, and takes its share of the processor.
    kiosk.run("./vivid unplug")


def test_what_waited_for_the_broker_for_an_hour_arrives(branch):
    kiosk = branch.kiosk
    kiosk.wait_until_connected()
    branch.broker.stop()
    papers = [new_paper() for _ in range(10)]
    scans = kiosk.submit(*papers[:5])
    kiosk.run("date --set='+1 hour'")
    scans |= kiosk.submit(*papers[5:])
    until(lambda: "broker connected" not in kiosk.run("systemctl show --property=StatusText cic-kiosk"))
    branch.listener.subscribed.clear()
    branch.broker.start()
    branch.listener.wait_until_subscribed()
    branch.check(scans)


def test_full_disk_refuses_papers_and_takes_them_again_when_there_is_room(branch):
    kiosk, paper = branch.kiosk, new_paper()
    scans = kiosk.submit(new_paper())
    kiosk.run("fallocate --length $(($(stat --file-system --format=%f*%S /var))) /var/filling || dd if=/dev/zero of=/var/filling bs=1M || true")
    paper.put(kiosk.share, "refused.pdf")
    status, words = kiosk.try_run("cic-kiosk submit share/refused.pdf")
    assert status == 1 and words
    assert kiosk.run("systemctl is-active cic-kiosk") == "active"
    kiosk.run("rm /var/filling")
    until(lambda: kiosk.try_run("cic-kiosk submit share/refused.pdf")[0] == 0)
    branch.check(scans | kiosk.submit(new_paper()))


def test_hung_service_is_started_again_by_systemd(branch):
    kiosk = branch.kiosk
    before = kiosk.run("systemctl show --value --property=NRestarts cic-kiosk")
    kiosk.run("kill -STOP $(systemctl show --value --property=MainPID cic-kiosk)")
    until(lambda: kiosk.run("systemctl show --value --property=NRestarts cic-kiosk") != before)
    kiosk.wait_until_up()
    assert "Watchdog timeout" in kiosk.run("journalctl --boot --output=cat --unit cic-kiosk")
    branch.check(kiosk.submit(new_paper()))


def test_journal_has_fields_to_search_by_and_no_value_of_a_paper(branch):
    kiosk = branch.kiosk
    [scan_id] = scans = kiosk.submit(new_paper())
    branch.check(scans)
    until(lambda: kiosk.run(f"journalctl --output=cat SCAN_ID={scan_id} MESSAGE=delivered"))
    [read] = kiosk.run(f"journalctl --output=json SCAN_ID={scan_id} STAGE=read").splitlines()
    assert int(json.loads(read)["ELAPSED_MS"]) >= 0
    # When something was told is the journal's to say, in so many digits that a code of eight can be among them by chance.
    own = "^(__CURSOR|_+[A-Z_]*TIMESTAMP)="
    kiosk.run(f"journalctl --all --output=export | grep --text --invert-match --extended-regexp '{own}' >share/journal.export")
    (LOGS / "day.journal.log").write_bytes((kiosk.share / "journal.export").read_bytes())
    assert found([scan_id], [LOGS / "day.journal.log"])
    assert not found(SECRETS, [LOGS])


def test_hung_kernel_is_reset_by_the_hardware_watchdog(branch):
    kiosk = branch.kiosk
    scans = kiosk.submit(new_paper())
    # It stays where it is, without a restart of its own.
    kiosk.run("sysctl --quiet kernel.panic=0 kernel.sysrq=1; sleep 1; (sleep 2; echo c >/proc/sysrq-trigger) >/dev/null 2>&1 &")
    kiosk.wait_for_end()
    assert "sysrq triggered crash" in kiosk.console.read_text(encoding="utf-8", errors="replace")
    kiosk.start()
    kiosk.wait_until_up()
    kiosk.wait_until_connected()
    branch.check(scans | kiosk.submit(new_paper()))
    kiosk.run("systemctl poweroff")
    kiosk.wait_for_end()
    check = subprocess.run(["/sbin/e2fsck", "-fn", kiosk.data], capture_output=True, text=True)
    assert check.returncode == 0, check.stdout
