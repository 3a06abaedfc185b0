"""Each error code of the contract, from all that leads to it; what holds for all of them, `contract` checks."""

import base64
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest
import requests

from contract import PATH, check_response
from documents import SCAN, blank, document, encrypted
from files import closed_port, serve_files
from kiosk import MARK, Key, keys, wrong

STRICT = """
[limits]
max_bytes = 300_000
max_pages = 2
max_pixels = 1_000_000
[http]
body_seconds = 1
[url]
max_seconds = 2
max_redirects = 2
"""


@pytest.fixture
def strict(start):
    """A server with small limits, and a key for it."""
    server = start(config=STRICT)
    return server, server.key("strict")


def code_and_status(response: requests.Response) -> tuple[str, int]:
    return response.json()["errorCode"], response.status_code


# Code 1: a document that is no report.


def test_picture_without_a_report_is_code_1(server, key):
    assert code_and_status(server.by_file(key, blank())) == ("1", 422)


# Code 2: an address that gives no document.


@pytest.mark.parametrize(
    "url",
    [
        "no address",
        "http://",
        "http://127.0.0.1:port/",
        f"ftp://example.com/{MARK}",
        f"file:///etc/passwd#{MARK}",
        f"http://user:password@127.0.0.1/{MARK}",
        f"http://{MARK}.invalid/",
    ],
)
def test_address_that_is_none_is_code_2(server, key, url):
    assert code_and_status(server.by_url(key, url)) == ("2", 424)


@pytest.mark.parametrize(
    "host",
    [
        "10.0.0.1",
        "169.254.169.254",
        "[::1]",
        "127.0.0.2",
        "2130706434",
        "0x7f.2",
        "[::ffff:127.0.0.2]",
        "0.0.0.0",
        "localhost",
    ],
)
def test_private_address_is_code_2(start, host):
    # Only a network beside the one that is asked for is allowed.
    server = start("--allow-url-host", "192.0.2.0/24")
    response = server.by_url(server.key("tests"), f"http://{host}/{MARK}")
    assert code_and_status(response) == ("2", 424)


def test_redirect_to_a_private_address_is_code_2_and_nobody_asks_there(server, key, files):
    with serve_files("127.0.0.2") as private:
        url = files.redirect("elsewhere", private.put("report.pdf", SCAN.content))
        assert code_and_status(server.by_url(key, url)) == ("2", 424)
        assert "elsewhere" in files.asked_for and private.asked_for == []


def test_redirect_to_an_allowed_address_is_followed(server, key, files):
    url = files.redirect("moved", files.put("here.pdf", blank()))
    assert code_and_status(server.by_url(key, url)) == ("1", 422)


def test_endless_redirects_are_code_2(server, key, files):
    url = files.redirect("round", files.url("round"))
    assert code_and_status(server.by_url(key, url)) == ("2", 424)


def test_address_where_nothing_is_found_is_code_2(server, key, files):
    assert code_and_status(server.by_url(key, files.url("missing"))) == ("2", 424)


def test_server_that_cannot_be_reached_is_code_2(server, key):
    url = f"http://127.0.0.1:{closed_port()}/{MARK}"
    assert code_and_status(server.by_url(key, url)) == ("2", 424)


def test_certificate_that_nobody_vouches_for_is_code_2(start, files_over_tls):
    server = start("--allow-url-host", "localhost")
    url = files_over_tls.put("scan.pdf", SCAN.content)
    assert code_and_status(server.by_url(server.key("branch"), url)) == ("2", 424)


@pytest.mark.parametrize("says_its_size", [True, False], ids=["that says so", "that does not say so"])
def test_file_too_large_at_an_address_is_code_2(strict, files, says_its_size):
    server, key = strict
    url = files.put("large", bytes(300_001), says_its_size=says_its_size)
    assert code_and_status(server.by_url(key, url)) == ("2", 424)


def test_server_that_is_too_slow_is_code_2(strict, files):
    server, key = strict
    held = files.hold("slow", blank())
    assert code_and_status(server.by_url(key, held.url)) == ("2", 424)


# Code 3: a request that makes no sense, or a document that cannot be opened.


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"no picture at all" * 99, id="garbage"),
        pytest.param(b"", id="empty"),
        pytest.param(SCAN.content[:60_000], id="PDF cut off"),
        pytest.param(blank()[:-100], id="picture cut off"),
        pytest.param(encrypted(), id="encrypted"),
    ],
)
def test_file_that_cannot_be_opened_is_code_3(server, key, content):
    assert code_and_status(server.by_file(key, content)) == ("3", 400)
    text = base64.b64encode(content).decode()
    assert code_and_status(server.by_base64(key, text)) == ("3", 400)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(document(3), id="pages"),
        pytest.param(blank(1000, 1001), id="pixels"),
        # More than the base64 of a file that is just allowed, so that the body itself is too large.
        pytest.param(bytes(2_000_000), id="bytes"),
        pytest.param(bytes(300_001), id="one byte"),
    ],
)
def test_file_over_the_limits_is_code_3(strict, content):
    server, key = strict
    assert code_and_status(server.by_file(key, content)) == ("3", 400)


@pytest.mark.parametrize("text", ["", "*", "QUJD*", "QUI=QUI=", "QUJ\u0110", "data:image/png,QUJD"])
def test_bad_base64_is_code_3(server, key, text):
    assert code_and_status(server.by_base64(key, text)) == ("3", 400)


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"format_type": "url"},
        {"img": "", "format_type": "url"},
        {"img": "https://example.com", "format_type": "ftp"},
        {"img": "https://example.com", "format_type": "file"},
        {"img": "https://example.com", "get_thumb": "maybe"},
        {"img": ["https://example.com", "https://example.org"]},
    ],
    ids=str,
)
def test_query_that_makes_no_sense_is_code_3(server, key, parameters):
    assert code_and_status(server.ask("GET", auth=key, params=parameters)) == ("3", 400)


@pytest.mark.parametrize(
    "kind, body",
    [
        ("text/plain", "abc"),
        ("application/json", "{"),
        ("application/json", '["abc"]'),
        ("application/json", '{"img": 3}'),
        ("application/json", "{}"),
        ("application/json; charset=", ""),
        ("multipart/form-data", "abc"),
        ("multipart/form-data; boundary=B", "--B\r\n"),
        ("multipart/form-data; boundary=B", "--B--\r\n"),
        ("no type", "abc"),
    ],
)
def test_body_that_makes_no_sense_is_code_3(server, key, kind, body):
    response = server.ask("POST", auth=key, headers={"content-type": kind}, data=body)
    assert code_and_status(response) == ("3", 400)


def test_body_that_does_not_arrive_in_time_is_code_3(strict):
    server, key = strict

    def slow_body():
        yield b"--B\r\n"
        time.sleep(2)
        yield b"--B--\r\n"

    headers = {"content-type": "multipart/form-data; boundary=B"}
    assert code_and_status(server.ask("POST", auth=key, headers=headers, data=slow_body())) == ("3", 400)


# Code 4: no key, or a wrong one.


def test_no_key_is_code_4(server):
    assert code_and_status(server.by_url(None, "https://example.com")) == ("4", 401)


def test_challenge_names_basic_authentication(server):
    assert server.ask("GET").headers["www-authenticate"].startswith('Basic realm="')


def test_wrong_secret_is_code_4(start):
    server = start()
    key = server.key("branch")
    assert code_and_status(server.by_file(wrong(key), blank())) == ("4", 401)
    assert code_and_status(server.by_file(Key(key.api_secret, key.api_key), blank())) == ("4", 401)
    assert code_and_status(server.by_file(Key("", ""), blank())) == ("4", 401)


def test_stranger_who_sends_much_gets_to_see_the_answer(server):
    assert code_and_status(server.by_file(None, bytes(20_000_000))) == ("4", 401)


@pytest.mark.parametrize("value", ["Bearer {0}", "Basic", "Basic {0}*", "{0}", "Digest username={0}"])
def test_authorization_that_is_not_basic_is_code_4(server, key, value):
    credentials = base64.b64encode(":".join(key).encode()).decode()
    response = server.ask("GET", headers={"authorization": value.format(credentials)})
    assert code_and_status(response) == ("4", 401)


def test_key_counts_from_the_moment_it_is_added_to_the_one_it_is_revoked(start):
    server = start()
    key = server.key("branch")
    assert server.knows(key)
    keys(server.state, "revoke", "branch")
    assert code_and_status(server.ask("GET", auth=key)) == ("4", 401)


def test_rotated_key_works_with_its_new_secret_only(start):
    server = start()
    old = server.key("branch")
    assert server.knows(old)
    new = keys(server.state, "rotate", "branch")
    assert new.api_key == old.api_key and server.knows(new) and not server.knows(old)


def test_both_secrets_work_while_they_overlap(start):
    server = start()
    old = server.key("branch")
    new = keys(server.state, "rotate", "branch", "--overlap", "1")
    assert server.knows(new) and server.knows(old)


def test_who_guesses_must_wait_while_the_right_secret_still_works(start):
    server = start()
    key = server.key("branch")
    assert server.knows(key)
    guess = wrong(key)
    waits = [server.ask("GET", auth=guess).headers.get("retry-after") for _ in range(11)]
    assert waits[:10] == [None] * 10
    assert 0 < int(waits[10]) <= 30
    assert server.knows(key)


# Code 5: the quota is used up.


def test_used_up_quota_is_code_5_until_midnight_even_after_a_restart(start):
    # A zone where it is noon now, so that no midnight comes in between.
    ahead = datetime.now(UTC).hour - 12
    zone = {"TZ": f"AAA{ahead}"}
    first = start(env=zone)
    key = first.key("branch", "--quota", "2")
    assert [code_and_status(first.by_file(key, blank())) for _ in range(3)] == [("1", 422)] * 2 + [("5", 429)]
    assert first.stop() == 0
    response = start(env=zone).by_file(key, blank())
    assert code_and_status(response) == ("5", 429)
    assert 11 * 3600 < int(response.headers["retry-after"]) <= 12 * 3600


def test_last_use_of_a_quota_is_given_out_once(start):
    server = start()
    key = server.key("branch", "--quota", "3")
    with ThreadPoolExecutor(8) as pool:
        codes = list(pool.map(lambda _: server.ask("GET", auth=key).json()["errorCode"], range(16)))
    assert sorted(codes) == ["3"] * 3 + ["5"] * 13


# Code 6: what the contract has no other code for.


def test_full_house_is_code_6_with_503_at_once_and_healthy_all_the_same(start, files):
    server = start(config="[http]\nqueue = 0\nworkers = 1\n")
    key = server.key("branch")
    assert server.knows(key)
    held = files.hold("held", blank())
    with ThreadPoolExecutor(12) as pool:
        first = pool.submit(server.by_url, key, held.url)
        assert held.asked.wait(30)
        flood = list(pool.map(lambda _: server.by_file(key, blank()), range(40)))
        assert {code_and_status(response) for response in flood} == {("6", 503)}
        assert max(response.elapsed.total_seconds() for response in flood) < 5
        assert server.is_up() and not first.done()
        held.released.set()
        assert code_and_status(first.result()) == ("1", 422)
    assert code_and_status(server.by_file(key, blank())) == ("1", 422)
    assert server.metric("cic_turned_away_total") == 40


def test_path_that_is_not_there_is_code_6_with_404(server):
    for path in ("/", "/api/v2/ocr/document/", PATH + "/", f"/{MARK}", "/docs/files/none.js"):
        response = server.ask("GET", path)
        check_response(response, server.openapi)
        assert code_and_status(response) == ("6", 404), path


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "NOBODYS"])
def test_method_that_is_not_there_is_code_6_with_405(server, method):
    response = server.ask(method)
    assert code_and_status(response) == ("6", 405)
    assert {part.strip() for part in response.headers["allow"].split(",")} >= {"GET", "POST"}


def test_head_reads_no_document(server, key):
    response = server.ask("HEAD", auth=key, params={"img": "https://example.com"})
    assert response.status_code == 405 and response.content == b""


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics", "/openapi.json", "/docs"])
def test_what_is_only_to_be_read_says_so(server, path):
    response = server.ask("POST", path)
    check_response(response, server.openapi)
    assert code_and_status(response) == ("6", 405)
