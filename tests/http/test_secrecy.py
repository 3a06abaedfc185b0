"""What must not be told, was not told: to no log, however talkative, and in no figure. Runs after all other tests."""

import pytest

from documents import REPORTS, SCAN
from kiosk import MARK, SECRETS, wrong
from secrecy import could_be_chance, values


@pytest.fixture(scope="module")
def forbidden():
    printed = {value for report in REPORTS for value in values(report.info)}
    return {value for value in printed if not could_be_chance(value)} | {MARK}


def test_what_is_forbidden_is_known(forbidden):
    assert len(forbidden) > 50 and set(SCAN.info["cic_code"].split()) < forbidden


def test_no_value_secret_or_address_is_in_a_log(server, key, files, logs, forbidden):
    server.by_file(key, SCAN.content, get_thumb="true")
    server.by_url(key, files.put("read.pdf", SCAN.content))
    server.by_url(key, f"https://user:password@{MARK}.invalid/{MARK}")
    server.ask("GET", f"/{MARK}")
    server.by_file(wrong(key), SCAN.content)
    texts = {path.name: path.read_text(encoding="utf-8") for path in logs.iterdir()}
    assert key.api_secret in SECRETS and "answered" in texts["server.log"]
    told = {(name, word) for name, text in texts.items() for word in forbidden | SECRETS if word in text}
    assert told == set()


def test_no_host_of_an_address_is_in_a_log(start, files, files_over_tls):
    server = start("--allow-url-host", "localhost")
    key = server.key("branch")
    for place in (files, files_over_tls):
        server.by_url(key, place.put("fetched.pdf", SCAN.content))
    log = server.log.read_text(encoding="utf-8")
    hosts = "localhost", files.origin.removeprefix("http://")
    assert [line for line in log.splitlines() if any(host in line for host in hosts)] == []


def test_no_value_secret_or_address_is_in_the_state_folder(server, key, forbidden):
    contents = [path.read_bytes() for path in server.state.iterdir()]
    assert any(key.api_key.encode() in content for content in contents)
    assert not [word for word in forbidden | SECRETS for content in contents if word.encode() in content]


def test_no_value_key_or_address_is_in_a_figure(server, key, forbidden):
    text = server.ask("GET", "/metrics").text
    assert not [word for word in forbidden | SECRETS | set(key) | {"127.0.0.1", "tests"} if word in text]
