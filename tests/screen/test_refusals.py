"""Bad input at every door of the screen: refused in words that say what to do, told to nobody, and survived."""

import re
import socket

import pytest
import requests
from playwright.sync_api import expect

from access import SIZES, barriers
from admin import admit, ask, session
from kiosk import PATIENCE
from touch import FINGER, new_context

# It stands in whatever is sent, and nowhere else afterwards.
MARK = "NOBODY-SHOULD-TELL-THIS"
NOBODYS = "01M8CVFQSN4THRV8TA9PBVAFH5"
ACTIONS = ["agree", "scan", "all", "more", "send", "again", "cancel", "stay", "keep"]
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
TOO_LARGE = b"visit=" + MARK.encode() + b"x" * 5_000_000

# What a framework says, and people at a kiosk cannot do anything about.
FRAMEWORK = re.compile(r"deserialize|invalid|expected|missing field|unknown variant|length limit|parse|axum|serde", re.I)


@pytest.fixture
def kiosk(open_desk):
    """Whatever was done to it, it has told nothing, is as it was before, and ends in order."""
    kiosk = open_desk(screen={"admins": ["an"]}).kiosk
    yield kiosk
    assert ask(kiosk, "GET", "/kiosk").status_code == 200
    assert not kiosk.entries("open") and not kiosk.waiting()
    assert kiosk.stop() == 0
    said = kiosk.said()
    assert MARK not in said and "panicked" not in said


@pytest.fixture
def cookies(kiosk):
    return session(kiosk, *admit(kiosk, "an"))


def is_told(answer: requests.Response, status: int):
    """Refused with this status, in own words, with a way back."""
    assert answer.status_code == status, (answer.status_code, answer.text[:200])
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["cache-control"] == "no-store"
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    words = re.sub(r"<[^>]*>", " ", answer.text)
    assert not FRAMEWORK.search(words) and MARK not in answer.text, words
    assert re.search(r'href="/(kiosk|admin)"', answer.text)


def raw(kiosk, request: bytes) -> int:
    """The status of the answer to what no client's library sends; 0 where the connection is closed instead."""
    host, port = kiosk.screen.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=PATIENCE) as connection:
        try:
            connection.sendall(request.replace(b"HOST", f"{host}:{port}".encode()))
            answer = connection.makefile("rb").readline()
        except ConnectionError:
            return 0
    return int(answer.split()[1]) if answer else 0


def test_other_hosts_and_other_origins_are_refused_at_every_door(kiosk):
    for path in ("/", "/kiosk", "/kiosk/events", "/kiosk/preview", "/admin", "/admin/login", "/assets/x/kiosk.js"):
        for host in (f"{MARK}.example", "localhost", "127.0.0.1", "127.0.0.1:1"):
            is_told(ask(kiosk, "GET", path, headers={"Host": host}), 403)
    for path in [*(f"/kiosk/{action}" for action in ACTIONS), "/admin/login", "/admin/logout", "/admin/configuration"]:
        for origin in ("", "null", f"http://{MARK}.example", kiosk.screen + ".example"):
            headers = {"Origin": origin} if origin else {}
            answer = requests.post(kiosk.screen + path, data={"visit": NOBODYS}, headers=headers, timeout=PATIENCE)
            is_told(answer, 403)


def test_forms_that_are_junk_missing_or_too_large_are_refused(kiosk):
    for action in ACTIONS:
        path = f"/kiosk/{action}"
        is_told(ask(kiosk, "POST", path), 415)
        is_told(ask(kiosk, "POST", path, json={"visit": MARK}), 415)
        is_told(ask(kiosk, "POST", path, data={"visit": MARK}), 422)
        is_told(ask(kiosk, "POST", path, data={MARK: NOBODYS}), 422)
        is_told(ask(kiosk, "POST", path, data=b"\xff\x00\r\n%zz&&=" + MARK.encode(), headers=FORM), 422)
    is_told(ask(kiosk, "POST", "/kiosk/agree", data=TOO_LARGE, headers=FORM), 413)


def test_actions_that_are_unknown_or_of_another_visit_do_nothing(kiosk):
    form = {"visit": NOBODYS}
    for action in (MARK, "", "AGREE", "%00", "..%2fadmin", "x" * 5000):
        is_told(ask(kiosk, "POST", f"/kiosk/{action}", data=form), 404)
    for action in ACTIONS:
        answer = ask(kiosk, "POST", f"/kiosk/{action}", data=form)
        assert (answer.status_code, answer.headers["location"]) == (303, "/kiosk")
    assert 'data-step="consent"' in ask(kiosk, "GET", "/kiosk").text


def test_addresses_that_lead_nowhere_are_refused(kiosk):
    for path in (
        f"/{MARK}",
        f"/kiosk/pages/{NOBODYS}/0/0",
        f"/kiosk/pages/{NOBODYS}/0/18446744073709551615",
        f"/kiosk/pages/{NOBODYS}/0",
        "/kiosk/preview",
        f"/assets/{MARK}/kiosk.js",
        "/assets/%2e%2e/%2e%2e",
    ):
        is_told(ask(kiosk, "GET", path), 404)
    for path in (f"/kiosk/pages/{MARK}/x/y", f"/kiosk/pages/{NOBODYS}/-1/1", "/kiosk/pages/%00/%0a/%ff"):
        is_told(ask(kiosk, "GET", path), 400)
    for path in ("/kiosk", "/kiosk/events", "/kiosk/preview", "/admin/login", "/assets/x/y"):
        for method in ("PUT", "DELETE", "PATCH", MARK):
            answer = ask(kiosk, method, path, headers={"Origin": kiosk.screen})
            is_told(answer, 405)
            assert "GET" in answer.headers["allow"]
    is_told(ask(kiosk, "GET", "/kiosk/agree"), 405)


def test_requests_that_are_none_are_refused(kiosk):
    long = b"x" * 1_000_000
    for request in (
        b"GET /" + long + b" HTTP/1.1\r\nHost: HOST\r\n\r\n",
        b"GET /kiosk HTTP/1.1\r\nHost: HOST\r\nCookie: cic-admin=" + long + b"\r\n\r\n",
        b"GET /kiosk\x00\x1b[2J HTTP/1.1\r\nHost: HOST\r\n\r\n",
        b"GET /kiosk HTTP/1.1\r\nHost: HOST\r\nX: \x00\x01\r\n\r\n",
        b"GET /kiosk HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + MARK.encode() + b"\r\n\r\n",
        MARK.encode() + b"\r\n\r\n",
    ):
        status = raw(kiosk, request)
        assert status == 0 or 400 <= status < 500, (request[:60], status)


def test_logins_that_are_junk_are_refused(kiosk):
    for form in ({"api_key": MARK, "api_secret": MARK}, {"api_key": "\x00\x1b[2J", "api_secret": "😀" * 500}):
        answer = ask(kiosk, "POST", "/admin/login", data=form)
        assert answer.status_code == 401 and MARK not in answer.text and "is wrong" in answer.text
    is_told(ask(kiosk, "POST", "/admin/login"), 415)
    is_told(ask(kiosk, "POST", "/admin/login", data={"api_key": MARK}), 422)
    is_told(ask(kiosk, "POST", "/admin/login", data=TOO_LARGE, headers=FORM), 413)


def test_technician_who_sends_junk_is_refused_in_words(kiosk, cookies):
    is_told(ask(kiosk, "GET", f"/admin/log?level={MARK}", cookies=cookies), 400)
    is_told(ask(kiosk, "GET", f"/admin/events?view={MARK}", cookies=cookies), 400)
    is_told(ask(kiosk, "GET", "/admin/events", cookies=cookies), 400)
    is_told(ask(kiosk, "GET", f"/admin/{MARK}", cookies=cookies), 404)
    is_told(ask(kiosk, "POST", f"/admin/scans/{MARK}", cookies=cookies), 400)
    is_told(ask(kiosk, "DELETE", "/admin/configuration", cookies=cookies, headers={"Origin": kiosk.screen}), 405)
    page = "/admin/configuration"
    is_told(ask(kiosk, "POST", page, cookies=cookies), 415)
    is_told(ask(kiosk, "POST", page, cookies=cookies, data={"text": "", "wish": MARK}), 422)
    is_told(ask(kiosk, "POST", page, cookies=cookies, data=TOO_LARGE, headers=FORM), 413)
    answer = ask(kiosk, "POST", page, cookies=cookies, data={"text": "#" * 300_000, "wish": "propose"})
    assert "longer than 256 KB" in answer.text and not (kiosk.state / "proposed.toml").exists()


def test_refusal_is_a_page_that_everybody_can_leave(kiosk, browser):
    with new_context(browser, *SIZES[0]) as context:
        page = context.new_page()
        page.goto(f"{kiosk.screen}/kiosk/{MARK}")
        assert barriers(page, FINGER, SIZES) == []
        page.get_by_role("link").tap()
        expect(page.locator('main[data-step="consent"]')).to_be_visible()
