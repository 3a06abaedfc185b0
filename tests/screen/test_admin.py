"""The technician's view from outside: a real browser, and requests that no browser sends."""

import json
import os
import re
import shutil
import socket
import sqlite3
import stat
import sys
from glob import glob

import pytest
import requests
from playwright.sync_api import expect

from access import DESK, ENLARGED, barriers
from admin import PAGES, Technician, admit, ask, session
from files import closed_port
from kiosk import PATIENCE, ROOT, keys, until, wrong
from papers import Paper
from touch import new_context

# Least height and width of what is pressed, in CSS pixels (WCAG 2.2, 2.5.8).
POINTER = 24
# A display that people stand before.
TOUCH = (1080, 1920)

ADMINS = {"admins": ["an", "binh"]}
IMAGES = ROOT / "docs/images"

# Everything that there is, with how it is asked for.
GUARDED = [("GET", path) for path in PAGES.values()] + [
    ("GET", "/admin/camera.jpg"),
    ("GET", "/admin/test/page"),
    ("GET", "/admin/test/picture.jpg"),
    ("POST", "/admin/scans/01JZZZZZZZZZZZZZZZZZZZZZZZ"),
    ("POST", "/admin/test"),
    ("POST", "/admin/test/picture"),
    ("POST", "/admin/configuration"),
    ("POST", "/admin/configuration/withdraw"),
    ("POST", "/admin/doctor"),
    ("POST", "/admin/logout"),
]


@pytest.fixture
def new_paper():
    """Makes papers; what stands on them is secret."""
    numbers = iter(range(700, 800))
    return lambda **features: Paper(next(numbers), **features)


@pytest.fixture
def open_kiosk(open_desk):
    """A kiosk that technicians may log in to."""
    return lambda **screen: open_desk(screen={**ADMINS, **screen}).kiosk


@pytest.fixture
def kiosk(open_kiosk):
    return open_kiosk()


@pytest.fixture
def enter(browser):
    """Logs a technician in, with a browser of his own; what it complained of is looked at in the end."""
    entered = []

    def enter(kiosk, name: str = "an", width: int = 1280, height: int = 800) -> Technician:
        context = new_context(browser, width, height)
        technician = Technician(context.new_page(), kiosk.screen, *admit(kiosk, name))
        entered.append((context, technician))
        technician.log_in()
        expect(technician.page.locator("h1")).to_have_text("Overview")
        return technician

    yield enter
    for context, technician in entered:
        technician.check()
        context.close()


def read(kiosk, branch_papers) -> dict:
    """Submits papers and waits until their results are delivered."""
    scans = kiosk.scan(*branch_papers)
    until(lambda: not kiosk.waiting())
    return scans


# Who is let in.


def test_there_is_no_technicians_view_where_nobody_may_log_in(open_desk):
    kiosk = open_desk().kiosk
    for path in ("/admin", "/admin/login", "/admin/events?view=overview"):
        assert ask(kiosk, "GET", path).status_code == 404


def test_nothing_is_shown_or_done_before_somebody_has_logged_in(kiosk):
    for method, path in GUARDED:
        for cookies in ({}, {"cic-admin": "0" * 64}, {"cic-admin": ""}):
            answer = ask(kiosk, method, path, cookies=cookies)
            assert (answer.status_code, answer.headers["location"]) == (303, "/admin/login"), path
            assert not answer.content
    events = ask(kiosk, "GET", "/admin/events?view=overview")
    assert events.headers["content-type"] == "text/event-stream" and events.text == "event: end\ndata:  \n\n"


def test_wrong_secrets_and_keys_that_are_not_named_are_refused_and_logged_without_the_secret(kiosk, browser):
    an, other = admit(kiosk, "an", "other")
    with new_context(browser, 1280, 800) as context:
        technician = Technician(context.new_page(), kiosk.screen, an)
        for key in (wrong(an), other):
            technician.log_in(key)
            expect(technician.page.get_by_role("alert")).to_contain_text("wrong")
            assert not context.cookies()
        technician.find_nothing_wrong()
    said = kiosk.said()
    assert 'login failed, with the key "an"' in said and 'login failed, with the key "other"' in said
    assert an.api_secret not in said and other.api_secret not in said


def test_session_is_a_cookie_that_no_script_and_no_other_page_can_use(kiosk, enter):
    technician = enter(kiosk)
    [cookie] = technician.page.context.cookies()
    assert re.fullmatch("[0-9a-f]{64}", cookie["value"])
    assert cookie["httpOnly"] and cookie["sameSite"] == "Strict" and cookie["path"] == "/admin"
    assert technician.page.evaluate("document.cookie") == ""
    assert cookie["value"] not in kiosk.said()
    assert not any(cookie["value"].encode() in file.read_bytes() for file in kiosk.state.rglob("*") if file.is_file())


def test_many_wrong_secrets_lock_out_whoever_tries_them(kiosk):
    [key] = admit(kiosk, "an")
    form = dict(zip(("api_key", "api_secret"), wrong(key), strict=True))
    answers = [ask(kiosk, "POST", "/admin/login", data=form).status_code for _ in range(11)]
    assert answers == [401] * 10 + [429]
    # The right one waits, too.
    right = ask(kiosk, "POST", "/admin/login", data=dict(zip(form, key, strict=True)))
    assert right.status_code == 429 and 0 < int(right.headers["retry-after"]) <= 31


def test_session_ends_by_logging_out_and_with_its_key(kiosk, enter):
    technician = enter(kiosk)
    other = session(kiosk, *admit(kiosk, "binh"))
    cookie = {it["name"]: it["value"] for it in technician.page.context.cookies()}
    technician.press("Log out")
    expect(technician.page.locator("h1")).to_contain_text("technician's view")
    assert not technician.page.context.cookies()
    assert ask(kiosk, "GET", "/admin", cookies=cookie).status_code == 303
    assert ask(kiosk, "GET", "/admin", cookies=other).status_code == 200
    keys(kiosk.state, "revoke", "binh")
    assert ask(kiosk, "GET", "/admin", cookies=other).status_code == 303
    said = kiosk.said()
    assert all(f'technician "an" {what}' in said for what in ("has logged in", "has logged out"))


def test_page_of_a_session_that_is_over_shows_the_form_by_itself(kiosk, enter):
    technician = enter(kiosk)
    cookie = {it["name"]: it["value"] for it in technician.page.context.cookies()}
    assert ask(kiosk, "POST", "/admin/logout", cookies=cookie).status_code == 303
    expect(technician.page.locator("h1")).to_contain_text("technician's view")


def test_forms_from_elsewhere_are_refused(kiosk):
    cookies = session(kiosk, *admit(kiosk, "an"))
    answer = ask(kiosk, "POST", "/admin/doctor", cookies=cookies)
    assert answer.status_code == 200
    kiosk.screen = kiosk.screen.replace("127.0.0.1", "localhost")
    assert ask(kiosk, "GET", "/admin", cookies=cookies).status_code == 200
    for origin in ("http://evil.example", "null", ""):
        headers = {"Origin": origin} if origin else {}
        answer = requests.post(kiosk.screen + "/admin/doctor", headers=headers, cookies=cookies, timeout=PATIENCE)
        assert answer.status_code == 403


# What is shown.


def test_overview_changes_while_somebody_looks(kiosk, enter, new_paper):
    technician = enter(kiosk)
    counted = technician.main.get_by_role("region", name="Scans since the start")
    expect(technician.main).to_contain_text("None has ended")
    loads = []
    technician.page.on("load", lambda page: loads.append(page))
    read(kiosk, [new_paper()])
    expect(counted).to_contain_text("submit")
    expect(counted).to_contain_text("1")
    assert not loads, "the page was loaded anew"


def test_overview_tells_of_devices_broker_queue_models_and_machine(kiosk, enter):
    technician = enter(kiosk)
    expect(technician.main.get_by_role("region", name="Devices")).to_contain_text("escl")
    expect(technician.main.get_by_role("region", name="Models")).to_contain_text("recogniser")
    for words in ("connected", "Dead letters", "Memory", "Disk", "not asked"):
        expect(technician.main).to_contain_text(words)


def test_broker_that_goes_away_is_seen(open_desk, enter):
    desk = open_desk(screen=ADMINS)
    technician = enter(desk.kiosk)
    tile = technician.main.locator(".tile", has_text="broker")
    expect(tile).to_contain_text("connected")
    desk.branch.broker.kill()
    expect(tile).to_contain_text("away")
    desk.branch.broker.start()
    expect(tile).to_contain_text("connected")


def test_kiosk_that_goes_away_is_told_and_comes_back_with_the_form(open_desk, enter):
    desk = open_desk(screen={**ADMINS, "listen": f"127.0.0.1:{closed_port()}"})
    technician = enter(desk.kiosk)
    desk.kiosk.kill()
    expect(technician.page.locator("#gone")).to_be_visible()
    desk.start()
    expect(technician.page.locator("h1")).to_contain_text("technician's view")
    technician.complaints = [it for it in technician.complaints if "net::ERR_" not in it]


def test_no_page_shows_a_value_of_a_paper_by_default(kiosk, enter, new_paper):
    paper = new_paper()
    [scan_id] = read(kiosk, [paper])
    technician = enter(kiosk)
    for title in PAGES:
        technician.go(title)
        content = technician.page.content()
        assert not [value for value in paper.values if value in content], title
    technician.go("Last scans")
    row = technician.main.get_by_role("row", name=scan_id)
    expect(row).to_contain_text("submit")
    expect(row).to_contain_text("delivered")
    assert technician.page.get_by_role("button", name=re.compile("Show")).count() == 0
    cookie = {it["name"]: it["value"] for it in technician.page.context.cookies()}
    answer = ask(kiosk, "POST", f"/admin/scans/{scan_id}", cookies=cookie)
    assert answer.status_code == 403 and not [value for value in paper.values if value in answer.text]


def test_values_are_shown_where_that_is_allowed_and_each_look_is_on_record(open_kiosk, enter, new_paper):
    kiosk = open_kiosk(show_values=True)
    paper = new_paper()
    [scan_id] = read(kiosk, [paper])
    technician = enter(kiosk).go("Last scans")
    expect(technician.main).to_contain_text("Nobody did")
    assert paper.code not in technician.page.content()
    technician.page.get_by_role("button", name=f"Show the values of {scan_id}").click()
    expect(technician.main).to_contain_text(paper.code)
    assert paper.code not in technician.page.url
    technician.find_nothing_wrong()
    # It outlives the program.
    kiosk.kill()
    kiosk.start()
    technician.address = kiosk.screen
    technician.log_in()
    technician.go("Last scans")
    record = technician.main.get_by_role("region", name="Looks")
    expect(record.get_by_role("row", name=scan_id)).to_contain_text("an")
    said = kiosk.said()
    assert 'technician "an" looks at what was read' in said and paper.code not in said


def test_look_that_cannot_be_recorded_shows_nothing(open_kiosk, new_paper):
    kiosk = open_kiosk(show_values=True)
    paper = new_paper()
    [scan_id] = read(kiosk, [paper])
    cookies = session(kiosk, *admit(kiosk, "an"))
    store = sqlite3.connect(kiosk.state / "keys.sqlite", isolation_level=None)
    store.execute("DROP TABLE looks")
    store.close()
    answer = ask(kiosk, "POST", f"/admin/scans/{scan_id}", cookies=cookies)
    assert answer.status_code == 500 and paper.code not in answer.text


def test_charts_show_what_was_counted(kiosk, enter, new_paper):
    read(kiosk, [new_paper() for _ in range(3)])
    technician = enter(kiosk).go("Charts")
    expect(technician.page.get_by_role("img", name=re.compile("Scans of the last day. read: 3"))).to_be_visible()
    expect(technician.page.get_by_role("img", name=re.compile("Confidence of [1-9]"))).to_be_visible()
    expect(technician.main).to_contain_text("decode")
    read(kiosk, [new_paper()])
    expect(technician.page.get_by_role("img", name=re.compile("read: 4"))).to_be_visible()


def test_log_says_that_there_is_no_journal(kiosk, enter):
    technician = enter(kiosk).go("Log")
    expect(technician.main).to_contain_text("does not go to a journal")


def test_log_shows_the_lines_of_the_journal_by_level(open_desk, enter, tmp_path):
    kiosk = open_desk(screen=ADMINS).kiosk
    assert kiosk.stop() == 0
    journald = [sys.executable, ROOT / "tests/daemon/journald.py", tmp_path / "run"]
    kiosk.start(under=["unshare", "--mount", "--propagation", "private", *journald], log_level="debug")
    technician = enter(kiosk).go("Log")
    lines = technician.page.get_by_role("region", name="Log")
    expect(lines).to_contain_text('technician "an" has logged in')
    technician.page.get_by_role("link", name="error and worse").click()
    expect(technician.page.get_by_role("link", name="error and worse")).to_have_attribute("aria-current", "true")
    assert "has logged in" not in technician.text()
    technician.find_nothing_wrong()


# What is done.


def test_doctor_says_what_is_wrong(kiosk, enter):
    technician = enter(kiosk).go("Doctor")
    technician.press("Ask the doctor")
    found = technician.page.get_by_role("region", name="What the doctor found")
    expect(found).to_contain_text("configuration")
    for check in ("broker-mqtt", "disk", "models", "screen"):
        expect(found.get_by_role("cell", name=check, exact=True)).to_be_visible()
    # Two may log in, and there is a key for one of them.
    expect(found.get_by_role("row", name="screen-admins")).to_contain_text('keys add "binh"')
    technician.find_nothing_wrong()


def test_doctor_knows_the_screens_address_and_who_may_log_in(open_desk):
    place = f"127.0.0.1:{closed_port()}"
    kiosk = open_desk(screen={**ADMINS, "listen": place}).kiosk
    admit(kiosk, *ADMINS["admins"])

    def examine() -> dict[str, tuple[str, str]]:
        result = kiosk.command("doctor", "--json", "--only", "screen", "--only", "screen-admins")
        return {row["check"]: (row["status"], row["found"]) for row in json.loads(result.stdout)["checks"]}

    assert examine()["screen"] == ("ok", f"{place} is in use, and a daemon runs")
    assert examine()["screen-admins"] == ("ok", "an, binh may log in")
    keys(kiosk.state, "revoke", "binh")
    assert kiosk.stop() == 0
    assert examine()["screen"] == ("ok", f"{place} is free: nobody serves it now")
    assert examine()["screen-admins"][0] == "warning"
    with socket.create_server(("127.0.0.1", int(place.split(":")[1]))):
        assert examine()["screen"] == ("fault", f"{place} is in use by another program")
    kiosk.configure(screen={"listen": "127.0.0.1:0"})
    status, words = examine()["screen"]
    assert status == "ok" and "another one at each start" in words and ":0" not in words
    kiosk.configure(escl={"enabled": False})
    assert "no device" in examine()["screen"][1]
    kiosk.configure(screen={"enabled": False})
    assert {status for status, _ in examine().values()} == {"ok", "off"}


def test_golden_page_is_read_and_can_be_had_to_print(kiosk, enter):
    technician = enter(kiosk).go("Test")
    technician.press("Read the golden page")
    expect(technician.main).to_contain_text(re.compile(r"[1-9]\d* of [1-9]\d*: 100 %"))
    assert technician.page.get_by_role("region", name="Values that are wrong").count() == 0
    stages = technician.page.get_by_role("region", name="Stages of the reading")
    expect(stages.get_by_role("row", name=re.compile(r"^decode \d+ ms"))).to_be_visible()
    technician.find_nothing_wrong()
    with technician.page.expect_download() as download:
        technician.page.get_by_role("link", name="Get it to print").click()
    assert download.value.path().read_bytes() == (ROOT / "models/golden/page.pdf").read_bytes()


def test_values_of_the_golden_page_that_are_wrong_are_shown_with_what_they_should_be(open_desk, enter, tmp_path):
    """The page says something else than its truth here: what differs is what is shown."""
    models = tmp_path / "models"
    models.mkdir()
    for entry in (ROOT / "models").iterdir():
        if entry.name != "golden":
            (models / entry.name).symlink_to(entry)
    shutil.copytree(ROOT / "models/golden", models / "golden")
    file = models / "golden/page.json"
    truth = json.loads(file.read_text(encoding="utf-8"))
    printed, truth["info"]["cic_code"] = truth["info"]["cic_code"], "0000000000"
    file.write_text(json.dumps(truth), encoding="utf-8")
    technician = enter(open_desk(screen=ADMINS, reading={"models": str(models)}).kiosk).go("Test")
    technician.press("Read the golden page")
    wrong = technician.page.get_by_role("region", name="Values that are wrong")
    expect(wrong.get_by_role("row")).to_have_count(2)
    expect(wrong.get_by_role("row", name="cic_code")).to_contain_text("0000000000")
    expect(wrong.get_by_role("row", name="cic_code")).to_contain_text(printed)
    technician.find_nothing_wrong()


def test_mistakes_in_a_configuration_are_told_with_their_line(kiosk, enter):
    technician = enter(kiosk).go("Configuration")
    text = technician.page.get_by_label("A whole configuration")
    text.fill("[http]\n\nqeue = 1\n")
    technician.press("Check")
    expect(technician.page.get_by_role("alert")).to_contain_text("line 3")
    expect(technician.page.get_by_role("alert")).to_contain_text("qeue")
    expect(text).to_have_value("[http]\n\nqeue = 1\n")
    technician.find_nothing_wrong()
    # What is wrong cannot be proposed.
    technician.press("Propose")
    expect(technician.page.get_by_role("alert")).to_contain_text("line 3")
    assert not (kiosk.state / "proposed.toml").exists()


def test_configuration_in_force_is_shown_with_where_it_comes_from(kiosk, enter):
    technician = enter(kiosk).go("Configuration")
    settings = technician.page.get_by_role("region", name="Settings of kiosk")
    expect(settings.get_by_role("row", name=re.compile("^branch"))).to_contain_text("hn-01")
    expect(settings.get_by_role("row", name=re.compile("^branch"))).to_contain_text("kiosk.toml")
    expect(settings.get_by_role("row", name=re.compile("^attempts"))).to_contain_text("default")
    # What the file says by now, and what needs a restart.
    kiosk.configure(http={"queue": 77})
    technician.page.reload()
    row = technician.page.get_by_role("region", name="Settings of http").get_by_role("row", name=re.compile("^queue"))
    expect(row).to_contain_text("now 77 there")


def test_proposal_is_kept_and_changes_nothing(kiosk, enter):
    before = kiosk.config.read_text(encoding="utf-8")
    technician = enter(kiosk).go("Configuration")
    text = technician.page.get_by_label("A whole configuration")
    candidate = text.input_value()
    assert 'branch = "hn-01"' in candidate
    text.fill(candidate + "\n[capture]\nasks = 7\n[camera]\nlooks_per_second = 9\n")
    technician.press("Check")
    expect(technician.page.get_by_role("region", name="What would change")).to_contain_text("capture.asks")
    assert not (kiosk.state / "proposed.toml").exists()
    technician.press("Propose")
    expect(technician.main).to_contain_text('Proposed by "an"')
    change = technician.page.get_by_role("region", name="What would change").get_by_role("row", name="capture.asks")
    expect(change).to_contain_text("2")
    expect(change).to_contain_text("7")
    # What it takes for each to be in force.
    expect(change).to_contain_text("with a reload")
    later = technician.page.get_by_role("region", name="What would change").get_by_role("row", name="camera.looks_per_second")
    expect(later).to_contain_text("with a restart")
    technician.find_nothing_wrong()
    proposed = kiosk.state / "proposed.toml"
    assert stat.S_IMODE(proposed.stat().st_mode) == 0o600 and "asks = 7" in proposed.read_text(encoding="utf-8")
    # It can be checked as any file, and is not in force.
    assert kiosk.config.read_text(encoding="utf-8") == before
    row = technician.page.get_by_role("region", name="Settings of capture").get_by_role("row", name=re.compile("^asks"))
    expect(row).to_contain_text("default")
    technician.press("Take it back")
    expect(technician.main).not_to_contain_text("Proposed by")
    assert not proposed.exists()
    said = kiosk.said()
    assert "proposes a configuration" in said and "takes the proposed configuration back" in said


# How it is shown.


@pytest.mark.parametrize("title", PAGES)
def test_every_page_is_usable_by_everybody(kiosk, enter, new_paper, title):
    read(kiosk, [new_paper()])
    technician = enter(kiosk).go(title)
    assert barriers(technician.page, POINTER, [DESK, TOUCH, ENLARGED]) == []


def test_form_to_log_in_is_usable_by_everybody(kiosk, browser):
    with new_context(browser, *DESK) as context:
        page = context.new_page()
        page.goto(kiosk.screen + "/admin")
        assert barriers(page, POINTER, [DESK, TOUCH, ENLARGED]) == []


def test_all_of_it_can_be_done_with_the_keyboard(kiosk, browser):
    [key] = admit(kiosk, "an")
    with new_context(browser, 1280, 800) as context:
        page = context.new_page()
        page.set_default_timeout(PATIENCE * 1000)
        page.goto(kiosk.screen + "/admin")
        for text in key:
            page.keyboard.press("Tab")
            page.keyboard.type(text)
        page.keyboard.press("Enter")
        expect(page.locator("h1")).to_have_text("Overview")
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.className") == "skip"
        for _ in range(40):
            page.keyboard.press("Tab")
            if page.evaluate("document.activeElement.textContent") == "Doctor":
                break
        page.keyboard.press("Enter")
        expect(page.locator("h1")).to_have_text("Doctor")


@pytest.mark.skipif("REGENERATE" not in os.environ, reason="makes the pictures in docs/images anew")
def test_pictures_of_the_documentation(open_desk, enter, new_paper, tmp_path, letter):
    """Hours pass in a minute: only for a picture, as all clocks of the program jump."""
    kiosk = open_desk(screen=ADMINS, decision={"value_below": 0.999}).kiosk
    assert kiosk.stop() == 0
    ahead = tmp_path / "clock"
    ahead.write_text("+0s\n", encoding="utf-8")
    [library] = glob("/usr/lib/*/faketime/libfaketimeMT.so.1")
    kiosk.start(LD_PRELOAD=library, FAKETIME_TIMESTAMP_FILE=ahead, FAKETIME_NO_CACHE=1)
    scanned = ROOT / "tests/data/reports/scan.pdf"
    other = tmp_path / "letter.jpg"
    other.write_bytes(letter)
    busy = [1, 2, 0, 3, 2, 4, 3, 5, 4, 3, 1, 1, 0, 0, 2, 3, 5, 4, 3, 4, 3, 2, 1, 2]
    for number, scans in enumerate(busy):
        ahead.write_text(f"+{number * 1800}s\n", encoding="utf-8")
        files = [new_paper().put(tmp_path, f"{number}-{scan}.pdf") for scan in range(scans)]
        files += [scanned] if number % 5 == 3 else []
        files += [other] if number in (8, 19) else []
        if files:
            assert kiosk.submit(*files).status == 0
            until(lambda: not kiosk.waiting())
    technician = enter(kiosk)
    for title, height in {"Overview": 1120, "Charts": 1180, "Configuration": 800}.items():
        technician.page.set_viewport_size({"width": 1280, "height": height})
        technician.go(title)
        # What is looked at every few seconds has been.
        technician.page.wait_for_timeout(6000 if title == "Overview" else 1500)
        technician.page.screenshot(path=IMAGES / f"admin-{title.lower()}.png")
